//! A connection to a broker, logged in, with one channel.

use std::time::Duration;

use gust_trigger::Wire;
use gust_types::{Error, Result};
use tokio::time::timeout;

use crate::{
    Terms,
    frame::{self, Frame, Kind, garbage},
    method::{self, Heard, Method},
};

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(20);
/// Seconds of silence that we agree to.
const SILENCE: u16 = 30;
/// The one channel.
const CHANNEL: u16 = 1;
/// The least that a frame may be agreed to be.
const LEAST: u32 = 4096;
/// Letters of a broker's complaint that are repeated.
const SHOWN: usize = 200;
/// What it calls what is not there.
const NOT_FOUND: u16 = 404;

pub(crate) struct Connection {
    pub(crate) wire: Wire,
    /// After how much silence the broker takes us for dead.
    pub(crate) silence: Duration,
}

// === impl Connection ===

impl Connection {
    pub(crate) async fn open(terms: &Terms) -> Result<Self> {
        let stream = terms.dial.connect(&terms.peer, &terms.tls).await?;
        let mut connection = Self {
            wire: Wire::new(stream, frame::MOST as usize),
            silence: Duration::from_secs(SILENCE.into()),
        };
        match timeout(ANSWER, connection.log_in(terms)).await {
            Ok(ended) => ended.map(|()| connection),
            Err(_) => Err(Error::unavailable("the broker does not answer")),
        }
    }

    async fn log_in(&mut self, terms: &Terms) -> Result<()> {
        self.wire.send(frame::HELLO).await?;
        let Heard::Start { mechanisms } = self.take().await? else {
            return Err(garbage());
        };
        if !mechanisms.split(' ').any(|one| one == "PLAIN") {
            return Err(
                Error::unavailable("the broker takes no user with a password")
                    .hint("it has to have the mechanism PLAIN"),
            );
        }
        let login = format!("\0{}\0{}", terms.user, terms.password);
        let start = Method::new(10, 11)
            .long(&properties(&terms.name))
            .short("PLAIN")
            .long(login.as_bytes())
            .short("en_US");
        self.send(0, &start).await?;
        let (most, heartbeat) = match self.take().await? {
            Heard::Tune { frame, heartbeat } => (frame, heartbeat),
            Heard::Close { code, text, .. } => return Err(refused(code, &text)),
            _ => return Err(garbage()),
        };
        let most = match most {
            0 => frame::MOST,
            most => most.clamp(LEAST, frame::MOST),
        };
        let heartbeat = match heartbeat {
            0 => SILENCE,
            heartbeat => heartbeat.min(SILENCE),
        };
        self.silence = Duration::from_secs(heartbeat.into());
        let tuned = Method::new(10, 31).u16(CHANNEL).u32(most).u16(heartbeat);
        self.send(0, &tuned).await?;
        let open = Method::new(10, 40).short(&terms.vhost).short("").u8(0);
        self.ask(0, &open, (10, 41)).await?;
        self.open_channel().await
    }

    async fn open_channel(&mut self) -> Result<()> {
        self.ask(CHANNEL, &Method::new(20, 10).short(""), (20, 11))
            .await
    }

    /// A method that is answered with this class and method.
    pub(crate) async fn request(&mut self, method: &Method, yes: (u16, u16)) -> Result<()> {
        let asked = timeout(ANSWER, self.ask(CHANNEL, method, yes));
        asked
            .await
            .unwrap_or_else(|_| Err(Error::unavailable("the broker does not answer")))
    }

    /// Whether something is there, by a question that ends the channel when it is not.
    pub(crate) async fn is_there(&mut self, method: &Method, yes: (u16, u16)) -> Result<bool> {
        let asking = async {
            self.send(CHANNEL, method).await?;
            loop {
                match self.take().await? {
                    Heard::Ok(class, method) if (class, method) == yes => return Ok(true),
                    Heard::Close {
                        connection: false,
                        code: NOT_FOUND,
                        ..
                    } => {
                        self.send(CHANNEL, &Method::new(20, 41)).await?;
                        self.open_channel().await?;
                        return Ok(false);
                    }
                    Heard::Close { code, text, .. } => return Err(refused(code, &text)),
                    Heard::Nothing => {}
                    _ => return Err(garbage()),
                }
            }
        };
        match timeout(ANSWER, asking).await {
            Ok(found) => found,
            Err(_) => Err(Error::unavailable("the broker does not answer")),
        }
    }

    async fn ask(&mut self, channel: u16, method: &Method, yes: (u16, u16)) -> Result<()> {
        self.send(channel, method).await?;
        loop {
            match self.take().await? {
                Heard::Ok(class, method) if (class, method) == yes => return Ok(()),
                Heard::Close { code, text, .. } => return Err(refused(code, &text)),
                Heard::Nothing => {}
                _ => return Err(garbage()),
            }
        }
    }

    async fn send(&mut self, channel: u16, method: &Method) -> Result<()> {
        let mut out = Vec::new();
        frame::write(&mut out, channel, Kind::Method, method.payload());
        self.wire.send(&out).await
    }

    /// A method that nobody answers.
    pub(crate) async fn tell(&mut self, method: &Method) -> Result<()> {
        self.send(CHANNEL, method).await
    }

    pub(crate) async fn heartbeat(&mut self) -> Result<()> {
        let mut out = Vec::new();
        frame::write(&mut out, 0, Kind::Heartbeat, &[]);
        self.wire.send(&out).await
    }

    /// What is said next. Dropped while it waits, it loses nothing.
    pub(crate) async fn take(&mut self) -> Result<Heard> {
        let frame: Frame = self.wire.take(frame::read).await?;
        match frame.channel {
            0 | CHANNEL => method::read(frame),
            _ => Err(garbage()),
        }
    }

    /// Says goodbye, and waits until what was said before has been heard.
    pub(crate) async fn close(&mut self) -> Result<()> {
        let close = Method::new(10, 50).u16(200).short("").u16(0).u16(0);
        self.send(0, &close).await?;
        while self.take().await? != Heard::Ok(10, 51) {}
        Ok(())
    }
}

/// What we say of ourselves, and that a refusal is to be told.
fn properties(name: &str) -> Vec<u8> {
    let mut able = Vec::new();
    for capability in ["authentication_failure_close", "consumer_cancel_notify"] {
        entry(&mut able, capability, b't', &[1]);
    }
    let mut out = Vec::new();
    for (key, value) in [("product", "gust"), ("connection_name", name)] {
        entry(&mut out, key, b'S', &sized(value.as_bytes()));
    }
    entry(&mut out, "capabilities", b'F', &sized(&able));
    out
}

fn entry(out: &mut Vec<u8>, name: &str, kind: u8, value: &[u8]) {
    out.push(name.len() as u8);
    out.extend_from_slice(name.as_bytes());
    out.push(kind);
    out.extend_from_slice(value);
}

fn sized(bytes: &[u8]) -> Vec<u8> {
    let mut out = (bytes.len() as u32).to_be_bytes().to_vec();
    out.extend_from_slice(bytes);
    out
}

/// The broker ends what was begun.
pub(crate) fn refused(code: u16, text: &str) -> Error {
    let text: String = text
        .chars()
        .filter(|c| !c.is_control())
        .take(SHOWN)
        .collect();
    let error = Error::unavailable(format!("the broker refuses: {code} {text}"));
    match code {
        403 => error.hint("are user and password right, and may this user read the queue?"),
        530 => error.hint("the virtual host stands after the url's port: amqp://host:5672/name"),
        _ => error,
    }
}
