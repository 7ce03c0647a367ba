//! Publishing through every interface that offers it.

use std::sync::Arc;

use async_trait::async_trait;
use gust_backend::{
    outlet::Outlet,
    queue::{Message, Published, Queue as _, QueueLimits, QueueSettings, memory::MemoryQueue},
    unit,
};
use gust_runtime::logs::Stream;
use gust_types::{Blame, Error, Kind, Label, Result, call::Trace, event::Cause};
use parking_lot::Mutex;
use serde_json::json;

use crate::kit::{Function, post, shared};

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// A queue that may be out of order, and that may take its time.
struct Place {
    queue: MemoryQueue,
    fault: Option<(Kind, &'static str)>,
    slow: bool,
    /// What led to the last call that published.
    cause: Mutex<Option<Cause>>,
}

#[async_trait]
impl Outlet for Place {
    fn shape(&self, messages: Vec<Message>, cause: Option<&Cause>) -> Result<Vec<Message>> {
        *self.cause.lock() = cause.cloned();
        Ok(messages)
    }

    async fn publish(&self, messages: Vec<Message>) -> Result<Vec<Published>> {
        if let Some((kind, text)) = self.fault {
            return Err(Error::new(kind, Blame::Platform, text).because("a secret of the insides"));
        }
        if self.slow {
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
        self.queue.publish(messages).await
    }

    fn limits(&self) -> QueueLimits {
        self.queue.limits()
    }

    fn place(&self) -> Result<unit::Place> {
        Err(Error::internal("nobody has a unit here"))
    }
}

fn place() -> Place {
    Place {
        queue: MemoryQueue::new(QueueSettings::default()),
        fault: None,
        slow: false,
        cause: Mutex::default(),
    }
}

async fn load(guest: &str, place: Place) -> (Function, Arc<Place>) {
    let place = Arc::new(place);
    let outlet: Arc<dyn Outlet> = place.clone();
    let bench = shared();
    let function = bench.load_with(bench.revision(guest), |bindings| {
        let name = Label::new("orders").unwrap();
        bindings.outlets.insert(name, outlet);
    });
    (function.await, place)
}

async fn kept(place: &Place) -> Vec<Message> {
    let seen = place.queue.peek(None, 1000).await.unwrap();
    seen.into_iter().map(|seen| seen.message).collect()
}

#[tokio::test]
async fn what_is_published_is_kept_with_where_it_comes_from() {
    for (guest, path) in [
        ("publish-p2", "/queue/orders"),
        ("publish-p2", "/topic/orders"),
        ("publish-p3", "/queue/orders"),
    ] {
        let (function, place) = load(guest, place()).await;
        let mut call = post(
            &format!("{path}?type=order.placed&colour=%E7%BA%A2"),
            "订单 7",
        );
        call.trace = Trace::parse(TRACE).unwrap();
        let answered = function.send(call).await;
        let wanted = match path {
            "/topic/orders" => json!({"ok": true}),
            _ => json!({"number": 1, "duplicate": false}),
        };
        assert_eq!(answered.json(), wanted, "{guest}");
        let messages = kept(&place).await;
        assert_eq!(messages.len(), 1);
        let message = &messages[0];
        assert_eq!(&message.body[..], "订单 7".as_bytes());
        let of = |name: &str| message.attributes[name].as_str();
        assert_eq!(of("source"), format!("/apps/tests/functions/{guest}"));
        assert_eq!((of("type"), of("colour")), ("order.placed", "红"));
        assert_eq!(of("traceparent"), TRACE);
        assert!(!of("id").is_empty());
    }
}

#[tokio::test]
async fn the_place_is_told_what_led_to_the_call() {
    for guest in ["publish-p2", "publish-p3"] {
        let (function, place) = load(guest, place()).await;
        let cause = Cause {
            hops: 2,
            trail: "shop/a,shop/b".into(),
        };
        let mut call = post("/queue/orders", "x");
        call.origin.cause = Some(Arc::new(cause.clone()));
        function.send(call).await;
        assert_eq!(*place.cause.lock(), Some(cause), "{guest}");
        function.send(post("/queue/orders", "x")).await;
        assert_eq!(*place.cause.lock(), None, "{guest}");
    }
}

#[tokio::test]
async fn a_queue_is_told_everything_through_our_own_interface() {
    let (function, place) = load("publish-p2", place()).await;
    let path = "/queue/orders?key=k&group=g&priority=7&delay_ms=60000&media=text%2Fplain";
    let first = function.post(path, "a").await;
    assert_eq!(first, json!({"number": 1, "duplicate": false}));
    let again = function.post(path, "b").await;
    assert_eq!(again, json!({"number": 1, "duplicate": true}));
    let message = &kept(&place).await[0];
    assert_eq!(message.key.as_deref(), Some("k"));
    assert_eq!(message.group.as_deref(), Some("g"));
    assert_eq!(message.priority, 7);
    assert_eq!(message.delay, Some(std::time::Duration::from_secs(60)));
    assert_eq!(message.attributes["content-type"], "text/plain");
    let many = function.post("/many/orders/3", "c").await;
    assert_eq!(many[2], json!({"number": 4, "duplicate": false}));
}

#[tokio::test]
async fn what_is_not_given_is_denied_with_its_name() {
    for (guest, path, error) in [
        ("publish-p2", "/queue/mail", "access-denied"),
        ("publish-p2", "/topic/mail", "permission-denied"),
        ("publish-p3", "/queue/mail", "access-denied"),
    ] {
        let (function, place) = load(guest, place()).await;
        let answer = function.post(path, "x").await;
        assert_eq!(answer["error"], error, "{guest}");
        let detail = answer["detail"].as_str().unwrap();
        assert!(
            detail.contains("mail") && detail.contains("queues"),
            "{detail}"
        );
        assert!(kept(&place).await.is_empty());
    }
}

#[tokio::test]
async fn only_the_default_connection_is_there() {
    let (function, _) = load("publish-p2", place()).await;
    assert_eq!(function.ask("/connect/default").await, json!({"ok": true}));
    assert_eq!(function.ask("/connect/nats").await["error"], "connection");
}

#[tokio::test]
async fn what_breaks_a_rule_is_the_guests_error() {
    let (function, place) = load("publish-p2", place()).await;
    for (path, size, error) in [
        ("/queue/orders?X-Header=1", 1, "invalid"),
        ("/queue/orders?time=yesterday", 1, "invalid"),
        ("/queue/orders?priority=10", 1, "invalid"),
        ("/queue/orders?media=nonsense", 1, "invalid"),
        ("/queue/orders?delay_ms=99999999999999", 1, "invalid"),
        ("/queue/orders", (1 << 20) + 1, "too-large"),
        ("/many/orders/9", 1_000_000, "too-large"),
        ("/many/orders/1001", 1, "too-large"),
        ("/topic/orders", (1 << 20) + 1, "other"),
        ("/topic/orders?X-Header=1", 1, "other"),
    ] {
        let answer = function.post(path, vec![b'x'; size]).await;
        assert_eq!(answer["error"], error, "{path}: {answer}");
    }
    assert!(kept(&place).await.is_empty());
}

#[tokio::test]
async fn a_full_disk_is_an_error_and_no_trap() {
    for (kind, text, error) in [
        (Kind::Exhausted, "disk is full", "full"),
        (Kind::Unavailable, "the node is stopping", "other"),
        (Kind::Internal, "cannot write", "other"),
    ] {
        let broken = Place {
            fault: Some((kind, text)),
            ..place()
        };
        let (function, _) = load("publish-p2", broken).await;
        let answer = function.post("/queue/orders", "x").await;
        assert_eq!(answer, json!({"error": error, "detail": text}));
    }
}

#[tokio::test]
async fn waiting_for_the_disk_takes_no_processor_time() {
    for guest in ["publish-p2", "publish-p3"] {
        let slow = Place {
            slow: true,
            ..place()
        };
        let (function, _) = load(guest, slow).await;
        let begun = gust_task::clock::now();
        let answered = function.send(post("/queue/orders", "x")).await;
        assert_eq!(answered.json()["number"], 1, "{guest}");
        assert!(begun.elapsed() >= std::time::Duration::from_millis(200));
        let cpu = answered.finished.used.cpu;
        assert!(cpu < std::time::Duration::from_millis(100), "{cpu:?}");
    }
}

#[tokio::test]
async fn sends_go_on_side_by_side_and_no_more_than_64() {
    let slow = Place {
        slow: true,
        ..place()
    };
    let (function, place) = load("publish-p3", slow).await;
    let begun = gust_task::clock::now();
    let answer = function.post("/many/orders/60", "x").await;
    assert_eq!(answer, json!({"kept": 60, "refused": []}));
    assert!(
        begun.elapsed() < std::time::Duration::from_secs(6),
        "one after the other"
    );
    let answer = function.post("/many/orders/70", "x").await;
    assert_eq!(answer["kept"], 64);
    assert_eq!(answer["refused"], json!(vec!["full"; 6]));
    assert_eq!(kept(&place).await.len(), 124);
}

#[tokio::test]
async fn messages_in_hand_are_bounded() {
    let (function, _) = load("publish-p2", place()).await;
    assert_eq!(function.ask("/hold/15").await, json!({"held": 15}));
    let (error, _) = function.fail(post("/hold/17", "")).await;
    assert_eq!(error.message, "the function crashed");
    let said = function.logs.of(Stream::Platform);
    assert!(said.contains("bytes of messages"), "{said}");
}
