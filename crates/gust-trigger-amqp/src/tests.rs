use std::{path::Path, process::Command, time::Duration};

use bytes::BufMut as _;
use gust_trigger::{
    Provider, Wire,
    suite::{self, Kept, Rig, Running, Server, until},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::*;
use connection::Connection;
use frame::Kind as Of;
use method::Method;

/// RabbitMQ, with a port mapper of its own so that it meets no other.
struct Real {
    server: Server,
    settings: Value,
    _mapper: Server,
    _folder: tempfile::TempDir,
}

fn rabbit(folder: &Path, mapper: u16) -> Server {
    let (port, dist) = (Server::free_port(), Server::free_port());
    let folder = folder.to_owned();
    std::fs::write(folder.join("plugins"), "[].\n").unwrap();
    let text = format!("listeners.tcp.1 = 127.0.0.1:{port}\nloopback_users = none\n");
    std::fs::write(folder.join("rabbitmq.conf"), text).unwrap();
    Server::start(port, move || {
        // Debian's own start changes to a user that reads no folder of ours.
        let mut command = Command::new("/usr/lib/rabbitmq/bin/rabbitmq-server");
        command
            .env("HOME", &folder)
            .env("ERL_EPMD_PORT", mapper.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            // Then it is one process, which can be killed.
            .env("NOTIFY_SOCKET", folder.join("none"))
            .env("RABBITMQ_NODENAME", format!("t{port}@localhost"))
            .env("RABBITMQ_DIST_PORT", dist.to_string())
            .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODE_PORT", port.to_string())
            .env("RABBITMQ_MNESIA_BASE", folder.join("data"))
            .env("RABBITMQ_LOG_BASE", folder.join("log"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", folder.join("plugins"))
            .env("RABBITMQ_CONFIG_FILE", folder.join("rabbitmq.conf"))
            .env("RABBITMQ_PID_FILE", folder.join("pid"));
        command
    })
}

impl Real {
    fn start(settings: Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mapper = Server::free_port();
        let port_mapper = Server::start(mapper, move || {
            let mut command = Command::new("epmd");
            command.args(["-address", "127.0.0.1", "-port", &mapper.to_string()]);
            command
        });
        Self {
            server: rabbit(folder.path(), mapper),
            settings,
            _mapper: port_mapper,
            _folder: folder,
        }
    }

    fn terms(&self, more: Value, port: u16) -> Result<Terms> {
        let mut settings = self.settings.as_object().unwrap().clone();
        settings.insert("url".into(), format!("amqp://127.0.0.1:{port}").into());
        settings.extend(more.as_object().unwrap().clone());
        let settings: Settings = serde_json::from_value(settings.into()).unwrap();
        settings.terms(context())
    }

    async fn connect(&self) -> Connection {
        let terms = self.terms(json!({}), self.server.port).unwrap();
        // It takes a moment after the port is open.
        for _ in 0..200 {
            if let Ok(connection) = Connection::open(&terms).await {
                return connection;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("no connection");
    }

    async fn declare(&self, queue: &str) {
        let mut connection = self.connect().await;
        let declare = Method::new(50, 10).u16(0).short(queue).u8(2).long(&[]);
        connection.request(&declare, (50, 11)).await.unwrap();
    }

    async fn put(&self, exchange: &str, key: &str, head: &[u8], body: &[u8]) {
        let mut connection = self.connect().await;
        let out = message(
            Method::new(60, 40).u16(0).short(exchange).short(key).u8(0),
            head,
            body,
        );
        connection.wire.send(&out).await.unwrap();
        // Answered after what was sent before it.
        let qos = Method::new(60, 10).u32(0).u16(1).u8(0);
        connection.request(&qos, (60, 11)).await.unwrap();
    }

    async fn fails(&self, more: Value) -> String {
        let terms = self.terms(more, self.server.port).unwrap();
        let ended = consume::run(&terms, &Kept::default(), Stop::new()).await;
        format!("{:?}", ended.unwrap_err())
    }
}

/// A message of a method, flags with properties, and a body.
fn message(method: Method, head: &[u8], body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    frame::write(&mut out, 1, Of::Method, method.payload());
    let mut header = vec![0, 60, 0, 0];
    header.put_u64(body.len() as u64);
    header.put_slice(head);
    frame::write(&mut out, 1, Of::Header, &header);
    for piece in body.chunks(100_000) {
        frame::write(&mut out, 1, Of::Body, piece);
    }
    out
}

/// No properties.
const BARE: &[u8] = &[0, 0];

fn context() -> Context {
    Context {
        identity: "gust-1".to_owned(),
        dial: Dial::default(),
    }
}

#[async_trait]
impl Rig for Real {
    fn source(&self, port: Option<u16>) -> Result<Box<dyn Source>> {
        let port = port.unwrap_or(self.server.port);
        Ok(Box::new(AmqpSource(self.terms(json!({}), port)?)))
    }

    async fn publish(&self, payload: &[u8]) {
        self.put("", "orders", BARE, payload).await;
    }

    async fn set_down(&self, down: bool) {
        self.server.set_down(down);
        if !down {
            self.connect().await;
        }
    }

    fn redelivers(&self) -> bool {
        true
    }
}

/// What a broker says up to where messages come.
fn answers() -> Vec<u8> {
    let mut out = Vec::new();
    let start = Method::new(10, 10)
        .u16(9)
        .long(&[])
        .long(b"AMQPLAIN PLAIN")
        .long(b"en_US");
    let tune = Method::new(10, 30).u16(0).u32(0).u16(0);
    for method in [start, tune, Method::new(10, 41).short("")] {
        frame::write(&mut out, 0, Of::Method, method.payload());
    }
    let declared = Method::new(50, 11).short("orders").u32(0).u32(0);
    let consumed = Method::new(60, 21).short("gust-1");
    for method in [
        Method::new(20, 11).long(&[]),
        declared,
        Method::new(60, 11),
        consumed,
    ] {
        frame::write(&mut out, 1, Of::Method, method.payload());
    }
    out
}

fn deliver(tag: u64, redelivered: bool) -> Method {
    let method = Method::new(60, 60).short("gust-1").u64(tag);
    method.u8(redelivered.into()).short("").short("orders")
}

/// Speaks these bytes, and gives back what it hears until it has spoken and was left.
async fn speaks(
    said: Vec<u8>,
    then_closes: bool,
) -> (u16, tokio::task::JoinHandle<Option<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = gust_task::spawn("broker", async move {
        let (tcp, _) = listener.accept().await.unwrap();
        let (mut read, mut write) = tcp.into_split();
        let speaking = async {
            write.write_all(&said).await.unwrap();
            if then_closes {
                tokio::time::sleep(Duration::from_millis(50)).await;
                write.shutdown().await.unwrap();
            }
            Ok::<_, std::io::Error>(write)
        };
        let mut heard = Vec::new();
        let _ = tokio::join!(speaking, read.read_to_end(&mut heard));
        heard
    });
    (port, task)
}

#[tokio::test]
async fn queues_pass_the_suite() {
    let real = Real::start(json!({"queue": "orders"}));
    real.declare("orders").await;
    suite::delivers(&real).await;
    suite::acknowledges_what_is_kept(&real).await;
    suite::comes_back(&real).await;
    suite::stops(&real).await;
    let all = answers();
    let begun = [all.clone(), message(deliver(1, false), BARE, b"")].concat();
    let starts: Vec<&[u8]> = vec![
        &all[..7],
        &all[..40],
        &all,
        &begun[..begun.len() - 5],
        b"AMQP\0\0\x09\x01",
        b"\x01\0\0\xff\xff\xff\xff",
        b"\x08\0\0\0\0\0\0\xce",
    ];
    suite::minds_garbage(&real, &starts).await;
}

#[tokio::test]
async fn an_exchange_is_bound_to_and_events_stay_what_they_are() {
    let real = Real::start(
        json!({"queue": "mine", "exchange": "shop", "exchange_type": "topic", "keys": ["orders.#", "文"]}),
    );
    real.connect().await;
    let running = Running::start(real.source(None).unwrap(), false).await;
    real.put("shop", "news.x", BARE, b"not wanted").await;
    real.put("shop", "orders.a.b", BARE, b"plain").await;
    real.put("shop", "文", BARE, "正文".as_bytes()).await;
    let mut head = 0b1010_0000_1000_0000_u16.to_be_bytes().to_vec();
    head.extend(b"\x0aimage/jpeg");
    let mut table = Vec::new();
    for (name, value) in [
        ("cloudEvents:specversion", "1.0"),
        ("cloudEvents_id", "7"),
        ("cloudEvents:source", "/shop"),
        ("cloudEvents:type", "order.made"),
        ("cloudEvents:subject", "主题"),
        ("x-other", "y"),
    ] {
        table.put_u8(name.len() as u8);
        table.put_slice(name.as_bytes());
        table.put_u8(b'S');
        table.put_u32(value.len() as u32);
        table.put_slice(value.as_bytes());
    }
    head.put_u32(table.len() as u32);
    head.extend(table);
    head.extend(b"\x05id-17");
    real.put("shop", "orders.c", &head, b"carried").await;
    let plain = [0x80, 0x80]
        .iter()
        .chain(b"\x10application/json\x05id-18")
        .copied();
    real.put("shop", "orders.d", &plain.collect::<Vec<u8>>(), b"{}")
        .await;
    running
        .inbox
        .has(&[b"plain", "正文".as_bytes(), b"carried", b"{}"])
        .await;
    let events = running.inbox.events();
    assert_eq!(events.len(), 4, "{events:?}");
    let first = &events[0].event;
    assert_eq!(first.kind(), "gust.amqp.message");
    assert_eq!(first.source(), "/amqp/127.0.0.1/mine");
    assert_eq!(first.subject(), Some("orders.a.b"));
    assert_eq!(first.attribute("gustredelivered"), None);
    let carried = &events[2].event;
    assert_eq!((carried.kind(), carried.id()), ("order.made", "7"));
    assert_eq!(carried.subject(), Some("主题"));
    assert_eq!(carried.datacontenttype(), Some("image/jpeg"));
    let own = &events[3].event;
    assert_eq!(
        (own.id(), own.datacontenttype()),
        ("id-18", Some("application/json"))
    );
    running.stop().await;
    // Bound once, it is still bound while nobody listens; what was not kept comes again and says so.
    real.put("shop", "orders.e", BARE, b"while away").await;
    let failing = Running::unconnected(real.source(None).unwrap(), Kept::default(), true);
    failing.ended().await.unwrap_err();
    let running = Running::start(real.source(None).unwrap(), false).await;
    running.inbox.has(&[b"while away"]).await;
    let again = &running.inbox.events()[0].event;
    assert_eq!(again.attribute("gustredelivered"), Some(&true.into()));
    // A queue that is deleted is said to be gone.
    let mut connection = real.connect().await;
    let delete = Method::new(50, 40).u16(0).short("mine").u8(0);
    connection.tell(&delete).await.unwrap();
    let error = running.ended().await.unwrap_err();
    assert!(error.message.contains("the queue is gone"), "{error:?}");
}

#[tokio::test]
async fn what_cannot_be_is_said() {
    let real = Real::start(json!({"queue": "orders"}));
    real.connect().await;
    for (more, about) in [
        (json!({}), "has no queue"),
        (json!({"exchange": "nowhere"}), "has no exchange"),
        (
            json!({"exchange": "x", "exchange_type": "nonsense"}),
            "the broker refuses: 503",
        ),
        (
            json!({"exchange": "amq.topic", "exchange_type": "topic", "keys": ["a"], "url": format!("amqp://guest:geheim@127.0.0.1:{}", real.server.port)}),
            "the broker refuses: 403",
        ),
        (
            json!({"url": format!("amqp://127.0.0.1:{}/nowhere", real.server.port)}),
            "the broker refuses: 530",
        ),
    ] {
        let said = real.fails(more).await;
        assert!(
            said.contains(about) && !said.contains("geheim"),
            "{about}: {said}"
        );
    }
}

#[tokio::test]
async fn a_broker_that_goes_wrong_does_no_harm() {
    let open = |port: u16| {
        let url = format!("amqp://127.0.0.1:{port}");
        let settings = json!({"url": url, "queue": "orders"});
        Provider::of::<Amqp>()
            .open(settings.as_object().unwrap(), context())
            .unwrap()
    };
    // Cut off within a message.
    let mut said = [answers(), message(deliver(1, false), BARE, b"whole")].concat();
    let cut = message(deliver(2, false), BARE, &[b'x'; 1000]);
    said.extend(&cut[..cut.len() - 10]);
    let (port, broker) = speaks(said, true).await;
    let inbox = std::sync::Arc::new(Kept::default());
    open(port).run(&*inbox, Stop::new()).await.unwrap_err();
    let kept: Vec<_> = inbox.data().into_iter().collect();
    assert!(
        kept.len() <= 1 && kept.iter().all(|data| *data == "whole"),
        "{kept:?}"
    );
    broker.await.unwrap();
    // Twice the same, then one that is too large, then one more.
    let mut said = answers();
    said.extend(message(deliver(1, false), BARE, b"twice"));
    said.extend(message(deliver(2, true), BARE, b"twice"));
    said.extend(message(
        deliver(3, false),
        BARE,
        &vec![0; Wire::MESSAGE + 1],
    ));
    said.extend(message(deliver(4, false), BARE, b""));
    let (port, broker) = speaks(said, false).await;
    let running = Running::start(open(port), false).await;
    until("three", || running.inbox.events().len() == 3).await;
    let events = running.inbox.events();
    assert_eq!(
        events[1].event.attribute("gustredelivered"),
        Some(&true.into())
    );
    assert_eq!(events[2].event.data(), None);
    running.stop().await;
    let heard = broker.await.unwrap().unwrap();
    let has = |method: Method| {
        heard
            .windows(method.payload().len())
            .any(|w| w == method.payload())
    };
    assert!(
        has(Method::new(60, 90).u64(3).u8(0)),
        "the large one is rejected"
    );
    assert!(
        has(Method::new(60, 80).u64(4).u8(1)),
        "the others are acknowledged"
    );
    // A body that is longer than it was said to be, and pieces of nothing.
    for said in [
        {
            let mut said = [answers(), message(deliver(1, false), BARE, b"")].concat();
            frame::write(&mut said, 1, Of::Body, b"more");
            said
        },
        {
            let mut said = answers();
            frame::write(&mut said, 1, Of::Method, deliver(1, false).payload());
            frame::write(&mut said, 1, Of::Method, deliver(2, false).payload());
            said
        },
        {
            let mut said = answers();
            frame::write(&mut said, 2, Of::Method, deliver(1, false).payload());
            said
        },
    ] {
        let (port, broker) = speaks(said, false).await;
        let error = open(port)
            .run(&Kept::default(), Stop::new())
            .await
            .unwrap_err();
        assert!(error.message.contains("does not speak AMQP"), "{error:?}");
        broker.await.unwrap();
    }
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let open = |settings: Value| {
        let opened = Provider::of::<Amqp>().open(settings.as_object().unwrap(), context());
        opened.err().map(|error| error.message)
    };
    let whole = json!({"url": "amqps://me@h/%2Fown", "queue": "q", "exchange": "e", "keys": ["#"], "prefetch": 7, "password": "x"});
    assert_eq!(open(whole), None);
    for (settings, about) in [
        (json!({"url": "amqp://h"}), "missing field `queue`"),
        (json!({"url": "redis://h", "queue": "q"}), "another scheme"),
        (
            json!({"url": "amqp://h/v?x=geheim", "queue": "q"}),
            "ends with something",
        ),
        (json!({"url": "amqp://h", "queue": ""}), "`queue` of amqp"),
        (
            json!({"url": "amqp://h", "queue": "q".repeat(256)}),
            "`queue` of amqp",
        ),
        (
            json!({"url": "amqp://me@h", "queue": "q"}),
            "without a password",
        ),
        (
            json!({"url": "amqp://h", "queue": "q", "keys": ["a"]}),
            "`keys` of amqp",
        ),
        (
            json!({"url": "amqp://h", "queue": "q", "exchange_type": "a"}),
            "`exchange_type`",
        ),
        (
            json!({"url": "amqp://h", "queue": "q", "exchange": "e", "keys": ["k".repeat(256)]}),
            "`keys` of amqp",
        ),
        (
            json!({"url": "amqp://h", "queue": "q", "prefetch": 0}),
            "`prefetch`",
        ),
        (
            json!({"url": "amqp://h", "queue": "q", "prefetch": 70000}),
            "not of its type",
        ),
    ] {
        let found = open(settings.clone()).unwrap_or_default();
        assert!(found.contains(about), "{settings}: {found}");
        assert!(!found.contains("geheim"), "{found}");
    }
}
