//! Who gets in, and what of hostile input goes no further than the gate.

use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncReadExt as _;

use super::{
    client::{Client, Lie},
    world,
};
use crate::{Class, Counted};

#[tokio::test]
async fn who_did_not_sign_gets_nothing() {
    let world = world().await;
    let one = &world.one;
    for (lie, status, code) in [
        (Lie::Unsigned, 403, "MissingAuthenticationToken"),
        (Lie::Secret, 403, "SignatureDoesNotMatch"),
        (Lie::Skewed(-1000), 403, "SignatureDoesNotMatch"),
        (Lie::Skewed(1000), 403, "SignatureDoesNotMatch"),
        (Lie::Body, 403, "SignatureDoesNotMatch"),
        (Lie::Hash, 403, "SignatureDoesNotMatch"),
        (Lie::Target, 403, "SignatureDoesNotMatch"),
        (Lie::Service, 403, "SignatureDoesNotMatch"),
        (Lie::Day, 403, "SignatureDoesNotMatch"),
    ] {
        let answer = one.lie("ListQueues", "{}", lie).await;
        answer.is(status, code, code);
    }
    let late = one.lie("ListQueues", "{}", Lie::Skewed(-800)).await;
    assert_eq!(late.status, 200);
    let nobody = Client::new(one.address, "NOBODY");
    let answer = nobody.ask("ListQueues", json!({})).await;
    answer.is(403, "InvalidClientTokenId", "InvalidClientTokenId");
    // Requests that nobody signed are nobody's.
    let counted = world.door.counted();
    let (project, Counted { lists, .. }) = &counted[0];
    assert_eq!((counted.len(), project.as_str(), *lists), (1, "default", 1));
    let served = crate::SERVED.iter().filter(|of| of.class == Class::List);
    assert!(served.count() >= 3);
}

#[tokio::test]
async fn what_belongs_to_others_is_not_there() {
    let world = world().await;
    let (one, two) = (&world.one, &world.two);
    let url = one.queue("mine", json!({})).await;
    one.send(&url, "x").await;
    for action in [
        "ReceiveMessage",
        "DeleteQueue",
        "PurgeQueue",
        "GetQueueAttributes",
    ] {
        let answer = two.ask(action, json!({ "QueueUrl": url })).await;
        answer.is(
            400,
            "QueueDoesNotExist",
            "AWS.SimpleQueueService.NonExistentQueue",
        );
    }
    two.queue("mine", json!({})).await;
    let taken = one.take(&url, 60).await;
    let handle = &taken[0]["ReceiptHandle"];
    let delete = json!({ "QueueUrl": url, "ReceiptHandle": handle });
    let answer = two.ask("DeleteMessage", delete.clone()).await;
    answer.is(400, "ReceiptHandleIsInvalid", "ReceiptHandleIsInvalid");
    // Not even the platform's own: their names are none.
    for name in [".in/a/b", "..", "a/b", "%2e", ""] {
        let answer = one
            .ask(
                "ReceiveMessage",
                json!({ "QueueUrl": format!("http://h/0/{name}") }),
            )
            .await;
        assert_eq!(answer.status.as_u16() / 100, 4, "{name}");
    }
    assert_eq!(one.ask("DeleteMessage", delete).await.status, 200);
}

#[tokio::test]
async fn nonsense_is_refused_and_breaks_nothing() {
    let world = world().await;
    let one = &world.one;
    let deep = "[".repeat(100_000);
    for (action, body) in [
        ("ListQueues", "nonsense"),
        ("ListQueues", "[]"),
        ("ListQueues", "{\"MaxResults\": 0}"),
        ("ListQueues", "{\"QueueNamePrefix\": 7}"),
        ("ListQueues", deep.as_str()),
        ("CreateQueue", "{}"),
        ("CreateQueue", "{\"QueueName\": \"订单\"}"),
        ("CreateQueue", "{\"QueueName\": \"a\", \"Attributes\": []}"),
        ("SendMessage", "{\"QueueUrl\": null}"),
        ("Nonsense", "{}"),
        ("AddPermission", "{}"),
        ("RemovePermission", "{}"),
    ] {
        let answer = one.lie(action, body, Lie::No).await;
        assert_eq!(answer.status, 400, "{action} {}", answer.text());
        assert!(answer.text().contains("\"__type\""), "{}", answer.text());
    }
    for (path, form) in [
        ("/", "Action=Nonsense"),
        ("/", "Version=2012-11-05"),
        ("/", "Action=SendMessage&a=%ff"),
        ("/000000000000/nobody", "Action=SendMessage&MessageBody=x"),
    ] {
        let answer = one.form(path, "sqs", form).await;
        assert_eq!(answer.status, 400, "{form} {}", answer.text());
        assert!(answer.text().contains("<Code>"), "{}", answer.text());
    }
    for path in ["/?Action=ListQueues", "/a/../b", "/%2e%2e/q"] {
        let answer = one.form(path, "sqs", "Action=ListQueues").await;
        assert!(answer.status.is_client_error(), "{path} {}", answer.text());
    }
    // Encodings that are not read, methods that mean nothing.
    let coded = [
        ("content-encoding", "gzip"),
        ("x-amz-target", "AmazonSQS.ListQueues"),
    ];
    let answer = one.exchange("/", "sqs", &coded, "{}", Lie::No).await;
    assert_eq!(answer.status, 400);
    let mut socket = one
        .raw(b"GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")
        .await;
    let mut text = String::new();
    socket.read_to_string(&mut text).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 400"), "{text}");
    assert_eq!(one.ask("ListQueues", json!({})).await.status, 200);
}

