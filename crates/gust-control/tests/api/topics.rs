//! Topics through the API: events in all modes of the HTTP binding, what is wrong with them, reading, replay and purge.

use gust_api::{
    queue::{LookQuery, Purge, Redrive},
    topic::{EventsQuery, PublishQuery, Seek},
};
use gust_backend::desk::Desk as _;
use gust_types::{
    AppSpec, FunctionName, Kind, Label,
    changes::{ChangeKind, TopicName, Watched},
    trigger::{
        Beginning, ChangesSpec, EventsSpec, FilterSpec, ReplySpec, RetrySpec, TriggerSource,
        TriggerSpec,
    },
};

use crate::harness::{Node, app, app_name, eventually, node, project};

const EVENTS: &str = "/v1/projects/default/topics/orders/events";
const STRUCTURED: &str = "content-type: application/cloudevents+json\r\n";
const BATCHED: &str = "content-type: application/cloudevents-batch+json\r\n";
const BINARY: &str = "ce-specversion: 1.0\r\nce-id: 1\r\nce-source: /s\r\nce-type: t\r\n";

fn orders() -> TopicName {
    "orders".parse().unwrap()
}

fn event(id: &str, kind: &str) -> String {
    format!(
        r#"{{"specversion":"1.0","id":"{id}","source":"/s","type":"{kind}","data":{{"n":1.10}}}}"#
    )
}

async fn post(node: &Node, headers: &str, body: &str) -> String {
    node.authorized("POST", EVENTS, headers, body).await
}

