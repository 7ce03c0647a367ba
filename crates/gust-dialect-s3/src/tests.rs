//! The door over real sockets, with a client that signs for itself and lies when it is told to.

mod client;

use std::sync::Arc;

use gust_backend::{
    keys::{AccessKey, Keys},
    unit::memory::MemoryBackends,
};
use gust_task::Stop;
use gust_types::ProjectName;
use http::StatusCode;
use tokio::net::TcpListener;

use self::client::{Answer, Client, Lie};
use crate::{Door, Parts, SERVED};

struct Ring;

impl Keys for Ring {
    fn find(&self, id: &str) -> Option<AccessKey> {
        let project = match id {
            "ONE" => ProjectName::default_project(),
            "TWO" => ProjectName::new("two").ok()?,
            _ => return None,
        };
        let secret = format!("secret of {id}");
        Some(AccessKey { project, secret })
    }
}

struct World {
    door: Door,
    one: Client,
    two: Client,
    stop: Stop,
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.stop();
    }
}

async fn world() -> World {
    let parts = Parts {
        backends: Arc::new(MemoryBackends::default()),
        keys: Arc::new(Ring),
    };
    let (door, stop) = (Door::new(parts), Stop::new());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (serving, stopped) = (door.clone(), stop.child());
    gust_task::spawn("door", async move {
        serving
            .serve(listener, stopped, std::time::Duration::ZERO)
            .await;
    });
    World {
        door,
        one: Client::new(address, "ONE"),
        two: Client::new(address, "TWO"),
        stop,
    }
}

async fn with_bucket() -> World {
    let world = world().await;
    world.one.put("/photos", "").await.is(200);
    world
}

/// What an answer says went wrong.
fn is(answer: Answer, status: u16, code: &str) {
    assert_eq!(answer.status.as_u16(), status, "{}", answer.text());
    assert!(
        answer.text().contains(&format!("<Code>{code}</Code>")),
        "{}",
        answer.text()
    );
}

#[tokio::test]
async fn every_kind_of_key_goes_in_and_comes_out() {
    let World { one, .. } = &with_bucket().await;
    let long = format!("{}x", "键".repeat(341));
    assert_eq!(long.len(), 1024);
    let all: String = (1..=0x7fu8).map(char::from).collect();
    let keys = [
        "..",
        "../../etc/passwd",
        "a//b",
        "/",
        "/lead",
        "trail/",
        ".",
        "+ %",
        "%2e%2e",
        &long,
        &all,
    ];
    for key in keys {
        let path = format!("/photos/{}", client::encode(key));
        one.put(&path, key).await.is(200);
        assert_eq!(one.get(&path).await.is(200).text(), key, "{key:?}");
    }
    let list = one
        .get("/photos?list-type=2&encoding-type=url")
        .await
        .is(200)
        .text();
    for key in keys {
        let shown = format!("<Key>{}</Key>", client::encode(key).replace("%2A", "*"));
        assert!(list.contains(&shown), "{shown} of {list}");
    }
    let nul = one.put("/photos/a%00b", "x").await;
    is(nul, 400, "InvalidArgument");
    let longer = format!("/photos/{}", client::encode(&format!("{long}y")));
    is(one.put(&longer, "x").await, 400, "KeyTooLongError");
    for key in keys {
        one.send(
            "DELETE",
            &format!("/photos/{}", client::encode(key)),
            &[],
            "",
        )
        .await
        .is(204);
    }
    one.send("DELETE", "/photos", &[], "").await.is(204);
    is(one.get("/photos?list-type=2").await, 404, "NoSuchBucket");
}

