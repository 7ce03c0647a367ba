//! NATS JetStream: a stream in files, producers that each wait for the acknowledgement of the one before.
//!
//! A few connections carry all producers, as a client of NATS would. A producer is a place on its connection: one message
//! on its way, and the next when the acknowledgement comes to the place's own inbox.

use std::{
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use bytes::{Buf as _, Bytes, BytesMut};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{
    BODY, PRODUCERS, Published, body,
    peer::{self, Peer, SILENCE},
};
use crate::load;

const CONNECTIONS: usize = 8;
const HELLO: &[u8] = b"CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true}\r\nPING\r\n";

/// What a server says.
enum Said {
    /// To this subject.
    Message(String, Bytes),
    Ping,
    Pong,
    /// `INFO`, `+OK`.
    Other,
}

struct Connection {
    stream: TcpStream,
    heard: BytesMut,
    /// What to write when all that was heard is answered.
    to_say: Vec<u8>,
}

/// Whether this version can put a message on the disk before it acknowledges.
pub(super) fn can_sync(program: &Path) -> Result<bool> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("nats.conf");
    std::fs::write(&file, config(folder.path(), peer::free_port()?, true))?;
    let status = Command::new(program)
        .arg("-t")
        .arg("-c")
        .arg(&file)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    Ok(status.success())
}

fn config(folder: &Path, port: u16, synced: bool) -> String {
    let sync = if synced { "sync_interval: always" } else { "" };
    let store = folder.join("store");
    format!(
        "listen: \"127.0.0.1:{port}\"\njetstream {{\n  store_dir: {store:?}\n  max_file_store: 64GB\n  {sync}\n}}\n"
    )
}

/// Producers for so many seconds, to a server that is new.
pub(super) async fn publish(
    program: &Path,
    disk: &Path,
    synced: bool,
    seconds: u64,
) -> Result<Published> {
    let folder = tempfile::tempdir_in(disk)?;
    let port = peer::free_port()?;
    let file = folder.path().join("nats.conf");
    std::fs::write(&file, config(folder.path(), port, synced))?;
    let peer = Peer::start(Command::new(program).arg("-c").arg(&file), port).await?;
    make_stream(peer.addr).await?;
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(Connection::open(peer.addr).await?);
    }
    let begun = load::now();
    let end = begun + Duration::from_secs(seconds);
    let producing: Vec<_> = connections
        .into_iter()
        .enumerate()
        .map(|(n, connection)| gust_task::spawn("producers", produce(connection, n, end)))
        .collect();
    let mut took = Vec::new();
    for producers in producing {
        let ended = producers.await?;
        took.extend(ended.context("a connection's task panicked")??);
    }
    let acks_per_s = took.len() as f64 / begun.elapsed().as_secs_f64();
    Ok(Published { acks_per_s, took })
}

async fn make_stream(addr: SocketAddr) -> Result<()> {
    let mut connection = Connection::open(addr).await?;
    let stream = json!({
        "name": "EVENTS", "subjects": ["events"], "storage": "file", "retention": "limits", "num_replicas": 1,
        "max_msgs": -1, "max_bytes": -1, "max_age": 0, "discard": "old",
    })
    .to_string();
    let ask = format!(
        "SUB made 1\r\nPUB $JS.API.STREAM.CREATE.EVENTS made {}\r\n{stream}\r\n",
        stream.len()
    );
    connection.to_say.extend_from_slice(ask.as_bytes());
    connection.flush().await?;
    loop {
        if let Said::Message(_, answer) = connection.hear().await? {
            let answer: Value = serde_json::from_slice(&answer)?;
            ensure!(answer["error"].is_null(), "nats: no stream: {answer}");
            return Ok(());
        }
    }
}

