"""What boto3 and the aws CLI make of the S3 door. Each check is a story of its own bucket; `docs/s3.md` names them.

Reads ENDPOINT, KEY, SECRET, OTHER_KEY and OTHER_SECRET; prints `ok NAME` for each check that holds. With names as
arguments it runs only those.
"""

import base64
import hashlib
import io
import json
import os
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import zlib
from pathlib import Path

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.client import Config
from botocore.exceptions import ClientError

ENDPOINT = os.environ["ENDPOINT"]
CHECKS = {}
MIB = 1 << 20


def client(key="KEY", secret="SECRET", **config):
    settings = Config(
        s3={"addressing_style": "path"},
        retries={"max_attempts": 1},
        **config,
    )
    return boto3.client(
        "s3",
        endpoint_url=ENDPOINT,
        region_name="eu-central-1",
        aws_access_key_id=os.environ.get(key, key),
        aws_secret_access_key=os.environ.get(secret, secret),
        config=settings,
    )


S3 = client()


def check(run):
    CHECKS[run.__name__] = run
    return run


def bucket(name):
    S3.create_bucket(Bucket=name)
    return name


def fails(status, code, call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        got = (error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]["Code"])
        # The answer to HEAD has no body, and so no code.
        assert got[0] == status and got[1] in (code, str(status)), (got, status, code)
        return error.response
    raise AssertionError(f"not refused: {code}")


def aws(*arguments, refused=None):
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": tempfile.gettempdir(),
        "AWS_ACCESS_KEY_ID": os.environ["KEY"],
        "AWS_SECRET_ACCESS_KEY": os.environ["SECRET"],
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
        "LC_ALL": "C.UTF-8",
    }
    program = Path(sys.executable).parent / "aws"
    command = [sys.executable, str(program), "--endpoint-url", ENDPOINT, *map(str, arguments)]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True)
    if refused:
        assert ended.returncode != 0 and refused in ended.stderr, (arguments, ended)
        return ended.stderr
    assert ended.returncode == 0, (arguments, ended.stdout, ended.stderr)
    return ended.stdout


