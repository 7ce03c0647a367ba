//! Queues through the API: what is published comes out, what is wrong is refused, and a project leaves none behind.

use gust_api::queue::{LookQuery, NewMessage, Publish, Purge, Redrive};
use gust_backend::blob::BucketExt as _;
use gust_types::{
    Kind, Label, ProjectName,
    trigger::{QueueSettings, TriggerSource, TriggerSpec},
};

use crate::harness::{app, app_name, eventually, function_name, node, project};

fn text(text: &str) -> NewMessage {
    NewMessage {
        text: Some(text.to_owned()),
        ..NewMessage::default()
    }
}

fn publish(messages: Vec<NewMessage>) -> Publish {
    Publish { messages }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_go_in_and_are_looked_at() {
    let node = node().await;
    let (client, orders) = (&node.client, Label::new("orders").unwrap());
    let empty = client.queue(&project(), &orders).await.unwrap();
    assert_eq!((empty.messages, empty.oldest_us), (0, None));
    let bytes = NewMessage {
        base64: Some("/wA=".to_owned()),
        key: Some("k".to_owned()),
        ..NewMessage::default()
    };
    let batch = publish(vec![text("一"), bytes.clone(), bytes.clone()]);
    let published = client.publish(&project(), &orders, &batch).await.unwrap();
    let published: Vec<_> = published
        .published
        .iter()
        .map(|p| (p.id, p.duplicate))
        .collect();
    assert_eq!(published, [(1, false), (2, false), (2, true)]);
    let query = LookQuery {
        after: None,
        limit: Some(1),
    };
    let page = client.peek(&project(), &orders, &query).await.unwrap();
    assert_eq!(page.messages[0].message, text("一"));
    let query = LookQuery {
        after: page.next,
        limit: Some(5),
    };
    let page = client.peek(&project(), &orders, &query).await.unwrap();
    assert_eq!((page.messages.len(), page.next), (1, None));
    assert_eq!(page.messages[0].message, bytes);
    let listed = client.queues(&project()).await.unwrap();
    assert_eq!(listed.queues[0].messages, 2);
    assert!(
        client
            .triggers(&project())
            .await
            .unwrap()
            .triggers
            .is_empty()
    );
    let count = client
        .redrive(&project(), &orders, &Redrive::default())
        .await
        .unwrap();
    assert_eq!(count.count, 0);
    let count = client
        .purge(&project(), &orders, &Purge::default())
        .await
        .unwrap();
    assert_eq!(count.count, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_refused_whole() {
    let node = node().await;
    let (client, orders) = (&node.client, Label::new("orders").unwrap());
    let attribute = |name: &str| {
        let mut message = text("x");
        message.attributes.insert(name.to_owned(), "v".to_owned());
        message
    };
    let both = NewMessage {
        base64: Some(String::new()),
        ..text("x")
    };
    for bad in [attribute("Not A Name"), attribute("ce-id"), both] {
        let batch = publish(vec![text("good"), bad]);
        let error = client
            .publish(&project(), &orders, &batch)
            .await
            .unwrap_err();
        assert_eq!(error.kind, Kind::Invalid, "{error}");
    }
    let large = publish(vec![text(&"x".repeat((1 << 20) + 1))]);
    let error = client
        .publish(&project(), &orders, &large)
        .await
        .unwrap_err();
    assert_eq!(error.kind, Kind::Exhausted, "{error}");
    let nobody = ProjectName::new("nobody").unwrap();
    let error = client
        .publish(&nobody, &orders, &publish(vec![text("x")]))
        .await
        .unwrap_err();
    assert_eq!(error.kind, Kind::NotFound);
    let too_many = LookQuery {
        after: None,
        limit: Some(1001),
    };
    let error = client
        .peek(&project(), &orders, &too_many)
        .await
        .unwrap_err();
    assert_eq!(error.kind, Kind::Invalid);
    assert_eq!(client.queue(&project(), &orders).await.unwrap().messages, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_project_with_messages_stays() {
    let node = node().await;
    let (client, orders) = (&node.client, Label::new("orders").unwrap());
    let team = ProjectName::new("team").unwrap();
    client.create_project(&team).await.unwrap();
    client
        .publish(&team, &orders, &publish(vec![text("x")]))
        .await
        .unwrap();
    let error = client.remove_project(&team).await.unwrap_err();
    assert_eq!(error.kind, Kind::Conflict, "{error}");
    client
        .purge(&team, &orders, &Purge::default())
        .await
        .unwrap();
    client.remove_project(&team).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_project_that_is_made_again_gets_nothing_of_the_former_one() {
    let node = node().await;
    let team = ProjectName::new("team").unwrap();
    node.client.create_project(&team).await.unwrap();
    let inbox = Label::reserved("in/shop/t");
    let inbox = node
        .backends
        .queue(&team, &inbox, &QueueSettings::default())
        .unwrap();
    let message = gust_backend::queue::Message::new("别人的");
    inbox.publish(vec![message.clone(); 2]).await.unwrap();
    let taken = inbox.take(Default::default()).await.unwrap();
    let dead = gust_backend::queue::Verdict::Dead("no".to_owned());
    let receipt = taken[0].receipt;
    inbox.settle(vec![(receipt, dead)]).await.unwrap();
    node.client.remove_project(&team).await.unwrap();
    let held = inbox.stats().await.unwrap();
    assert_eq!((held.messages, held.dead), (0, 0));
    // Left behind by a node that went down in between.
    inbox.publish(vec![message]).await.unwrap();
    node.client.create_project(&team).await.unwrap();
    assert_eq!(inbox.stats().await.unwrap().messages, 0);
    // Objects are somebody's: they are not removed with the project.
    let bucket = Label::new("photos").unwrap();
    let bucket = node.backends.blob(&team, &bucket).unwrap();
    let bytes = bytes::Bytes::from_static(b"x");
    bucket.put_bytes("a", bytes).await.unwrap();
    let error = node.client.remove_project(&team).await.unwrap_err();
    assert!(error.message.contains("in its bucket: photos"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scrape_tells_of_each_queue_and_topic_and_counts_now_and_then() {
    let node = node().await;
    let scrape = async || {
        let request = "GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        node.raw(request).await
    };
    let later = NewMessage {
        delay: Some(gust_types::Span::secs(3600)),
        ..text("二")
    };
    for (queue, messages) in [
        ("orders", vec![text("一"), text("一"), later]),
        ("other", vec![text("x")]),
    ] {
        let queue = Label::new(queue).unwrap();
        let messages = publish(messages);
        node.client
            .publish(&project(), &queue, &messages)
            .await
            .unwrap();
    }
    let head = "content-type: application/cloudevents+json\r\n";
    let event = r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","data":"正文"}"#;
    let path = "/v1/projects/default/topics/news/events";
    let answer = node.authorized("POST", path, head, event).await;
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    let text_of = scrape().await;
    for line in [
        r#"gust_queue_ready{project="default",queue="orders"} 2"#,
        r#"gust_queue_delayed{project="default",queue="orders"} 1"#,
        r#"gust_queue_in_flight{project="default",queue="orders"} 0"#,
        r#"gust_queue_dead{project="default",queue="orders"} 0"#,
        r#"gust_queue_ready{project="default",queue="other"} 1"#,
        r#"gust_topic_last_position{project="default",topic="news"} 1"#,
        r#"gust_left_out{kind="queue"} 0"#,
    ] {
        assert!(text_of.lines().any(|l| l == line), "{line}\n{text_of}");
    }
    assert!(
        text_of.contains(r#"gust_queue_oldest_age_seconds{project="default",queue="orders"} "#)
    );
    // What was just counted is not counted again.
    let more = publish(vec![text("三")]);
    let orders = Label::new("orders").unwrap();
    node.client
        .publish(&project(), &orders, &more)
        .await
        .unwrap();
    let again = scrape().await;
    assert!(again.contains(r#"gust_queue_ready{project="default",queue="orders"} 2"#));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_apps_share_outlasts_the_triggers_of_both() {
    let node = node().await;
    node.upload("one").await;
    let orders = Label::new("orders").unwrap();
    let mut says = app("says", "one");
    let settings = QueueSettings {
        attempts: 2,
        ..QueueSettings::default()
    };
    says.events.queues.insert(orders.clone(), settings);
    let mut takes = app("takes", "one");
    takes.events.triggers.push(TriggerSpec {
        name: Label::new("t").unwrap(),
        function: function_name("main"),
        path: "/".to_owned(),
        source: TriggerSource::Queue {
            queue: orders.clone(),
            batch: 1,
        },
        concurrency: 1,
        exactly_once: false,
        mode: Default::default(),
        retry: Default::default(),
    });
    // Whichever comes first.
    node.deploy(says.clone()).await.unwrap();
    let error = node.deploy(takes.clone()).await.unwrap_err();
    assert!(error.message.contains("tries 8 times"), "{error}");
    let name = app_name("says");
    node.client.remove_app(&project(), &name).await.unwrap();
    node.deploy(takes.clone()).await.unwrap();
    let error = node.deploy(says.clone()).await.unwrap_err();
    assert_eq!(error.kind, Kind::Conflict);
    assert!(error.message.contains("after 2: orders"), "{error}");
    // What the app itself said before is no matter.
    let own = QueueSettings {
        attempts: 8,
        ..QueueSettings::default()
    };
    takes.events.queues.insert(orders, own);
    node.deploy(takes.clone()).await.unwrap();
    takes.events.queues.clear();
    takes.events.triggers[0].retry.attempts = 9;
    node.deploy(takes).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_of_a_schedule_that_were_given_up_are_seen_and_delivered_again() {
    let node = node().await;
    // Until it is mended.
    let bad = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let is_bad = bad.clone();
    node.teach("weak", move |_| {
        let status = if is_bad.load(std::sync::atomic::Ordering::SeqCst) {
            400
        } else {
            200
        };
        let answer = http::Response::builder().status(status);
        async move { Ok(answer.body(gust_types::call::empty()).unwrap()) }
    });
    node.send("weak").await;
    let mut shop = app("shop", "weak");
    for name in ["tick", "tock"] {
        shop.events.triggers.push(TriggerSpec {
            name: Label::new(name).unwrap(),
            function: function_name("main"),
            path: "/".to_owned(),
            source: TriggerSource::Schedule(gust_types::trigger::ScheduleSpec {
                rate: Some(gust_types::Span::secs(1)),
                ..Default::default()
            }),
            concurrency: 1,
            exactly_once: false,
            mode: Default::default(),
            retry: Default::default(),
        });
    }
    node.deploy(shop).await.unwrap();
    let (project, name, tick) = (project(), app_name("shop"), Label::new("tick").unwrap());
    let dead = async || {
        let query = LookQuery::default();
        let dead = node.client.trigger_dead(&project, (&name, &tick), &query);
        dead.await.unwrap().messages
    };
    eventually("one is given up", async || !dead().await.is_empty()).await;
    for message in dead().await {
        assert_eq!(message.message.attributes["ce-gusttrigger"], "tick");
    }
    bad.store(false, std::sync::atomic::Ordering::SeqCst);
    eventually("all are done at last", async || {
        let all = Redrive::default();
        let redriven = node.client.trigger_redrive(&project, (&name, &tick), &all);
        redriven.await.unwrap();
        dead().await.is_empty()
    })
    .await;
    let purge = Purge { dead: true };
    let error = node
        .client
        .trigger_purge(&project, (&name, &tick), &purge)
        .await
        .unwrap_err();
    assert_eq!(error.kind, Kind::Invalid, "{error}");
}