/// All producers of a connection; answers how long each acknowledgement took.
async fn produce(mut connection: Connection, number: usize, end: Instant) -> Result<Vec<Duration>> {
    const PLACES: usize = PRODUCERS / CONNECTIONS;
    let inbox = format!("ack{number}");
    let subscribe = format!("SUB {inbox}.* 1\r\n");
    connection.to_say.extend_from_slice(subscribe.as_bytes());
    let mut sent = [load::now(); PLACES];
    let mut took = Vec::new();
    let (mut next, mut open) = (number as u64, PLACES);
    for (place, sent) in sent.iter_mut().enumerate() {
        *sent = load::now();
        connection.put(&inbox, place, next);
        next += CONNECTIONS as u64;
    }
    connection.flush().await?;
    while open > 0 {
        match connection.hear().await? {
            Said::Message(subject, answer) => {
                let place: usize = subject.rsplit('.').next().unwrap_or_default().parse()?;
                let sent = sent.get_mut(place).context("an inbox that nobody has")?;
                ensure!(
                    is_ack(&answer),
                    "nats: {}",
                    String::from_utf8_lossy(&answer)
                );
                took.push(sent.elapsed());
                *sent = load::now();
                if *sent >= end {
                    open -= 1;
                    continue;
                }
                connection.put(&inbox, place, next);
                next += CONNECTIONS as u64;
            }
            Said::Ping => connection.to_say.extend_from_slice(b"PONG\r\n"),
            Said::Pong | Said::Other => {}
        }
    }
    Ok(took)
}

/// `{"stream":"EVENTS","seq":7}`, and nothing about an error.
fn is_ack(answer: &[u8]) -> bool {
    let has = |word: &[u8]| answer.windows(word.len()).any(|w| w == word);
    has(b"\"seq\"") && !has(b"\"error\"")
}

// === impl Connection ===

impl Connection {
    async fn open(addr: SocketAddr) -> Result<Self> {
        let mut connection = Self {
            stream: Peer::connect(addr).await?,
            heard: BytesMut::new(),
            to_say: HELLO.to_vec(),
        };
        connection.flush().await?;
        while !matches!(connection.hear().await?, Said::Pong) {}
        Ok(connection)
    }

    fn put(&mut self, inbox: &str, place: usize, n: u64) {
        let head = format!("PUB events {inbox}.{place} {BODY}\r\n");
        self.to_say.extend_from_slice(head.as_bytes());
        self.to_say.extend_from_slice(&body(n));
        self.to_say.extend_from_slice(b"\r\n");
    }

    async fn flush(&mut self) -> Result<()> {
        if !self.to_say.is_empty() {
            self.stream.write_all(&self.to_say).await?;
            self.to_say.clear();
        }
        Ok(())
    }

    /// The next thing it says. What is to be said is written before waiting, and not sooner.
    async fn hear(&mut self) -> Result<Said> {
        loop {
            if let Some(said) = self.next()? {
                return Ok(said);
            }
            self.flush().await?;
            let read = self.stream.read_buf(&mut self.heard);
            let read = tokio::time::timeout(SILENCE, read).await;
            ensure!(read.context("nats says nothing")?? > 0, "nats ended");
        }
    }

    /// The next thing it said, when all of it is here.
    fn next(&mut self) -> Result<Option<Said>> {
        let Some(at) = self.heard.windows(2).position(|w| w == b"\r\n") else {
            return Ok(None);
        };
        let line = String::from_utf8_lossy(self.heard.get(..at).unwrap_or_default()).into_owned();
        let Some(head) = line.strip_prefix("MSG ") else {
            self.heard.advance(at + 2);
            return match line.as_str() {
                "PING" => Ok(Some(Said::Ping)),
                "PONG" => Ok(Some(Said::Pong)),
                error if error.starts_with("-ERR") => bail!("nats: {error}"),
                _ => Ok(Some(Said::Other)),
            };
        };
        // MSG subject sid [reply] length
        let subject = head.split(' ').next().unwrap_or_default().to_owned();
        let length: usize = head.rsplit(' ').next().unwrap_or_default().parse()?;
        if self.heard.len() < at + 2 + length + 2 {
            return Ok(None);
        }
        self.heard.advance(at + 2);
        let body = self.heard.split_to(length).freeze();
        self.heard.advance(2);
        Ok(Some(Said::Message(subject, body)))
    }
}
