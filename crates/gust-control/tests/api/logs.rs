//! What guests wrote, read and followed over the API.

use std::time::Duration;

use gust_api::logs::{LogItem, LogQuery};
use gust_telemetry::logs::Stream;
use gust_types::{FunctionKey, call::CallId};

use crate::harness::{app, app_name, function_name, node, project};

fn text(item: Option<LogItem>) -> String {
    match item {
        Some(LogItem::Entry(entry)) => entry.text,
        other => panic!("not an entry: {other:?}"),
    }
}

#[tokio::test]
async fn logs_are_read_and_followed_across_deploys() {
    let node = node().await;
    let key = FunctionKey {
        project: project(),
        app: app_name("shop"),
        function: function_name("main"),
    };
    let write = |revision, call, text: &str| {
        node.logs.append(
            &key,
            revision,
            CallId(call),
            Stream::Stdout,
            text.as_bytes(),
        );
    };
    node.upload("one").await;
    node.deploy(app("shop", "one")).await.unwrap();
    write(1, 7, "first\n");
    write(1, 8, "second\n");
    let shop = app_name("shop");
    let query = LogQuery::default();
    let mut lines = node.client.logs(&project(), &shop, &query).await.unwrap();
    assert_eq!(text(lines.next().await.unwrap()), "first");
    assert_eq!(text(lines.next().await.unwrap()), "second");
    assert_eq!(lines.next().await.unwrap(), None, "without follow it ends");

    let mut first = node.client.logs(&project(), &shop, &query).await.unwrap();
    let Some(LogItem::Entry(first)) = first.next().await.unwrap() else {
        panic!("an entry");
    };
    let rest = LogQuery {
        after: Some(first.n),
        ..Default::default()
    };
    let mut lines = node.client.logs(&project(), &shop, &rest).await.unwrap();
    assert_eq!(text(lines.next().await.unwrap()), "second");
    assert_eq!(lines.next().await.unwrap(), None);

    let of_call = LogQuery {
        call: Some(CallId(8)),
        ..Default::default()
    };
    let mut lines = node.client.logs(&project(), &shop, &of_call).await.unwrap();
    assert_eq!(text(lines.next().await.unwrap()), "second");
    assert_eq!(lines.next().await.unwrap(), None);

    let follow = LogQuery {
        follow: true,
        limit: Some(1),
        ..Default::default()
    };
    let mut lines = node.client.logs(&project(), &shop, &follow).await.unwrap();
    assert_eq!(text(lines.next().await.unwrap()), "second");
    node.upload("two").await;
    node.deploy(app("shop", "two")).await.unwrap();
    write(2, 9, "third\n");
    let next = tokio::time::timeout(Duration::from_secs(5), lines.next())
        .await
        .unwrap();
    assert_eq!(text(next.unwrap()), "third");
}

#[tokio::test]
async fn a_stop_ends_followers() {
    let node = node().await;
    let follow = LogQuery {
        follow: true,
        ..Default::default()
    };
    let mut lines = node
        .client
        .logs(&project(), &app_name("shop"), &follow)
        .await
        .unwrap();
    drop(node);
    let ended = tokio::time::timeout(Duration::from_secs(5), lines.next()).await;
    assert!(matches!(ended, Ok(Ok(None) | Err(_))), "{ended:?}");
}
