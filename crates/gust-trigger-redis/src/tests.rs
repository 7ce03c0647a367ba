use std::{process::Command, time::Duration};

use gust_trigger::{
    Provider,
    suite::{self, Rig, Running, Server},
};
use serde_json::json;

use super::*;

/// A server that writes down everything before it answers.
struct Real {
    server: Server,
    settings: serde_json::Value,
    durable: bool,
    _folder: tempfile::TempDir,
}

impl Real {
    fn start(settings: serde_json::Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (port, path) = (Server::free_port(), folder.path().to_owned());
        let server = Server::start(port, move || {
            let mut command = Command::new("redis-server");
            command
                .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
                .args(["--appendonly", "yes", "--appendfsync", "always"])
                .args(["--requirepass", "p@ss", "--dir"])
                .arg(&path);
            command
        });
        Self {
            durable: settings.get("stream").is_some(),
            settings,
            server,
            _folder: folder,
        }
    }

    fn open(&self, port: u16, more: serde_json::Value) -> Result<Box<dyn Source>> {
        let mut settings = self.settings.as_object().unwrap().clone();
        settings.insert(
            "url".into(),
            format!("redis://:p%40ss@127.0.0.1:{port}/1").into(),
        );
        settings.extend(more.as_object().unwrap().clone());
        Provider::of::<Redis>().open(&settings, context())
    }

    async fn ask(&self, words: &[&[u8]]) -> Value {
        let server = super::Server {
            peer: Peer::parse(
                &format!("redis://:p%40ss@127.0.0.1:{}", self.server.port),
                SCHEMES,
            )
            .unwrap(),
            database: 1,
            tls: Tls::new(None).unwrap(),
            dial: Dial::default(),
        };
        let mut connection = connection::Connection::open(&server).await.unwrap();
        connection.ask(words, Duration::from_secs(9)).await.unwrap()
    }
}

use resp::Value;

fn context() -> Context {
    Context {
        identity: "gust-1".to_owned(),
        dial: Dial::default(),
    }
}

#[async_trait]
impl Rig for Real {
    fn source(&self, port: Option<u16>) -> Result<Box<dyn Source>> {
        self.open(port.unwrap_or(self.server.port), json!({}))
    }

    async fn publish(&self, payload: &[u8]) {
        if !self.durable {
            self.ask(&[b"PUBLISH", b"orders.new", payload]).await;
            return;
        }
        let fields: [&[u8]; 8] = [
            b"specversion",
            b"1.0",
            b"source",
            b"/s",
            b"type",
            b"gust.t",
            b"id",
            b"1",
        ];
        let mut words: Vec<&[u8]> = vec![b"XADD", b"orders", b"*"];
        words.extend(fields);
        words.extend([&b"data"[..], payload]);
        self.ask(&words).await;
    }