#[tokio::test]
async fn who_did_not_sign_gets_nothing() {
    let World { one, two, .. } = &with_bucket().await;
    one.put("/photos/k", "x").await.is(200);
    let lie = async |lie| one.lie("GET", "/photos/k", &[], "", lie).await;
    is(lie(Lie::Unsigned).await, 403, "AccessDenied");
    is(lie(Lie::Secret).await, 403, "SignatureDoesNotMatch");
    is(lie(Lie::Skewed(-1000)).await, 403, "RequestTimeTooSkewed");
    is(lie(Lie::Skewed(1000)).await, 403, "RequestTimeTooSkewed");
    lie(Lie::Skewed(-800)).await.is(200);
    let nobody = Client::new(one.address, "NOBODY");
    is(nobody.get("/photos/k").await, 403, "InvalidAccessKeyId");
    // What is another project's is not there, whoever it is named by.
    is(two.get("/photos/k").await, 404, "NoSuchBucket");
    is(two.put("/photos/k", "y").await, 404, "NoSuchBucket");
    is(two.get("/photos?list-type=2").await, 404, "NoSuchBucket");
    assert!(!two.get("/").await.is(200).text().contains("photos"));
    let owner = [("x-amz-expected-bucket-owner", "default")];
    is(
        two.send("GET", "/photos/k", &owner, "").await,
        403,
        "AccessDenied",
    );
    one.send("GET", "/photos/k", &owner, "").await.is(200);
    two.put("/photos", "").await.is(200);
    let copy = [("x-amz-copy-source", "/photos/k")];
    is(
        two.send("PUT", "/photos/mine", &copy, "").await,
        404,
        "NoSuchKey",
    );
}

#[tokio::test]
async fn presigned_urls_are_good_for_what_they_say() {
    let World { one, .. } = &with_bucket().await;
    one.put("/photos/k", "x").await.is(200);
    let url = one.presign("GET", "/photos/k", 60, 0);
    assert_eq!(one.plain("GET", &url, &[], "").await.is(200).text(), "x");
    is(
        one.plain("GET", &one.presign("GET", "/photos/k", 60, -120), &[], "")
            .await,
        403,
        "AccessDenied",
    );
    is(
        one.plain("PUT", &url, &[], "y").await,
        403,
        "SignatureDoesNotMatch",
    );
    let other = url.replace("/photos/k", "/photos/l");
    is(
        one.plain("GET", &other, &[], "").await,
        403,
        "SignatureDoesNotMatch",
    );
    let put = one.presign("PUT", "/photos/new", 60, 0);
    let steal = [("x-amz-copy-source", "/photos/k")];
    is(
        one.plain("PUT", &put, &steal, "").await,
        403,
        "AccessDenied",
    );
    one.plain("PUT", &put, &[], "by url").await.is(200);
    assert_eq!(one.get("/photos/new").await.text(), "by url");
}

#[tokio::test]
async fn bytes_that_are_not_what_was_said_are_not_kept() {
    let World { one, .. } = &with_bucket().await;
    let put =
        async |headers: &[(&str, &str)]| one.send("PUT", "/photos/k", headers, "123456789").await;
    is(
        put(&[("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg==")]).await,
        400,
        "BadDigest",
    );
    is(put(&[("content-md5", "x")]).await, 400, "InvalidDigest");
    is(
        put(&[("x-amz-checksum-crc32", "AAAAAA==")]).await,
        400,
        "BadDigest",
    );
    is(
        put(&[("x-amz-checksum-crc32", "AA==")]).await,
        400,
        "InvalidRequest",
    );
    let wrong = one
        .lie("PUT", "/photos/k", &[], "123456789", Lie::Bytes)
        .await;
    is(wrong, 400, "XAmzContentSHA256Mismatch");
    is(one.get("/photos/k").await, 404, "NoSuchKey");
    for (name, sum) in [
        ("x-amz-checksum-crc32", "y/Q5Jg=="),
        ("x-amz-checksum-crc32c", "4waSgw=="),
        ("x-amz-checksum-crc64nvme", "rosUhgp5mIg="),
        ("x-amz-checksum-sha1", "98O8HYCOBHMq32eZZczDTKeuNEE="),
        (
            "x-amz-checksum-sha256",
            "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU=",
        ),
    ] {
        let answer = put(&[(name, sum)]).await.is(200);
        assert_eq!(answer.headers[name], sum);
        let mode = [("x-amz-checksum-mode", "ENABLED")];
        let got = one.send("GET", "/photos/k", &mode, "").await.is(200);
        assert_eq!(
            (got.headers[name].to_str().unwrap(), got.text().as_str()),
            (sum, "123456789")
        );
    }
    let got = one.get("/photos/k").await.is(200);
    assert_eq!(got.headers["etag"], "\"25f9e794323b453885f5181f1b624d0b\"");
    assert!(!got.headers.contains_key("x-amz-checksum-sha256"));
}

