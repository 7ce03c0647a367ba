//! What others see of what SQS's clients do, and the other way round; and what must not be lost.

use std::time::Duration;

use gust_backend::{
    desk::Desk as _,
    kv::KvExt as _,
    queue::{Message, QueueSettings, TakeOptions},
};
use gust_types::{ProjectName, Span};
use serde_json::{Value, json};

use super::{label, over, world};

fn project() -> ProjectName {
    ProjectName::default_project()
}

#[tokio::test]
async fn functions_and_clients_see_the_same_messages() {
    let world = world().await;
    let (one, desk) = (&world.one, &world.desk);
    let url = one.queue("shared", json!({})).await;
    let attributes = json!({ "colour": { "DataType": "String", "StringValue": "红" } });
    let params = json!({ "QueueUrl": url, "MessageBody": "正文", "MessageAttributes": attributes });
    one.ask("SendMessage", params).await.json();
    let queue = desk.queue(&project(), &label("shared")).unwrap();
    let taken = queue.take(TakeOptions::default()).await.unwrap();
    let message = &taken[0].message;
    assert_eq!(&message.body[..], "正文".as_bytes());
    assert_eq!(message.attributes["colour"], "红");
    assert_eq!(
        message.attributes["content-type"],
        "text/plain; charset=utf-8"
    );
    // And what others publish, in a queue that nobody made.
    let mut message = Message::new(vec![0, 0xff]);
    message
        .attributes
        .insert("type".into(), "order.made".into());
    let other = label("published");
    desk.publish(&project(), &other, vec![message])
        .await
        .unwrap();
    let listed = one.ask("ListQueues", json!({})).await.json();
    assert_eq!(listed["QueueUrls"], json!([one.url("published"), url]));
    let taken = one.take(&one.url("published"), 60).await;
    assert_eq!(taken[0]["Body"], "AP8=");
    let attributes = &taken[0]["MessageAttributes"];
    assert_eq!(attributes["type"]["StringValue"], "order.made");
    assert_eq!(attributes["gustbody"]["StringValue"], "base64");
}

#[tokio::test]
async fn what_an_app_says_of_a_queue_holds() {
    let world = world().await;
    let one = &world.one;
    let settings = QueueSettings {
        visibility: Span::secs(77),
        ..QueueSettings::default()
    };
    world.desk.name(label("jobs"), settings);
    let url = one.queue("jobs", json!({})).await;
    one.queue("jobs", json!({ "VisibilityTimeout": "77" }))
        .await;
    let params = json!({ "QueueName": "jobs", "Attributes": { "VisibilityTimeout": "5" } });
    let answer = one.ask("CreateQueue", params).await;
    answer.is(400, "QueueNameExists", "QueueAlreadyExists");
    let unsupported = "AWS.SimpleQueueService.UnsupportedOperation";
    let set = |value: Value| json!({ "QueueUrl": url, "Attributes": value });
    let answer = one
        .ask(
            "SetQueueAttributes",
            set(json!({ "VisibilityTimeout": "5" })),
        )
        .await;
    answer.is(400, "UnsupportedOperation", unsupported);
    // What no app says can be said all the same.
    let wait = json!({ "ReceiveMessageWaitTimeSeconds": "3", "VisibilityTimeout": "77" });
    one.ask("SetQueueAttributes", set(wait)).await.json();
    let all = json!({ "QueueUrl": url, "AttributeNames": ["All"] });
    let all = one.ask("GetQueueAttributes", all).await.json();
    assert_eq!(all["Attributes"]["VisibilityTimeout"], "77");
    assert_eq!(all["Attributes"]["ReceiveMessageWaitTimeSeconds"], "3");
    let answer = one.ask("DeleteQueue", json!({ "QueueUrl": url })).await;
    answer.is(400, "UnsupportedOperation", unsupported);
}