def body(size):
    return bytes((n // 7 + n * 31) & 255 for n in range(min(size, 100_003))) * (size // 100_003 + 1)


@check
def buckets_are_made_listed_and_removed():
    bucket("made")
    fails(409, "BucketAlreadyOwnedByYou", S3.create_bucket, Bucket="made")
    listed = {b["Name"]: b["CreationDate"] for b in S3.list_buckets()["Buckets"]}
    assert listed["made"].year > 2020, listed
    S3.head_bucket(Bucket="made")
    assert S3.get_bucket_location(Bucket="made")["LocationConstraint"] is None
    S3.put_object(Bucket="made", Key="k", Body=b"x")
    fails(409, "BucketNotEmpty", S3.delete_bucket, Bucket="made")
    S3.delete_object(Bucket="made", Key="k")
    S3.delete_bucket(Bucket="made")
    fails(404, "NoSuchBucket", S3.head_bucket, Bucket="made")
    fails(404, "NoSuchBucket", S3.put_object, Bucket="made", Key="k", Body=b"x")
    fails(400, "InvalidBucketName", S3.create_bucket, Bucket="a.b")
    page = S3.list_buckets(MaxBuckets=1)
    assert len(page["Buckets"]) <= 1


@check
def objects_round_trip():
    name = bucket("trip")
    for size in [0, 1, 16 << 10, (16 << 10) + 1, 3 * MIB]:
        data = body(size)[:size]
        put = S3.put_object(Bucket=name, Key="k", Body=data)
        assert put["ETag"] == f'"{hashlib.md5(data).hexdigest()}"', put
        got = S3.get_object(Bucket=name, Key="k")
        assert got["Body"].read() == data
        assert (got["ContentLength"], got["ETag"]) == (size, put["ETag"])
        assert S3.head_object(Bucket=name, Key="k")["ContentLength"] == size
    S3.delete_object(Bucket=name, Key="k")
    S3.delete_object(Bucket=name, Key="k")
    fails(404, "NoSuchKey", S3.get_object, Bucket=name, Key="k")
    fails(404, "NoSuchKey", S3.head_object, Bucket=name, Key="k")


@check
def odd_keys_are_keys():
    name = bucket("odd")
    chinese = "键" * 341 + "x"
    assert len(chinese.encode()) == 1024
    keys = [
        "..", "../../etc/passwd", "a/../b", "a//b", "/lead", "trail/", "//", ".", "%2e%2e", "%", "a+b c", "?x=1#y",
        "\x01\x7f", "&<>\"'", "猫/照片 一.jpg", "\U0010ffff", chinese,
        *(f"byte-{chr(n)}" for n in range(1, 256)),
    ]
    for key in keys:
        S3.put_object(Bucket=name, Key=key, Body=key.encode())
        assert S3.get_object(Bucket=name, Key=key)["Body"].read() == key.encode(), key
    listed = [o["Key"] for p in S3.get_paginator("list_objects_v2").paginate(Bucket=name) for o in p["Contents"]]
    assert listed == sorted(keys, key=lambda k: k.encode()), set(keys) ^ set(listed)
    fails(400, "KeyTooLongError", S3.put_object, Bucket=name, Key=chinese + "y", Body=b"")
    S3.delete_objects(Bucket=name, Delete={"Objects": [{"Key": k} for k in keys if k.isprintable()]})
    left = [o["Key"] for o in S3.list_objects_v2(Bucket=name).get("Contents", [])]
    assert all(not k.isprintable() for k in left), left


@check
def what_is_said_of_an_object_comes_back():
    name = bucket("said")
    said = {
        "ContentType": "text/plain; charset=utf-8",
        "CacheControl": "max-age=60",
        "ContentDisposition": 'attachment; filename="a.txt"',
        "ContentEncoding": "gzip",
        "ContentLanguage": "zh",
        "Metadata": {"author": "me", "x-1": "y"},
    }
    S3.put_object(Bucket=name, Key="k", Body=b"x", **said)
    for got in [S3.head_object(Bucket=name, Key="k"), S3.get_object(Bucket=name, Key="k")]:
        assert {k: got[k] for k in said} == said, got
    told = S3.get_object(Bucket=name, Key="k", ResponseContentType="image/png", ResponseCacheControl="no-store")
    assert (told["ContentType"], told["CacheControl"]) == ("image/png", "no-store")
    fails(400, "MetadataTooLarge", S3.put_object, Bucket=name, Key="k", Body=b"y", Metadata={"a": "b" * 9000})


@check
def ranges_are_cut_out():
    name = bucket("ranges")
    data = body(300_000)[:300_000]
    S3.put_object(Bucket=name, Key="k", Body=data)
    for text, cut in [
        ("bytes=0-0", data[:1]),
        ("bytes=5-9", data[5:10]),
        ("bytes=299990-", data[-10:]),
        ("bytes=-7", data[-7:]),
        ("bytes=100-99999999", data[100:]),
    ]:
        got = S3.get_object(Bucket=name, Key="k", Range=text)
        assert got["Body"].read() == cut, text
        assert got["ResponseMetadata"]["HTTPStatusCode"] == 206 and got["ContentRange"].endswith("/300000")
    fails(416, "InvalidRange", S3.get_object, Bucket=name, Key="k", Range="bytes=300000-")


@check
def conditions_hold_or_fail():
    name = bucket("conditions")
    put = lambda **on: S3.put_object(Bucket=name, Key="k", Body=b"x", **on)
    etag = put(IfNoneMatch="*")["ETag"]
    fails(412, "PreconditionFailed", put, IfNoneMatch="*")
    fails(412, "PreconditionFailed", put, IfMatch='"other"')
    put(IfMatch=etag)
    S3.get_object(Bucket=name, Key="k", IfMatch=etag)
    fails(412, "PreconditionFailed", S3.get_object, Bucket=name, Key="k", IfMatch='"other"')
    fails(304, "304", S3.get_object, Bucket=name, Key="k", IfNoneMatch=etag)
    fails(304, "304", S3.head_object, Bucket=name, Key="k", IfNoneMatch=etag)
    fails(304, "304", S3.get_object, Bucket=name, Key="k", IfModifiedSince="2099-01-01")
    fails(412, "PreconditionFailed", S3.get_object, Bucket=name, Key="k", IfUnmodifiedSince="2015-01-01")
    fails(412, "PreconditionFailed", S3.delete_object, Bucket=name, Key="k", IfMatch='"other"')
    S3.delete_object(Bucket=name, Key="k", IfMatch=etag)


@check
def checksums_are_checked_and_kept():
    name = bucket("sums")
    data = body(100_000)[:100_000]
    for algorithm in ["CRC32", "SHA1", "SHA256"]:
        put = S3.put_object(Bucket=name, Key=algorithm, Body=data, ChecksumAlgorithm=algorithm)
        field = f"Checksum{algorithm}"
        got = S3.get_object(Bucket=name, Key=algorithm, ChecksumMode="ENABLED")
        assert got[field] == put[field] and got["Body"].read() == data, (put, got)
        assert S3.head_object(Bucket=name, Key=algorithm, ChecksumMode="ENABLED")[field] == put[field]
    # A stream is sent in chunks with its checksum behind it.
    put = S3.put_object(Bucket=name, Key="stream", Body=io.BufferedReader(io.BytesIO(data)), ChecksumAlgorithm="CRC32")
    assert put["ChecksumCRC32"] == base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()
    fails(400, "BadDigest", S3.put_object, Bucket=name, Key="k", Body=data, ChecksumSHA256=base64.b64encode(b"x" * 32).decode())
    fails(400, "BadDigest", S3.put_object, Bucket=name, Key="k", Body=data, ContentMD5=base64.b64encode(b"x" * 16).decode())
    fails(404, "NoSuchKey", S3.get_object, Bucket=name, Key="k")
    quiet = client(request_checksum_calculation="when_required", response_checksum_validation="when_required")
    quiet.put_object(Bucket=name, Key="quiet", Body=data)
    assert quiet.get_object(Bucket=name, Key="quiet")["Body"].read() == data


@check
def lists_page_and_fold():
    name = bucket("lists")
    keys = sorted([f"in/{n // 10}/{n:03}" for n in range(30)] + [f"k{n:03}" for n in range(30)] + ["in/top"])
    for key in keys:
        S3.put_object(Bucket=name, Key=key, Body=b"x")
    for operation, size in [("list_objects", 7), ("list_objects_v2", 7), ("list_objects_v2", 1000)]:
        pages = S3.get_paginator(operation).paginate(Bucket=name, PaginationConfig={"PageSize": size})
        assert [o["Key"] for page in pages for o in page.get("Contents", [])] == keys, operation
        pages = S3.get_paginator(operation).paginate(
            Bucket=name, Prefix="in/", Delimiter="/", PaginationConfig={"PageSize": 2}
        )
        pages = list(pages)
        assert [p["Prefix"] for page in pages for p in page.get("CommonPrefixes", [])] == ["in/0/", "in/1/", "in/2/"]
        assert [o["Key"] for page in pages for o in page.get("Contents", [])] == ["in/top"]
    after = S3.list_objects_v2(Bucket=name, StartAfter="k027", FetchOwner=True)
    assert [o["Key"] for o in after["Contents"]] == ["k028", "k029"]
    assert after["Contents"][0]["Owner"]["ID"] == "default" and after["KeyCount"] == 2
    assert S3.list_objects_v2(Bucket=name, Prefix="nothing")["KeyCount"] == 0


@check
def many_are_deleted_at_once():
    name = bucket("many")
    for n in range(50):
        S3.put_object(Bucket=name, Key=f"k{n}", Body=b"x")
    gone = S3.delete_objects(Bucket=name, Delete={"Objects": [{"Key": f"k{n}"} for n in range(40)] + [{"Key": "never"}]})
    assert len(gone["Deleted"]) == 41 and not gone.get("Errors"), gone
    quiet = S3.delete_objects(Bucket=name, Delete={"Objects": [{"Key": "k40"}], "Quiet": True})
    assert not quiet.get("Deleted")
    assert S3.list_objects_v2(Bucket=name)["KeyCount"] == 9
    # A condition that is not served deletes nothing.
    kept = S3.delete_objects(Bucket=name, Delete={"Objects": [{"Key": "k41", "Size": 999}]})
    assert kept["Errors"][0]["Code"] == "NotImplemented", kept
    assert S3.list_objects_v2(Bucket=name)["KeyCount"] == 9


@check
def copies_stay_in_the_node():
    one, two = bucket("copy-from"), bucket("copy-to")
    data = body(MIB)[:MIB]
    S3.put_object(Bucket=one, Key="照片/a b.jpg", Body=data, ContentType="image/jpeg", Metadata={"a": "b"})
    copied = S3.copy_object(Bucket=two, Key="k", CopySource={"Bucket": one, "Key": "照片/a b.jpg"})
    assert copied["CopyObjectResult"]["ETag"] == f'"{hashlib.md5(data).hexdigest()}"'
    got = S3.get_object(Bucket=two, Key="k")
    assert (got["Body"].read(), got["ContentType"], got["Metadata"]) == (data, "image/jpeg", {"a": "b"})
    S3.copy_object(Bucket=two, Key="k", CopySource=f"{two}/k", MetadataDirective="REPLACE", Metadata={"c": "d"})
    assert S3.head_object(Bucket=two, Key="k")["Metadata"] == {"c": "d"}
    fails(400, "InvalidRequest", S3.copy_object, Bucket=two, Key="k", CopySource=f"{two}/k")
    fails(501, "NotImplemented", S3.copy_object, Bucket=two, Key="k", CopySource=f"{one}/照片/a b.jpg", IfNoneMatch="*")
    upload = S3.create_multipart_upload(Bucket=two, Key="part")["UploadId"]
    fails(
        400, "InvalidArgument", S3.upload_part_copy,
        Bucket=two, Key="part", UploadId=upload, PartNumber=1, CopySource=f"{two}/k", CopySourceRange=f"bytes=5-{MIB}",
    )
    S3.abort_multipart_upload(Bucket=two, Key="part", UploadId=upload)
    fails(404, "NoSuchKey", S3.copy_object, Bucket=two, Key="l", CopySource=f"{one}/nothing")
    fails(
        412, "PreconditionFailed", S3.copy_object,
        Bucket=two, Key="l", CopySource=f"{two}/k", CopySourceIfMatch='"other"',
    )


@check
def parts_are_put_listed_and_completed():
    name = bucket("parts")
    upload = S3.create_multipart_upload(Bucket=name, Key="k", ContentType="x/y", Metadata={"a": "b"})["UploadId"]
    data = [body(5 * MIB)[: 5 * MIB], body(6 * MIB)[: 6 * MIB], b"end"]
    parts = []
    for number, part in enumerate(data, 1):
        etag = S3.upload_part(Bucket=name, Key="k", UploadId=upload, PartNumber=number, Body=part)["ETag"]
        parts.append({"PartNumber": number, "ETag": etag})
    listed = S3.list_parts(Bucket=name, Key="k", UploadId=upload, MaxParts=2)
    assert [p["Size"] for p in listed["Parts"]] == [5 * MIB, 6 * MIB] and listed["IsTruncated"]
    assert [u["UploadId"] for u in S3.list_multipart_uploads(Bucket=name)["Uploads"]] == [upload]
    end = lambda parts, **more: S3.complete_multipart_upload(
        Bucket=name, Key="k", UploadId=upload, MultipartUpload={"Parts": parts}, **more
    )
    fails(400, "InvalidPartOrder", end, parts=parts[::-1])
    fails(400, "InvalidPart", end, parts=[{"PartNumber": 1, "ETag": parts[1]["ETag"]}])
    fails(404, "NoSuchKey", S3.get_object, Bucket=name, Key="k")
    S3.put_object(Bucket=name, Key="k", Body=b"first")
    fails(412, "PreconditionFailed", end, parts=parts, IfNoneMatch="*")
    whole = end(parts)
    sums = b"".join(hashlib.md5(part).digest() for part in data)
    assert whole["ETag"] == f'"{hashlib.md5(sums).hexdigest()}-3"', whole
    got = S3.get_object(Bucket=name, Key="k")
    assert got["Body"].read() == b"".join(data) and got["Metadata"] == {"a": "b"}
    cut = S3.get_object(Bucket=name, Key="k", Range=f"bytes={5 * MIB - 2}-{5 * MIB + 1}")
    assert cut["Body"].read() == data[0][-2:] + data[1][:2]
    fails(404, "NoSuchUpload", end, parts=parts)
    small = S3.create_multipart_upload(Bucket=name, Key="s")["UploadId"]
    tags = [
        {"PartNumber": n, "ETag": S3.upload_part(Bucket=name, Key="s", UploadId=small, PartNumber=n, Body=b"x")["ETag"]}
        for n in (1, 2)
    ]
    fails(
        400, "EntityTooSmall", S3.complete_multipart_upload,
        Bucket=name, Key="s", UploadId=small, MultipartUpload={"Parts": tags},
    )
    S3.abort_multipart_upload(Bucket=name, Key="s", UploadId=small)
    fails(404, "NoSuchUpload", S3.abort_multipart_upload, Bucket=name, Key="s", UploadId=small)
    assert not S3.list_multipart_uploads(Bucket=name).get("Uploads")


@check
def large_files_go_in_parts_by_themselves():
    name = bucket("large")
    data = body(20 * MIB)[: 20 * MIB]
    config = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB, max_concurrency=4)
    S3.upload_fileobj(io.BytesIO(data), name, "k", Config=config)
    back = io.BytesIO()
    S3.download_fileobj(name, "k", back, Config=config)
    assert back.getvalue() == data
    assert S3.head_object(Bucket=name, Key="k")["ETag"].endswith('-4"')
    # Copied in parts, too.
    S3.copy({"Bucket": name, "Key": "k"}, name, "copy", Config=config)
    assert S3.get_object(Bucket=name, Key="copy")["Body"].read() == data
    upload = S3.create_multipart_upload(Bucket=name, Key="full", ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT")
    parts = []
    for number, part in [(1, data[: 5 * MIB]), (2, b"end")]:
        put = S3.upload_part(
            Bucket=name, Key="full", UploadId=upload["UploadId"], PartNumber=number, Body=part, ChecksumAlgorithm="CRC32"
        )
        parts.append({"PartNumber": number, "ETag": put["ETag"], "ChecksumCRC32": put["ChecksumCRC32"]})
    sum = base64.b64encode(zlib.crc32(data[: 5 * MIB] + b"end").to_bytes(4, "big")).decode()
    whole = S3.complete_multipart_upload(
        Bucket=name, Key="full", UploadId=upload["UploadId"], MultipartUpload={"Parts": parts}, ChecksumCRC32=sum,
        ChecksumType="FULL_OBJECT",
    )
    assert (whole["ChecksumCRC32"], whole["ChecksumType"]) == (sum, "FULL_OBJECT"), whole
    assert S3.get_object(Bucket=name, Key="full", ChecksumMode="ENABLED")["ChecksumCRC32"] == sum


def http(method, url, data=None, headers={}):
    request = urllib.request.Request(url, data=data, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


@check
def presigned_urls_work_for_anybody():
    name = bucket("presigned")
    sign = lambda operation, secs=60, **more: S3.generate_presigned_url(
        operation, Params={"Bucket": name, "Key": "照片 1", **more}, ExpiresIn=secs
    )
    assert http("PUT", sign("put_object"), b"by url")[0] == 200
    assert http("GET", sign("get_object")) == (200, b"by url")
    assert http("GET", sign("get_object", Range="bytes=0-1"), headers={"Range": "bytes=0-1"}) == (206, b"by")
    status, text = http("GET", sign("get_object").replace("presigned", "presigne"))
    assert status == 403 and b"SignatureDoesNotMatch" in text, text
    status, text = http("PUT", sign("get_object"), b"x")
    assert status == 403, text
    # A range of another object is none of this one.
    ranged = lambda etag: http("GET", sign("get_object"), headers={"Range": "bytes=1-", "If-Range": etag})
    assert ranged('"other"') == (200, b"by url")
    assert ranged(f'"{hashlib.md5(b"by url").hexdigest()}"') == (206, b"y url")
    etags = f'"other", "{hashlib.md5(b"by url").hexdigest()}"'
    assert http("GET", sign("get_object"), headers={"If-None-Match": etags})[0] == 304
    # Whoever holds a URL adds nothing to it, however it is written.
    S3.put_object(Bucket=name, Key="secret", Body=b"secret")
    url = sign("put_object")
    for odd in (url, url.replace("X-Amz-Signature", "X-Amz-Signatur%65"), url.replace("X-Amz-S", "X-Amz-%53")):
        status, text = http("PUT", odd, b"", {"x-amz-copy-source": f"/{name}/secret"})
        assert status == 403, (odd, text)
    assert http("GET", sign("get_object")) == (200, b"by url")
    import time

    url = sign("get_object", secs=1)
    time.sleep(2.1)
    status, text = http("GET", url)
    assert status == 403 and b"AccessDenied" in text, text


@check
def who_has_no_key_gets_nothing():
    name = bucket("locked")
    S3.put_object(Bucket=name, Key="k", Body=b"x")
    wrong = client(secret="wrong")
    fails(403, "SignatureDoesNotMatch", wrong.get_object, Bucket=name, Key="k")
    fails(403, "InvalidAccessKeyId", client(key="GUST0000000000000000").list_buckets)
    assert http("GET", f"{ENDPOINT}/{name}/k")[0] == 403
    # Another project has buckets of its own: these are not there for it.
    other = client("OTHER_KEY", "OTHER_SECRET")
    assert name not in [b["Name"] for b in other.list_buckets()["Buckets"]]
    fails(404, "NoSuchBucket", other.get_object, Bucket=name, Key="k")
    fails(404, "NoSuchBucket", other.put_object, Bucket=name, Key="k", Body=b"y")
    fails(404, "NoSuchBucket", other.delete_object, Bucket=name, Key="k")
    fails(403, "AccessDenied", other.get_object, Bucket=name, Key="k", ExpectedBucketOwner="default")
    assert S3.get_object(Bucket=name, Key="k", ExpectedBucketOwner="default")["Body"].read() == b"x"
    other.create_bucket(Bucket=name)
    other.put_object(Bucket=name, Key="k", Body=b"theirs")
    assert S3.get_object(Bucket=name, Key="k")["Body"].read() == b"x"


@check
def what_is_not_served_says_its_name():
    name = bucket("refused")
    for call, arguments, says in [
        (S3.get_bucket_versioning, {}, "GetBucketVersioning"),
        (S3.list_object_versions, {}, "ListObjectVersions"),
        (S3.get_bucket_cors, {}, "GetBucketCors"),
        (S3.get_bucket_lifecycle_configuration, {}, "GetBucketLifecycleConfiguration"),
        (S3.get_object_tagging, {"Key": "k"}, "GetObjectTagging"),
        (S3.get_object_acl, {"Key": "k"}, "GetObjectAcl"),
    ]:
        answer = fails(501, "NotImplemented", call, Bucket=name, **arguments)
        assert says in answer["Error"]["Message"], answer
    fails(501, "NotImplemented", S3.put_object, Bucket=name, Key="k", Body=b"x", Tagging="a=b")
    fails(501, "NotImplemented", S3.put_object, Bucket=name, Key="k", Body=b"x", ServerSideEncryption="AES256")
    form = S3.generate_presigned_post(name, "k")
    status, text = http(
        "POST", form["url"], b"--x--\r\n", {"Content-Type": "multipart/form-data; boundary=x"}
    )
    assert status == 501 and b"PostObject" in text, text


@check
def the_aws_command_line_works():
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "tree/照片").mkdir(parents=True)
        (folder / "tree/a.txt").write_text("一")
        (folder / "tree/照片/b c.txt").write_text("二")
        large = body(12 * MIB)[: 12 * MIB]
        (folder / "large.bin").write_bytes(large)
        aws("s3", "mb", "s3://cli")
        assert "cli" in aws("s3", "ls")
        aws("s3", "cp", folder / "large.bin", "s3://cli/large.bin", "--no-progress")
        aws("s3", "cp", "s3://cli/large.bin", folder / "back.bin", "--no-progress")
        assert (folder / "back.bin").read_bytes() == large
        aws("s3", "cp", "s3://cli/large.bin", "s3://cli/copy.bin", "--no-progress")
        aws("s3", "sync", folder / "tree", "s3://cli/tree", "--no-progress")
        # In step, there is nothing more to do.
        assert aws("s3", "sync", folder / "tree", "s3://cli/tree", "--no-progress") == ""
        listed = aws("s3", "ls", "--recursive", "s3://cli/tree/")
        assert "tree/a.txt" in listed and "照片/b c.txt" in listed, listed
        aws("s3", "sync", "s3://cli/tree", folder / "again", "--no-progress")
        assert (folder / "again/照片/b c.txt").read_text() == "二"
        url = aws("s3", "presign", "s3://cli/tree/a.txt", "--expires-in", "60").strip()
        assert http("GET", url) == (200, "一".encode())
        aws("s3", "mv", "s3://cli/tree/a.txt", "s3://cli/tree/moved.txt", "--no-progress")
        head = json.loads(aws("s3api", "head-object", "--bucket", "cli", "--key", "tree/moved.txt"))
        assert head["ContentLength"] == 3
        aws("s3api", "get-bucket-acl", "--bucket", "cli", refused="GetBucketAcl")
        aws("s3", "rm", "--recursive", "s3://cli/tree", "--quiet")
        aws("s3", "rb", "s3://cli", refused="BucketNotEmpty")
        aws("s3", "rb", "--force", "s3://cli")
        aws("s3", "ls", "s3://cli", refused="NoSuchBucket")


def main():
    wanted = sys.argv[1:] or list(CHECKS)
    failed = []
    for name in wanted:
        try:
            CHECKS[name]()
            print(f"ok {name}", flush=True)
        except Exception:
            import traceback

            traceback.print_exc()
            failed.append(name)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
