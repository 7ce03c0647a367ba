use std::process::Command;

use gust_trigger::{
    Provider,
    suite::{self, Rig, Running, Server as Process},
};
use serde_json::{Value, json};

use super::*;
use connection::Connection;

struct Real {
    server: Process,
    settings: Value,
    durable: bool,
    _folder: tempfile::TempDir,
}

impl Real {
    async fn start(settings: Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (port, path) = (Process::free_port(), folder.path().to_owned());
        let server = Process::start(port, move || {
            let mut command = Command::new("nats-server");
            command
                .args(["-a", "127.0.0.1", "-p", &port.to_string()])
                .args(["--user", "me", "--pass", "p@ss", "-js", "-sd"])
                .arg(&path);
            command
        });
        let real = Self {
            durable: settings.get("stream").is_some(),
            settings,
            server,
            _folder: folder,
        };
        let stream = json!({"name": "ORDERS", "subjects": ["orders.>"], "storage": "file"});
        real.api("$JS.API.STREAM.CREATE.ORDERS", &stream).await;
        real
    }

    async fn connect(&self) -> Connection {
        let server = Server {
            peer: Peer::parse(
                &format!("nats://me:p%40ss@127.0.0.1:{}", self.server.port),
                SCHEMES,
            )
            .unwrap(),
            secure: false,
            token: None,
            name: "test".to_owned(),
            tls: Tls::new(None).unwrap(),
            dial: Dial::default(),
        };
        // JetStream takes a moment after the port is open.
        for _ in 0..100 {
            if let Ok(connection) = Connection::open(&server).await {
                return connection;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("no connection");
    }

    async fn api(&self, subject: &str, body: &Value) -> Value {
        let mut connection = self.connect().await;
        connection.send(b"SUB _R.1 9\r\n").await.unwrap();
        let body = body.to_string();
        let answer = connection
            .ask(subject, "_R.1", body.as_bytes())
            .await
            .unwrap();
        let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
        assert!(answer.get("error").is_none(), "{answer}");
        answer
    }

    async fn put(&self, subject: &str, headers: &str, payload: &[u8]) {
        let mut connection = self.connect().await;
        let headers = format!("NATS/1.0\r\n{headers}\r\n");
        let (head, all) = (headers.len(), headers.len() + payload.len());
        let mut out = format!("HPUB {subject} {head} {all}\r\n{headers}").into_bytes();
        out.extend_from_slice(payload);
        out.extend_from_slice(b"\r\n");
        connection.send(&out).await.unwrap();
        connection.in_step().await.unwrap();
    }
}

#[async_trait]
impl Rig for Real {
    fn source(&self, port: Option<u16>) -> Result<Box<dyn Source>> {
        let port = port.unwrap_or(self.server.port);
        let mut settings = self.settings.as_object().unwrap().clone();
        settings.insert(
            "url".into(),
            format!("nats://me:p%40ss@127.0.0.1:{port}").into(),
        );
        let context = Context {
            identity: "gust-1".to_owned(),
            dial: Dial::default(),
        };
        Provider::of::<Nats>().open(&settings, context)
    }

    async fn publish(&self, payload: &[u8]) {
        self.put("orders.new", "", payload).await;
    }

    async fn set_down(&self, down: bool) {
        self.server.set_down(down);
        if !down && self.durable {
            self.api("$JS.API.STREAM.INFO.ORDERS", &json!({})).await;
        }
    }

    fn redelivers(&self) -> bool {
        self.durable
    }
}

const STARTS: &[&[u8]] = &[
    b"INFO {}\r\n",
    b"INFO {}\r\nPONG\r\n",
    b"INFO {}\r\nPONG\r\nPONG\r\nMSG ",
    b"INFO {}\r\nPONG\r\nPONG\r\nMSG a 1 10\r\n",
    b"INFO {\"tls_required\":true}\r\n",
    b"-ERR 'x'\r\n",
];

#[tokio::test]
async fn subjects_pass_the_suite() {
    for settings in [
        json!({"subject": "orders.*"}),
        json!({"subject": "orders.>", "queue": "q"}),
    ] {
        let real = Real::start(settings).await;
        suite::delivers(&real).await;
        suite::comes_back(&real).await;
        suite::stops(&real).await;
        suite::minds_garbage(&real, STARTS).await;
    }
}

#[tokio::test]
async fn streams_pass_the_suite() {
    let real = Real::start(json!({"stream": "ORDERS", "consumer": "c", "ack_wait": "2s"})).await;
    suite::delivers(&real).await;
    suite::acknowledges_what_is_kept(&real).await;
    suite::comes_back(&real).await;
    suite::stops(&real).await;
    suite::minds_garbage(&real, STARTS).await;
    // Killed, the server forgets the last acknowledgements; it sends those messages again.
    let running = Running::start(real.source(None).unwrap(), false).await;
    let mut info = Value::Null;
    for _ in 0..200 {
        info = real.api("$JS.API.CONSUMER.INFO.ORDERS.c", &json!({})).await;
        if info["num_ack_pending"] == 0 && info["num_pending"] == 0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(info["num_ack_pending"], 0, "{info}");
    running.stop().await;
}

#[tokio::test]
async fn a_stream_can_be_read_from_its_start_and_events_stay_what_they_are() {
    let real =
        Real::start(json!({"stream": "ORDERS", "from": "start", "subject": "orders.a"})).await;
    for n in 0..350 {
        real.put("orders.a", "", n.to_string().as_bytes()).await;
    }
    real.put("orders.b", "", b"another subject").await;
    let headers = "ce-specversion: 1.0\r\nce-id: 7\r\nce-source: /shop\r\nce-type: order.made\r\nce-subject: a%20b\r\nContent-Type: text/plain\r\n";
    real.put("orders.a", headers, b"carried").await;
    let running = Running::start(real.source(None).unwrap(), false).await;
    let wanted: Vec<String> = (0..350).map(|n| n.to_string()).collect();
    let mut wanted: Vec<&[u8]> = wanted.iter().map(String::as_bytes).collect();
    wanted.push(b"carried");
    running.inbox.has(&wanted).await;
    assert_eq!(running.inbox.data().len(), 351);
    let events = running.inbox.events();
    let first = &events[0];
    assert_eq!(first.event.id(), "ORDERS:1");
    assert_eq!(first.event.source(), "/nats/127.0.0.1/orders.a");
    assert!(first.key.as_deref().unwrap().starts_with("ORDERS:1/1"));
    let carried = events
        .iter()
        .find(|e| e.event.kind() == "order.made")
        .unwrap();
    assert_eq!(carried.event.subject(), Some("a b"));
    assert_eq!(carried.event.datacontenttype(), Some("text/plain"));
    running.stop().await;
}

#[tokio::test]
async fn the_bounds_of_a_consumer_are_kept_to() {
    let real = Real::start(json!({"stream": "ORDERS", "consumer": "mine"})).await;
    let config = json!({"stream_name": "ORDERS", "config": {
        "durable_name": "mine", "ack_policy": "explicit", "max_batch": 5, "max_expires": 2_000_000_000u64,
    }});
    real.api("$JS.API.CONSUMER.DURABLE.CREATE.ORDERS.mine", &config)
        .await;
    let running = Running::start(real.source(None).unwrap(), false).await;
    let wanted: Vec<String> = (0..23).map(|n| n.to_string()).collect();
    for text in &wanted {
        real.put("orders.a", "", text.as_bytes()).await;
    }
    let wanted: Vec<&[u8]> = wanted.iter().map(String::as_bytes).collect();
    running.inbox.has(&wanted).await;
    running.stop().await;
}

#[tokio::test]
async fn another_subject_is_another_consumer_or_is_said() {
    let real = Real::start(json!({"stream": "ORDERS", "from": "start"})).await;
    real.put("orders.eu", "", b"eu").await;
    real.put("orders.us", "", b"us").await;
    let open = |settings: Value| {
        let mut all = json!({"url": format!("nats://me:p%40ss@127.0.0.1:{}", real.server.port),
            "stream": "ORDERS", "from": "start"});
        let map = all.as_object_mut().unwrap();
        map.extend(settings.as_object().unwrap().clone());
        let context = Context {
            identity: "gust-1".to_owned(),
            dial: Dial::default(),
        };
        Provider::of::<Nats>().open(map, context).unwrap()
    };
    for subject in ["eu", "us"] {
        let source = open(json!({"subject": format!("orders.{subject}")}));
        let running = Running::start(source, false).await;
        running.inbox.has(&[subject.as_bytes()]).await;
        assert_eq!(running.inbox.data().len(), 1);
        running.stop().await;
    }
    let named = |subject: &str| open(json!({"subject": subject, "consumer": "named"}));
    let running = Running::start(named("orders.eu"), false).await;
    running.inbox.has(&[b"eu"]).await;
    running.stop().await;
    let (other, inbox) = (named("orders.us"), suite::Kept::default());
    let error = other.run(&inbox, Stop::new()).await.unwrap_err();
    assert!(error.message.contains("other subjects"), "{error:?}");
}

#[tokio::test]
async fn what_cannot_be_is_said() {
    let real = Real::start(json!({"stream": "ORDERS", "consumer": "pushed"})).await;
    let config = json!({"stream_name": "ORDERS", "config": {
        "durable_name": "pushed", "deliver_subject": "x", "ack_policy": "explicit",
    }});
    real.api("$JS.API.CONSUMER.DURABLE.CREATE.ORDERS.pushed", &config)
        .await;
    let run = async |real: &Real, settings: Value| {
        let mut settings = settings.as_object().unwrap().clone();
        let port = real.server.port;
        settings
            .entry("url")
            .or_insert_with(|| format!("nats://me:p%40ss@127.0.0.1:{port}").into());
        let context = Context {
            identity: "gust-1".to_owned(),
            dial: Dial::default(),
        };
        let source = Provider::of::<Nats>().open(&settings, context).unwrap();
        let inbox = suite::Kept::default();
        source.run(&inbox, Stop::new()).await.unwrap_err()
    };
    let error = run(&real, json!({"stream": "ORDERS", "consumer": "pushed"})).await;
    assert!(error.message.contains("pushes"), "{error:?}");
    let error = run(&real, json!({"stream": "NOPE"})).await;
    assert!(error.message.contains("stream not found"), "{error:?}");
    let url = format!("nats://me:geheim@127.0.0.1:{}", real.server.port);
    let error = run(&real, json!({"url": url, "subject": "a"})).await;
    let text = format!("{error:?}");
    assert!(
        text.contains("Authorization Violation") && !text.contains("geheim"),
        "{text}"
    );
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let open = |settings: Value| {
        let context = Context {
            identity: "gust-1".to_owned(),
            dial: Dial::default(),
        };
        let opened = Provider::of::<Nats>().open(settings.as_object().unwrap(), context);
        opened.err().map(|error| error.message)
    };
    assert_eq!(
        open(json!({"url": "tls://token@h", "subject": "a.>"})),
        None
    );
    for (settings, about) in [
        (json!({"url": "nats://h"}), "`subject` or `stream`"),
        (
            json!({"url": "nats://h", "subject": "a\r\nPUB x"}),
            "`subject` is no name",
        ),
        (
            json!({"url": "nats://h", "subject": ""}),
            "`subject` is no name",
        ),
        (
            json!({"url": "nats://h", "subject": "a", "queue": "b c"}),
            "`queue` is no name",
        ),
        (
            json!({"url": "nats://h", "stream": "a.b"}),
            "`stream` is no name",
        ),
        (
            json!({"url": "nats://h", "stream": "a", "queue": "q"}),
            "`queue` means nothing",
        ),
        (
            json!({"url": "nats://h", "subject": "a", "consumer": "q"}),
            "`consumer` means nothing",
        ),
        (
            json!({"url": "nats://h/x", "subject": "a"}),
            "ends with something",
        ),
        (json!({"url": "nats://h,i", "subject": "a"}), "host"),
    ] {
        let found = open(settings.clone()).unwrap_or_default();
        assert!(found.contains(about), "{settings}: {found}");
    }
}