#[tokio::test]
async fn handles_are_good_after_a_restart() {
    let world = world().await;
    let url = world
        .one
        .queue("kept", json!({ "DelaySeconds": "0" }))
        .await;
    world.one.send(&url, "x").await;
    let taken = world.one.take(&url, 60).await;
    let handle = taken[0]["ReceiptHandle"].clone();
    let longer = |handle: &Value, secs: u64| json!({ "QueueUrl": url, "ReceiptHandle": handle, "VisibilityTimeout": secs });
    let change = longer(&handle, 100);
    world
        .one
        .ask("ChangeMessageVisibility", change)
        .await
        .json();
    let after = over(world.backends.clone()).await;
    let one = &after.one;
    let found = one.ask("GetQueueUrl", json!({ "QueueName": "kept" })).await;
    assert_eq!(found.json()["QueueUrl"], one.url("kept"));
    // The receipt behind it is another by now; nobody here remembers.
    let change = longer(&handle, 200);
    one.ask("ChangeMessageVisibility", change).await.json();
    let third = over(world.backends.clone()).await;
    let delete = json!({ "QueueUrl": url, "ReceiptHandle": handle });
    third.one.ask("DeleteMessage", delete).await.json();
    let queue = third.desk.queue(&project(), &label("kept")).unwrap();
    assert_eq!(queue.stats().await.unwrap().messages, 0);
}

#[tokio::test]
async fn late_handles_take_nothing_from_those_who_have_it_now() {
    let world = world().await;
    let one = &world.one;
    for (name, attributes) in [
        ("late", json!({})),
        ("late.fifo", json!({ "FifoQueue": "true" })),
    ] {
        let url = one.queue(name, attributes).await;
        let mut params = json!({ "QueueUrl": url, "MessageBody": "x" });
        if name.ends_with(".fifo") {
            params["MessageGroupId"] = "g".into();
            params["MessageDeduplicationId"] = "d".into();
        }
        one.ask("SendMessage", params).await.json();
        let first = one.take(&url, 0).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        let second = one.take(&url, 60).await;
        assert_eq!(second.len(), 1);
        let delete =
            |of: &[Value]| json!({ "QueueUrl": url, "ReceiptHandle": of[0]["ReceiptHandle"] });
        let answer = one.ask("DeleteMessage", delete(&first)).await;
        match name.ends_with(".fifo") {
            true => answer.is(
                400,
                "InvalidParameterValueException",
                "InvalidParameterValue",
            ),
            false => assert_eq!(answer.status, 200),
        }
        let queue = world
            .desk
            .queue(&project(), &crate::names::label(name).unwrap());
        let queue = queue.unwrap();
        assert_eq!(
            queue.stats().await.unwrap().messages,
            1,
            "it is the second's"
        );
        one.ask("DeleteMessage", delete(&second)).await.json();
        assert_eq!(queue.stats().await.unwrap().messages, 0);
    }
}

#[tokio::test]
async fn poison_goes_over_and_is_never_in_neither_queue() {
    let world = world().await;
    let one = &world.one;
    let dead = one.queue("dead.fifo", json!({ "FifoQueue": "true" })).await;
    let arn = "arn:aws:sqs:eu-central-1:000000000000:dead.fifo";
    let policy = json!({ "deadLetterTargetArn": arn, "maxReceiveCount": 1 }).to_string();
    let attributes = json!({ "FifoQueue": "true", "RedrivePolicy": policy });
    let url = one.queue("source.fifo", attributes).await;
    let send = |to: &str, n: u32| {
        json!({
            "QueueUrl": to, "MessageBody": format!("第 {n}"),
            "MessageGroupId": "g", "MessageDeduplicationId": n.to_string(),
        })
    };
    for n in 0..30 {
        one.ask("SendMessage", send(&url, n)).await.json();
    }
    // The same id in the other queue, within the time that it is remembered, keeps nothing out.
    one.ask("SendMessage", send(&dead, 0)).await.json();
    assert_eq!(one.take(&url, 0).await.len(), 1);
    tokio::time::sleep(Duration::from_millis(20)).await;
    // Taken once more, the first goes over; the second of the group comes up.
    let second = one.take(&url, 60).await;
    assert_eq!(second[0]["Body"], "第 1");
    let seen = world.desk.queue(&project(), &label("dead--fifo")).unwrap();
    let seen = seen.peek(None, 10).await.unwrap();
    assert_eq!(seen.len(), 2);
    assert_eq!(&seen[1].message.body[..], "第 0".as_bytes());
    assert_eq!(seen[1].message.group.as_deref(), Some("g"));
    // Without the other queue the message stays with those who ask for it.
    let gone = one.ask("DeleteQueue", json!({ "QueueUrl": dead })).await;
    assert_eq!(gone.status, 200);
    let again = json!({ "QueueUrl": url, "ReceiptHandle": second[0]["ReceiptHandle"], "VisibilityTimeout": 0 });
    one.ask("ChangeMessageVisibility", again).await.json();
    assert_eq!(one.take(&url, 60).await[0]["Body"], "第 1");
}