#[tokio::test]
async fn chunks_and_their_trailers_are_checked() {
    let World { one, .. } = &with_bucket().await;
    let send = async |chunks: &str, length: &str| {
        let headers = [
            ("x-amz-trailer", "x-amz-checksum-crc32"),
            ("x-amz-decoded-content-length", length),
            ("content-encoding", "aws-chunked"),
        ];
        one.lie("PUT", "/photos/k", &headers, chunks, Lie::Trailer)
            .await
    };
    let chunks = |sum: &str| format!("9\r\n123456789\r\n0\r\nx-amz-checksum-crc32:{sum}\r\n\r\n");
    let answer = send(&chunks("y/Q5Jg=="), "9").await.is(200);
    assert_eq!(answer.headers["x-amz-checksum-crc32"], "y/Q5Jg==");
    let got = one.get("/photos/k").await.is(200);
    assert_eq!(got.text(), "123456789");
    // How the bytes came is not what they are.
    assert!(!got.headers.contains_key("content-encoding"));
    is(send(&chunks("AAAAAA=="), "9").await, 400, "BadDigest");
    for (chunks, length) in [
        ("9\r\n123456789\r\n0\r\n\r\n", "9"),
        (
            "5\r\n123456789\r\n0\r\nx-amz-checksum-crc32:y/Q5Jg==\r\n\r\n",
            "9",
        ),
        ("fffffffff\r\n1", "9"),
        ("zz\r\n1\r\n0\r\n\r\n", "9"),
        (&chunks("y/Q5Jg=="), "8"),
        (&chunks("y/Q5Jg=="), "10"),
    ] {
        let answer = send(chunks, length).await;
        assert!(
            answer.status.is_client_error(),
            "{chunks:?} {length}: {}",
            answer.text()
        );
    }
}

#[tokio::test]
async fn conditions_hold_or_fail() {
    let World { one, .. } = &with_bucket().await;
    let put = async |header: (&str, &str), text: &str| {
        one.send("PUT", "/photos/k", &[header], text).await
    };
    is(put(("if-match", "\"x\""), "1").await, 404, "NoSuchKey");
    put(("if-none-match", "*"), "1").await.is(200);
    is(
        put(("if-none-match", "*"), "2").await,
        412,
        "PreconditionFailed",
    );
    is(
        put(("if-none-match", "\"x\""), "2").await,
        501,
        "NotImplemented",
    );
    is(
        put(("if-match", "\"x\""), "2").await,
        412,
        "PreconditionFailed",
    );
    let etag = one.get("/photos/k").await.headers["etag"].clone();
    let etag = etag.to_str().unwrap();
    let get = async |method: &str, header: (&str, &str)| {
        one.send(method, "/photos/k", &[header], "").await
    };
    for method in ["GET", "HEAD"] {
        for (header, status) in [
            (("if-match", etag), 200),
            (("if-match", "\"x\""), 412),
            (("if-none-match", etag), 304),
            (("if-none-match", "\"x\""), 200),
            (("if-modified-since", "Wed, 21 Oct 2015 07:28:00 GMT"), 200),
            (("if-modified-since", "Wed, 21 Oct 2099 07:28:00 GMT"), 304),
            (
                ("if-unmodified-since", "Wed, 21 Oct 2015 07:28:00 GMT"),
                412,
            ),
            (
                ("if-unmodified-since", "Wed, 21 Oct 2099 07:28:00 GMT"),
                200,
            ),
        ] {
            assert_eq!(
                get(method, header).await.status.as_u16(),
                status,
                "{method} {header:?}"
            );
        }
    }
    assert_eq!(
        get("GET", ("if-none-match", etag)).await.headers["etag"],
        etag
    );
    put(("if-match", etag), "2").await.is(200);
    let gone = [("if-match", etag)];
    is(
        one.send("DELETE", "/photos/k", &gone, "").await,
        412,
        "PreconditionFailed",
    );
    one.send("DELETE", "/photos/k", &[("if-match", "*")], "")
        .await
        .is(204);
}