async fn read(node: &Node, query: EventsQuery) -> Vec<(u64, String)> {
    let page = node.client.events(&project(), &orders(), &query).await;
    let events = page.unwrap().events.into_iter();
    events
        .map(|e| (e.position, e.event.get().to_owned()))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_come_in_in_every_mode() {
    let node = node().await;
    let text = "content-type: text/plain\r\nce-colour: %E7%BA%A2\r\n";
    let answer = post(&node, &format!("{BINARY}{text}"), "正文").await;
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    assert!(answer.ends_with(r#"{"published":[{"position":1,"duplicate":false}]}"#));
    let answer = post(&node, STRUCTURED, &event("2", "a")).await;
    assert!(answer.contains(r#""position":2"#), "{answer}");
    let batch = format!("[{},{}]", event("3", "a"), event("4", "b"));
    let answer = post(&node, BATCHED, &batch).await;
    assert!(answer.contains(r#""position":3"#) && answer.contains(r#""position":4"#));
    let all = read(&node, EventsQuery::default()).await;
    assert_eq!(all.len(), 4);
    assert!(all[0].1.contains(r#""colour":"红""#) && all[0].1.contains(r#""data":"正文""#));
    // Numbers keep their digits.
    assert!(all[1].1.contains(r#""data":{"n":1.10}"#), "{}", all[1].1);
    let listed = node.client.topics(&project()).await.unwrap();
    let topic = &listed.topics[0];
    assert_eq!(
        (&*topic.topic.to_string(), topic.events, topic.last),
        ("orders", 4, 4)
    );
    let once = PublishQuery { once: true };
    let publish = async || {
        let batch = format!("[{}]", event("5", "c")).into();
        let (project, topic) = (project(), orders());
        let publish = node.client.publish_events(&project, &topic, batch, &once);
        publish.await.unwrap().published.remove(0)
    };
    assert!(!publish().await.duplicate);
    let again = publish().await;
    assert!(again.duplicate && again.position == 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_refused_whole() {
    let node = node().await;
    let long = "x".repeat((1 << 20) + 1);
    let extensions: String = (0..1000).map(|n| format!(r#","e{n}":"v""#)).collect();
    let many = format!(r#"{{"specversion":"1.0","id":"1","source":"/s","type":"t"{extensions}}}"#);
    let more = (0..1001).map(|n| event(&n.to_string(), "t"));
    let more = format!("[{}]", more.collect::<Vec<_>>().join(","));
    let two = format!("[{},{}]", event("1", "t"), r#"{"specversion":"1.0"}"#);
    let key = "k".repeat(300);
    for (headers, body, wanted) in [
        ("", "{}", "the request is no event"),
        (
            "content-type: application/json\r\n",
            "{}",
            "the request is no event",
        ),
        (
            "ce-id: 1\r\n",
            "",
            "a required attribute is missing: specversion",
        ),
        (STRUCTURED, "{", "not an event in JSON"),
        (
            STRUCTURED,
            r#"{"specversion":"1.0","id":7,"source":"/s","type":"t"}"#,
            "id",
        ),
        (
            STRUCTURED,
            r#"{"specversion":"2.0","id":"7","source":"/s","type":"t"}"#,
            "unknown specversion",
        ),
        (STRUCTURED, &many, "too many extensions"),
        (BATCHED, &two, "event 2 of the batch"),
        (BATCHED, &more, "batch has more messages than 1000"),
        (
            "content-type: application/cloudevents+xml\r\n",
            "<x/>",
            "events cannot be read from",
        ),
        (&format!("{BINARY}ce-bad: %FF\r\n"), "", "not UTF-8: ce-bad"),
        (
            &format!("{BINARY}ce-time: soon\r\n"),
            "",
            "time is not a time",
        ),
        (
            &format!("{BINARY}ce-partitionkey: {key}\r\n"),
            "",
            "group is not a name",
        ),
        (BINARY, &long, "may have 1MiB at most"),
    ] {
        let answer = post(&node, headers, body).await;
        let status = answer.split(' ').nth(1).unwrap_or_default();
        assert!(status.starts_with('4'), "{wanted}: {answer}");
        assert!(answer.contains(wanted), "{wanted}: {answer}");
    }
    let topic = node.client.topic(&project(), &orders()).await.unwrap();
    assert_eq!((topic.events, topic.last), (0, 0));
    let query = EventsQuery {
        filter: Some("type = ".to_owned()),
        ..EventsQuery::default()
    };
    let error = node
        .client
        .events(&project(), &orders(), &query)
        .await
        .unwrap_err();
    assert!(error.message.starts_with("filter: "), "{}", error.message);
    for query in [
        EventsQuery {
            limit: Some(0),
            ..EventsQuery::default()
        },
        EventsQuery {
            wait_ms: Some(30_001),
            ..EventsQuery::default()
        },
    ] {
        assert!(
            node.client
                .events(&project(), &orders(), &query)
                .await
                .is_err()
        );
    }
    let of = (&app_name("shop"), &Label::new("t").unwrap());
    for seek in [
        Seek::default(),
        Seek {
            latest: true,
            after: Some(1),
            ..Seek::default()
        },
    ] {
        let error = node
            .client
            .seek(&project(), &orders(), of, &seek)
            .await
            .unwrap_err();
        assert!(error.message.contains("exactly one of"));
    }
    let seek = Seek {
        latest: true,
        ..Seek::default()
    };
    let error = node
        .client
        .seek(&project(), &orders(), of, &seek)
        .await
        .unwrap_err();
    assert_eq!(error.kind, Kind::NotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_read_in_pages_by_filter_and_by_time() {
    let node = node().await;
    for n in 1..=30 {
        let kind = if n % 10 == 0 { "tenth" } else { "other" };
        post(&node, STRUCTURED, &event(&n.to_string(), kind)).await;
    }
    let query = |filter: &str, after, limit| EventsQuery {
        after,
        limit: Some(limit),
        filter: Some(filter.to_owned()).filter(|f| !f.is_empty()),
        ..EventsQuery::default()
    };
    let positions = async |query| -> Vec<u64> {
        let read = read(&node, query).await;
        read.into_iter().map(|(position, _)| position).collect()
    };
    assert_eq!(positions(query("", None, 2)).await, [1, 2]);
    assert_eq!(positions(query("", Some(28), 10)).await, [29, 30]);
    assert_eq!(positions(query("type = 'tenth'", None, 2)).await, [10, 20]);
    assert_eq!(positions(query("type = 'tenth'", Some(20), 2)).await, [30]);
    // A page that wants nothing says how far it has looked.
    let none = query("type = 'none'", None, 10);
    let page = node
        .client
        .events(&project(), &orders(), &none)
        .await
        .unwrap();
    assert!(page.events.is_empty() && page.next == 30);
    let later = EventsQuery {
        since_us: Some(u64::MAX / 2),
        ..EventsQuery::default()
    };
    let page = node
        .client
        .events(&project(), &orders(), &later)
        .await
        .unwrap();
    assert!(page.events.is_empty() && page.next == 30);
    let waiting = EventsQuery {
        after: Some(30),
        wait_ms: Some(20_000),
        filter: Some("type = 'late'".to_owned()),
        ..EventsQuery::default()
    };
    let publish = async {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        post(&node, STRUCTURED, &event("31", "early")).await;
        post(&node, STRUCTURED, &event("32", "late")).await;
    };
    let (read, ()) = tokio::join!(read(&node, waiting), publish);
    assert_eq!(read[0].0, 32);
    assert_eq!(
        node.client
            .purge_topic(&project(), &orders())
            .await
            .unwrap()
            .count,
        32
    );
    assert!(positions(query("", None, 2)).await.is_empty());
}

fn with_trigger(filters: Vec<FilterSpec>) -> AppSpec {
    let mut app = app("shop", "one");
    app.events = EventsSpec {
        triggers: vec![TriggerSpec {
            name: Label::new("t").unwrap(),
            function: FunctionName::new("main").unwrap(),
            path: "/".to_owned(),
            source: TriggerSource::Topic {
                topic: orders().label(),
                filters,
                from: Beginning::Latest,
                batch: 1,
                reply: ReplySpec::Same,
            },
            concurrency: 1,
            retry: RetrySpec::default(),
            exactly_once: false,
            mode: Default::default(),
        }],
        ..EventsSpec::default()
    };
    app
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deploy_subscribes_before_it_answers_and_a_bad_filter_is_refused() {
    let node = node().await;
    node.upload("one").await;
    let bad = FilterSpec::Any(vec![FilterSpec::Sql("type = ".to_owned())]);
    let error = node.deploy(with_trigger(vec![bad])).await.unwrap_err();
    let wanted = "trigger \"t\": filters[0].any[0].sql: ";
    assert!(error.message.starts_with(wanted), "{}", error.message);
    post(&node, STRUCTURED, &event("1", "a")).await;
    node.deploy(with_trigger(Vec::new())).await.unwrap();
    post(&node, STRUCTURED, &event("2", "a")).await;
    let topic = node.client.topic(&project(), &orders()).await.unwrap();
    assert_eq!(topic.subscriptions[0].name, "shop/t");
    assert_eq!(
        topic.subscriptions[0].cursor + topic.subscriptions[0].lag,
        2
    );
    let of = (&app_name("shop"), &Label::new("t").unwrap());
    let seek = Seek {
        earliest: true,
        ..Seek::default()
    };
    let at = node
        .client
        .seek(&project(), &orders(), of, &seek)
        .await
        .unwrap();
    assert_eq!((at.cursor, at.lag), (0, 2));
    let dead = node
        .client
        .trigger_dead(&project(), of, &LookQuery::default())
        .await;
    assert!(dead.unwrap().messages.is_empty());
    let count = node
        .client
        .trigger_redrive(&project(), of, &Redrive::default())
        .await;
    assert_eq!(count.unwrap().count, 0);
    let purge = Purge { dead: true };
    let count = node.client.trigger_purge(&project(), of, &purge).await;
    assert_eq!(count.unwrap().count, 0);
    let (app, name) = (app_name("shop"), Label::new("never").unwrap());
    let redrive = Redrive::default();
    let count = node
        .client
        .trigger_redrive(&project(), (&app, &name), &redrive)
        .await;
    assert_eq!(count.unwrap_err().kind, Kind::NotFound);
    eventually("listed", async || {
        let triggers = node.client.triggers(&project()).await.unwrap().triggers;
        triggers
            .first()
            .is_some_and(|t| t.spec.name.as_str() == "t")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_of_a_store_are_a_topic_that_is_read_only() {
    let node = node().await;
    node.upload("one").await;
    let mut app = with_trigger(Vec::new());
    let of: Watched = "kv:default".parse().unwrap();
    let mut spec = ChangesSpec {
        of: of.clone(),
        prefix: "用户/".to_owned(),
        suffix: String::new(),
        tables: Vec::new(),
        on: vec![ChangeKind::Inserted],
        filters: Vec::new(),
        from: Beginning::Earliest,
        batch: 1,
    };
    app.events.triggers[0].source = TriggerSource::Changes(spec.clone());
    let error = node.deploy(app.clone()).await.unwrap_err();
    let wanted = "trigger \"t\": kv:default has no such changes: inserted";
    assert_eq!(error.message, wanted);
    spec.on = vec![ChangeKind::Set];
    app.events.triggers[0].source = TriggerSource::Changes(spec);
    node.deploy(app).await.unwrap();
    let name = TopicName::Changes(of);
    let topic = node.client.topic(&project(), &name).await.unwrap();
    assert_eq!(topic.subscriptions[0].name, "shop/t");
    let listed = node.client.topics(&project()).await.unwrap().topics;
    assert!(listed.iter().any(|topic| topic.topic == name));
    let once = PublishQuery::default();
    let published = node
        .client
        .publish_events(&project(), &name, "[]".into(), &once)
        .await;
    let error = published.unwrap_err();
    assert_eq!(error.kind, Kind::Denied, "{}", error.message);
    assert!(error.message.contains("read only: kv:default"));
    let read = node
        .client
        .events(&project(), &name, &EventsQuery::default())
        .await;
    assert!(read.unwrap().events.is_empty());
}

async fn subscribed(node: &Node) -> Vec<String> {
    let topic = node.client.topic(&project(), &orders()).await.unwrap();
    topic.subscriptions.into_iter().map(|s| s.name).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deploy_that_fails_leaves_no_subscription_and_takes_none() {
    let node = node().await;
    node.upload("one").await;
    let claimed = |name: &str| {
        let mut app = app(name, "one");
        app.hosts = vec!["shop.test".to_owned()];
        app
    };
    node.deploy(claimed("other")).await.unwrap();
    let mut refused = with_trigger(Vec::new());
    refused.hosts = claimed("shop").hosts;
    assert_eq!(node.deploy(refused).await.unwrap_err().kind, Kind::Conflict);
    eventually("nothing is left", async || {
        subscribed(&node).await.is_empty()
    })
    .await;
    // While a deploy is under way, what its app has now is kept for it: it may come back.
    node.deploy(with_trigger(Vec::new())).await.unwrap();
    let (of, none) = (app_name("shop"), EventsSpec::default());
    let ready = node.events.prepare(&project(), &of, &none).await.unwrap();
    node.deploy(app("shop", "one")).await.unwrap();
    node.deploy(app("third", "one")).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(subscribed(&node).await, ["shop/t"]);
    drop(ready);
    eventually("it goes", async || subscribed(&node).await.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollback_subscribes_before_it_answers() {
    let node = node().await;
    node.upload("one").await;
    node.deploy(with_trigger(Vec::new())).await.unwrap();
    node.deploy(app("shop", "one")).await.unwrap();
    eventually("it goes", async || subscribed(&node).await.is_empty()).await;
    let of = app_name("shop");
    node.client.rollback(&project(), &of, None).await.unwrap();
    assert_eq!(subscribed(&node).await, ["shop/t"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_wants_any_more_is_left_whoever_forgot_it() {
    let node = node().await;
    node.upload("one").await;
    node.deploy(with_trigger(Vec::new())).await.unwrap();
    let topic = node.events.topic(&project(), &orders().label()).unwrap();
    let start = gust_backend::topic::Start::Latest;
    for name in ["gone/t", "shop/former"] {
        topic.subscribe(name, start).await.unwrap();
    }
    node.deploy(app("another", "one")).await.unwrap();
    eventually("only what is wanted", async || {
        subscribed(&node).await == ["shop/t"]
    })
    .await;
}