#[tokio::test]
async fn sizes_are_bounded_before_anything_is_kept() {
    let world = world().await;
    let one = &world.one;
    let url = one.queue("large", json!({})).await;
    // Announced or not, more than a request has is not read.
    let body = json!({ "QueueUrl": url, "MessageBody": "x".repeat(5 << 20) });
    let answer = one.ask("SendMessage", body).await;
    assert_eq!(answer.status, 413, "{}", answer.text());
    let mut request = one.bytes("ListQueues", "{}");
    let text = String::from_utf8(request.clone()).unwrap();
    request = text
        .replace("content-length: 2", "content-length: 99999999999")
        .into();
    let mut socket = one.raw(&request).await;
    let mut some = [0; 64];
    let read = socket.read(&mut some).await.unwrap();
    let said = String::from_utf8_lossy(&some[..read]).into_owned();
    // The length is among what is signed.
    assert!(said.starts_with("HTTP/1.1 413"), "{said}");
    let head = format!("POST / HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(100_000));
    let mut socket = one.raw(head.as_bytes()).await;
    let read = socket.read(&mut some).await.unwrap_or_default();
    let said = String::from_utf8_lossy(&some[..read]).into_owned();
    assert!(said.starts_with("HTTP/1.1 4"), "{said}");
    let count = "ApproximateNumberOfMessages";
    let count = json!({ "QueueUrl": url, "AttributeNames": [count] });
    let count = one.ask("GetQueueAttributes", count).await.json();
    assert_eq!(count["Attributes"]["ApproximateNumberOfMessages"], "0");
}

#[tokio::test]
async fn who_hangs_up_while_waiting_takes_nothing() {
    let world = world().await;
    let one = &world.one;
    let url = one.queue("waited", json!({})).await;
    let wait = json!({ "QueueUrl": url, "WaitTimeSeconds": 20 }).to_string();
    for _ in 0..5 {
        let socket = one.raw(&one.bytes("ReceiveMessage", &wait)).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        drop(socket);
    }
    // A body that never comes whole is no request.
    let half = one.bytes("ReceiveMessage", &wait);
    let socket = one.raw(&half[..half.len() - 3]).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    drop(socket);
    tokio::time::sleep(Duration::from_millis(50)).await;
    one.send(&url, "x").await;
    assert_eq!(one.take(&url, 60).await.len(), 1);
}

#[tokio::test]
async fn a_door_that_closes_lets_those_go_who_wait() {
    let world = world().await;
    let one = world.one.clone();
    let url = one.queue("waited", json!({})).await;
    let start = gust_task::clock::now();
    let waiting = gust_task::spawn("waiting", async move {
        let wait = json!({ "QueueUrl": url, "WaitTimeSeconds": 20 });
        one.ask("ReceiveMessage", wait).await.json()
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    world.stop.stop();
    let answer = waiting.await.unwrap().unwrap();
    assert_eq!(answer, json!({}));
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn who_knows_an_id_alone_keeps_nobody_out() {
    let world = world().await;
    let body =
        json!({ "QueueUrl": world.one.url("q"), "MessageBody": "x".repeat((4 << 20) - 200) });
    let bytes = world
        .one
        .lying("SendMessage", &body.to_string(), Lie::Secret);
    let short = bytes::Bytes::from(bytes).slice(..4 << 20);
    let mut coming = Vec::new();
    for _ in 0..66 {
        let (address, short) = (world.one.address, short.clone());
        coming.push(gust_task::spawn("hostile", async move {
            let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
            let sent = tokio::io::AsyncWriteExt::write_all(&mut socket, &short).await;
            (socket, sent.is_ok())
        }));
    }
    let mut held = Vec::new();
    for coming in coming {
        held.push(coming.await.unwrap().unwrap());
    }
    let start = gust_task::clock::now();
    // The other project has room for what is large, and this one for what is small.
    for (client, size) in [(&world.two, 900_000), (&world.one, 10_000)] {
        let url = client.queue("good", json!({})).await;
        client.send(&url, &"x".repeat(size)).await;
        assert_eq!(client.take(&url, 60).await.len(), 1);
    }
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_head_that_says_the_hash_is_checked_before_the_body_comes() {
    let world = world().await;
    let bytes = world.one.lying("ListQueues", "{}", Lie::Hash);
    let text = String::from_utf8(bytes).unwrap();
    let (head, _) = text.split_once("\r\n\r\n").unwrap();
    let mut socket = world.one.raw(format!("{head}\r\n\r\n").as_bytes()).await;
    let mut some = [0; 64];
    let read = tokio::time::timeout(Duration::from_secs(5), socket.read(&mut some));
    let read = read.await.expect("it is refused before its body").unwrap();
    let said = String::from_utf8_lossy(&some[..read]).into_owned();
    assert!(said.starts_with("HTTP/1.1 403"), "{said}");
}