#[tokio::test]
async fn messages_are_bounded_by_what_a_queue_holds() {
    let world = world().await;
    let one = &world.one;
    let url = one.queue("edge", json!({})).await;
    let send = |attributes: Value, body: String| json!({ "QueueUrl": url, "MessageBody": body, "MessageAttributes": attributes });
    let most = (1 << 20) - 100;
    let answer = one
        .ask("SendMessage", send(json!({}), "x".repeat(most)))
        .await;
    assert_eq!(answer.status, 200);
    let answer = one
        .ask("SendMessage", send(json!({}), "x".repeat(1 << 20)))
        .await;
    answer.is(
        400,
        "InvalidParameterValueException",
        "InvalidParameterValue",
    );
    let large = json!({ "a": { "DataType": "String", "StringValue": "大".repeat(30_000) } });
    let answer = one.ask("SendMessage", send(large, "x".to_owned())).await;
    answer.is(
        400,
        "InvalidParameterValueException",
        "InvalidParameterValue",
    );
    let some = json!({ "a": { "DataType": "String", "StringValue": "大".repeat(10_000) } });
    let answer = one.ask("SendMessage", send(some, "x".to_owned())).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test]
async fn forms_carry_what_json_carries() {
    let world = world().await;
    let one = &world.one;
    one.queue("forms.fifo", json!({ "FifoQueue": "true" }))
        .await;
    let path = "/000000000000/forms.fifo";
    let form = "Action=SendMessageBatch&Version=2012-11-05\
        &SendMessageBatchRequestEntry.1.Id=a&SendMessageBatchRequestEntry.1.MessageBody=%E4%B8%80%0D%0A\
        &SendMessageBatchRequestEntry.1.MessageGroupId=g&SendMessageBatchRequestEntry.1.MessageDeduplicationId=1\
        &SendMessageBatchRequestEntry.1.MessageAttribute.1.Name=b\
        &SendMessageBatchRequestEntry.1.MessageAttribute.1.Value.DataType=Binary\
        &SendMessageBatchRequestEntry.1.MessageAttribute.1.Value.BinaryValue=AP8%3D\
        &SendMessageBatchRequestEntry.2.Id=b&SendMessageBatchRequestEntry.2.MessageBody=x";
    let answer = one.form(path, "sqs", form).await;
    let text = answer.text();
    assert_eq!(answer.status, 200, "{text}");
    assert!(text.contains("<SendMessageBatchResultEntry>"), "{text}");
    assert!(text.contains("<BatchResultErrorEntry><Id>b</Id><SenderFault>true</SenderFault><Code>MissingParameter</Code>"), "{text}");
    let form = "Action=ReceiveMessage&Version=2012-11-05&MessageAttributeName.1=.*&AttributeName.1=MessageGroupId";
    let text = one.form(path, "sqs", form).await.text();
    assert!(text.contains("<Body>一&#xD;\n</Body>"), "{text}");
    assert!(text.contains("<BinaryValue>AP8=</BinaryValue>"), "{text}");
    assert!(
        text.contains("<Attribute><Name>MessageGroupId</Name><Value>g</Value></Attribute>"),
        "{text}"
    );
    let form = "Action=DeleteQueue&Version=2012-11-05";
    let text = one.form(path, "sqs", form).await.text();
    assert!(text.contains("<DeleteQueueResponse"), "{text}");
    let answer = one.form(path, "sqs", form).await;
    assert!(
        answer
            .text()
            .contains("<Type>Sender</Type><Code>AWS.SimpleQueueService.NonExistentQueue</Code>")
    );
}

#[tokio::test]
async fn events_are_put_where_triggers_find_them() {
    let world = world().await;
    let one = &world.one;
    let entry = json!({ "Source": "com.shop", "DetailType": "订单 made", "Detail": "{\"n\":1}", "EventBusName": "shop" });
    let put = one
        .event(&json!({ "Entries": [entry, { "Source": "x" }] }))
        .await
        .json();
    assert_eq!(put["FailedEntryCount"], 1);
    assert_eq!(put["Entries"][1]["ErrorCode"], "InvalidArgument");
    let topic = world.desk.topic(&project(), &label("shop")).unwrap();
    let events = topic.read(Default::default()).await.unwrap();
    assert_eq!(events.len(), 1);
    let message = &events[0].message;
    assert_eq!(message.attributes["ce-source"], "com.shop");
    assert_eq!(message.attributes["ce-id"], put["Entries"][0]["EventId"]);
    assert_eq!(&message.body[..], b"{\"n\":1}");
    let answer = one.event(&json!({ "Entries": [] })).await;
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(
        answer
            .text()
            .contains("com.amazonaws.events#ValidationException")
    );
}

