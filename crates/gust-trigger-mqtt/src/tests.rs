use std::{path::Path, process::Command};

use gust_trigger::{
    Provider, Wire,
    suite::{self, Rig, Running, Server},
};
use serde_json::{Value, json};

use super::*;
use packet::{Connect, Packet};

struct Real {
    server: Server,
    settings: Value,
    _folder: tempfile::TempDir,
}

fn broker(folder: &Path, more: &str) -> Server {
    let port = Server::free_port();
    let file = folder.join("mosquitto.conf");
    let text = format!("listener {port} 127.0.0.1\nmax_inflight_messages 500\n{more}\n");
    std::fs::write(&file, text).unwrap();
    Server::start(port, move || {
        let mut command = Command::new("/usr/sbin/mosquitto");
        command.arg("-c").arg(&file);
        command
    })
}

impl Real {
    fn start(settings: Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            server: broker(folder.path(), "allow_anonymous true"),
            settings,
            _folder: folder,
        }
    }

    fn open(&self, more: Value) -> Result<Box<dyn Source>> {
        let mut settings = self.settings.as_object().unwrap().clone();
        settings.insert(
            "url".into(),
            format!("mqtt://127.0.0.1:{}", self.server.port).into(),
        );
        settings.extend(more.as_object().unwrap().clone());
        Provider::of::<Mqtt>().open(&settings, context())
    }

    async fn put(&self, topic: &str, retain: bool, properties: &[(&str, &str)], payload: &[u8]) {
        let url = format!("mqtt://127.0.0.1:{}", self.server.port);
        let peer = Peer::parse(&url, SCHEMES).unwrap();
        let stream = Dial::default()
            .connect(&peer, &Tls::new(None).unwrap())
            .await
            .unwrap();
        let mut wire = Wire::new(stream, 1 << 20);
        let connect = packet::connect(&Connect {
            version: Version::V5,
            client_id: "publisher",
            clean: true,
            keep_alive: 60,
            session: 0,
            receive: 10,
            most: 1 << 20,
            user: None,
            password: None,
        });
        wire.send(&connect).await.unwrap();
        let acked = wire
            .take(|heard| packet::read(heard, Version::V5, 1 << 20))
            .await
            .unwrap();
        assert!(
            matches!(acked, Packet::ConnAck { code: 0, .. }),
            "{acked:?}"
        );
        let text = |out: &mut Vec<u8>, text: &str| {
            out.extend((text.len() as u16).to_be_bytes());
            out.extend(text.as_bytes());
        };
        let mut props = Vec::new();
        for (name, value) in properties {
            match *name {
                "content-type" => {
                    props.push(3);
                    text(&mut props, value);
                }
                name => {
                    props.push(0x26);
                    text(&mut props, name);
                    text(&mut props, value);
                }
            }
        }
        let mut body = Vec::new();
        text(&mut body, topic);
        body.extend([0, 1]);
        varint(&mut body, props.len());
        body.extend(props);
        body.extend(payload);
        let mut out = vec![0x32 | u8::from(retain)];
        varint(&mut out, body.len());
        out.extend(body);
        wire.send(&out).await.unwrap();
        // The broker has it once it acknowledges: a packet that no listener is sent.
        let acked = wire
            .take(|heard| Ok((heard.first() == Some(&0x40)).then_some(())))
            .await;
        acked.unwrap();
    }
}

fn varint(out: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

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
        self.open(json!({"url": format!("mqtt://127.0.0.1:{port}")}))
    }

    async fn publish(&self, payload: &[u8]) {
        self.put("orders/new", false, &[], payload).await;
    }

    async fn set_down(&self, down: bool) {
        self.server.set_down(down);
    }

    fn redelivers(&self) -> bool {
        self.settings["qos"] == 1
    }
}

const STARTS: &[&[u8]] = &[
    &[0x20, 2, 0, 0],
    &[0x20, 3, 0, 0, 0],
    &[0x20, 2, 0, 0, 0x90, 3, 0, 1, 1, 0x32],
    &[0x20, 2, 1, 0, 0x30, 0x7f, 0, 1],
    &[0x20, 2, 0, 5],
];

