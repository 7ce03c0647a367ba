"""What boto3 and the aws CLI make of the AWS door. Each check is a story of its own queues; `docs/aws.md` names them.

Reads ENDPOINT, KEY, SECRET, OTHER_KEY and OTHER_SECRET; prints `ok NAME` for each check that holds. With names as
arguments it runs only those.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.client import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

ENDPOINT = os.environ["ENDPOINT"]
REGION = "eu-central-1"
CHECKS = {}


def client(service="sqs", key="KEY", secret="SECRET"):
    return boto3.client(
        service,
        endpoint_url=ENDPOINT,
        region_name=REGION,
        aws_access_key_id=os.environ.get(key, key),
        aws_secret_access_key=os.environ.get(secret, secret),
        config=Config(retries={"max_attempts": 1}),
    )


SQS = client()


def check(run):
    CHECKS[run.__name__] = run
    return run


def queue(name, **attributes):
    attributes = {name: str(value) for name, value in attributes.items()}
    return SQS.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]


def arn(url):
    return SQS.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]


def send(url, body, **more):
    return SQS.send_message(QueueUrl=url, MessageBody=body, **more)


def receive(url, most=10, wait=0, **more):
    answer = SQS.receive_message(QueueUrl=url, MaxNumberOfMessages=most, WaitTimeSeconds=wait, **more)
    return answer.get("Messages", [])


def bodies(messages):
    return [message["Body"] for message in messages]


def delete(url, message):
    SQS.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


def fails(code, call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        assert error.response["Error"]["Code"] == code, (error.response, code)
        return error
    raise AssertionError(f"not refused: {code}")


def form(url, action, version="2012-11-05", service="sqs", **parameters):
    """A request as SDKs sent them before JSON; answers status and text."""
    body = urllib.parse.urlencode({"Action": action, "Version": version, **parameters})
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
    request = AWSRequest(method="POST", url=url, data=body, headers=headers)
    credentials = Credentials(os.environ["KEY"], os.environ["SECRET"])
    SigV4Auth(credentials, service, REGION).add_auth(request)
    prepared = request.prepare()
    sent = urllib.request.Request(url, data=body.encode(), headers=dict(prepared.headers), method="POST")
    try:
        with urllib.request.urlopen(sent) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def aws(*arguments, refused=None):
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": tempfile.gettempdir(),
        "AWS_ACCESS_KEY_ID": os.environ["KEY"],
        "AWS_SECRET_ACCESS_KEY": os.environ["SECRET"],
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
        "LC_ALL": "C.UTF-8",
    }
    program = Path(sys.executable).parent / "aws"
    # Version 1 of the program takes no other for SQS: it has a list of regions of its own.
    command = [sys.executable, str(program), "--endpoint-url", ENDPOINT, *map(str, arguments)]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True)
    if refused:
        assert ended.returncode != 0 and refused in ended.stderr, (arguments, ended)
        return ended.stderr
    assert ended.returncode == 0, (arguments, ended.stdout, ended.stderr)
    return json.loads(ended.stdout) if ended.stdout.strip() else None


@check
def queues_are_made_listed_and_removed():
    url = queue("made", VisibilityTimeout=45)
    assert url.startswith(ENDPOINT + "/") and url.endswith("/made"), url
    assert queue("made") == url and queue("made", VisibilityTimeout=45) == url
    error = fails("QueueAlreadyExists", queue, name="made", VisibilityTimeout=46)
    assert isinstance(error, SQS.exceptions.QueueNameExists)
    assert SQS.get_queue_url(QueueName="made")["QueueUrl"] == url
    for n in range(5):
        queue(f"page-{n}")
    pages, token = [], {}
    while True:
        page = SQS.list_queues(QueueNamePrefix="page-", MaxResults=2, **token)
        pages.append([each.rsplit("/", 1)[1] for each in page["QueueUrls"]])
        if "NextToken" not in page:
            break
        token = {"NextToken": page["NextToken"]}
    assert pages == [["page-0", "page-1"], ["page-2", "page-3"], ["page-4"]], pages
    assert "QueueUrls" not in SQS.list_queues(QueueNamePrefix="nobody")
    send(url, "gone with it")
    SQS.delete_queue(QueueUrl=url)
    error = fails("AWS.SimpleQueueService.NonExistentQueue", SQS.get_queue_url, QueueName="made")
    assert isinstance(error, SQS.exceptions.QueueDoesNotExist)
    fails("AWS.SimpleQueueService.NonExistentQueue", send, url=url, body="x")
    assert not any(each.endswith("/made") for each in SQS.list_queues()["QueueUrls"])
    assert queue("made", VisibilityTimeout=46) == url and receive(url) == []
    fails("InvalidParameterValue", queue, name="a.b")
    fails("InvalidParameterValue", queue, name="made.fifo")
    fails("InvalidAttributeName", queue, name="other", Nonsense=1)
    fails("InvalidAttributeValue", queue, name="other", VisibilityTimeout=43_201)


@check
def attributes_are_set_and_told():
    url = queue("attributes", DelaySeconds=1, MaximumMessageSize=1024)
    get = lambda *names: SQS.get_queue_attributes(QueueUrl=url, AttributeNames=list(names)).get("Attributes")
    all_of = get("All")
    wanted = {
        "QueueArn": f"arn:aws:sqs:{REGION}:000000000000:attributes",
        "VisibilityTimeout": "30",
        "DelaySeconds": "1",
        "MaximumMessageSize": "1024",
        "MessageRetentionPeriod": "345600",
        "ReceiveMessageWaitTimeSeconds": "0",
        "ApproximateNumberOfMessages": "0",
    }
    assert wanted.items() <= all_of.items(), all_of
    assert abs(int(all_of["CreatedTimestamp"]) - time.time()) < 60, all_of
    SQS.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "7", "DelaySeconds": "0"})
    assert get("VisibilityTimeout", "DelaySeconds") == {"VisibilityTimeout": "7", "DelaySeconds": "0"}
    fails("InvalidParameterValue", send, url=url, body="x" * 1025)
    for n in range(3):
        send(url, str(n))
    send(url, "later", DelaySeconds=60)
    receive(url, most=1)
    counts = get(
        "ApproximateNumberOfMessages",
        "ApproximateNumberOfMessagesNotVisible",
        "ApproximateNumberOfMessagesDelayed",
    )
    assert sorted(counts.values()) == ["1", "1", "2"] and counts["ApproximateNumberOfMessages"] == "2", counts
    fails("InvalidAttributeName", get_unknown, url=url)
    fails("InvalidAttributeValue", SQS.set_queue_attributes, QueueUrl=url, Attributes={"DelaySeconds": "901"})
    fails("InvalidAttributeValue", SQS.set_queue_attributes, QueueUrl=url, Attributes={"Policy": "{}"})
    SQS.purge_queue(QueueUrl=url)
    assert get("ApproximateNumberOfMessages")["ApproximateNumberOfMessages"] == "0"
    assert get() is None


def get_unknown(url):
    SQS.get_queue_attributes(QueueUrl=url, AttributeNames=["Nonsense"])


@check
def tags_are_kept():
    url = SQS.create_queue(QueueName="tagged", tags={"team": "订单"})["QueueUrl"]
    SQS.tag_queue(QueueUrl=url, Tags={"stage": "live", "cost": ""})
    assert SQS.list_queue_tags(QueueUrl=url)["Tags"] == {"team": "订单", "stage": "live", "cost": ""}
    SQS.untag_queue(QueueUrl=url, TagKeys=["team", "nobody"])
    assert SQS.list_queue_tags(QueueUrl=url)["Tags"] == {"stage": "live", "cost": ""}


@check
def messages_round_trip():
    url = queue("round")
    body = "<正文> & \"more\"\r\n\t𝄞"
    sent = send(url, body)
    assert sent["MD5OfMessageBody"] == hashlib.md5(body.encode()).hexdigest()
    (message,) = receive(url, AttributeNames=["All"])
    assert message["Body"] == body and message["MessageId"] == sent["MessageId"], message
    said = message["Attributes"]
    assert said["ApproximateReceiveCount"] == "1", said
    assert abs(int(said["SentTimestamp"]) / 1000 - time.time()) < 60, said
    assert receive(url) == []
    delete(url, message)
    # Once more, as retries do.
    delete(url, message)
    large = "大" * ((1 << 20) // 3 - 100)
    send(url, large)
    (message,) = receive(url)
    assert message["Body"] == large
    delete(url, message)
    fails("InvalidParameterValue", send, url=url, body="x" * ((1 << 20) + 1))
    fails("InvalidMessageContents", send, url=url, body="a\0b")
    fails("MissingParameter", send, url=url, body="")


@check
def attributes_of_messages_keep_their_types():
    url = queue("typed")
    text = lambda kind, value: {"DataType": kind, "StringValue": value}
    attributes = {
        "colour": text("String", "红"),
        "Upper.Case-name_1": text("String", "a\nb"),
        "count": text("Number", "-3.5e7"),
        "type": text("String.mine", "order.made"),
        "bytes": {"DataType": "Binary.png", "BinaryValue": bytes(range(256))},
    }
    sent = send(url, "x", MessageAttributes=attributes)
    (message,) = receive(url, MessageAttributeNames=["All"], VisibilityTimeout=0)
    assert message["MessageAttributes"] == attributes, message
    # boto3 compares both of its own accord only for bodies.
    assert message["MD5OfMessageAttributes"] == sent["MD5OfMessageAttributes"] == digest(attributes)
    for names, wanted in [
        (["colour", "nobody"], {"colour"}),
        (["Upper.*"], {"Upper.Case-name_1"}),
        ([".*"], set(attributes)),
        ([], set()),
    ]:
        (message,) = receive(url, 1, 1, MessageAttributeNames=names, VisibilityTimeout=0)
        assert set(message.get("MessageAttributes", {})) == wanted, (names, message)
    for odd in [
        {"n": text("Number", "three")},
        {"n": text("String", "")},
        {"n": text("List", "x")},
        {"AWS.n": text("String", "x")},
        {f"n{n}": text("String", "x") for n in range(11)},
    ]:
        fails("InvalidParameterValue", send, url=url, body="x", MessageAttributes=odd)
    trace = {"AWSTraceHeader": text("String", "Root=1-5759e988-bd862e3fe1be46a994272793")}
    url = queue("traced")
    send(url, "x", MessageSystemAttributes=trace)
    (message,) = receive(url, MessageSystemAttributeNames=["AWSTraceHeader"])
    assert message["Attributes"] == {"AWSTraceHeader": trace["AWSTraceHeader"]["StringValue"]}, message


def digest(attributes):
    """As the guide of SQS describes it."""
    md5 = hashlib.md5()
    add = lambda part: md5.update(len(part).to_bytes(4, "big") + part)
    for name, attribute in sorted(attributes.items()):
        add(name.encode())
        add(attribute["DataType"].encode())
        if "StringValue" in attribute:
            md5.update(b"\1")
            add(attribute["StringValue"].encode())
        else:
            md5.update(b"\2")
            add(attribute["BinaryValue"])
    return md5.hexdigest()


@check
def batches_say_what_went_wrong():
    url = queue("batches")
    entries = [{"Id": f"m{n}", "MessageBody": f"body {n}"} for n in range(9)]
    sent = SQS.send_message_batch(QueueUrl=url, Entries=[*entries, {"Id": "bad", "MessageBody": "a\0b"}])
    assert [each["Id"] for each in sent["Successful"]] == [f"m{n}" for n in range(9)], sent
    assert [(each["Id"], each["Code"]) for each in sent["Failed"]] == [("bad", "InvalidMessageContents")], sent
    messages = []
    while len(messages) < 9:
        got = receive(url, wait=1)
        assert got, messages
        messages += got
    handles = [{"Id": str(n), "ReceiptHandle": each["ReceiptHandle"]} for n, each in enumerate(messages)]
    longer = SQS.change_message_visibility_batch(
        QueueUrl=url, Entries=[{**each, "VisibilityTimeout": 60} for each in handles]
    )
    assert len(longer["Successful"]) == 9, longer
    done = SQS.delete_message_batch(QueueUrl=url, Entries=[*handles, {"Id": "x", "ReceiptHandle": "made up"}])
    assert len(done["Successful"]) == 9, done
    assert [each["Code"] for each in done["Failed"]] == ["ReceiptHandleIsInvalid"], done
    batch = lambda entries: SQS.send_message_batch(QueueUrl=url, Entries=entries)
    prefix = "AWS.SimpleQueueService."
    one = {"Id": "a", "MessageBody": "x"}
    fails(prefix + "EmptyBatchRequest", batch, entries=[])
    fails(prefix + "TooManyEntriesInBatchRequest", batch, entries=[{**one, "Id": str(n)} for n in range(11)])
    fails(prefix + "BatchEntryIdsNotDistinct", batch, entries=[one, one])
    fails(prefix + "InvalidBatchEntryId", batch, entries=[{**one, "Id": "a b"}])
    half = {"MessageBody": "x" * 600_000}
    fails(prefix + "BatchRequestTooLong", batch, entries=[{**half, "Id": "a"}, {**half, "Id": "b"}])


@check
def taken_messages_are_hidden_until_their_time_is_up():
    url = queue("hidden", VisibilityTimeout=1)
    send(url, "x")
    (first,) = receive(url)
    assert receive(url) == []
    (second,) = receive(url, wait=5, AttributeNames=["ApproximateReceiveCount"], VisibilityTimeout=60)
    assert second["Attributes"]["ApproximateReceiveCount"] == "2"
    assert second["MessageId"] == first["MessageId"] and second["ReceiptHandle"] != first["ReceiptHandle"]
    change = lambda message, secs: SQS.change_message_visibility(
        QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=secs
    )
    # The first has it no more; the second goes on with the handle that it got.
    fails("AWS.SimpleQueueService.MessageNotInflight", change, message=first, secs=60)
    change(second, 2)
    change(second, 60)
    time.sleep(2.5)
    assert receive(url) == []
    change(second, 0)
    fails("AWS.SimpleQueueService.MessageNotInflight", change, message=second, secs=60)
    (third,) = receive(url)
    delete(url, third)
    other = queue("hidden-other")
    send(other, "y")
    (others,) = receive(other)
    fails("ReceiptHandleIsInvalid", delete, url=url, message=others)
    fails("ReceiptHandleIsInvalid", delete, url=url, message={"ReceiptHandle": "nonsense"})


@check
def who_waits_is_told_at_once():
    url = queue("waiting", ReceiveMessageWaitTimeSeconds=1)
    start = time.monotonic()
    assert SQS.receive_message(QueueUrl=url).get("Messages") is None
    assert 0.9 < time.monotonic() - start < 5
    threading.Timer(0.5, lambda: send(url, "now")).start()
    start = time.monotonic()
    assert bodies(receive(url, wait=20)) == ["now"]
    assert 0.4 < time.monotonic() - start < 3
    send(url, "delayed", DelaySeconds=1)
    assert receive(url) == []
    assert bodies(receive(url, wait=5)) == ["delayed"]
    fails("InvalidParameterValue", receive, url=url, wait=21)
    fails("InvalidParameterValue", receive, url=url, most=11)


@check
def messages_taken_too_often_go_to_another_queue():
    dead = queue("dead")
    policy = {"deadLetterTargetArn": arn(dead), "maxReceiveCount": "2"}
    url = queue("source", RedrivePolicy=json.dumps(policy))
    text = SQS.get_queue_attributes(QueueUrl=url, AttributeNames=["RedrivePolicy"])["Attributes"]["RedrivePolicy"]
    assert json.loads(text) == {"deadLetterTargetArn": arn(dead), "maxReceiveCount": 2}, text
    assert SQS.list_dead_letter_source_queues(QueueUrl=dead)["queueUrls"] == [url]
    attributes = {"colour": {"DataType": "String", "StringValue": "红"}}
    sent = send(url, "poison", MessageAttributes=attributes)
    for _ in range(2):
        assert bodies(receive(url, wait=1, VisibilityTimeout=0)) == ["poison"]
    send(url, "fine")
    assert bodies(receive(url, wait=2)) == ["fine"]
    (message,) = receive(dead, MessageAttributeNames=["All"], AttributeNames=["All"])
    assert message["Body"] == "poison" and message["MessageId"] == sent["MessageId"], message
    assert message["MessageAttributes"] == attributes, message
    assert message["Attributes"]["DeadLetterQueueSourceArn"] == arn(url), message
    assert message["Attributes"]["ApproximateReceiveCount"] == "1", message
    for odd in ["{}", "nonsense", json.dumps({**policy, "maxReceiveCount": 0})]:
        fails("InvalidAttributeValue", queue, name="other", RedrivePolicy=odd)
    nobody = {**policy, "deadLetterTargetArn": arn(dead) + "-not"}
    fails("InvalidParameterValue", queue, name="other", RedrivePolicy=json.dumps(nobody))
    SQS.set_queue_attributes(
        QueueUrl=dead, Attributes={"RedriveAllowPolicy": json.dumps({"redrivePermission": "denyAll"})}
    )
    fails("InvalidParameterValue", queue, name="other", RedrivePolicy=json.dumps(policy))
    SQS.set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": ""})
    assert SQS.list_dead_letter_source_queues(QueueUrl=dead)["queueUrls"] == []


@check
def dead_letters_are_moved_back():
    dead = queue("moved-dead", VisibilityTimeout=0)
    policy = {"deadLetterTargetArn": arn(dead), "maxReceiveCount": 1}
    url = queue("moved", RedrivePolicy=json.dumps(policy))
    sent = {send(url, str(n))["MessageId"] for n in range(25)}
    for _ in range(2):
        while receive(url, VisibilityTimeout=0):
            pass
    counts = lambda of: SQS.get_queue_attributes(QueueUrl=of, AttributeNames=["ApproximateNumberOfMessages"])
    count = lambda of: counts(of)["Attributes"]["ApproximateNumberOfMessages"]
    assert (count(url), count(dead)) == ("0", "25")
    handle = SQS.start_message_move_task(SourceArn=arn(dead), MaxNumberOfMessagesPerSecond=10)["TaskHandle"]
    (task,) = SQS.list_message_move_tasks(SourceArn=arn(dead))["Results"]
    assert task["Status"] == "RUNNING" and task["TaskHandle"] == handle, task
    fails("AWS.SimpleQueueService.UnsupportedOperation", SQS.start_message_move_task, SourceArn=arn(dead))
    SQS.cancel_message_move_task(TaskHandle=handle)
    ended = lambda: SQS.list_message_move_tasks(SourceArn=arn(dead))["Results"][0]
    until(lambda: ended()["Status"] == "CANCELLED")
    fails("ResourceNotFoundException", SQS.cancel_message_move_task, TaskHandle=handle)
    assert 0 < int(count(url)) < 25
    SQS.start_message_move_task(SourceArn=arn(dead))
    until(lambda: ended()["Status"] == "COMPLETED")
    assert (count(url), count(dead)) == ("25", "0")
    (message,) = receive(url, most=1, AttributeNames=["All"])
    assert message["Attributes"]["ApproximateReceiveCount"] == "1" and message["MessageId"] not in sent, message
    assert "DeadLetterQueueSourceArn" not in message["Attributes"], message
    send(dead, "from nowhere")
    SQS.start_message_move_task(SourceArn=arn(dead))
    until(lambda: ended()["Status"] == "FAILED")
    assert ended()["FailureReason"] == "CouldNotDetermineMessageSource" and count(dead) == "1", ended()
    SQS.start_message_move_task(SourceArn=arn(dead), DestinationArn=arn(url))
    until(lambda: ended()["Status"] == "COMPLETED")
    fails("InvalidParameterValue", SQS.start_message_move_task, SourceArn=arn(url))
    fails("ResourceNotFoundException", SQS.start_message_move_task, SourceArn=arn(url) + "-not")


def until(holds):
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.1)


@check
def fifo_queues_keep_order_and_forget_repetitions():
    url = queue("orders.fifo", FifoQueue="true", ContentBasedDeduplication="true")
    assert url.endswith("/orders.fifo") and arn(url).endswith(":orders.fifo")
    put = lambda body, group, **more: send(url, body, MessageGroupId=group, **more)
    first = put("a1", "a")
    assert put("a1", "a")["MessageId"] == first["MessageId"], "the same content"
    second = put("a2", "a", MessageDeduplicationId="other")
    assert int(second["SequenceNumber"]) > int(first["SequenceNumber"])
    put("b1", "b")
    got = receive(url, AttributeNames=["All"])
    assert sorted(bodies(got)) == ["a1", "b1"], "one of each group"
    a1 = next(message for message in got if message["Body"] == "a1")
    said = a1["Attributes"]
    assert said["MessageGroupId"] == "a" and said["SequenceNumber"] == first["SequenceNumber"], said
    assert said["MessageDeduplicationId"] == hashlib.sha256(b"a1").hexdigest(), said
    assert receive(url) == [], "a2 waits for a1"
    delete(url, a1)
    assert bodies(receive(url)) == ["a2"]
    fails("MissingParameter", send, url=url, body="x")
    fails("InvalidParameterValue", put, body="x", group="g", DelaySeconds=1)
    plain = queue("unordered")
    fails("InvalidParameterValue", send, url=plain, body="x", MessageDeduplicationId="d")
    # Groups of a standard queue are told and keep nobody waiting.
    for n in range(2):
        send(plain, str(n), MessageGroupId="g")
    got = receive(plain, AttributeNames=["MessageGroupId"])
    assert [message["Attributes"]["MessageGroupId"] for message in got] == ["g", "g"], got
    strict = queue("strict.fifo", FifoQueue="true")
    fails("InvalidParameterValue", send, url=strict, body="x", MessageGroupId="g")


@check
def who_has_no_key_gets_nothing():
    url = queue("mine")
    send(url, "x")
    other = client(key="OTHER_KEY", secret="OTHER_SECRET")
    missing = "AWS.SimpleQueueService.NonExistentQueue"
    fails(missing, other.receive_message, QueueUrl=url)
    fails(missing, other.get_queue_url, QueueName="mine")
    assert "QueueUrls" not in other.list_queues(QueueNamePrefix="mine")
    own = other.create_queue(QueueName="mine")["QueueUrl"]
    assert own == url and other.receive_message(QueueUrl=own).get("Messages") is None
    (message,) = receive(url)
    fails("ReceiptHandleIsInvalid", other.delete_message, QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    fails("InvalidClientTokenId", client(key="NOBODY").list_queues)
    fails("SignatureDoesNotMatch", client(secret="wrong").list_queues)


@check
def older_programs_send_forms():
    queue("forms")
    url = f"{ENDPOINT}/000000000000/forms"
    attribute = {
        "MessageAttribute.1.Name": "count",
        "MessageAttribute.1.Value.DataType": "Number",
        "MessageAttribute.1.Value.StringValue": "3",
    }
    status, text = form(url, "SendMessage", MessageBody="<正文> &", **attribute)
    md5 = hashlib.md5("<正文> &".encode()).hexdigest()
    assert status == 200 and f"<MD5OfMessageBody>{md5}</MD5OfMessageBody>" in text, text
    status, text = form(
        ENDPOINT + "/", "ReceiveMessage", QueueUrl=url, **{"AttributeName.1": "All", "MessageAttributeName.1": "All"}
    )
    assert status == 200 and "<Body>&lt;正文&gt; &amp;</Body>" in text, text
    assert "<Attribute><Name>ApproximateReceiveCount</Name><Value>1</Value></Attribute>" in text, text
    assert "<MessageAttribute><Name>count</Name><Value>" in text, text
    handle = text.split("<ReceiptHandle>")[1].split("<")[0]
    entry = "DeleteMessageBatchRequestEntry.1"
    status, text = form(url, "DeleteMessageBatch", **{f"{entry}.Id": "a", f"{entry}.ReceiptHandle": handle})
    assert status == 200 and "<DeleteMessageBatchResultEntry><Id>a</Id></DeleteMessageBatchResultEntry>" in text, text
    status, text = form(ENDPOINT + "/", "GetQueueUrl", QueueName="nobody")
    assert status == 400 and "<Code>AWS.SimpleQueueService.NonExistentQueue</Code>" in text, text
    made = {"QueueName": "by-form", "Attribute.1.Name": "DelaySeconds", "Attribute.1.Value": "3"}
    status, text = form(ENDPOINT + "/", "CreateQueue", **made)
    assert status == 200 and f"<QueueUrl>{ENDPOINT}/000000000000/by-form</QueueUrl>" in text, text
    status, text = form(ENDPOINT + "/", "Nonsense")
    assert status == 400 and "<Code>InvalidAction</Code>" in text, text


@check
def events_are_put_on_topics():
    events = client("events")
    good = {"Source": "com.shop", "DetailType": "order made", "Detail": '{"n": 1}', "EventBusName": "shop"}
    answer = events.put_events(
        Entries=[good, {**good, "Detail": "nonsense"}, {**good, "Resources": ["arn:aws:s3:::b"], "Time": 1775410000}]
    )
    assert answer["FailedEntryCount"] == 1, answer
    first, second, third = answer["Entries"]
    assert first["EventId"] != third["EventId"] and second["ErrorCode"] == "MalformedDetail", answer


@check
def topics_reach_their_queues():
    sns = client("sns")
    topic = sns.create_topic(Name="news", Attributes={"DisplayName": "新闻"}, Tags=[{"Key": "a", "Value": "b"}])["TopicArn"]
    assert topic == f"arn:aws:sns:{REGION}:000000000000:news"
    assert sns.create_topic(Name="news")["TopicArn"] == topic
    assert {"TopicArn": topic} in sns.list_topics()["Topics"]
    plain, raw = queue("news-plain"), queue("news-raw")
    subscribe = lambda url, **attributes: sns.subscribe(
        TopicArn=topic, Protocol="sqs", Endpoint=arn(url), Attributes=attributes, ReturnSubscriptionArn=True
    )["SubscriptionArn"]
    first, second = subscribe(plain), subscribe(raw, RawMessageDelivery="true")
    assert subscribe(plain) == first != second
    attributes = {"colour": {"DataType": "String", "StringValue": "红"}, "n": {"DataType": "Number", "StringValue": "3"}}
    sent = sns.publish(TopicArn=topic, Message="你好 <&>", Subject="hello", MessageAttributes=attributes)
    (message,) = receive(plain, MessageAttributeNames=["All"])
    envelope = json.loads(message["Body"])
    assert envelope["Type"] == "Notification" and envelope["MessageId"] == sent["MessageId"], envelope
    assert (envelope["Message"], envelope["Subject"], envelope["TopicArn"]) == ("你好 <&>", "hello", topic), envelope
    assert envelope["MessageAttributes"]["n"] == {"Type": "Number", "Value": "3"}, envelope
    assert "MessageAttributes" not in message, message
    (message,) = receive(raw, MessageAttributeNames=["All"])
    assert message["Body"] == "你好 <&>" and message["MessageAttributes"] == attributes, message
    entries = [{"Id": "a", "Message": "1"}, {"Id": "b", "Message": ""}, {"Id": "c", "Message": "3"}]
    batch = sns.publish_batch(TopicArn=topic, PublishBatchRequestEntries=entries)
    assert [each["Id"] for each in batch["Successful"]] == ["a", "c"], batch
    assert [each["Id"] for each in batch["Failed"]] == ["b"], batch
    assert bodies(receive(raw)) == ["1", "3"]
    listed = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    assert sorted(each["Endpoint"] for each in listed) == [arn(plain), arn(raw)], listed
    assert {each["SubscriptionArn"] for each in sns.list_subscriptions()["Subscriptions"]} >= {first, second}
    sns.set_subscription_attributes(
        SubscriptionArn=first, AttributeName="RawMessageDelivery", AttributeValue="true"
    )
    said = sns.get_subscription_attributes(SubscriptionArn=first)["Attributes"]
    assert said["RawMessageDelivery"] == "true" and said["Endpoint"] == arn(plain), said
    sns.set_topic_attributes(TopicArn=topic, AttributeName="DisplayName", AttributeValue="other")
    said = sns.get_topic_attributes(TopicArn=topic)["Attributes"]
    assert (said["DisplayName"], said["SubscriptionsConfirmed"]) == ("other", "2"), said
    sns.unsubscribe(SubscriptionArn=second)
    sns.publish(TopicArn=topic, Message="again")
    assert receive(raw) == [] and "again" in bodies(receive(plain))
    fails("InvalidParameter", subscribe, url=raw, FilterPolicy="{}")
    fails("InvalidParameter", sns.subscribe, TopicArn=topic, Protocol="email", Endpoint="a@b")
    fails("InvalidParameter", sns.create_topic, Name="a.b")
    fails("InvalidParameter", sns.publish, TopicArn=topic, Message="x" * (256 * 1024 + 1))
    sns.delete_topic(TopicArn=topic)
    error = fails("NotFound", sns.publish, TopicArn=topic, Message="x")
    assert isinstance(error, sns.exceptions.NotFoundException)
    assert first not in [each["SubscriptionArn"] for each in sns.list_subscriptions()["Subscriptions"]]
    other = client("sns", key="OTHER_KEY", secret="OTHER_SECRET")
    assert other.list_topics()["Topics"] == []


@check
def the_aws_command_line_works():
    url = aws("sqs", "create-queue", "--queue-name", "cli", "--attributes", "VisibilityTimeout=5")["QueueUrl"]
    attributes = '{"colour": {"DataType": "String", "StringValue": "红"}}'
    sent = aws("sqs", "send-message", "--queue-url", url, "--message-body", "你好", "--message-attributes", attributes)
    got = aws("sqs", "receive-message", "--queue-url", url, "--message-attribute-names", "All")["Messages"][0]
    assert got["Body"] == "你好" and got["MessageId"] == sent["MessageId"], got
    assert got["MessageAttributes"]["colour"]["StringValue"] == "红", got
    aws("sqs", "delete-message", "--queue-url", url, "--receipt-handle", got["ReceiptHandle"])
    said = aws("sqs", "get-queue-attributes", "--queue-url", url, "--attribute-names", "All")["Attributes"]
    assert said["VisibilityTimeout"] == "5" and said["ApproximateNumberOfMessages"] == "0", said
    assert url in aws("sqs", "list-queues", "--queue-name-prefix", "cli")["QueueUrls"]
    aws("sqs", "purge-queue", "--queue-url", url)
    aws("sqs", "delete-queue", "--queue-url", url)
    aws("sqs", "get-queue-url", "--queue-name", "cli", refused="NonExistentQueue")
    topic = aws("sns", "create-topic", "--name", "cli")["TopicArn"]
    assert aws("sns", "publish", "--topic-arn", topic, "--message", "你好")["MessageId"]
    aws("sqs", "remove-permission", "--queue-url", url, "--label", "x", refused="UnsupportedOperation")


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