#[tokio::test]
async fn ranges_and_heads_say_what_there_is() {
    let World { one, .. } = &with_bucket().await;
    let said = [
        ("content-type", "text/plain; charset=utf-8"),
        ("cache-control", "no-cache"),
        ("content-disposition", "attachment; filename=\"a.txt\""),
        ("content-language", "zh"),
        ("content-encoding", "identity"),
        ("expires", "Wed, 21 Oct 2099 07:28:00 GMT"),
        ("x-amz-meta-author", "me"),
    ];
    one.send("PUT", "/photos/k", &said, "0123456789")
        .await
        .is(200);
    let head = one.send("HEAD", "/photos/k", &[], "").await.is(200);
    for (name, value) in said {
        assert_eq!(head.headers[name], value, "{name}");
    }
    assert_eq!(head.headers["content-length"], "10");
    for (range, status, text, content_range) in [
        ("bytes=2-4", 206, "234", "bytes 2-4/10"),
        ("bytes=7-", 206, "789", "bytes 7-9/10"),
        ("bytes=-3", 206, "789", "bytes 7-9/10"),
        ("bytes=0-99", 206, "0123456789", "bytes 0-9/10"),
    ] {
        let got = one
            .send("GET", "/photos/k", &[("range", range)], "")
            .await
            .is(status);
        assert_eq!(
            (got.text().as_str(), &got.headers["content-range"]),
            (text, &content_range.parse().unwrap())
        );
    }
    let beyond = one
        .send("GET", "/photos/k", &[("range", "bytes=10-")], "")
        .await;
    is(beyond, 416, "InvalidRange");
    let told = one
        .get("/photos/k?response-content-type=image%2Fpng&response-cache-control=max-age%3D1")
        .await
        .is(200);
    assert_eq!(
        (
            &told.headers["content-type"],
            &told.headers["cache-control"]
        ),
        (&"image/png".parse().unwrap(), &"max-age=1".parse().unwrap())
    );
    // A copy takes all of it along, or none.
    let copy = [("x-amz-copy-source", "/photos/k")];
    one.send("PUT", "/photos/copy", &copy, "").await.is(200);
    let head = one.send("HEAD", "/photos/copy", &[], "").await.is(200);
    assert_eq!(head.headers["x-amz-meta-author"], "me");
    is(
        one.send("PUT", "/photos/k", &copy, "").await,
        400,
        "InvalidRequest",
    );
    let replace = [
        ("x-amz-copy-source", "/photos/k"),
        ("x-amz-metadata-directive", "REPLACE"),
        ("x-amz-meta-other", "you"),
    ];
    one.send("PUT", "/photos/k", &replace, "").await.is(200);
    let head = one.send("HEAD", "/photos/k", &[], "").await.is(200);
    assert_eq!(head.headers["x-amz-meta-other"], "you");
    assert!(!head.headers.contains_key("x-amz-meta-author"));
    assert_eq!(one.get("/photos/k").await.text(), "0123456789");
}

#[tokio::test]
async fn lists_go_on_where_they_ended() {
    let World { one, .. } = &with_bucket().await;
    for n in 0..7 {
        one.put(&format!("/photos/in/{n}"), "x").await.is(200);
        one.put(&format!("/photos/k{n}"), "x").await.is(200);
    }
    for (start, next) in [
        ("/photos?max-keys=3&delimiter=%2F", "marker"),
        (
            "/photos?list-type=2&max-keys=3&delimiter=%2F",
            "continuation-token",
        ),
    ] {
        let (mut target, mut seen) = (start.to_owned(), Vec::new());
        loop {
            let text = one.get(&target).await.is(200).text();
            seen.extend(between(&text, "<Key>", "</Key>"));
            seen.extend(between(&text, "<CommonPrefixes><Prefix>", "</Prefix>"));
            let token = match next {
                "marker" => between(&text, "<NextMarker>", "</NextMarker>"),
                _ => between(&text, "<NextContinuationToken>", "</NextContinuationToken>"),
            };
            let Some(token) = token.first() else { break };
            target = format!("{start}&{next}={}", client::encode(token));
        }
        seen.sort_unstable();
        let wanted: Vec<_> = ["in/".to_owned()]
            .into_iter()
            .chain((0..7).map(|n| format!("k{n}")))
            .collect();
        assert_eq!(seen, wanted);
    }
    let text = one
        .get("/photos?list-type=2&start-after=in%2F&delimiter=%2F&max-keys=1")
        .await
        .text();
    assert!(
        text.contains("<CommonPrefixes><Prefix>in/</Prefix>"),
        "{text}"
    );
    let none = one
        .get("/photos?list-type=2&max-keys=0")
        .await
        .is(200)
        .text();
    assert!(none.contains("<IsTruncated>false</IsTruncated>"), "{none}");
    is(one.get("/photos?max-keys=-1").await, 400, "InvalidArgument");
    is(
        one.get("/photos?list-type=2&continuation-token=zz").await,
        400,
        "InvalidArgument",
    );
}

