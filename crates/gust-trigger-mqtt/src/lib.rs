//! Events from MQTT brokers, in the versions 3.1.1 and 5.
//!
//! With `qos = 1` the broker keeps a session for the trigger: what is published while this node is away waits there, and a
//! message is acknowledged once it is durable here. With `qos = 0` the broker keeps nothing.
//!
//! The protocol (`packet.rs`) is read here and not by a client library, so that no packet takes more memory than it may and
//! nothing is acknowledged before its time. Start with [`Mqtt`], then `session.rs`.
#![warn(missing_docs)]

pub mod packet;
mod session;

use std::sync::atomic::AtomicBool;

use async_trait::async_trait;
use gust_task::Stop;
use gust_trigger::{Context, Dial, Inbox, Kind, Peer, Scheme, Source, Tls};
use gust_types::{Digest, Error, Result, Span};
use serde::Deserialize;

use packet::Version;

/// The kind of source.
pub struct Mqtt;

/// What can be said of one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    url: String,
    topic: String,
    qos: Option<u8>,
    share: Option<String>,
    version: Option<u8>,
    client_id: Option<String>,
    keep_alive: Option<Span>,
    session: Option<Span>,
    user: Option<String>,
    password: Option<String>,
    ca: Option<String>,
}

const SCHEMES: &[Scheme] = &[
    Scheme {
        name: "mqtt",
        port: 1883,
        tls: false,
    },
    Scheme {
        name: "mqtts",
        port: 8883,
        tls: true,
    },
    // As Spin's manifests have them.
    Scheme {
        name: "tcp",
        port: 1883,
        tls: false,
    },
    Scheme {
        name: "ssl",
        port: 8883,
        tls: true,
    },
];

/// A broker, and what to agree on with it.
pub(crate) struct Terms {
    pub(crate) peer: Peer,
    pub(crate) version: Version,
    pub(crate) client_id: String,
    pub(crate) filter: String,
    pub(crate) qos: u8,
    pub(crate) keep_alive: Span,
    /// How long the broker keeps the session, where it can be told.
    pub(crate) session: Span,
    pub(crate) tls: Tls,
    pub(crate) dial: Dial,
    /// Whether the broker granted the subscription since this trigger was started.
    pub(crate) granted: AtomicBool,
}

struct MqttSource(Terms);

// === impl Mqtt ===

impl Kind for Mqtt {
    const KIND: &'static str = "mqtt";
    type Settings = Settings;

    fn open(settings: Settings, context: Context) -> Result<Box<dyn Source>> {
        Ok(Box::new(MqttSource(settings.terms(context)?)))
    }
}

impl Settings {
    fn terms(self, context: Context) -> Result<Terms> {
        let mut peer = Peer::parse(&self.url, SCHEMES)?.without_path()?;
        peer.user = self.user.or(peer.user);
        peer.password = self.password.or(peer.password);
        let version = match self.version.unwrap_or(3) {
            3 => Version::V3,
            5 => Version::V5,
            _ => return Err(Error::invalid("`version` of mqtt is 3 (3.1.1) or 5")),
        };
        if version == Version::V3 && peer.user.is_none() && peer.password.is_some() {
            return Err(Error::invalid(
                "mqtt 3.1.1 takes no password without a user",
            ));
        }
        let qos = self.qos.unwrap_or(1);
        if qos > 1 {
            return Err(Error::invalid("`qos` of mqtt is 0 or 1")
                .hint("deliveries are at least once, so 2 would promise too much"));
        }
        let filter = filter(&self.topic, self.share.as_deref())?;
        let keep_alive = self.keep_alive.unwrap_or(Span::secs(30));
        if keep_alive < Span::secs(2) || keep_alive > Span::secs(3600) {
            return Err(Error::invalid("`keep_alive` is not between 2s and 1h"));
        }
        if version == Version::V3 && self.session.is_some() {
            return Err(Error::invalid(
                "`session` means nothing before version 5: the broker decides",
            ));
        }
        // A session keeps its subscription: another topic is another session.
        let digest = Digest::of(format!("{filter} {qos}").as_bytes()).hex();
        let own = || {
            format!(
                "{}-{}",
                context.identity,
                digest.get(..6).unwrap_or_default()
            )
        };
        let client_id = self.client_id.unwrap_or_else(own);
        if client_id.is_empty() || client_id.len() > 200 || client_id.contains('\0') {
            return Err(Error::invalid("`client_id` is not 1 to 200 bytes"));
        }
        Ok(Terms {
            peer,
            version,
            client_id,
            filter,
            qos,
            keep_alive,
            session: self.session.unwrap_or(Span::secs(86_400)),
            tls: Tls::new(self.ca.as_deref())?,
            dial: context.dial,
            granted: AtomicBool::new(false),
        })
    }
}

/// The topic filter that is subscribed to.
fn filter(topic: &str, share: Option<&str>) -> Result<String> {
    let levels = || topic.split('/');
    let last = levels().count() - 1;
    let fits = |(n, level): (usize, &str)| match level {
        "+" => true,
        "#" => n == last,
        level => !level.contains(['+', '#']),
    };
    let valid = !topic.is_empty()
        && topic.len() < 60_000
        && !topic.contains('\0')
        && !topic.starts_with("$share/")
        && levels().enumerate().all(fits);
    if !valid {
        return Err(Error::invalid("`topic` is no topic filter of mqtt").hint(
            "a level may be +, the last one #; for a shared subscription write `share` beside it",
        ));
    }
    match share {
        None => Ok(topic.to_owned()),
        Some(share) if share.is_empty() || share.contains(['/', '+', '#', '\0']) => Err(
            Error::invalid("`share` is no name of a shared subscription"),
        ),
        Some(share) => Ok(format!("$share/{share}/{topic}")),
    }
}

// === impl MqttSource ===

#[async_trait]
impl Source for MqttSource {
    async fn run(&self, to: &dyn Inbox, stop: Stop) -> Result<()> {
        session::run(&self.0, to, stop).await
    }
}

#[cfg(test)]
mod tests;
