//! Events from NATS: what is published to a subject, and what a JetStream stream holds.
//!
//! A subject forgets: what is published while nobody listens is gone, and so is what this node had heard and not written
//! down when it went. A stream is pulled through a durable consumer and acknowledged message by message once it is durable
//! here.
//!
//! The protocol (`protocol.rs`) is read here and not by a client library, so that no message takes more memory than it may
//! and every address is one that may be reached. Start with [`Nats`], then `stream.rs`.
#![warn(missing_docs)]

mod connection;
pub mod protocol;
mod stream;
mod subject;

use async_trait::async_trait;
use gust_task::Stop;
use gust_trigger::{Context, Dial, Inbox, Kind, Peer, Scheme, Source, Tls};
use gust_types::{Digest, Error, Result, Span};
use serde::Deserialize;

/// The kind of source.
pub struct Nats;

/// What can be said of one: a subject, or a stream.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    url: String,
    subject: Option<String>,
    queue: Option<String>,
    stream: Option<String>,
    consumer: Option<String>,
    #[serde(default)]
    from: From,
    ack_wait: Option<Span>,
    password: Option<String>,
    token: Option<String>,
    ca: Option<String>,
}

/// Where a consumer begins that is not there yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum From {
    /// At what is published from now on.
    #[default]
    End,
    /// At the first message.
    Start,
}

const SCHEMES: &[Scheme] = &[
    Scheme {
        name: "nats",
        port: 4222,
        tls: false,
    },
    Scheme {
        name: "tls",
        port: 4222,
        tls: true,
    },
];

/// A server, and how to log in.
pub(crate) struct Server {
    /// Without TLS: the protocol begins it itself.
    pub(crate) peer: Peer,
    /// Whether to insist on TLS.
    pub(crate) secure: bool,
    pub(crate) token: Option<String>,
    pub(crate) name: String,
    pub(crate) tls: Tls,
    pub(crate) dial: Dial,
}

struct NatsSource {
    server: Server,
    of: Of,
}

/// What is listened to.
enum Of {
    Subject(subject::Subject),
    Stream(stream::Stream),
}

// === impl Nats ===

impl Kind for Nats {
    const KIND: &'static str = "nats";
    type Settings = Settings;

    fn open(settings: Settings, context: Context) -> Result<Box<dyn Source>> {
        let of = settings.of(&context)?;
        let mut peer = Peer::parse(&settings.url, SCHEMES)?.without_path()?;
        let secure = std::mem::replace(&mut peer.tls, false);
        peer.password = settings.password.or(peer.password);
        // A name alone is a token, as everywhere with NATS.
        let token = settings.token.or_else(|| match peer.password {
            None => peer.user.take(),
            Some(_) => None,
        });
        let server = Server {
            peer,
            secure,
            token,
            name: context.identity,
            tls: Tls::new(settings.ca.as_deref())?,
            dial: context.dial,
        };
        Ok(Box::new(NatsSource { server, of }))
    }
}

impl Settings {
    fn of(&self, context: &Context) -> Result<Of> {
        if let Some(subject) = &self.subject {
            check("subject", is_subject(subject))?;
        }
        let Some(stream) = self.stream.clone() else {
            let Some(subject) = self.subject.clone() else {
                return Err(Error::invalid("nats needs the key `subject` or `stream`"));
            };
            let of_streams = [
                ("consumer", self.consumer.is_some()),
                ("ack_wait", self.ack_wait.is_some()),
                ("from", self.from != From::End),
            ];
            if let Some((key, _)) = of_streams.iter().find(|(_, given)| *given) {
                return Err(Error::invalid(format!(
                    "`{key}` means nothing for nats without a stream"
                )));
            }
            let queue = self.queue.clone().unwrap_or_default();
            check("queue", queue.is_empty() || is_subject(&queue))?;
            return Ok(Of::Subject(subject::Subject { subject, queue }));
        };
        if self.queue.is_some() {
            return Err(Error::invalid("`queue` means nothing for a nats stream")
                .hint("consumers with one name share a stream"));
        }
        let consumer = self.consumer.clone();
        // Another subject is another place in the stream.
        let own = || match &self.subject {
            Some(subject) => {
                let digest = Digest::of(subject.as_bytes()).hex();
                format!(
                    "{}-{}",
                    context.identity,
                    digest.get(..6).unwrap_or_default()
                )
            }
            None => context.identity.clone(),
        };
        let consumer = consumer.unwrap_or_else(own);
        check("stream", is_name(&stream))?;
        check("consumer", is_name(&consumer))?;
        let ack_wait = self.ack_wait.unwrap_or(Span::secs(60));
        if ack_wait < Span::secs(1) {
            return Err(Error::invalid("`ack_wait` is under a second"));
        }
        Ok(Of::Stream(stream::Stream {
            stream,
            consumer,
            subject: self.subject.clone(),
            from: self.from,
            ack_wait: ack_wait.0,
        }))
    }
}

fn check(key: &str, fits: bool) -> Result<()> {
    match fits {
        true => Ok(()),
        false => Err(
            Error::invalid(format!("`{key}` is no name that nats knows"))
                .hint("no spaces, and in names of streams and consumers none of . * > / either"),
        ),
    }
}

/// Whether it can stand in a line of the protocol.
fn is_subject(text: &str) -> bool {
    let fits = |c: char| !c.is_whitespace() && !c.is_control();
    !text.is_empty() && text.len() <= 1024 && text.chars().all(fits)
}

fn is_name(text: &str) -> bool {
    is_subject(text) && text.len() <= 255 && !text.contains(['.', '*', '>', '/', '\\'])
}

// === impl NatsSource ===

#[async_trait]
impl Source for NatsSource {
    async fn run(&self, to: &dyn Inbox, stop: Stop) -> Result<()> {
        let connecting = connection::Connection::open(&self.server);
        let connection = tokio::select! {
            connection = connecting => connection?,
            () = stop.stopped() => return Ok(()),
        };
        let peer = &self.server.peer;
        match &self.of {
            Of::Subject(subject) => subject.run(connection, peer, to, stop).await,
            Of::Stream(stream) => stream.run(connection, peer, to, stop).await,
        }
    }
}

#[cfg(test)]
mod tests;