fn between(text: &str, start: &str, end: &str) -> Vec<String> {
    let pieces = text.split(start).skip(1);
    let pieces = pieces.filter_map(|piece| piece.split_once(end));
    pieces.map(|(found, _)| found.to_owned()).collect()
}

#[tokio::test]
async fn parts_become_an_object() {
    let World { one, .. } = &with_bucket().await;
    let begin = async |headers: &[(&str, &str)]| {
        let text = one
            .send("POST", "/photos/big?uploads", headers, "")
            .await
            .is(200)
            .text();
        between(&text, "<UploadId>", "</UploadId>").remove(0)
    };
    let part = |n: u32| "x".repeat(5 << 20).replacen('x', &n.to_string(), 1);
    let id = begin(&[
        ("x-amz-checksum-algorithm", "CRC32"),
        ("x-amz-meta-a", "b"),
        ("content-type", "x/y"),
    ])
    .await;
    let at = |n: &str| format!("/photos/big?partNumber={n}&uploadId={id}");
    let mut etags = Vec::new();
    for n in [1, 2] {
        let answer = one.put(&at(&n.to_string()), &part(n)).await.is(200);
        assert!(answer.headers.contains_key("x-amz-checksum-crc32"));
        etags.push(answer.headers["etag"].to_str().unwrap().to_owned());
    }
    etags.push(
        one.put(&at("3"), "end").await.is(200).headers["etag"]
            .to_str()
            .unwrap()
            .to_owned(),
    );
    is(one.put(&at("0"), "x").await, 400, "InvalidArgument");
    is(one.put(&at("10001"), "x").await, 400, "InvalidArgument");
    is(
        one.put("/photos/big?partNumber=1&uploadId=nobody", "x")
            .await,
        404,
        "NoSuchUpload",
    );
    let listed = one
        .get(&format!("/photos/big?uploadId={id}&max-parts=2"))
        .await
        .is(200)
        .text();
    assert!(
        listed.contains("<NextPartNumberMarker>2</NextPartNumberMarker>"),
        "{listed}"
    );
    assert!(
        one.get("/photos?uploads")
            .await
            .is(200)
            .text()
            .contains(&id)
    );
    let document = |parts: &[(u32, &str)]| {
        let parts = parts.iter().map(|(n, etag)| {
            format!(
                "<Part><PartNumber>{n}</PartNumber><ETag>{}</ETag></Part>",
                etag.replace('"', "&quot;")
            )
        });
        format!(
            "<CompleteMultipartUpload>{}</CompleteMultipartUpload>",
            parts.collect::<String>()
        )
    };
    let complete = async |parts: &[(u32, &str)]| {
        one.send(
            "POST",
            &format!("/photos/big?uploadId={id}"),
            &[],
            &document(parts),
        )
        .await
    };
    let [a, b, c] = [&*etags[0], &*etags[1], &*etags[2]];
    is(complete(&[]).await, 400, "MalformedXML");
    is(complete(&[(2, b), (1, a)]).await, 400, "InvalidPartOrder");
    is(complete(&[(1, b)]).await, 400, "InvalidPart");
    is(complete(&[(1, a), (4, c)]).await, 400, "InvalidPart");
    is(complete(&[(3, c), (4, c)]).await, 400, "EntityTooSmall");
    let text = complete(&[(1, a), (2, b), (3, c)]).await.is(200).text();
    assert!(text.contains("-3&quot;") || text.contains("-3\""), "{text}");
    assert!(text.contains("<ChecksumCRC32>"), "{text}");
    is(complete(&[(1, a)]).await, 404, "NoSuchUpload");
    let got = one
        .send(
            "GET",
            "/photos/big",
            &[("x-amz-checksum-mode", "ENABLED")],
            "",
        )
        .await
        .is(200);
    assert!(got.text() == format!("{}{}end", part(1), part(2)));
    assert_eq!(
        (&got.headers["x-amz-meta-a"], &got.headers["content-type"]),
        (&"b".parse().unwrap(), &"x/y".parse().unwrap())
    );
    assert_eq!(got.headers["x-amz-checksum-type"], "COMPOSITE");
    // A part of another object, and one that is given up.
    let id = begin(&[]).await;
    let copy = [
        ("x-amz-copy-source", "/photos/big"),
        ("x-amz-copy-source-range", "bytes=1-5242881"),
    ];
    let copied = one
        .send(
            "PUT",
            &format!("/photos/big?partNumber=1&uploadId={id}"),
            &copy,
            "",
        )
        .await
        .is(200);
    assert!(
        copied.text().contains("CopyPartResult"),
        "{}",
        copied.text()
    );
    one.send("DELETE", &format!("/photos/big?uploadId={id}"), &[], "")
        .await
        .is(204);
    is(
        one.get(&format!("/photos/big?uploadId={id}")).await,
        404,
        "NoSuchUpload",
    );
    let odd = [
        ("x-amz-checksum-algorithm", "SHA256"),
        ("x-amz-checksum-type", "FULL_OBJECT"),
    ];
    is(
        one.send("POST", "/photos/big?uploads", &odd, "").await,
        400,
        "InvalidRequest",
    );
    // Uploads under way do not keep an empty bucket.
    begin(&[]).await;
    is(
        one.send("DELETE", "/photos", &[], "").await,
        409,
        "BucketNotEmpty",
    );
    one.send("DELETE", "/photos/big", &[], "").await.is(204);
    one.send("DELETE", "/photos", &[], "").await.is(204);
}

