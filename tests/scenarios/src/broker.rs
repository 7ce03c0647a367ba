//! Brokers of others, real ones, as child processes on free ports; and just enough of their protocols to publish.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};

/// The password of all of them.
pub const PASSWORD: &str = "p4ss-of-the-broker";

/// Which broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Redis, with everything written down before it answers.
    Redis,
    /// NATS with JetStream.
    Nats,
    /// Mosquitto.
    Mqtt,
    /// RabbitMQ.
    Amqp,
    /// PostgreSQL, with a table `orders` and the publication `shop` of it.
    Postgres,
}

/// A broker. Dropped, it is killed.
pub struct Broker {
    kind: Kind,
    folder: tempfile::TempDir,
    port: u16,
    child: Option<Child>,
    /// What maps ports for RabbitMQ: one of its own, so that it meets no other.
    mapper: Option<Child>,
}

/// A page that somebody else serves, of one text.
pub struct Page {
    /// Where it is.
    pub port: u16,
    shown: Arc<Mutex<Shown>>,
}

#[derive(Default)]
struct Shown {
    text: String,
    heard: Vec<String>,
}

// === impl Page ===

impl Page {
    /// One on a port of its own, for as long as the test runs.
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let shown = Arc::<Mutex<Shown>>::default();
        let shows = shown.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // Whoever goes away early is asked no questions.
                let _ = Self::answer(stream, &shows);
            }
        });
        Ok(Self { port, shown })
    }

    fn answer(mut stream: TcpStream, shown: &Mutex<Shown>) -> Result<()> {
        let heard = until(&mut stream, b"\r\n\r\n")?;
        let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown
            .heard
            .push(String::from_utf8_lossy(&heard).into_owned());
        let text = &shown.text;
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", text.len());
        Ok(stream.write_all(format!("{head}{text}").as_bytes())?)
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows this from now on.
    pub fn show(&self, text: &str) {
        self.shown().text = text.to_owned();
    }

    /// How often it was asked for.
    pub fn asked(&self) -> usize {
        self.shown().heard.len()
    }

    /// Whether a request had this in it.
    pub fn has_heard(&self, text: &str) -> bool {
        self.shown().heard.iter().any(|heard| heard.contains(text))
    }
}

// === impl Broker ===

