//! A connection to a server, logged in.

use std::time::Duration;

use gust_trigger::Wire;
use gust_types::{Error, Result};
use serde_json::json;
use tokio::time::timeout;

use crate::{
    Server,
    protocol::{self, Info, Message, Said, garbage},
};

/// How long an answer may take.
pub(crate) const ANSWER: Duration = Duration::from_secs(20);

pub(crate) struct Connection {
    wire: Wire,
}

// === impl Connection ===

impl Connection {
    pub(crate) async fn open(server: &Server) -> Result<Self> {
        let stream = server.dial.connect(&server.peer, &server.tls).await?;
        let mut connection = Self::over(stream);
        let info = connection.info().await?;
        if server.secure || info.tls_required {
            let plain = connection.wire.into_stream()?;
            let stream = timeout(ANSWER, server.tls.wrap(&server.peer, plain));
            let stream = stream
                .await
                .map_err(|_| Error::unavailable(format!("no TLS with {}", server.peer)))?;
            connection = Self::over(stream?);
        }
        connection.log_in(server).await?;
        Ok(connection)
    }

    fn over(stream: Box<dyn gust_trigger::Stream>) -> Self {
        Self {
            wire: Wire::new(stream, Wire::MESSAGE + (128 << 10)),
        }
    }

    async fn info(&mut self) -> Result<Info> {
        match timeout(ANSWER, self.take()).await {
            Ok(Ok(Said::Info(info))) => Ok(info),
            Ok(Ok(_)) => Err(garbage()),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(Error::unavailable("nats does not say what it is")),
        }
    }

    async fn log_in(&mut self, server: &Server) -> Result<()> {
        let peer = &server.peer;
        let words = json!({
            "verbose": false,
            "pedantic": false,
            "lang": "gust",
            "version": env!("CARGO_PKG_VERSION"),
            "protocol": 1,
            "headers": true,
            "no_responders": true,
            "name": server.name,
            "user": peer.user,
            "pass": peer.password,
            "auth_token": server.token,
        });
        self.send(format!("CONNECT {words}\r\n").as_bytes()).await?;
        self.in_step().await
    }

    /// Waits until everything that was sent is seen through.
    pub(crate) async fn in_step(&mut self) -> Result<()> {
        self.send(b"PING\r\n").await?;
        let pong = async {
            loop {
                match self.take().await? {
                    Said::Pong => return Ok(()),
                    other => drop(self.heard(other).await?),
                }
            }
        };
        match timeout(ANSWER, pong).await {
            Ok(ended) => ended,
            Err(_) => Err(Error::unavailable("nats does not answer")),
        }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.wire.send(bytes).await
    }

    /// Publishes, with a place for the answer.
    pub(crate) async fn publish(
        &mut self,
        subject: &str,
        reply: &str,
        payload: &[u8],
    ) -> Result<()> {
        let mut out = format!("PUB {subject} {reply} {}\r\n", payload.len()).into_bytes();
        out.extend_from_slice(payload);
        out.extend_from_slice(b"\r\n");
        self.send(&out).await
    }

    /// What is said next. Dropped while it waits, it loses nothing.
    pub(crate) async fn take(&mut self) -> Result<Said> {
        self.wire
            .take(|heard| protocol::read(heard, Wire::MESSAGE))
            .await
    }

    /// The message that was said, if it was one; a question is answered, a complaint is an error.
    pub(crate) async fn heard(&mut self, said: Said) -> Result<Option<Message>> {
        match said {
            Said::Message(message) => return Ok(Some(message)),
            Said::Ping => self.send(b"PONG\r\n").await?,
            Said::Error(why) => return Err(refused(&why)),
            Said::Info(_) | Said::Pong | Said::Ok => {}
        }
        Ok(None)
    }

    /// The answer to a request.
    pub(crate) async fn ask(
        &mut self,
        subject: &str,
        reply: &str,
        payload: &[u8],
    ) -> Result<Message> {
        self.publish(subject, reply, payload).await?;
        let answer = async {
            loop {
                let said = self.take().await?;
                if let Some(message) = self.heard(said).await?
                    && message.subject == reply
                {
                    return Ok(message);
                }
            }
        };
        match timeout(ANSWER, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(Error::unavailable(format!(
                "nats does not answer {subject}"
            ))),
        }
    }
}

fn refused(why: &str) -> Error {
    let error = Error::unavailable(format!("nats refuses: {why}"));
    match why.starts_with("Authorization") || why.starts_with("Authentication") {
        true => error.hint("give the url a user and a password, or a token"),
        false => error,
    }
}