#[tokio::test]
async fn documents_are_bounded_and_say_only_what_they_say() {
    let World { one, .. } = &with_bucket().await;
    one.put("/photos/k", "x").await.is(200);
    let delete = async |document: &str| one.send("POST", "/photos?delete", &[], document).await;
    let laughs = "<?xml version=\"1.0\"?><!DOCTYPE l [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;\">]>\
        <Delete><Object><Key>&b;</Key></Object></Delete>";
    let file = "<!DOCTYPE l [<!ENTITY f SYSTEM \"file:///etc/passwd\">]><Delete><Object><Key>&f;</Key></Object></Delete>";
    let deep = format!(
        "{}{}",
        "<Delete>".repeat(100_000),
        "</Delete>".repeat(100_000)
    );
    for document in [
        laughs,
        file,
        &deep,
        "",
        "<Delete>",
        "<Other/>",
        "{}",
        "<Delete></Delete>",
        "\u{0}",
    ] {
        let answer = delete(document).await;
        assert!(
            answer.status.is_client_error(),
            "{} {}",
            answer.status,
            answer.text()
        );
        assert!(!answer.text().contains("root:"), "{}", answer.text());
    }
    let many = format!(
        "<Delete>{}</Delete>",
        "<Object><Key>k</Key></Object>".repeat(1001)
    );
    is(delete(&many).await, 400, "MalformedXML");
    let large = format!(
        "<Delete><Object><Key>{}</Key></Object></Delete>",
        "k".repeat(5 << 20)
    );
    is(delete(&large).await, 400, "MaxMessageLengthExceeded");
    one.get("/photos/k").await.is(200);
    let some = "<Delete><Object><Key>k</Key></Object><Object><Key>&#x732B;</Key></Object><Object><Key></Key></Object></Delete>";
    let text = delete(some).await.is(200).text();
    assert!(
        text.contains("<Deleted><Key>k</Key></Deleted>") && text.contains("<Key>猫</Key>"),
        "{text}"
    );
    assert!(text.contains("<Error>"), "{text}");
    is(one.get("/photos/k").await, 404, "NoSuchKey");
}

