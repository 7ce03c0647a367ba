use std::{
    fs,
    os::unix::{
        fs::{MetadataExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use bytes::Bytes;
use gust_task::clock;
use gust_trigger::{
    Incoming, Provider,
    suite::{self, Kept, Rig, Running, Server as Process, until},
};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt as _, net::TcpListener};

use super::*;
use connection::Connection;

struct Real {
    server: Process,
    settings: Value,
    folder: tempfile::TempDir,
}

/// The newest that Debian has put there, which is on no path.
fn program(name: &str) -> PathBuf {
    let folders = fs::read_dir("/usr/lib/postgresql").expect("`cargo xtask test` installs it");
    let found = folders
        .flatten()
        .map(|folder| folder.path().join("bin").join(name));
    found.filter(|path| path.is_file()).max().unwrap()
}

/// It does not run as root.
fn command(name: &str, folder: &Path) -> Command {
    const NOBODY: u32 = 65_534;
    let mut command = Command::new(program(name));
    command
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        command.uid(NOBODY).gid(NOBODY);
        chown(folder, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    command
}

impl Real {
    async fn start(settings: Value) -> Self {
        Self::start_with(settings, "scram-sha-256", &[]).await
    }

    async fn start_with(settings: Value, way: &'static str, more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let password = folder.path().join("password");
        fs::write(&password, "p@ss 密码\n").unwrap();
        let data = folder.path().join("data");
        let made = command("initdb", folder.path())
            .args([
                "-U",
                "me",
                "-N",
                "-E",
                "UTF8",
                "--no-locale",
                "-A",
                way,
                "--pwfile",
            ])
            .arg(&password)
            .arg("-D")
            .arg(&data)
            .status();
        assert!(made.unwrap().success());
        let (port, path) = (Process::free_port(), folder.path().to_owned());
        let more: Vec<String> = more.iter().map(|one| (*one).to_owned()).collect();
        let server = Process::start(port, move || {
            let mut command = command("postgres", &path);
            command.arg("-D").arg(path.join("data"));
            for setting in [
                format!("port={port}"),
                format!("password_encryption={way}"),
                "listen_addresses=127.0.0.1".to_owned(),
                "unix_socket_directories=".to_owned(),
                "wal_level=logical".to_owned(),
                "max_connections=30".to_owned(),
                "shared_buffers=16MB".to_owned(),
            ]
            .iter()
            .chain(&more)
            {
                command.arg("-c").arg(setting);
            }
            command
        });
        let real = Self {
            server,
            settings,
            folder,
        };
        real.sql(
            "CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, data text)",
        )
        .await;
        real.sql("CREATE PUBLICATION \"shop 订单\" FOR TABLE orders")
            .await;
        real
    }

    fn url(&self, port: u16) -> String {
        format!("postgres://me:p%40ss%20%E5%AF%86%E7%A0%81@127.0.0.1:{port}/postgres")
    }

    fn parts(&self, more: Value) -> PostgresSource {
        let mut settings = self.settings.as_object().unwrap().clone();
        settings.insert("url".into(), self.url(self.server.port).into());
        settings.extend(more.as_object().unwrap().clone());
        let settings: Settings = serde_json::from_value(settings.into()).unwrap();
        let of = settings.of(&context()).unwrap();
        let peer = Peer::parse(&settings.url, SCHEMES).unwrap();
        let server = Server {
            secure: secure(&peer).unwrap(),
            user: peer.user.clone().unwrap(),
            password: settings.password.or_else(|| peer.password.clone()),
            database: peer.path.clone(),
            name: "gust-1".to_owned(),
            peer,
            tls: Tls::new(settings.ca.as_deref()).unwrap(),
            dial: Dial::default(),
        };
        PostgresSource { server, of }
    }

    async fn connect(&self) -> Connection {
        let server = self.parts(json!({})).server;
        // It takes a moment after the port is open.
        let begun = clock::now();
        loop {
            match Connection::open(&server).await {
                Ok(connection) => return connection,
                Err(error) if begun.elapsed() > Duration::from_secs(20) => panic!("{error:?}"),
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    async fn sql(&self, sql: &str) -> Vec<Vec<Option<Bytes>>> {
        self.connect().await.rows(sql).await.unwrap()
    }

    async fn fails(&self, more: Value) -> String {
        let source = self.parts(more);
        let ended = source.run(&Kept::default(), Stop::new()).await;
        format!("{:?}", ended.unwrap_err())
    }
}

fn context() -> Context {
    Context {
        identity: "gust-1".to_owned(),
        dial: Dial::default(),
    }
}

/// The text of a row as an event's data, for the suite.
struct Texts(Box<dyn Source>);

struct Unwrapping<'a>(&'a dyn Inbox);

#[async_trait]
impl Source for Texts {
    async fn run(&self, to: &dyn Inbox, stop: Stop) -> Result<()> {
        self.0.run(&Unwrapping(to), stop).await
    }
}

#[async_trait]
impl Inbox for Unwrapping<'_> {
    async fn keep(&self, events: Vec<Incoming>) -> Result<()> {
        let texts = events.into_iter().map(|mut incoming| {
            let data: Value =
                serde_json::from_slice(&incoming.event.data().unwrap().bytes).unwrap();
            let text = data["new"]["data"].as_str().unwrap_or_default().to_owned();
            incoming.event = incoming
                .event
                .with_data(gust_types::event::Data::binary(text));
            incoming
        });
        self.0.keep(texts.collect()).await
    }

    fn connected(&self) {
        self.0.connected();
    }

    async fn remembered(&self) -> Result<Option<Bytes>> {
        self.0.remembered().await
    }

    async fn remember(&self, memory: Bytes) -> Result<()> {
        self.0.remember(memory).await
    }
}

#[async_trait]
impl Rig for Real {
    fn source(&self, port: Option<u16>) -> Result<Box<dyn Source>> {
        let port = port.unwrap_or(self.server.port);
        let mut settings = self.settings.as_object().unwrap().clone();
        settings.insert("url".into(), self.url(port).into());
        let source = Provider::of::<Postgres>().open(&settings, context())?;
        Ok(match self.redelivers() {
            true => Box::new(Texts(source)),
            false => source,
        })
    }

    async fn publish(&self, payload: &[u8]) {
        let text = protocol::literal(std::str::from_utf8(payload).unwrap());
        match self.redelivers() {
            true => {
                self.sql(&format!("INSERT INTO orders (data) VALUES ({text})"))
                    .await
            }
            false => self.sql(&format!("SELECT pg_notify('订单', {text})")).await,
        };
    }

    async fn set_down(&self, down: bool) {
        if !down {
            // Those that served connections see that it is gone, and let go of what is shared.
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        self.server.set_down(down);
        if !down {
            self.connect().await;
        }
    }

    fn redelivers(&self) -> bool {
        self.settings.get("publication").is_some()
    }
}

const STARTS: &[&[u8]] = &[
    b"R\0\0\0\x08\0\0\0\0",
    b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I",
    b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05IZ\0\0\0\x05IA\0\0\0\x20",
    b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0R\0\0\0\x08\0\0\0\x0b",
    b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I",
    b"E\0\0\0\x10SFATAL\0",
    b"S",
];

#[tokio::test]
async fn channels_pass_the_suite() {
    let real = Real::start(json!({"channel": "订单"})).await;
    suite::delivers_up_to(&real, 7000).await;
    suite::comes_back(&real).await;
    suite::stops(&real).await;
    suite::minds_garbage(&real, STARTS).await;
    let running = Running::start(real.source(None).unwrap(), false).await;
    real.publish("正文".as_bytes()).await;
    running.inbox.has(&["正文".as_bytes()]).await;
    let event = &running.inbox.events()[0].event;
    assert_eq!(event.kind(), "gust.postgres.message");
    assert_eq!(event.subject(), Some("订单"));
    assert_eq!(event.datacontenttype(), Some("text/plain;charset=utf-8"));
    running.stop().await;
}

#[tokio::test]
async fn changes_pass_the_suite() {
    let real = Real::start(json!({"publication": "shop 订单", "every": "100ms"})).await;
    suite::delivers(&real).await;
    suite::acknowledges_what_is_kept(&real).await;
    suite::comes_back(&real).await;
    suite::stops(&real).await;
    suite::minds_garbage(&real, STARTS).await;
    // What is written while nobody looks waits.
    real.publish(b"while away").await;
    let running = Running::start(real.source(None).unwrap(), false).await;
    running.inbox.has(&[b"while away"]).await;
    running.stop().await;
}

/// What the slot still holds.
async fn held(real: &Real) -> i64 {
    let sql = "SELECT pg_current_wal_flush_lsn() - confirmed_flush_lsn FROM pg_replication_slots";
    let text = real.sql(sql).await[0][0].clone().unwrap();
    String::from_utf8(text.to_vec()).unwrap().parse().unwrap()
}

#[tokio::test]
async fn rows_are_json_and_keep_their_order() {
    let real =
        Real::start(json!({"publication": "shop 订单", "every": "100ms", "slot": "mine"})).await;
    real.sql("CREATE TABLE other (x int); CREATE TABLE full_one (x int, y text); ALTER TABLE full_one REPLICA IDENTITY FULL; \
              ALTER PUBLICATION \"shop 订单\" ADD TABLE full_one; \
              CREATE TABLE wide (id int PRIMARY KEY, ok bool, price numeric, at timestamptz, doc jsonb, big text); \
              ALTER TABLE wide ALTER big SET STORAGE EXTERNAL; ALTER PUBLICATION \"shop 订单\" ADD TABLE wide")
        .await;
    let start = || {
        Provider::of::<Postgres>().open(
        json!({"publication": "shop 订单", "every": "100ms", "slot": "mine", "url": real.url(real.server.port)}).as_object().unwrap(),
        context(),
    )
    };
    let running = Running::start(start().unwrap(), false).await;
    real.sql("BEGIN; INSERT INTO wide VALUES (1, true, 12.50, '2026-01-02 03:04:05+00', '{\"a\": [1, \"文\"]}', repeat('x', 5000)); \
              UPDATE wide SET ok = NULL WHERE id = 1; UPDATE wide SET id = 2 WHERE id = 1; DELETE FROM wide; COMMIT")
        .await;
    real.sql("INSERT INTO full_one VALUES (1, 'a'); UPDATE full_one SET y = 'b'; DELETE FROM full_one; TRUNCATE full_one, wide").await;
    until("all of them", || running.inbox.events().len() == 9).await;
    let events = running.inbox.events();
    let data: Vec<Value> = events
        .iter()
        .map(|one| serde_json::from_slice(&one.event.data().unwrap().bytes).unwrap())
        .collect();
    let big = "x".repeat(5000);
    let at = data[0]["new"]["at"].as_str().unwrap().to_owned();
    assert!(at.starts_with("2026-01-02"), "{at}");
    let row = |id: i32, ok: Value, big: Option<&str>| {
        let mut row =
            json!({"id": id, "ok": ok, "price": "12.50", "at": at, "doc": {"a": [1, "文"]}});
        if let Some(big) = big {
            row["big"] = big.into();
        }
        row
    };
    assert_eq!(
        data[0],
        json!({"operation": "insert", "schema": "public", "table": "wide", "new": row(1, true.into(), Some(&big))})
    );
    assert_eq!(
        data[1],
        json!({"operation": "update", "schema": "public", "table": "wide", "new": row(1, Value::Null, None), "unchanged": ["big"]})
    );
    assert_eq!(data[2]["old"], json!({"id": 1}));
    assert_eq!(data[2]["new"]["id"], 2);
    assert_eq!(
        data[3],
        json!({"operation": "delete", "schema": "public", "table": "wide", "old": {"id": 2}})
    );
    assert_eq!(
        data[5],
        json!({"operation": "update", "schema": "public", "table": "full_one", "old": {"x": 1, "y": "a"}, "new": {"x": 1, "y": "b"}})
    );
    assert_eq!(data[7]["operation"], "truncate");
    let first = &events[0].event;
    assert_eq!(first.kind(), "gust.postgres.insert");
    assert_eq!(first.source(), "/postgres/127.0.0.1/public.wide");
    assert_eq!(first.partitionkey(), Some("public.wide/id=1"));
    assert_eq!(events[1].event.partitionkey(), Some("public.wide/id=1"));
    assert_eq!(events[5].event.partitionkey(), Some("public.full_one"));
    let ids: std::collections::BTreeSet<_> = events.iter().map(|one| one.key.clone()).collect();
    assert_eq!(ids.len(), 9);
    // Where only other tables change, the slot goes on too.
    real.sql("INSERT INTO other SELECT generate_series(1, 20000)")
        .await;
    let mut left = i64::MAX;
    for _ in 0..100 {
        left = held(&real).await;
        if left < 100_000 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(left < 100_000, "{left}");
    running.stop().await;
}

#[tokio::test]
async fn what_was_not_kept_is_found_again_under_the_same_keys() {
    let real = Real::start(json!({"publication": "shop 订单", "every": "100ms"})).await;
    let open = || Box::new(real.parts(json!({})));
    Running::start(open(), false).await.stop().await;
    // More than one look, and one transaction that is larger than a look.
    real.sql("INSERT INTO orders (data) SELECT '订单 ' || n FROM generate_series(1, 3000) n")
        .await;
    for n in 0..5 {
        real.sql(&format!("INSERT INTO orders (data) VALUES ('more {n}')"))
            .await;
    }
    let failing = Running::unconnected(open(), Kept::default(), true);
    failing.ended().await.unwrap_err();
    let running = Running::start(open(), false).await;
    until("all of them", || running.inbox.events().len() == 3005).await;
    let keys: std::collections::BTreeSet<_> = running
        .inbox
        .events()
        .into_iter()
        .map(|one| one.key)
        .collect();
    assert_eq!(keys.len(), 3005);
    running.stop().await;
    // Told to go on, the slot holds them no more.
    let running = Running::start(open(), false).await;
    real.publish(b"the next").await;
    until("one", || !running.inbox.events().is_empty()).await;
    assert_eq!(running.inbox.events().len(), 1);
    running.stop().await;
    // A row that nothing may be made of stops none that comes after it.
    let running = Running::start(open(), false).await;
    real.sql("INSERT INTO orders (data) VALUES (repeat('x', 9000000))")
        .await;
    real.publish(b"after it").await;
    until("one", || !running.inbox.events().is_empty()).await;
    let data = running.inbox.events()[0]
        .event
        .data()
        .unwrap()
        .bytes
        .clone();
    assert!(String::from_utf8_lossy(&data).contains("after it"));
    running.stop().await;
}

#[tokio::test]
async fn what_cannot_be_is_said() {
    let real = Real::start(json!({"channel": "c"})).await;
    real.sql("CREATE ROLE you LOGIN PASSWORD 'you'").await;
    real.sql("SELECT pg_create_logical_replication_slot('taken', 'test_decoding')")
        .await;
    let port = real.server.port;
    for (more, about) in [
        (
            json!({"channel": null, "publication": "nowhere"}),
            "no publication",
        ),
        (
            json!({"channel": null, "publication": "shop 订单", "slot": "taken"}),
            "of another kind",
        ),
        (json!({"channel": "c", "password": "geheim"}), "28P01"),
        (
            json!({"channel": "c", "url": format!("postgres://me@127.0.0.1:{port}/postgres")}),
            "there is none",
        ),
        (
            json!({"channel": "c", "password": "geheim", "url": format!("postgres://me@127.0.0.1:{port}/nowhere")}),
            "28P01",
        ),
        (
            json!({"channel": "c", "url": format!("{}?sslmode=verify-full", real.url(port))}),
            "no TLS",
        ),
        (
            json!({"channel": null, "publication": "shop 订单", "url": format!("postgres://you:you@127.0.0.1:{port}/postgres")}),
            "42501",
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
async fn older_ways_to_log_in_and_tls_work() {
    let signed = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let files = tempfile::tempdir().unwrap();
    let (cert, key) = (files.path().join("cert"), files.path().join("key"));
    fs::write(&cert, signed.cert.pem()).unwrap();
    fs::write(&key, signed.signing_key.serialize_pem()).unwrap();
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    drop(command("postgres", files.path()));
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        for file in [&cert, &key] {
            chown(file, Some(65_534), Some(65_534)).unwrap();
        }
    }
    let more = [
        "ssl=on".to_owned(),
        format!("ssl_cert_file={}", cert.display()),
        format!("ssl_key_file={}", key.display()),
    ];
    let more: Vec<&str> = more.iter().map(String::as_str).collect();
    let real = Real::start_with(json!({"channel": "订单"}), "md5", &more).await;
    let url = real.url(real.server.port).replace("127.0.0.1", "localhost");
    let over_tls = json!({"url": format!("{url}?sslmode=verify-full"), "ca": signed.cert.pem()});
    let running = Running::start(Box::new(real.parts(over_tls.clone())), false).await;
    real.publish(b"over TLS").await;
    running.inbox.has(&[b"over TLS"]).await;
    running.stop().await;
    let said = real
        .fails(json!({"url": format!("{url}?sslmode=require")}))
        .await;
    assert!(said.contains("no TLS with"), "{said}");
    // A password in the open is sent over TLS and not without.
    let rules = real.folder.path().join("data/pg_hba.conf");
    fs::write(rules, "host all all 127.0.0.1/32 password\n").unwrap();
    real.sql("SELECT pg_reload_conf()").await;
    let begun = clock::now();
    let said = loop {
        let stop = Stop::new();
        let source = real.parts(json!({}));
        let ended = tokio::time::timeout(
            Duration::from_millis(300),
            source.run(&Kept::default(), stop),
        )
        .await;
        if let Ok(ended) = ended {
            break format!("{:?}", ended.unwrap_err());
        }
        assert!(begun.elapsed() < Duration::from_secs(10));
    };
    assert!(said.contains("in the open"), "{said}");
    let running = Running::start(Box::new(real.parts(over_tls)), false).await;
    running.stop().await;
}

#[tokio::test]
async fn nothing_is_heard_that_was_said_before_tls() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = gust_task::spawn("liar", async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        tcp.write_all(b"SR\0\0\0\x08\0\0\0\0Z\0\0\0\x05I")
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
    });
    let settings = json!({"channel": "c", "url": format!("postgres://me:x@127.0.0.1:{port}/?sslmode=require")});
    let source = Provider::of::<Postgres>()
        .open(settings.as_object().unwrap(), context())
        .unwrap();
    let error = source.run(&Kept::default(), Stop::new()).await.unwrap_err();
    assert!(error.message.contains("out of turn"), "{error:?}");
    serving.await.unwrap();
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let open = |settings: Value| {
        let opened = Provider::of::<Postgres>().open(settings.as_object().unwrap(), context());
        opened.err().map(|error| error.message)
    };
    let whole = json!({"url": "postgresql://me@h:1/d?sslmode=verify-full", "publication": "p", "slot": "s_1", "every": "5s", "password": "x"});
    assert_eq!(open(whole), None);
    for (settings, about) in [
        (json!({"url": "postgres://h"}), "exactly one of"),
        (
            json!({"url": "postgres://h", "channel": "c", "publication": "p"}),
            "exactly one of",
        ),
        (
            json!({"url": "mysql://h", "channel": "c"}),
            "another scheme",
        ),
        (
            json!({"url": "postgres://h/d?sslmode=prefer", "channel": "c"}),
            "`sslmode`",
        ),
        (
            json!({"url": "postgres://h/d?x=geheim", "channel": "c"}),
            "ends with something",
        ),
        (
            json!({"url": "postgres://h", "channel": ""}),
            "`channel` of postgres",
        ),
        (
            json!({"url": "postgres://h", "channel": "c".repeat(64)}),
            "`channel` of postgres",
        ),
        (
            json!({"url": "postgres://h", "channel": "c", "slot": "s"}),
            "`slot` means nothing",
        ),
        (
            json!({"url": "postgres://h", "channel": "c", "every": "1s"}),
            "`every` means nothing",
        ),
        (
            json!({"url": "postgres://h", "publication": "p", "slot": "S"}),
            "`slot` is no name",
        ),
        (
            json!({"url": "postgres://h", "publication": "p", "every": "1ms"}),
            "`every`",
        ),
        (
            json!({"url": "postgres://h", "channel": "c", "password": "geheim\0"}),
            "zero byte",
        ),
    ] {
        let found = open(settings.clone()).unwrap_or_default();
        assert!(found.contains(about), "{settings}: {found}");
        assert!(!found.contains("geheim"), "{found}");
    }
}