#[tokio::test]
async fn what_is_published_reaches_triggers_and_queues_together() {
    let world = world().await;
    let one = &world.one;
    one.queue("full", json!({})).await;
    let sns = async |form: &str| {
        let answer = one
            .form("/", "sns", &format!("Version=2010-03-31&{form}"))
            .await;
        (answer.status.as_u16(), answer.text())
    };
    let topic = "arn:aws:sns:eu-central-1:000000000000:news";
    let (status, text) = sns("Action=CreateTopic&Name=news").await;
    assert_eq!(status, 200, "{text}");
    assert!(
        text.contains(&format!("<CreateTopicResult><TopicArn>{topic}</TopicArn>")),
        "{text}"
    );
    let queue = "arn:aws:sqs:eu-central-1:000000000000:full";
    let subscribe = format!("Action=Subscribe&TopicArn={topic}&Protocol=sqs&Endpoint={queue}");
    let (status, text) = sns(&subscribe).await;
    assert_eq!(status, 200, "{text}");
    let publish = format!(
        "Action=Publish&TopicArn={topic}&Message=%E4%BA%8C&Subject=s\
         &MessageAttributes.entry.1.Name=colour&MessageAttributes.entry.1.Value.DataType=String\
         &MessageAttributes.entry.1.Value.StringValue=%E7%BA%A2"
    );
    let (status, text) = sns(&publish).await;
    assert_eq!(status, 200, "{text}");
    let events = world.desk.topic(&project(), &label("news")).unwrap();
    let events = events.read(Default::default()).await.unwrap();
    let attributes = &events[0].message.attributes;
    assert_eq!(attributes["ce-type"], "gust.sns.message");
    assert_eq!(attributes["ce-colour"], "%E7%BA%A2");
    assert_eq!(&events[0].message.body[..], "二".as_bytes());
    let taken = one.take(&one.url("full"), 60).await;
    let body: Value = serde_json::from_str(taken[0]["Body"].as_str().unwrap()).unwrap();
    assert_eq!(
        (&body["Message"], &body["Subject"]),
        (&json!("二"), &json!("s"))
    );
    // A queue that was removed is not there again because of what is published.
    one.ask("DeleteQueue", json!({ "QueueUrl": one.url("full") }))
        .await
        .json();
    assert_eq!(sns(&publish).await.0, 200);
    let found = world
        .desk
        .find_queue(&project(), &label("full"))
        .await
        .unwrap();
    assert_eq!(found, None);
    for (form, code) in [
        ("Action=Subscribe&Protocol=sqs", "InvalidParameter"),
        (
            "Action=Publish&TopicArn=arn:aws:sns:e:0:nobody&Message=x",
            "NotFound",
        ),
        (
            "Action=Publish&TopicArn=nonsense&Message=x",
            "InvalidParameter",
        ),
        ("Action=CreateTopic&Name=a.fifo", "InvalidParameter"),
        ("Action=CreatePlatformApplication", "InvalidAction"),
    ] {
        let (status, text) = sns(form).await;
        assert!(
            status >= 400 && text.contains(&format!("<Code>{code}</Code>")),
            "{form} {text}"
        );
    }
    // Signed for queues, it is no topic's.
    let answer = one
        .form("/", "sqs", "Action=ListTopics&Version=2010-03-31")
        .await;
    assert_eq!(answer.status, 403);
}

#[tokio::test]
async fn a_move_that_was_broken_off_goes_on() {
    let world = world().await;
    let one = &world.one;
    let dead = one.queue("dead", json!({})).await;
    let arn = |name: &str| format!("arn:aws:sqs:eu-central-1:000000000000:{name}");
    let policy = json!({ "deadLetterTargetArn": arn("dead"), "maxReceiveCount": 1 });
    let policy = json!({ "RedrivePolicy": policy.to_string() });
    one.queue("source", policy).await;
    for n in 0..30 {
        one.send(&dead, &n.to_string()).await;
    }
    let start = json!({
        "SourceArn": arn("dead"), "DestinationArn": arn("source"), "MaxNumberOfMessagesPerSecond": 5,
    });
    one.ask("StartMessageMoveTask", start).await.json();
    tokio::time::sleep(Duration::from_millis(100)).await;
    world.stop.stop();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let after = over(world.backends.clone()).await;
    let list = json!({ "SourceArn": arn("dead") });
    let listed = after.one.ask("ListMessageMoveTasks", list).await.json();
    let task = &listed["Results"][0];
    assert_eq!(task["Status"], "RUNNING");
    let moved = task["ApproximateNumberOfMessagesMoved"].as_u64().unwrap();
    assert!((5..30).contains(&moved), "{task}");
    let queue = |name: &str| after.desk.queue(&project(), &label(name)).unwrap();
    let (from, to) = (queue("dead"), queue("source"));
    let before = to.stats().await.unwrap().messages;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let (from, to) = (from.stats().await.unwrap(), to.stats().await.unwrap());
    assert!(to.messages > before, "it goes on");
    assert_eq!(
        from.messages + to.messages,
        30,
        "none is lost, none is there twice"
    );
}

