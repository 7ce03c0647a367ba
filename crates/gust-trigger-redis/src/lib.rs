//! Events from Redis: what is published to a channel, and what is added to a stream.
//!
//! A channel forgets: what is published while nobody listens is gone, and so is what this node had heard and not written
//! down when it went. A stream is read in a consumer group and acknowledged entry by entry once it is durable here; what a
//! consumer that is gone had taken and not acknowledged is claimed.
//!
//! The protocol ([`resp`]) is read here and not by a client library, so that no reply takes more memory than it may.
//! Start with [`Redis`], then `stream.rs`.
#![warn(missing_docs)]

mod channel;
mod connection;
pub mod resp;
mod stream;

use async_trait::async_trait;
use gust_task::Stop;
use gust_trigger::{Context, Dial, Inbox, Kind, Peer, Scheme, Source, Tls};
use gust_types::{Error, Result, Span};
use serde::Deserialize;

/// The kind of source.
pub struct Redis;

/// What can be said of one: a channel, a pattern of channels, or a stream.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    url: String,
    channel: Option<String>,
    pattern: Option<String>,
    stream: Option<String>,
    group: Option<String>,
    consumer: Option<String>,
    #[serde(default)]
    from: From,
    claim_after: Option<Span>,
    password: Option<String>,
    ca: Option<String>,
}

/// Where a consumer group begins that is not there yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum From {
    /// At what is added from now on.
    #[default]
    End,
    /// At the first entry.
    Start,
}

const SCHEMES: &[Scheme] = &[
    Scheme {
        name: "redis",
        port: 6379,
        tls: false,
    },
    Scheme {
        name: "rediss",
        port: 6379,
        tls: true,
    },
];

/// A server, and how to log in.
pub(crate) struct Server {
    pub(crate) peer: Peer,
    pub(crate) database: u32,
    pub(crate) tls: Tls,
    pub(crate) dial: Dial,
}

struct RedisSource {
    server: Server,
    of: Of,
}

/// What is listened to.
enum Of {
    Channel(channel::Channel),
    Stream(stream::Stream),
}

// === impl Redis ===

impl Kind for Redis {
    const KIND: &'static str = "redis";
    type Settings = Settings;

    fn open(settings: Settings, context: Context) -> Result<Box<dyn Source>> {
        let of = settings.of(&context)?;
        let mut peer = Peer::parse(&settings.url, SCHEMES)?;
        if !peer.query.is_empty() {
            return Err(Error::invalid(
                "the url has a query, which means nothing here",
            ));
        }
        let database = match peer.path.as_str() {
            "" => 0,
            path => path.parse().map_err(|_| {
                Error::invalid("the path of the url is not the number of a database")
            })?,
        };
        peer.password = settings.password.or(peer.password);
        let server = Server {
            peer,
            database,
            tls: Tls::new(settings.ca.as_deref())?,
            dial: context.dial,
        };
        Ok(Box::new(RedisSource { server, of }))
    }
}

impl Settings {
    fn of(&self, context: &Context) -> Result<Of> {
        let named = [&self.channel, &self.pattern, &self.stream];
        if named.iter().filter(|name| name.is_some()).count() != 1 {
            return Err(Error::invalid(
                "redis needs exactly one of the keys `channel`, `pattern` and `stream`",
            ));
        }
        if named.into_iter().flatten().any(String::is_empty) {
            return Err(Error::invalid(
                "the name of what redis is to listen to is empty",
            ));
        }
        let Some(stream) = self.stream.clone() else {
            let of_streams = [
                ("group", self.group.is_some()),
                ("consumer", self.consumer.is_some()),
                ("claim_after", self.claim_after.is_some()),
                ("from", self.from != From::End),
            ];
            if let Some((key, _)) = of_streams.iter().find(|(_, given)| *given) {
                return Err(Error::invalid(format!(
                    "`{key}` means nothing for a redis channel"
                )));
            }
            let pattern = self.pattern.is_some();
            let name = self.channel.clone().or_else(|| self.pattern.clone());
            return Ok(Of::Channel(channel::Channel {
                name: name.unwrap_or_default(),
                pattern,
            }));
        };
        let claim_after = self.claim_after.unwrap_or(Span::secs(60));
        if claim_after < Span::secs(1) {
            return Err(Error::invalid("`claim_after` is under a second"));
        }
        let own = || context.identity.clone();
        Ok(Of::Stream(stream::Stream::new(
            stream,
            self.group.clone().unwrap_or_else(own),
            self.consumer.clone().unwrap_or_else(own),
            self.from,
            claim_after.0,
        )))
    }
}

// === impl RedisSource ===

#[async_trait]
impl Source for RedisSource {
    async fn run(&self, to: &dyn Inbox, stop: Stop) -> Result<()> {
        let connecting = connection::Connection::open(&self.server);
        let connection = tokio::select! {
            connection = connecting => connection?,
            () = stop.stopped() => return Ok(()),
        };
        match &self.of {
            Of::Channel(channel) => channel.run(connection, &self.server.peer, to, stop).await,
            Of::Stream(stream) => stream.run(connection, &self.server.peer, to, stop).await,
        }
    }
}

#[cfg(test)]
mod tests;
