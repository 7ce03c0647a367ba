//! A connection to a server, logged in.

use std::time::Duration;

use gust_trigger::Wire;
use gust_types::{Error, Result};
use tokio::time::timeout;

use crate::{
    Server,
    resp::{self, Value},
};

/// The largest reply: a batch of entries.
pub(crate) const REPLY: usize = 2 * Wire::MESSAGE;
/// How long an answer may take that needs no waiting.
pub(crate) const ANSWER: Duration = Duration::from_secs(20);

pub(crate) struct Connection {
    wire: Wire,
}

// === impl Connection ===

impl Connection {
    pub(crate) async fn open(server: &Server) -> Result<Self> {
        let stream = server.dial.connect(&server.peer, &server.tls).await?;
        let mut connection = Self {
            wire: Wire::new(stream, REPLY),
        };
        if let Some(password) = &server.peer.password {
            let words = match &server.peer.user {
                Some(user) => vec!["AUTH", user, password],
                None => vec!["AUTH", password],
            };
            connection.ask(&words, ANSWER).await?;
        }
        if server.database != 0 {
            let number = server.database.to_string();
            connection.ask(&["SELECT", &number], ANSWER).await?;
        }
        Ok(connection)
    }

    pub(crate) async fn send<W: AsRef<[u8]>>(&mut self, words: &[W]) -> Result<()> {
        self.wire.send(&resp::command(words)).await
    }

    /// The next value. Dropped while it waits, it loses nothing.
    pub(crate) async fn take(&mut self) -> Result<Value> {
        self.wire.take(|heard| resp::read(heard, REPLY)).await
    }

    /// The answer to a command. A refusal is an error.
    pub(crate) async fn ask<W: AsRef<[u8]>>(
        &mut self,
        words: &[W],
        patience: Duration,
    ) -> Result<Value> {
        self.send(words).await?;
        let name = words.first().map(AsRef::as_ref).unwrap_or_default();
        let name = String::from_utf8_lossy(name).into_owned();
        match timeout(patience, self.take()).await {
            Ok(value) => value?.accepted(&name),
            Err(_) => Err(Error::unavailable(format!("redis does not answer {name}"))),
        }
    }
}