#[tokio::test]
async fn a_move_goes_on_with_what_the_node_held_when_it_went_down() {
    let world = world().await;
    let dead = world.one.queue("dead", json!({})).await;
    world.one.queue("to", json!({})).await;
    for n in 0..3 {
        world.one.send(&dead, &n.to_string()).await;
    }
    // As a task leaves it that is killed between two commits.
    let queue = |name: &str| world.desk.queue(&project(), &label(name)).unwrap();
    let options = TakeOptions {
        most: 10,
        visibility: Some(Duration::from_secs(2)),
        wait: Duration::ZERO,
    };
    assert_eq!(queue("dead").take(options).await.unwrap().len(), 3);
    let task =
        json!({ "id": "1", "to": "to", "status": "RUNNING", "started": 1, "moved": 0, "total": 3 });
    let store = gust_backend::desk::doors(&*world.backends, &project()).unwrap();
    store.put("m/dead", task.to_string().into()).await.unwrap();
    let after = over(world.backends.clone()).await;
    let list = json!({ "SourceArn": "arn:aws:sqs:eu-central-1:000000000000:dead" });
    let mut shown = Value::Null;
    for _ in 0..100 {
        let listed = after.one.ask("ListMessageMoveTasks", list.clone()).await;
        shown = listed.json()["Results"][0].clone();
        if shown["Status"] != "RUNNING" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(shown["Status"], "COMPLETED", "{shown}");
    assert_eq!(queue("dead").stats().await.unwrap().messages, 0);
    assert_eq!(queue("to").stats().await.unwrap().messages, 3);
}

#[tokio::test]
async fn a_late_handle_of_a_fifo_queue_deletes_nothing_and_says_so() {
    let world = world().await;
    let one = &world.one;
    let fifo = json!({ "FifoQueue": "true" });
    one.queue("over.fifo", fifo.clone()).await;
    let arn = "arn:aws:sqs:eu-central-1:000000000000:over.fifo";
    let policy = json!({ "deadLetterTargetArn": arn, "maxReceiveCount": 1 }).to_string();
    let attributes = json!({ "FifoQueue": "true", "RedrivePolicy": policy });
    let url = one.queue("late.fifo", attributes).await;
    let send = json!({
        "QueueUrl": url, "MessageBody": "x", "MessageGroupId": "g", "MessageDeduplicationId": "d",
    });
    one.ask("SendMessage", send).await.json();
    let taken = one.take(&url, 0).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let handle = &taken[0]["ReceiptHandle"];
    let delete = json!({ "QueueUrl": url, "ReceiptHandle": handle });
    let batch = json!({ "QueueUrl": url, "Entries": [{ "Id": "a", "ReceiptHandle": handle }] });
    let invalid = "InvalidParameterValueException";
    // Its time is over; then it is in the other queue.
    for _ in 0..2 {
        let answer = one.ask("DeleteMessage", delete.clone()).await;
        answer.is(400, invalid, "InvalidParameterValue");
        let answer = one.ask("DeleteMessageBatch", batch.clone()).await.json();
        assert_eq!(answer["Failed"][0]["Id"], "a", "{answer}");
        assert!(one.take(&url, 60).await.is_empty());
    }
    // In time it may be said twice, also when the time was put off.
    let over = one.url("over.fifo");
    let taken = one.take(&over, 1).await;
    let handle = &taken[0]["ReceiptHandle"];
    let longer = json!({ "QueueUrl": over, "ReceiptHandle": handle, "VisibilityTimeout": 60 });
    one.ask("ChangeMessageVisibility", longer).await.json();
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let delete = json!({ "QueueUrl": over, "ReceiptHandle": handle });
    for _ in 0..2 {
        one.ask("DeleteMessage", delete.clone()).await.json();
    }
}
