//! One client after its login: messages in, one after the other, and what they do to the session.
//!
//! Two things a reader may confuse: a transaction that the client began, and one that was begun for it, around the
//! statements of one message or up to the next Sync (`series`). The client hears of the first alone.
//!
//! - `run.rs`: one statement on the database, its rows on their way to the client.
//! - `control.rs`: transactions, settings, and what else the session does itself.
//! - `simple.rs`: statements as text.
//! - `extended.rs`: statements that are prepared, bound and executed.

mod control;
mod extended;
mod run;
mod simple;

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use gust_backend::sql::Connection;
use gust_task::{Stop, clock};

use crate::{
    Inner,
    budget::Grant,
    cancel::{Ear, Ticket},
    counts::Counters,
    error::{Fault, Trouble},
    login::{Login, greet},
    sql::rewrite::Names,
    wire::{
        Frame, Wire,
        read::{self, Message, is_large},
        write::Status,
    },
};
use extended::{Portal, Prepared};

/// After this long the connection to the database is given back.
const GIVE_BACK: Duration = Duration::from_secs(1);
/// Bytes of a message beside what the database takes.
const MARGIN: usize = 64 << 10;
/// Bytes of a message that has neither statement nor values.
const SMALL: usize = 8 << 10;

/// A client that has logged in.
pub(crate) struct Session<'a> {
    door: Arc<Inner>,
    wire: &'a mut Wire,
    login: Login,
    names: Names,
    counters: Arc<Counters>,
    ear: Ear,
    /// When what runs must be over, as the client wants it.
    deadline: Option<Instant>,
    /// The database's connection, while one is needed.
    connection: Option<Box<dyn Connection>>,
    /// The connection is no longer like any other, so it is kept.
    sticks: bool,
    state: Status,
    /// The transaction was begun for a series of statements, not by the client.
    series: bool,
    /// Something was written, perhaps in this transaction.
    wrote: bool,
    /// The transaction only reads.
    read_only: bool,
    statements: HashMap<String, Arc<Prepared>>,
    portals: HashMap<String, Portal>,
    /// The memory that both take.
    kept: Grant,
    /// After a failure, everything up to the next Sync is left out.
    skipping: bool,
}

/// Whether a session goes on.
#[derive(PartialEq, Eq)]
enum Next {
    Message,
    End,
}

// === impl Session ===

impl<'a> Session<'a> {
    pub(crate) fn new(
        door: Arc<Inner>,
        wire: &'a mut Wire,
        login: Login,
        ticket: Ticket,
        ear: Ear,
        counters: Arc<Counters>,
    ) -> Self {
        let kept = Grant::of(wire.part.as_ref());
        greet(wire, &login.settings, ticket);
        wire.put_ready(Status::Idle);
        let names = Names {
            database: login.label.to_string(),
            user: login.user.clone(),
            session: ticket.session,
        };
        Self {
            door,
            wire,
            login,
            names,
            counters,
            ear,
            deadline: None,
            connection: None,
            sticks: false,
            state: Status::Idle,
            series: false,
            wrote: false,
            read_only: false,
            statements: HashMap::new(),
            portals: HashMap::new(),
            kept,
            skipping: false,
        }
    }

    /// Until the client or the node ends it.
    pub(crate) async fn talk(mut self, stop: &Stop) -> Result<(), Trouble> {
        loop {
            self.wait(stop).await?;
            let frame = self.frame().await?;
            self.ear.listen();
            let kind = frame.kind;
            self.deadline = self
                .login
                .settings
                .statement_timeout()
                .map(|most| clock::now() + most);
            let handled = Box::pin(self.handle(frame)).await;
            self.wire.ease().await?;
            match handled {
                Ok(Next::Message) => {}
                Ok(Next::End) => return Ok(()),
                Err(Trouble::Fault(fault)) if !fault.fatal => {
                    self.wire.put_fault(&fault);
                    self.failed().await;
                    match kind {
                        b'Q' | b'F' => self.ready(),
                        b'S' => {
                            self.skipping = false;
                            self.ready();
                        }
                        _ => self.skipping = true,
                    }
                }
                Err(trouble) => return Err(trouble),
            }
        }
    }

    /// Waits for the client. Meanwhile it has all that it was told.
    async fn wait(&mut self, stop: &Stop) -> Result<(), Trouble> {
        if self.wire.has_more() {
            return Ok(());
        }
        self.wire.flush().await?;
        let lent = self.state == Status::Idle && !self.sticks && self.connection.is_some();
        if lent && !self.comes(GIVE_BACK, stop).await? {
            self.connection = None;
        } else if lent {
            return Ok(());
        }
        let (patience, code, text) = match self.state {
            Status::Idle => (self.door.patience.idle, "57P05", "idle-session timeout"),
            _ => (
                self.door.patience.in_transaction,
                "25P03",
                "idle-in-transaction timeout",
            ),
        };
        if self.comes(patience, stop).await? {
            return Ok(());
        }
        let text = format!("terminating connection due to {text}");
        Err(Fault::fatal(code, text).into())
    }

    /// Whether the client says something in this time.
    async fn comes(&mut self, patience: Duration, stop: &Stop) -> Result<bool, Trouble> {
        tokio::select! {
            came = tokio::time::timeout(patience, self.wire.wait()) => match came {
                Ok(came) => Ok(came.map(|()| true)?),
                Err(_) => Ok(false),
            },
            () = stop.stopped() => {
                Err(Fault::fatal("57P01", "terminating connection: the node stops").into())
            }
        }
    }

    async fn frame(&mut self) -> Result<Frame, Trouble> {
        let limits = self.login.database.limits();
        let most = |kind: u8| {
            let large = is_large(kind)?;
            Some(match kind {
                b'B' => limits.result + MARGIN,
                _ if large => limits.statement + MARGIN,
                _ => SMALL,
            })
        };
        self.wire.frame(most).await
    }

    async fn handle(&mut self, frame: Frame) -> Result<Next, Trouble> {
        let Frame { kind, body, room } = frame;
        if self.skipping && !matches!(kind, b'S' | b'X') {
            return Ok(Next::Message);
        }
        match read::message(kind, body)? {
            Message::Query(text) => self.query(&text).await?,
            Message::Parse { name, text, types } => self.parse(name, text, types).await?,
            Message::Bind(bind) => self.bind(bind, room).await?,
            Message::Describe(target, name) => self.describe(target, &name).await?,
            Message::Execute(name, most) => self.execute(&name, most).await?,
            Message::Close(target, name) => self.close(target, &name),
            Message::Sync => {
                self.skipping = false;
                self.end_series().await?;
                self.ready();
            }
            Message::Flush => self.wire.flush().await?,
            Message::Terminate => return Ok(Next::End),
            Message::Copy => {}
        }
        Ok(Next::Message)
    }

    /// The client may say the next thing.
    fn ready(&mut self) {
        if self.state == Status::Idle {
            self.portals.clear();
        }
        self.kept.ease(self.bytes());
        self.wire.put_ready(self.state);
    }
}
