//! Events from PostgreSQL: notifications, and the changes of tables.
//!
//! A notification is told to who listens at that moment: what is sent while nobody does is gone, and so is what this node
//! had heard and not written down when it went. Changes come out of a replication slot, over an ordinary connection: the
//! server keeps them until the slot is told to go on, which it is once they are durable here.
//!
//! The protocol (`protocol.rs`, `changes.rs`) is read here and not by a client library, so that no row takes more memory
//! than it may, a transaction of any size comes row by row, and every address is one that may be reached. Start with
//! [`Postgres`], then `replicate.rs`.
#![warn(missing_docs)]

pub mod changes;
mod connection;
mod listen;
mod login;
pub mod protocol;
mod replicate;
mod row;

use std::time::Duration;

use async_trait::async_trait;
use gust_task::Stop;
use gust_trigger::{Context, Dial, Inbox, Kind, Peer, Scheme, Source, Tls};
use gust_types::{Error, Result, Span};
use serde::Deserialize;

/// The kind of source.
pub struct Postgres;

/// What can be said of one: a channel, or a publication.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    url: String,
    channel: Option<String>,
    publication: Option<String>,
    slot: Option<String>,
    every: Option<Span>,
    password: Option<String>,
    ca: Option<String>,
}

const SCHEMES: &[Scheme] = &[
    Scheme {
        name: "postgres",
        port: 5432,
        tls: false,
    },
    Scheme {
        name: "postgresql",
        port: 5432,
        tls: false,
    },
];

/// Bytes of a name in PostgreSQL.
const NAME: usize = 63;

/// A server, and how to log in.
pub(crate) struct Server {
    /// Without TLS: the protocol begins it itself.
    pub(crate) peer: Peer,
    /// Whether to insist on TLS.
    pub(crate) secure: bool,
    pub(crate) user: String,
    pub(crate) password: Option<String>,
    pub(crate) database: String,
    pub(crate) name: String,
    pub(crate) tls: Tls,
    pub(crate) dial: Dial,
}

struct PostgresSource {
    server: Server,
    of: Of,
}

/// What is listened to.
enum Of {
    Channel(String),
    Changes(replicate::Changes),
}

// === impl Postgres ===

impl Kind for Postgres {
    const KIND: &'static str = "postgres";
    type Settings = Settings;

    fn open(settings: Settings, context: Context) -> Result<Box<dyn Source>> {
        let of = settings.of(&context)?;
        let peer = Peer::parse(&settings.url, SCHEMES)?;
        let secure = secure(&peer)?;
        let user = peer.user.clone().unwrap_or_else(|| "postgres".to_owned());
        let database = match peer.path.is_empty() {
            true => user.clone(),
            false => peer.path.clone(),
        };
        for (what, text) in [("the user", &user), ("the database", &database)] {
            check(what, text)?;
        }
        let password = settings.password.or_else(|| peer.password.clone());
        if password
            .as_ref()
            .is_some_and(|password| password.contains('\0'))
        {
            return Err(Error::invalid(
                "the password of postgres has a zero byte in it",
            ));
        }
        let server = Server {
            secure,
            user,
            password,
            database,
            name: context.identity,
            peer,
            tls: Tls::new(settings.ca.as_deref())?,
            dial: context.dial,
        };
        Ok(Box::new(PostgresSource { server, of }))
    }
}

/// What the url says of TLS. With it, the certificate is always checked: without, it protects from nobody.
fn secure(peer: &Peer) -> Result<bool> {
    let mut secure = false;
    for (name, value) in &peer.query {
        secure = match (name.as_str(), value.as_str()) {
            ("sslmode", "disable") => false,
            ("sslmode", "require" | "verify-ca" | "verify-full") => true,
            ("sslmode", _) => {
                return Err(Error::invalid(
                    "`sslmode` in the url is disable or verify-full",
                ));
            }
            _ => {
                return Err(
                    Error::invalid("the url ends with something that means nothing here")
                        .hint(format!("write it like {peer}/database?sslmode=verify-full")),
                );
            }
        };
    }
    Ok(secure)
}

impl Settings {
    fn of(&self, context: &Context) -> Result<Of> {
        match (&self.channel, &self.publication) {
            (Some(channel), None) => {
                for (key, given) in [
                    ("slot", self.slot.is_some()),
                    ("every", self.every.is_some()),
                ] {
                    if given {
                        return Err(Error::invalid(format!(
                            "`{key}` means nothing for a channel of postgres"
                        )));
                    }
                }
                check("`channel`", channel)?;
                Ok(Of::Channel(channel.clone()))
            }
            (None, Some(publication)) => {
                check("`publication`", publication)?;
                let own = || context.identity.replace('-', "_").to_ascii_lowercase();
                let slot = self.slot.clone().unwrap_or_else(own);
                let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
                if slot.is_empty() || slot.len() > NAME || !slot.bytes().all(fits) {
                    return Err(Error::invalid("`slot` is no name that postgres knows")
                        .hint("small letters, digits and _, 63 at most"));
                }
                let every = self.every.unwrap_or(Span::secs(1)).0;
                if every < Duration::from_millis(100) {
                    return Err(Error::invalid("`every` of postgres is under 100ms"));
                }
                Ok(Of::Changes(replicate::Changes {
                    publication: publication.clone(),
                    slot,
                    every,
                }))
            }
            _ => Err(Error::invalid(
                "postgres needs exactly one of the keys `channel` and `publication`",
            )),
        }
    }
}

fn check(what: &str, text: &str) -> Result<()> {
    match !text.is_empty() && text.len() <= NAME && !text.contains('\0') {
        true => Ok(()),
        false => Err(Error::invalid(format!(
            "{what} of postgres has not 1 to {NAME} bytes"
        ))),
    }
}

// === impl PostgresSource ===

#[async_trait]
impl Source for PostgresSource {
    async fn run(&self, to: &dyn Inbox, stop: Stop) -> Result<()> {
        let connecting = connection::Connection::open(&self.server);
        let connection = tokio::select! {
            connection = connecting => connection?,
            () = stop.stopped() => return Ok(()),
        };
        let peer = &self.server.peer;
        match &self.of {
            Of::Channel(channel) => listen::run(channel, connection, peer, to, stop).await,
            Of::Changes(changes) => changes.run(connection, peer, to, stop).await,
        }
    }
}

#[cfg(test)]
mod tests;
