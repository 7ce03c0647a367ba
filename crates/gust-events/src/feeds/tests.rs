use gust_backend::{
    kv::memory::MemoryKv,
    queue::{QueueSettings, TakeOptions, memory::MemoryQueue},
};
use gust_trigger::{Kind, memory::MemoryBroker};
use gust_types::{AppName, ByteSize, Label, ProjectName, event::Event};
use serde_json::json;

use super::*;

struct Picky;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct PickySettings {
    url: String,
}

impl Kind for Picky {
    const KIND: &'static str = "picky";
    type Settings = PickySettings;

    fn open(settings: PickySettings, _: Context) -> Result<Box<dyn Source>> {
        match settings.url.starts_with("picky://") {
            true => Ok(Box::new(MemoryBroker::default().source())),
            false => Err(Error::invalid("the url has another scheme")),
        }
    }
}

fn key() -> Key {
    Key {
        project: ProjectName::default_project(),
        app: AppName::new("a").unwrap(),
        name: Label::new("t").unwrap(),
    }
}

fn line(queue: Arc<dyn Queue>, stop: &Stop) -> Line {
    Line {
        key: key(),
        queue,
        memory: Arc::new(MemoryKv::default()),
        state: Arc::default(),
        stop: stop.clone(),
    }
}

fn incoming(id: &str, bytes: usize) -> Incoming {
    let event = Event::new(id, "/s", "t").unwrap();
    Incoming {
        event: event.with_data(gust_types::event::Data::binary(vec![b'x'; bytes])),
        key: Some(id.repeat(300)),
    }
}

#[test]
fn settings_are_checked_with_their_variables() {
    let sources = Sources {
        providers: vec![Provider::of::<Picky>()],
        dial: Dial::default(),
    };
    let of = |kind: &str, settings: serde_json::Value| ExternalSpec {
        kind: kind.to_owned(),
        settings: settings.as_object().unwrap().clone(),
    };
    let values = Variables([("url".to_owned(), "http://geheim".to_owned())].into());
    let check = |spec: &ExternalSpec| sources.check(spec, &values);
    assert!(check(&of("picky", json!({"url": "picky://h"}))).is_ok());
    for (spec, about) in [
        (of("pikky", json!({})), "no triggers of the kind"),
        (of("picky", json!({})), "missing field"),
        (
            of("picky", json!({"url": "picky://h", "ulr": 1})),
            "unknown field",
        ),
        (of("picky", json!({"url": 7})), "not of its type"),
        (of("picky", json!({"url": "{{ nope }}"})), "not set"),
        (of("picky", json!({"url": "{{ url }}"})), "another scheme"),
        (
            of("picky", json!({"url": "picky://me:geheim@h"})),
            "in the open",
        ),
        (
            of("picky", json!({"url": "picky://h", "password": "geheim"})),
            "in the open",
        ),
        (
            of(
                "picky",
                json!({"url": "picky://h", "headers": {"Authorization": "geheim"}}),
            ),
            "in the open",
        ),
        (
            of("picky", json!({"url": "picky://h", "keys": ["{{ nope }}"]})),
            "not set",
        ),
    ] {
        let error = check(&spec).unwrap_err();
        let text = format!("{error:?}");
        assert!(text.contains(about), "{about}: {text}");
        assert!(!text.contains("geheim"), "{text}");
    }
}

#[tokio::test]
async fn what_no_queue_takes_is_given_up_and_its_neighbours_are_kept() {
    let queue: Arc<dyn Queue> = Arc::new(MemoryQueue::new(QueueSettings::default()));
    let line = line(queue.clone(), &Stop::new());
    let events = vec![incoming("a", 10), incoming("b", 2 << 20), incoming("c", 10)];
    line.keep(events.clone()).await.unwrap();
    // Delivered again, nothing is there twice.
    line.keep(events).await.unwrap();
    let taken = queue.take(TakeOptions::default()).await.unwrap();
    assert_eq!(taken.len(), 2);
    let error = line.state.lock().error.clone().unwrap().0;
    assert!(error.contains("given up"), "{error}");
}

#[tokio::test]
async fn without_room_it_waits_and_acknowledges_nothing() {
    let queue = Arc::new(MemoryQueue::new(QueueSettings {
        max_bytes: ByteSize(1500),
        ..QueueSettings::default()
    }));
    let stop = Stop::new();
    let line = Arc::new(line(queue.clone(), &stop));
    line.keep(vec![incoming("a", 1000)]).await.unwrap();
    let (more, held) = (line.clone(), incoming("b", 1000));
    let keeping = gust_task::spawn("keep", async move { more.keep(vec![held]).await });
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(!keeping.is_finished());
    assert!(line.state.lock().error.is_some());
    let taken = queue.take(TakeOptions::default()).await.unwrap();
    let done = (taken[0].receipt, gust_backend::queue::Verdict::Done);
    queue.settle(vec![done]).await.unwrap();
    assert!(keeping.await.unwrap().unwrap().is_ok());
    let (more, held) = (line.clone(), incoming("c", 1000));
    let keeping = gust_task::spawn("keep", async move { more.keep(vec![held]).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    stop.stop();
    assert!(keeping.await.unwrap().unwrap().is_err());
}

#[tokio::test]
async fn a_feed_comes_back_after_its_broker() {
    let broker = MemoryBroker::default();
    broker.set_down(true);
    let queue: Arc<dyn Queue> = Arc::new(MemoryQueue::new(QueueSettings::default()));
    let stop = Stop::new();
    let feed = Feed {
        key: key(),
        source: Arc::new(broker.source()),
        inbox: Arc::new(line(queue.clone(), &stop)),
    };
    let state = feed.state();
    let running = gust_task::spawn("feed", feed.run());
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!state.lock().connected);
    assert!(state.lock().error.clone().unwrap().0.contains("down"));
    broker.set_down(false);
    broker.publish("one");
    let options = TakeOptions {
        wait: LONGEST * 2,
        ..TakeOptions::default()
    };
    assert_eq!(queue.take(options).await.unwrap().len(), 1);
    gust_trigger::suite::until("connected", || state.lock().connected).await;
    stop.stop();
    running.await.unwrap();
    assert!(!state.lock().connected);
}

#[tokio::test]
async fn a_source_remembers_under_its_triggers_name() {
    let queue: Arc<dyn Queue> = Arc::new(MemoryQueue::new(QueueSettings::default()));
    let one = line(queue.clone(), &Stop::new());
    let memory = one.memory.clone();
    assert_eq!(one.remembered().await.unwrap(), None);
    one.remember(Bytes::from_static(b"here")).await.unwrap();
    let mut again = line(queue.clone(), &Stop::new());
    again.memory = memory.clone();
    assert_eq!(again.remembered().await.unwrap().unwrap(), "here");
    again.key.name = Label::new("other").unwrap();
    assert_eq!(again.remembered().await.unwrap(), None);
    let much = Bytes::from(vec![0; MEMORY + 1]);
    assert!(again.remember(much).await.is_err());
}
