//! Events from RabbitMQ and other brokers of AMQP 0-9-1: what a queue holds.
//!
//! A message is acknowledged once it is durable here; until then the broker keeps it, and gives it out again when the
//! connection is lost.
//!
//! The protocol (`frame.rs`, `method.rs`) is read here and not by a client library, so that no message takes more memory
//! than it may and every address is one that may be reached. Start with [`Amqp`], then `consume.rs`.
#![warn(missing_docs)]

mod connection;
mod consume;
pub mod frame;
pub mod method;
mod table;

use async_trait::async_trait;
use gust_task::Stop;
use gust_trigger::{Context, Dial, Inbox, Kind, Peer, Scheme, Source, Tls};
use gust_types::{Error, Result};
use serde::Deserialize;

/// The kind of source.
pub struct Amqp;

/// What can be said of one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    url: String,
    queue: String,
    exchange: Option<String>,
    exchange_type: Option<String>,
    #[serde(default)]
    keys: Vec<String>,
    prefetch: Option<u16>,
    password: Option<String>,
    ca: Option<String>,
}

const SCHEMES: &[Scheme] = &[
    Scheme {
        name: "amqp",
        port: 5672,
        tls: false,
    },
    Scheme {
        name: "amqps",
        port: 5671,
        tls: true,
    },
];

/// Bytes of a name in the protocol.
const NAME: usize = 255;
/// Binding keys of one queue.
const KEYS: usize = 64;
/// Messages given out and not acknowledged.
const PREFETCH: u16 = 500;

/// A broker, and what to agree on with it.
pub(crate) struct Terms {
    pub(crate) peer: Peer,
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) vhost: String,
    pub(crate) name: String,
    pub(crate) queue: String,
    pub(crate) binding: Option<Binding>,
    pub(crate) prefetch: u16,
    pub(crate) tls: Tls,
    pub(crate) dial: Dial,
}

/// What a queue is to be bound to.
pub(crate) struct Binding {
    pub(crate) exchange: String,
    /// Of an exchange that is made when it is not there.
    pub(crate) kind: Option<String>,
    pub(crate) keys: Vec<String>,
}

struct AmqpSource(Terms);

// === impl Amqp ===

impl Kind for Amqp {
    const KIND: &'static str = "amqp";
    type Settings = Settings;

    fn open(settings: Settings, context: Context) -> Result<Box<dyn Source>> {
        Ok(Box::new(AmqpSource(settings.terms(context)?)))
    }
}

impl Settings {
    fn terms(self, context: Context) -> Result<Terms> {
        let peer = Peer::parse(&self.url, SCHEMES)?;
        if !peer.query.is_empty() {
            return Err(
                Error::invalid("the url ends with something that means nothing here")
                    .hint(format!("end it with the virtual host: {peer}/name")),
            );
        }
        let vhost = match peer.path.is_empty() {
            true => "/".to_owned(),
            false => peer.path.clone(),
        };
        let user = peer.user.clone().unwrap_or_else(|| "guest".to_owned());
        let password = self.password.or_else(|| peer.password.clone());
        let password = match (password, user.as_str()) {
            (Some(password), _) => password,
            (None, "guest") => "guest".to_owned(),
            (None, _) => return Err(Error::invalid("amqp takes no user without a password")),
        };
        for (key, text) in [("the virtual host", &vhost), ("`queue`", &self.queue)] {
            check(key, text)?;
        }
        let prefetch = self.prefetch.unwrap_or(PREFETCH);
        if prefetch == 0 || prefetch > 10_000 {
            return Err(Error::invalid(
                "`prefetch` of amqp is not between 1 and 10000",
            ));
        }
        Ok(Terms {
            binding: binding(self.exchange, self.exchange_type, self.keys)?,
            peer,
            user,
            password,
            vhost,
            name: context.identity,
            queue: self.queue,
            prefetch,
            tls: Tls::new(self.ca.as_deref())?,
            dial: context.dial,
        })
    }
}

fn binding(
    exchange: Option<String>,
    kind: Option<String>,
    keys: Vec<String>,
) -> Result<Option<Binding>> {
    let Some(exchange) = exchange else {
        return match (kind, keys.is_empty()) {
            (Some(_), _) => Err(Error::invalid(
                "`exchange_type` of amqp means nothing without `exchange`",
            )),
            (None, false) => Err(Error::invalid(
                "`keys` of amqp mean nothing without `exchange`",
            )),
            (None, true) => Ok(None),
        };
    };
    check("`exchange`", &exchange)?;
    if let Some(kind) = &kind {
        check("`exchange_type`", kind)?;
    }
    if keys.len() > KEYS {
        return Err(Error::invalid(format!(
            "`keys` of amqp are more than {KEYS}"
        )));
    }
    // An empty one is what fanouts are bound with.
    let fits = |key: &String| key.len() <= NAME;
    if !keys.iter().all(fits) {
        return Err(Error::invalid(
            "one of `keys` of amqp has more than 255 bytes",
        ));
    }
    let keys = match keys.is_empty() {
        true => vec![String::new()],
        false => keys,
    };
    Ok(Some(Binding {
        exchange,
        kind,
        keys,
    }))
}

fn check(what: &str, text: &str) -> Result<()> {
    match !text.is_empty() && text.len() <= NAME {
        true => Ok(()),
        false => Err(Error::invalid(format!(
            "{what} of amqp has not 1 to {NAME} bytes"
        ))),
    }
}

// === impl AmqpSource ===

#[async_trait]
impl Source for AmqpSource {
    async fn run(&self, to: &dyn Inbox, stop: Stop) -> Result<()> {
        consume::run(&self.0, to, stop).await
    }
}

#[cfg(test)]
mod tests;