#[tokio::test]
async fn what_is_not_served_is_refused_by_name() {
    let World { one, door, .. } = &with_bucket().await;
    for (method, target, name) in [
        ("GET", "/photos?versioning", "GetBucketVersioning"),
        ("GET", "/photos?versions", "ListObjectVersions"),
        (
            "PUT",
            "/photos?lifecycle",
            "PutBucketLifecycleConfiguration",
        ),
        ("PUT", "/photos?cors", "PutBucketCors"),
        ("PUT", "/photos/k?tagging", "PutObjectTagging"),
        ("GET", "/photos/k?acl", "GetObjectAcl"),
        ("GET", "/photos?policy", "GetBucketPolicy"),
        (
            "DELETE",
            "/photos?metadataConfiguration",
            "metadataConfiguration",
        ),
        ("PUT", "/photos/k?renameObject", "renameObject"),
        ("GET", "/photos/k?partNumber=1", "partNumber"),
    ] {
        let answer = one.send(method, target, &[], "").await;
        assert_eq!(
            answer.status,
            StatusCode::NOT_IMPLEMENTED,
            "{target}: {}",
            answer.text()
        );
        assert!(answer.text().contains(name), "{target}: {}", answer.text());
    }
    for (name, value) in [
        ("x-amz-tagging", "a=b"),
        ("x-amz-acl", "public-read"),
        ("x-amz-server-side-encryption", "AES256"),
        ("x-amz-object-lock-mode", "GOVERNANCE"),
        ("x-amz-website-redirect-location", "/x"),
    ] {
        let answer = one.send("PUT", "/photos/k", &[(name, value)], "x").await;
        is(answer, 501, "NotImplemented");
    }
    is(
        one.send(
            "PUT",
            "/photos/k",
            &[("x-amz-storage-class", "GLACIER")],
            "x",
        )
        .await,
        400,
        "InvalidStorageClass",
    );
    is(one.get("/photos/k?versionId=1").await, 404, "NoSuchVersion");
    for bucket in ["/Ab", "/a.b", "/1ab", "/a_b", "/ab"] {
        is(one.put(bucket, "").await, 400, "InvalidBucketName");
    }
    is(one.put("/photos", "").await, 409, "BucketAlreadyOwnedByYou");
    is(one.get("/nothing/k").await, 404, "NoSuchBucket");
    // The bucket is still there.
    one.send("HEAD", "/photos", &[], "").await.is(200);
    assert!(door.counted().len() == 1);
}

#[tokio::test]
async fn operations_and_bytes_are_counted_for_who_signed() {
    let World { one, two, door, .. } = &with_bucket().await;
    one.put("/photos/k", "0123456789").await.is(200);
    one.send("GET", "/photos/k", &[("range", "bytes=0-3")], "")
        .await
        .is(206);
    one.get("/photos?list-type=2").await.is(200);
    one.lie("GET", "/photos/k", &[], "", Lie::Secret)
        .await
        .is(403);
    two.get("/photos/k").await.is(404);
    let counted = door.counted();
    let names: Vec<_> = counted
        .iter()
        .map(|(project, _)| project.as_str())
        .collect();
    assert_eq!(names, ["default", "two"]);
    let of = counted[0].1;
    assert_eq!((of.writes, of.reads, of.lists, of.bytes_in), (2, 1, 1, 10));
    // What went out is the range and the list.
    assert!(of.bytes_out > 4, "{of:?}");
    assert_eq!((counted[1].1.reads, counted[1].1.bytes_in), (1, 0));
}

#[tokio::test]
async fn bodies_that_break_off_leave_nothing() {
    let World { one, .. } = &with_bucket().await;
    one.put("/photos/k", "old").await.is(200);
    one.broken("/photos/k", 1000, "half").await;
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    assert_eq!(one.get("/photos/k").await.is(200).text(), "old");
    // As long as they say, or longer than they may be.
    let long = [("content-length", "99999999999999")];
    let answer = one.lie("PUT", "/photos/k", &long, "", Lie::Length).await;
    is(answer, 400, "EntityTooLarge");
}

/// The page lists what is served, each with the checks that real clients make of it.
#[test]
fn the_page_lists_every_operation() {
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/s3.md");
    let text = std::fs::read_to_string(page).unwrap();
    for operation in SERVED {
        let row = format!("| `{}` |", operation.name);
        assert!(
            text.contains(&row),
            "the page has a row for {}",
            operation.name
        );
    }
}
