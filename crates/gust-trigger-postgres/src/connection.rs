//! A connection to a server, logged in.

use std::time::Duration;

use bytes::{Buf as _, Bytes};
use gust_task::ids;
use gust_trigger::{Stream, Wire};
use gust_types::{Error, Result};
use tokio::time::timeout;

use crate::{
    Server,
    login::{SCRAM, Scram, md5},
    protocol::{self, Said, garbage},
};

/// How long a login may take.
const LOGIN: Duration = Duration::from_secs(20);
/// How long an answer may take, all of it.
const ANSWER: Duration = Duration::from_secs(60);
/// Rows of an answer that is wanted whole.
const ROWS: usize = 100;

pub(crate) struct Connection {
    wire: Wire,
}

/// A row of an answer, as text.
pub(crate) type Row = Vec<Option<Bytes>>;

// === impl Connection ===

impl Connection {
    pub(crate) async fn open(server: &Server) -> Result<Self> {
        let mut stream = server.dial.connect(&server.peer, &server.tls).await?;
        let logging_in = async {
            if server.secure {
                stream = begin_tls(server, stream).await?;
            }
            let mut connection = Self::over(stream);
            connection.log_in(server).await?;
            Ok(connection)
        };
        match timeout(LOGIN, logging_in).await {
            Ok(connection) => connection,
            Err(_) => Err(Error::unavailable("postgres does not answer")),
        }
    }

    fn over(stream: Box<dyn Stream>) -> Self {
        Self {
            wire: Wire::new(stream, Wire::MESSAGE + (64 << 10)),
        }
    }

    async fn log_in(&mut self, server: &Server) -> Result<()> {
        let startup = protocol::startup(&[
            ("user", &server.user),
            ("database", &server.database),
            ("application_name", &server.name),
            ("client_encoding", "UTF8"),
            ("standard_conforming_strings", "on"),
            ("bytea_output", "hex"),
        ]);
        self.wire.send(&startup).await?;
        let nonce = format!("{:016x}{:016x}", ids::random_u64(), ids::random_u64());
        let mut scram = Scram::new(server.password.clone().unwrap_or_default(), nonce);
        let (mut asked, mut proved) = (false, false);
        loop {
            let (way, with) = match self.take().await? {
                Said::Login { way, with } => (way, with),
                Said::Error { code, message } => return Err(refused(&code, &message)),
                _ => return Err(garbage()),
            };
            match way {
                // Whoever asked for a proof has to give one.
                0 if proved || !asked => break,
                0 => return Err(garbage()),
                3 => {
                    if !server.secure {
                        return Err(Error::unavailable("postgres wants the password in the open")
                            .hint("end the url with ?sslmode=verify-full, or let the server want scram-sha-256"));
                    }
                    self.password(server.password.as_deref()).await?;
                }
                5 => {
                    let password = server.password.as_deref();
                    let hashed = password.map(|password| md5(&server.user, password, &with));
                    self.password(hashed.as_deref()).await?;
                }
                10 => {
                    self.known(server)?;
                    asked = true;
                    if !with.split(|b| *b == 0).any(|way| way == SCRAM.as_bytes()) {
                        return Err(unknown(way));
                    }
                    let first = scram.first();
                    let mut body = Vec::new();
                    protocol::put_text(&mut body, SCRAM);
                    body.extend((first.len() as u32).to_be_bytes());
                    body.extend(first.as_bytes());
                    self.wire.send(&protocol::message(b'p', &body)).await?;
                }
                11 => {
                    let answer = scram.answer(&with)?;
                    self.wire
                        .send(&protocol::message(b'p', answer.as_bytes()))
                        .await?;
                }
                12 => {
                    scram.check(&with)?;
                    proved = true;
                }
                way => return Err(unknown(way)),
            }
        }
        self.rest(|_| Ok(())).await
    }

    fn known(&self, server: &Server) -> Result<()> {
        match &server.password {
            Some(_) => Ok(()),
            None => Err(
                Error::unavailable("postgres wants a password, and there is none").hint(
                    "set it as a secret variable and write it into the url or into `password`",
                ),
            ),
        }
    }

    async fn password(&mut self, password: Option<&str>) -> Result<()> {
        let Some(password) = password else {
            return Err(Error::unavailable(
                "postgres wants a password, and there is none",
            ));
        };
        let mut body = Vec::new();
        protocol::put_text(&mut body, password);
        self.wire.send(&protocol::message(b'p', &body)).await
    }

    /// Asks. The answer is to be taken to its end.
    pub(crate) async fn ask(&mut self, sql: &str) -> Result<()> {
        self.wire.send(&protocol::query(sql)).await
    }

    /// Asks, and takes the whole answer, which is short.
    pub(crate) async fn rows(&mut self, sql: &str) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        let asking = async {
            self.ask(sql).await?;
            self.rest(|said| {
                if let Said::Row(row) = said {
                    if rows.len() == ROWS {
                        return Err(garbage());
                    }
                    rows.push(row);
                }
                Ok(())
            })
            .await
        };
        match timeout(ANSWER, asking).await {
            Ok(ended) => ended.map(|()| rows),
            Err(_) => Err(Error::unavailable("postgres does not answer")),
        }
    }

    /// Takes what is said until it is ready.
    async fn rest(&mut self, mut each: impl FnMut(Said) -> Result<()>) -> Result<()> {
        let mut failed = None;
        loop {
            match self.take().await? {
                Said::Ready => return failed.map_or(Ok(()), Err),
                Said::Error { code, message } => failed = Some(refused(&code, &message)),
                Said::Login { .. } => return Err(garbage()),
                said => each(said)?,
            }
        }
    }

    /// What is said next. Dropped while it waits, it loses nothing.
    pub(crate) async fn take(&mut self) -> Result<Said> {
        self.wire
            .take(|heard| protocol::read(heard, Wire::MESSAGE))
            .await
    }

    /// Says goodbye.
    pub(crate) async fn close(&mut self) {
        let _ = self.wire.send(&protocol::message(b'X', &[])).await;
    }
}

/// The one byte that answers the question is all that may be heard before TLS.
async fn begin_tls(server: &Server, stream: Box<dyn Stream>) -> Result<Box<dyn Stream>> {
    let mut plain = Wire::new(stream, 1);
    plain.send(&protocol::tls()).await?;
    let take = |heard: &mut bytes::BytesMut| Ok((!heard.is_empty()).then(|| heard.get_u8()));
    match plain.take(take).await? {
        b'S' => server.tls.wrap(&server.peer, plain.into_stream()?).await,
        b'N' => Err(Error::unavailable("this postgres server has no TLS")),
        _ => Err(garbage()),
    }
}

fn unknown(way: u32) -> Error {
    Error::unavailable(format!(
        "postgres logs in in a way that is not known here: {way}"
    ))
    .hint("known are scram-sha-256, md5, and a password in the open over TLS")
}

/// The server refuses.
pub(crate) fn refused(code: &str, message: &str) -> Error {
    let error = Error::unavailable(format!("postgres refuses: {message} ({code})"));
    match code {
        "28P01" | "28000" => {
            error.hint("are user and password right, and may they come from here?")
        }
        "55000" => error.hint("changes need wal_level = logical on the server"),
        "42501" => error.hint("the user needs the right to replicate: ALTER ROLE name REPLICATION"),
        "55006" => error.hint("two triggers cannot share a slot"),
        _ => error,
    }
}