    async fn set_down(&self, down: bool) {
        self.server.set_down(down);
        if !down {
            // It listens before it has read what it had written down.
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }

    fn redelivers(&self) -> bool {
        self.durable
    }
}

const STARTS: &[&[u8]] = &[
    b"*3\r\n",
    b"$",
    b"+OK\r\n",
    b"+OK\r\n+OK\r\n*3\r\n$9\r\n",
    b"*1\r\n*1\r\n*1\r\n",
];

#[tokio::test]
async fn channels_pass_the_suite() {
    for settings in [
        json!({"channel": "orders.new"}),
        json!({"pattern": "orders.*"}),
    ] {
        let real = Real::start(settings);
        suite::delivers(&real).await;
        suite::comes_back(&real).await;
        suite::stops(&real).await;
        suite::minds_garbage(&real, STARTS).await;
    }
}

#[tokio::test]
async fn streams_pass_the_suite() {
    let real = Real::start(json!({"stream": "orders", "group": "g"}));
    suite::delivers(&real).await;
    suite::acknowledges_what_is_kept(&real).await;
    suite::comes_back(&real).await;
    suite::stops(&real).await;
    suite::minds_garbage(&real, STARTS).await;
}

#[tokio::test]
async fn what_a_dead_consumer_left_is_claimed() {
    let real = Real::start(json!({"stream": "orders", "group": "g"}));
    real.ask(&[b"XGROUP", b"CREATE", b"orders", b"g", b"0", b"MKSTREAM"])
        .await;
    for n in 0..600 {
        real.ask(&[b"XADD", b"orders", b"*", b"n", n.to_string().as_bytes()])
            .await;
    }
    let words: [&[u8]; 9] = [
        b"XREADGROUP",
        b"GROUP",
        b"g",
        b"gone",
        b"COUNT",
        b"600",
        b"STREAMS",
        b"orders",
        b">",
    ];
    real.ask(&words).await;
    let source = real
        .open(real.server.port, json!({"claim_after": "1s"}))
        .unwrap();
    let running = Running::start(source, false).await;
    let wanted: Vec<String> = (0..600).map(|n| format!("{{\"n\":\"{n}\"}}")).collect();
    let wanted: Vec<&[u8]> = wanted.iter().map(String::as_bytes).collect();
    running.inbox.has(&wanted).await;
    let mut left = usize::MAX;
    for _ in 0..500 {
        let pending = real.ask(&[b"XPENDING", b"orders", b"g"]).await.items();
        left = match pending.first() {
            Some(Value::Integer(left)) => *left as usize,
            _ => left,
        };
        if left == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(left, 0, "acknowledged once kept");
    let event = running.inbox.events()[0].event.clone();
    assert_eq!(event.source(), "/redis/127.0.0.1/orders");
    assert_eq!(event.subject(), Some("orders"));
    assert_eq!(event.datacontenttype(), Some("application/json"));
    running.stop().await;
}

#[tokio::test]
async fn entries_larger_than_a_reply_are_read_one_by_one() {
    let real = Real::start(json!({"stream": "orders", "group": "g", "from": "start"}));
    let large = vec![b'x'; 5 << 20];
    for _ in 0..10 {
        real.ask(&[b"XADD", b"orders", b"*", b"data", &large]).await;
    }
    real.ask(&[b"XADD", b"orders", b"*", b"last", b"1"]).await;
    let source = real.source(None).unwrap();
    let first = Running::start(source, false)
        .await
        .ended()
        .await
        .unwrap_err();
    assert_eq!(first.kind, gust_types::Kind::Exhausted, "{first:?}");
    // The same source again, as a feed does it. 256, 32, 4.
    let settings = real.settings.clone();
    let stream = Settings {
        url: String::new(),
        ..serde_json::from_value(json!({"url": "", "stream": settings["stream"], "group": "g"}))
            .unwrap()
    };
    let Of::Stream(stream) = stream.of(&context()).unwrap() else {
        panic!("it is a stream");
    };
    let server = super::Server {
        peer: Peer::parse(
            &format!("redis://:p%40ss@127.0.0.1:{}", real.server.port),
            SCHEMES,
        )
        .unwrap(),
        database: 1,
        tls: Tls::new(None).unwrap(),
        dial: Dial::default(),
    };
    let source = std::sync::Arc::new(RedisSource {
        server,
        of: Of::Stream(stream),
    });
    struct Again(std::sync::Arc<RedisSource>);
    #[async_trait]
    impl Source for Again {
        async fn run(&self, to: &dyn Inbox, stop: Stop) -> Result<()> {
            self.0.run(to, stop).await
        }
    }
    for _ in 0..2 {
        let ended = Running::start(Box::new(Again(source.clone())), false)
            .await
            .ended()
            .await;
        assert!(ended.is_err());
    }
    let running = Running::start(Box::new(Again(source)), false).await;
    running.inbox.has(&[b"{\"last\":\"1\"}"]).await;
    running.stop().await;
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let open = |settings: serde_json::Value| {
        let opened = Provider::of::<Redis>().open(settings.as_object().unwrap(), context());
        opened.err().map(|error| error.message)
    };
    assert_eq!(open(json!({"url": "redis://h", "channel": "c"})), None);
    for (settings, about) in [
        (json!({"url": "redis://h"}), "exactly one"),
        (
            json!({"url": "redis://h", "channel": "c", "stream": "s"}),
            "exactly one",
        ),
        (json!({"url": "redis://h", "channel": ""}), "empty"),
        (
            json!({"url": "redis://h", "channel": "c", "group": "g"}),
            "`group` means nothing",
        ),
        (
            json!({"url": "redis://h/x", "channel": "c"}),
            "number of a database",
        ),
        (json!({"url": "http://h", "channel": "c"}), "scheme"),
        (
            json!({"url": "redis://h", "stream": "s", "claim_after": "1ms"}),
            "under a second",
        ),
        (
            json!({"url": "redis://h", "channel": "c", "ca": "x"}),
            "PEM",
        ),
    ] {
        let found = open(settings.clone()).unwrap_or_default();
        assert!(found.contains(about), "{settings}: {found}");
    }
}