#[tokio::test]
async fn both_versions_and_qualities_pass_the_suite() {
    for settings in [
        json!({"topic": "orders/+", "qos": 1}),
        json!({"topic": "orders/#", "qos": 1, "version": 5}),
        json!({"topic": "orders/new", "qos": 1, "version": 5, "share": "g"}),
        json!({"topic": "orders/new", "qos": 0}),
    ] {
        let real = Real::start(settings);
        suite::delivers(&real).await;
        if real.redelivers() {
            suite::acknowledges_what_is_kept(&real).await;
        }
        suite::comes_back(&real).await;
        suite::stops(&real).await;
        suite::minds_garbage(&real, STARTS).await;
    }
}

#[tokio::test]
async fn what_is_published_while_nobody_is_there_waits_at_the_broker() {
    for version in [3, 5] {
        let real = Real::start(json!({"topic": "orders/#", "qos": 1, "version": version}));
        Running::start(real.source(None).unwrap(), false)
            .await
            .stop()
            .await;
        for n in 0..30 {
            real.put("orders/a", false, &[], format!("missed {n}").as_bytes())
                .await;
        }
        let running = Running::start(real.source(None).unwrap(), false).await;
        let wanted: Vec<String> = (0..30).map(|n| format!("missed {n}")).collect();
        let wanted: Vec<&[u8]> = wanted.iter().map(String::as_bytes).collect();
        running.inbox.has(&wanted).await;
        running.stop().await;
    }
}

#[tokio::test]
async fn what_is_retained_comes_once_and_events_stay_what_they_are() {
    let real = Real::start(json!({"topic": "orders/#", "qos": 1, "version": 5}));
    let event = [
        ("specversion", "1.0"),
        ("id", "7"),
        ("source", "/shop"),
        ("type", "order.made"),
        ("content-type", "text/plain"),
        ("X-Other", "y"),
    ];
    real.put("orders/a", true, &event, b"carried").await;
    let running = Running::start(real.source(None).unwrap(), false).await;
    running.inbox.has(&[b"carried"]).await;
    let first = running.inbox.events()[0].event.clone();
    assert_eq!((first.kind(), first.id()), ("order.made", "7"));
    assert_eq!(first.datacontenttype(), Some("text/plain"));
    running.stop().await;
    let running = Running::start(real.source(None).unwrap(), false).await;
    real.put("orders/订单", false, &[], b"plain").await;
    running.inbox.has(&[b"plain"]).await;
    assert!(!running.inbox.data().contains(&b"carried"[..]));
    let plain = running.inbox.events()[0].event.clone();
    assert_eq!(plain.kind(), "gust.mqtt.message");
    assert_eq!(plain.subject(), Some("orders/订单"));
    assert!(plain.source().starts_with("/mqtt/127.0.0.1/orders/%"));
    running.stop().await;
}

#[tokio::test]
async fn a_shared_subscription_is_shared() {
    let real = Real::start(json!({"topic": "orders/#", "qos": 1, "share": "g"}));
    let other = real.open(json!({"client_id": "another"})).unwrap();
    let one = Running::start(real.source(None).unwrap(), false).await;
    let two = Running::start(other, false).await;
    for n in 0..40 {
        real.put("orders/a", false, &[], n.to_string().as_bytes())
            .await;
    }
    suite::until("all are there", || {
        one.inbox.events().len() + two.inbox.events().len() == 40
    })
    .await;
    assert!(!one.inbox.events().is_empty() && !two.inbox.events().is_empty());
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn who_may_not_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let passwords = folder.path().join("passwords");
    let made = Command::new("mosquitto_passwd")
        .args(["-b", "-c"])
        .arg(&passwords)
        .args(["me", "p@ss"])
        .status();
    assert!(made.unwrap().success());
    // Started as root it lets go of its rights, and reads the file without them.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(&passwords, open).unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(folder.path(), open).unwrap();
    let server = broker(
        folder.path(),
        &format!("password_file {}", passwords.display()),
    );
    for version in [3, 5] {
        let open = |url: String| {
            let settings = json!({"url": url, "topic": "a", "version": version});
            Provider::of::<Mqtt>()
                .open(settings.as_object().unwrap(), context())
                .unwrap()
        };
        let right = open(format!("mqtt://me:p%40ss@127.0.0.1:{}", server.port));
        Running::start(right, false).await.stop().await;
        let wrong = open(format!("mqtt://me:geheim@127.0.0.1:{}", server.port));
        let error = wrong
            .run(&suite::Kept::default(), Stop::new())
            .await
            .unwrap_err();
        assert!(
            error.message.contains("refuses the connection"),
            "{error:?}"
        );
        assert!(!format!("{error:?}").contains("geheim"));
    }
}