impl Broker {
    /// One in a folder of its own.
    pub fn start(kind: Kind) -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut broker = Self {
            kind,
            folder: tempfile::tempdir()?,
            port,
            child: None,
            mapper: None,
        };
        broker.prepare()?;
        broker.up()?;
        if kind == Kind::Postgres {
            let table = "CREATE TABLE orders (id serial PRIMARY KEY, data text)";
            broker.sql(&format!(
                "{table}; CREATE PUBLICATION shop FOR TABLE orders"
            ))?;
        }
        if kind == Kind::Nats {
            let body = r#"{"name":"ORDERS","subjects":["orders"],"storage":"file"}"#;
            broker.nats("$JS.API.STREAM.CREATE.ORDERS", "", body)?;
        }
        Ok(broker)
    }

    /// Its URL, with the password.
    pub fn url(&self) -> String {
        let port = self.port;
        match self.kind {
            Kind::Redis => format!("redis://:{PASSWORD}@127.0.0.1:{port}"),
            Kind::Nats => format!("nats://me:{PASSWORD}@127.0.0.1:{port}"),
            Kind::Mqtt => format!("mqtt://me:{PASSWORD}@127.0.0.1:{port}"),
            Kind::Amqp => format!("amqp://me:{PASSWORD}@127.0.0.1:{port}"),
            Kind::Postgres => format!("postgres://me:{PASSWORD}@127.0.0.1:{port}/postgres"),
        }
    }

    /// Kills it.
    pub fn down(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// What is done once, before the first start.
    fn prepare(&mut self) -> Result<()> {
        let folder = self.folder.path();
        match self.kind {
            Kind::Amqp => {
                let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
                let child = Command::new("epmd")
                    .args(["-address", "127.0.0.1", "-port", &port.to_string()])
                    .spawn()
                    .context("epmd: `cargo xtask test` installs it")?;
                self.mapper = Some(child);
                std::fs::write(folder.join("mapper"), port.to_string())?;
                std::fs::write(folder.join("plugins"), "[].\n")?;
                let text = format!(
                    "listeners.tcp.1 = 127.0.0.1:{}\ndefault_user = me\ndefault_pass = {PASSWORD}\n",
                    self.port
                );
                std::fs::write(folder.join("rabbitmq.conf"), text)?;
            }
            Kind::Postgres => {
                let password = folder.join("password");
                std::fs::write(&password, PASSWORD)?;
                let made = self
                    .postgres("initdb")?
                    .args(["-U", "me", "-N", "-E", "UTF8", "--no-locale"])
                    .args(["-A", "scram-sha-256", "--pwfile"])
                    .arg(&password)
                    .arg("-D")
                    .arg(folder.join("data"))
                    .stdout(Stdio::null())
                    .status()?;
                ensure!(made.success(), "initdb");
            }
            Kind::Redis | Kind::Nats | Kind::Mqtt => {}
        }
        Ok(())
    }

    /// A program of PostgreSQL's newest version, which is on no path and does not run as root.
    fn postgres(&self, name: &str) -> Result<Command> {
        use std::os::unix::{fs::MetadataExt as _, fs::chown, process::CommandExt as _};
        const NOBODY: u32 = 65_534;
        let folder = self.folder.path();
        let versions = std::fs::read_dir("/usr/lib/postgresql")
            .context("postgresql: `cargo xtask test` installs it")?;
        let found = versions
            .flatten()
            .map(|version| version.path().join("bin").join(name));
        let program = found.filter(|path| path.is_file()).max();
        let mut command = Command::new(program.context("no postgresql")?);
        command.current_dir(folder);
        if std::fs::metadata("/proc/self")?.uid() == 0 {
            command.uid(NOBODY).gid(NOBODY);
            chown(folder, Some(NOBODY), Some(NOBODY))?;
        }
        Ok(command)
    }

    /// Starts it on what it had written down.
    pub fn up(&mut self) -> Result<()> {
        let mut command = self.command()?;
        command.stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let child = command
            .spawn()
            .with_context(|| format!("{command:?}: `cargo xtask test` installs it"))?;
        self.child = Some(child);
        let begun = gust_task::clock::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            ensure!(
                begun.elapsed() < Duration::from_secs(90),
                "{:?} does not listen",
                self.kind
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        // Some listen before they have read what they had written down.
        std::thread::sleep(Duration::from_millis(300));
        Ok(())
    }

    fn command(&self) -> Result<Command> {
        let (folder, port) = (self.folder.path(), self.port.to_string());
        let mut command;
        match self.kind {
            Kind::Redis => {
                command = Command::new("redis-server");
                command.args(["--port", &port, "--bind", "127.0.0.1"]);
                command.args(["--appendonly", "yes", "--appendfsync", "always"]);
                command
                    .args(["--requirepass", PASSWORD, "--dir"])
                    .arg(folder);
            }
            Kind::Nats => {
                command = Command::new("nats-server");
                command
                    .args(["-a", "127.0.0.1", "-p", &port, "-js", "-sd"])
                    .arg(folder);
                command.args(["--user", "me", "--pass", PASSWORD]);
            }
            Kind::Mqtt => {
                let file = self.mosquitto()?;
                command = Command::new("/usr/sbin/mosquitto");
                command.arg("-c").arg(file);
            }
            Kind::Amqp => {
                let dist = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
                // Debian's own start changes to a user that reads no folder of ours.
                command = Command::new("/usr/lib/rabbitmq/bin/rabbitmq-server");
                command
                    .env("HOME", folder)
                    .env(
                        "ERL_EPMD_PORT",
                        std::fs::read_to_string(folder.join("mapper"))?,
                    )
                    .env("ERL_EPMD_ADDRESS", "127.0.0.1")
                    // Then it is one process, which can be killed.
                    .env("NOTIFY_SOCKET", folder.join("none"))
                    .env("RABBITMQ_NODENAME", format!("t{port}@localhost"))
                    .env("RABBITMQ_DIST_PORT", dist.to_string())
                    .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
                    .env("RABBITMQ_NODE_PORT", &port)
                    .env("RABBITMQ_MNESIA_BASE", folder.join("data"))
                    .env("RABBITMQ_LOG_BASE", folder.join("log"))
                    .env("RABBITMQ_ENABLED_PLUGINS_FILE", folder.join("plugins"))
                    .env("RABBITMQ_CONFIG_FILE", folder.join("rabbitmq.conf"))
                    .env("RABBITMQ_PID_FILE", folder.join("pid"));
            }
            Kind::Postgres => {
                command = self.postgres("postgres")?;
                command.arg("-D").arg(folder.join("data"));
                command.args([
                    "-c",
                    "listen_addresses=127.0.0.1",
                    "-c",
                    "wal_level=logical",
                ]);
                command.args([
                    "-c",
                    "unix_socket_directories=",
                    "-c",
                    "shared_buffers=16MB",
                ]);
                command.arg("-c").arg(format!("port={port}"));
            }
        }
        Ok(command)
    }

    fn mosquitto(&self) -> Result<PathBuf> {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = self.folder.path();
        let (file, passwords) = (folder.join("mosquitto.conf"), folder.join("passwords"));
        let mut hash = Command::new("mosquitto_passwd");
        hash.args(["-b", "-c"])
            .arg(&passwords)
            .args(["me", PASSWORD]);
        ensure!(hash.status()?.success(), "mosquitto_passwd");
        // Started as root it lets go of its rights, and reads the file without them.
        for (path, mode) in [(&passwords, 0o644), (&folder.to_path_buf(), 0o755)] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
        }
        let text = format!(
            "listener {} 127.0.0.1\npassword_file {}\nmax_inflight_messages 500\n",
            self.port,
            passwords.display()
        );
        std::fs::write(&file, text)?;
        Ok(file)
    }

    /// Publishes data that is no event.
    pub fn publish(&self, data: &str) -> Result<()> {
        match self.kind {
            Kind::Redis => self.redis(&["XADD", "orders", "*", "data", data]),
            Kind::Nats => self.nats("orders", "", data),
            Kind::Mqtt => self.mqtt(&[], data),
            Kind::Amqp => self.amqp(&[], data),
            Kind::Postgres => self.sql(&format!("INSERT INTO orders (data) VALUES ('{data}')")),
        }
    }

    /// Publishes to a Redis channel, which remembers nothing.
    pub fn publish_to_channel(&self, data: &str) -> Result<()> {
        self.redis(&["PUBLISH", "news", data])
    }

    /// Publishes an event of the type `gust.order` with this id.
    pub fn publish_event(&self, id: &str, data: &str) -> Result<()> {
        let of = [
            ("specversion", "1.0"),
            ("type", "gust.order"),
            ("source", "/test"),
            ("id", id),
        ];
        match self.kind {
            Kind::Redis => {
                let mut words = vec!["XADD", "orders", "*"];
                words.extend(of.iter().flat_map(|(name, value)| [*name, *value]));
                words.extend(["data", data]);
                self.redis(&words)
            }
            Kind::Nats => {
                let lines = of
                    .iter()
                    .map(|(name, value)| format!("ce-{name}: {value}\r\n"));
                self.nats("orders", &lines.collect::<String>(), data)
            }
            Kind::Mqtt => self.mqtt(&of, data),
            Kind::Amqp => self.amqp(&of, data),
            Kind::Postgres => bail!("a row is no event of somebody else's"),
        }
    }

    /// Asks PostgreSQL.
    pub fn sql(&self, sql: &str) -> Result<()> {
        let begun = gust_task::clock::now();
        loop {
            let asked = Command::new("psql")
                .args(["-h", "127.0.0.1", "-U", "me", "-d", "postgres", "-q"])
                .args([
                    "-v",
                    "ON_ERROR_STOP=1",
                    "-p",
                    &self.port.to_string(),
                    "-c",
                    sql,
                ])
                .env("PGPASSWORD", PASSWORD)
                .output()?;
            let said = String::from_utf8_lossy(&asked.stderr).into_owned();
            // It listens before it has read what it had written down.
            let early = said.contains("starting up") && begun.elapsed() < Duration::from_secs(30);
            ensure!(asked.status.success() || early, "{said}");
            if asked.status.success() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Publishes to the exchange `shop` and waits until the broker has it.
    fn amqp(&self, headers: &[(&str, &str)], data: &str) -> Result<()> {
        fn short(text: &str) -> Vec<u8> {
            [&[text.len() as u8], text.as_bytes()].concat()
        }
        fn long(bytes: &[u8]) -> Vec<u8> {
            [&(bytes.len() as u32).to_be_bytes(), bytes].concat()
        }
        let mut stream = self.connect()?;
        stream.write_all(b"AMQP\0\0\x09\x01")?;
        ensure!(frame(&mut stream)?.starts_with(&[0, 10, 0, 10]), "no start");
        let login = format!("\0me\0{PASSWORD}");
        let words = [
            [
                &[0, 10, 0, 11, 0, 0, 0, 0][..],
                &short("PLAIN"),
                &long(login.as_bytes()),
                &short("en_US"),
            ]
            .concat(),
            [
                &[0, 10, 0, 31][..],
                &[0, 1],
                &131_072_u32.to_be_bytes(),
                &[0, 0],
            ]
            .concat(),
            [&[0, 10, 0, 40][..], &short("/"), &[0, 0]].concat(),
        ];
        write(&mut stream, 1, 0, &words[0])?;
        ensure!(
            frame(&mut stream)?.starts_with(&[0, 10, 0, 30]),
            "not let in"
        );
        write(&mut stream, 1, 0, &words[1])?;
        write(&mut stream, 1, 0, &words[2])?;
        ensure!(
            frame(&mut stream)?.starts_with(&[0, 10, 0, 41]),
            "not opened"
        );
        write(&mut stream, 1, 1, &[0, 20, 0, 10, 0])?;
        ensure!(
            frame(&mut stream)?.starts_with(&[0, 20, 0, 11]),
            "no channel"
        );
        // From now on it says when it has a message.
        write(&mut stream, 1, 1, &[0, 85, 0, 10, 0])?;
        ensure!(
            frame(&mut stream)?.starts_with(&[0, 85, 0, 11]),
            "no confirms"
        );
        let publish = [
            &[0, 60, 0, 40, 0, 0][..],
            &short("shop"),
            &short("new"),
            &[0],
        ]
        .concat();
        write(&mut stream, 1, 1, &publish)?;
        let table: Vec<u8> = headers
            .iter()
            .flat_map(|(name, value)| {
                let name = short(&format!("cloudEvents:{name}"));
                [name, vec![b'S'], long(value.as_bytes())].concat()
            })
            .collect();
        let size = (data.len() as u64).to_be_bytes();
        // With headers, and to be kept on the disk.
        let head = [&[0, 60, 0, 0][..], &size, &[0x30, 0], &long(&table), &[2]].concat();
        write(&mut stream, 2, 1, &head)?;
        write(&mut stream, 3, 1, data.as_bytes())?;
        ensure!(
            frame(&mut stream)?.starts_with(&[0, 60, 0, 80]),
            "not taken"
        );
        Ok(())
    }

    fn connect(&self) -> Result<TcpStream> {
        let stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        Ok(stream)
    }

    fn redis(&self, words: &[&str]) -> Result<()> {
        let mut stream = self.connect()?;
        for words in [&["AUTH", PASSWORD], words] {
            let mut out = format!("*{}\r\n", words.len());
            for word in words {
                out.push_str(&format!("${}\r\n{word}\r\n", word.len()));
            }
            stream.write_all(out.as_bytes())?;
            let answer = until(&mut stream, b"\n")?;
            ensure!(
                !answer.starts_with(b"-"),
                "{}",
                String::from_utf8_lossy(&answer)
            );
        }
        Ok(())
    }

    /// Asks for an answer of JetStream, so that what is published is there.
    fn nats(&self, subject: &str, headers: &str, data: &str) -> Result<()> {
        let mut stream = self.connect()?;
        let login =
            format!(r#"{{"user":"me","pass":"{PASSWORD}","verbose":false,"headers":true}}"#);
        let headers = format!("NATS/1.0\r\n{headers}\r\n");
        let (head, all) = (headers.len(), headers.len() + data.len());
        let out = format!(
            "CONNECT {login}\r\nSUB answer 1\r\nHPUB {subject} answer {head} {all}\r\n{headers}{data}\r\n"
        );
        stream.write_all(out.as_bytes())?;
        let answer = until(&mut stream, b"}\r\n")?;
        let answer = match String::from_utf8_lossy(&answer).contains("MSG answer") {
            true => answer,
            false => until(&mut stream, b"}\r\n")?,
        };
        let answer = String::from_utf8_lossy(&answer).into_owned();
        ensure!(
            answer.contains("MSG answer") && !answer.contains("error"),
            "{answer}"
        );
        Ok(())
    }

    fn mqtt(&self, properties: &[(&str, &str)], data: &str) -> Result<()> {
        let text = |text: &str| {
            let mut out = (text.len() as u16).to_be_bytes().to_vec();
            out.extend_from_slice(text.as_bytes());
            out
        };
        let whole = |kind: u8, body: Vec<u8>| {
            let mut out = vec![kind, body.len() as u8 | 0x80, (body.len() >> 7) as u8];
            out.extend(body);
            out
        };
        let mut stream = self.connect()?;
        let mut login = text("MQTT");
        login.extend([5, 0xc2, 0, 60, 0]);
        login.extend([text("publisher"), text("me"), text(PASSWORD)].concat());
        stream.write_all(&whole(0x10, login))?;
        let answer = packet(&mut stream)?;
        ensure!(
            answer.get(..3).is_some_and(|a| a[0] == 0x20 && a[2] == 0),
            "{answer:?}"
        );
        let mut listed = Vec::new();
        for (name, value) in properties {
            listed.push(0x26);
            listed.extend([text(name), text(value)].concat());
        }
        let mut body = text("orders/new");
        body.extend([0, 1, listed.len() as u8]);
        body.extend(listed);
        body.extend_from_slice(data.as_bytes());
        stream.write_all(&whole(0x32, body))?;
        let answer = packet(&mut stream)?;
        ensure!(answer.first() == Some(&0x40), "{answer:?}");
        Ok(())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.down();
        if let Some(mut mapper) = self.mapper.take() {
            let _ = mapper.kill();
            let _ = mapper.wait();
        }
    }
}

/// What comes up to these bytes.
fn until(stream: &mut TcpStream, end: &[u8]) -> Result<Vec<u8>> {
    let mut heard = Vec::new();
    let mut byte = [0];
    while !heard.ends_with(end) {
        if stream.read(&mut byte)? == 0 {
            bail!("closed after: {}", String::from_utf8_lossy(&heard));
        }
        heard.extend_from_slice(&byte);
    }
    Ok(heard)
}

/// A frame of AMQP.
fn write(stream: &mut TcpStream, kind: u8, channel: u8, payload: &[u8]) -> Result<()> {
    let head = [
        &[kind, 0, channel][..],
        &(payload.len() as u32).to_be_bytes(),
    ]
    .concat();
    Ok(stream.write_all(&[&head, payload, &[0xce]].concat())?)
}

/// What is in the next one that says anything.
fn frame(stream: &mut TcpStream) -> Result<Vec<u8>> {
    loop {
        let mut head = [0; 7];
        stream.read_exact(&mut head)?;
        let [kind, _, _, size @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes(size) as usize + 1];
        stream.read_exact(&mut payload)?;
        if kind != 8 {
            return Ok(payload);
        }
    }
}

/// A short packet: its kind, and what is in it.
fn packet(stream: &mut TcpStream) -> Result<Vec<u8>> {
    let mut head = [0; 2];
    stream.read_exact(&mut head)?;
    let mut body = vec![0; usize::from(head[1])];
    stream.read_exact(&mut body)?;
    Ok([vec![head[0]], body].concat())
}
