//! Brokers of others, real ones, as child processes on free ports; and just enough of their protocols to publish.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
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
}

/// A broker. Dropped, it is killed.
pub struct Broker {
    kind: Kind,
    folder: tempfile::TempDir,
    port: u16,
    child: Option<Child>,
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
        };
        broker.up()?;
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
                begun.elapsed() < Duration::from_secs(30),
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
        }
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

/// A short packet: its kind, and what is in it.
fn packet(stream: &mut TcpStream) -> Result<Vec<u8>> {
    let mut head = [0; 2];
    stream.read_exact(&mut head)?;
    let mut body = vec![0; usize::from(head[1])];
    stream.read_exact(&mut body)?;
    Ok([vec![head[0]], body].concat())
}