/// A broker that refuses the first subscription, and knows the session from then on.
#[tokio::test]
async fn a_session_that_was_never_granted_is_subscribed_again() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let settings = json!({"url": format!("mqtt://127.0.0.1:{port}"), "topic": "a"});
    let source = Provider::of::<Mqtt>()
        .open(settings.as_object().unwrap(), context())
        .unwrap();
    let broker = async {
        for (session, code) in [(0, 0x80), (1, 1)] {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut heard = [0; 512];
            assert!(stream.read(&mut heard).await.unwrap() > 0);
            stream.write_all(&[0x20, 2, session, 0]).await.unwrap();
            let mut first = [0];
            stream.read_exact(&mut first).await.unwrap();
            assert_eq!(first, [0x82], "subscribes");
            stream.write_all(&[0x90, 3, 0, 1, code]).await.unwrap();
        }
    };
    let (inbox, stop) = (suite::Kept::default(), Stop::new());
    let trigger = async {
        let refused = source.run(&inbox, stop.clone()).await.unwrap_err();
        assert!(
            refused.message.contains("refuses the subscription"),
            "{refused:?}"
        );
        // The broker goes away after it has granted.
        source.run(&inbox, stop.clone()).await.unwrap_err();
    };
    let both = async { tokio::join!(broker, trigger) };
    let ended = tokio::time::timeout(std::time::Duration::from_secs(20), both);
    ended.await.expect("subscribes on both connections");
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let open = |settings: Value| {
        let opened = Provider::of::<Mqtt>().open(settings.as_object().unwrap(), context());
        opened.err().map(|error| error.message)
    };
    assert_eq!(
        open(json!({"url": "mqtts://u:p@h", "topic": "+/a/#", "share": "g"})),
        None
    );
    for (settings, about) in [
        (json!({"url": "mqtt://h", "topic": ""}), "`topic`"),
        (json!({"url": "mqtt://h", "topic": "a/#/b"}), "`topic`"),
        (json!({"url": "mqtt://h", "topic": "a+"}), "`topic`"),
        (json!({"url": "mqtt://h", "topic": "$share/g/a"}), "`topic`"),
        (
            json!({"url": "mqtt://h", "topic": "a", "share": "a/b"}),
            "`share`",
        ),
        (json!({"url": "mqtt://h", "topic": "a", "qos": 2}), "`qos`"),
        (
            json!({"url": "mqtt://h", "topic": "a", "version": 4}),
            "`version`",
        ),
        (
            json!({"url": "mqtt://h", "topic": "a", "session": "1h"}),
            "`session`",
        ),
        (
            json!({"url": "mqtt://h", "topic": "a", "keep_alive": "1s"}),
            "`keep_alive`",
        ),
        (
            json!({"url": "mqtt://h", "topic": "a", "password": "x"}),
            "without a user",
        ),
        (
            json!({"url": "mqtt://h", "topic": "a", "client_id": ""}),
            "`client_id`",
        ),
    ] {
        let found = open(settings.clone()).unwrap_or_default();
        assert!(found.contains(about), "{settings}: {found}");
    }
}
