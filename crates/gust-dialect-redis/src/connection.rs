//! One connection: bytes in, requests one after the other, answers in their order, and messages in between.

use std::{ops::ControlFlow, pin::Pin, time::Duration};

use bytes::BytesMut;
use gust_task::Stop;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::OwnedSemaphorePermit,
    time::{Instant, sleep_until},
};
use tokio_io_timeout::TimeoutStream;

use crate::{
    Door,
    bells::Ear,
    budget::Grant,
    fault::Fault,
    frame::{Limits, Malformed, Parser, Request},
    reply::Reply,
    run::{self, Call},
    session::{Session, Step},
    table::Run,
};

/// What a request may be before a login, as in Redis.
const STRANGER: Limits = Limits {
    words: 10,
    word: 16 << 10,
    bytes: 64 << 10,
};
/// And after it.
const MEMBER: Limits = Limits {
    words: 128 << 10,
    word: 16 << 20,
    bytes: 24 << 20,
};
/// How long a stranger may take to log in.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a request may take to come, from its first byte to its last.
const REQUEST: Duration = Duration::from_secs(120);
/// How long a client may say nothing in the middle of a transaction.
const TRANSACTION: Duration = Duration::from_secs(60);
/// How long a client may say nothing; one that listens or waits may for ever.
const IDLE: Duration = Duration::from_secs(3600);
/// How long a client may take nothing of what it is sent.
const STALLED: Duration = Duration::from_secs(30);
/// Answers are sent when there are so many bytes of them, or nothing is left to do.
const FLUSH: usize = 64 << 10;
/// Bytes read at once.
const READ: usize = 16 << 10;
/// What else may come while a client waits for elements.
const AHEAD: usize = 64 << 10;
/// How long a command goes on for a client that sends nothing more.
const LEFT: Duration = Duration::from_secs(1);
/// `SET`s that go to the store at once, and bytes of them.
const TOGETHER: usize = 256;
const TOGETHER_BYTES: usize = 1 << 20;

type Socket = Pin<Box<TimeoutStream<TcpStream>>>;
type Flow = ControlFlow<()>;

/// A client's connection.
pub(crate) struct Connection {
    socket: Socket,
    stop: Stop,
    session: Session,
    parser: Parser,
    heard: BytesMut,
    /// A request that was looked at and not yet done.
    next: Option<Request>,
    /// Memory of the request under way.
    grant: Grant,
    out: Vec<u8>,
    /// Memory of what is to be sent.
    owed: Vec<Grant>,
    /// When it became a stranger's, and its place among those.
    since: Instant,
    place: Option<OwnedSemaphorePermit>,
    /// When the request under way has to be there.
    due: Option<Instant>,
}

// === impl Connection ===

impl Connection {
    /// `None` when there are too many strangers.
    pub(crate) fn new(door: Door, id: i64, socket: TcpStream, stop: Stop) -> Option<Self> {
        let place = Some(door.0.budget.stranger()?);
        let mut socket = TimeoutStream::new(socket);
        socket.set_write_timeout(Some(STALLED));
        Some(Self {
            socket: Box::pin(socket),
            stop,
            session: Session::new(door, id),
            parser: Parser::default(),
            heard: BytesMut::new(),
            next: None,
            grant: Grant::default(),
            owed: Vec::new(),
            out: Vec::new(),
            since: Instant::now(),
            place,
            due: None,
        })
    }

    /// Speaks until either side ends it.
    pub(crate) async fn serve(mut self) {
        while self.turn().await.is_continue() {}
        let _ = self.flush().await;
    }

    /// One request, or what comes while there is none.
    async fn turn(&mut self) -> Flow {
        if self.stop.is_stopped() {
            return Flow::Break(());
        }
        match self.parse() {
            Ok(Some(words)) => {
                let was_stranger = !self.session.is_logged_in();
                self.answer(words).await?;
                self.settle(was_stranger)?;
                self.grant = self.session.grant();
                self.due = None;
                match self.out.len() > FLUSH {
                    true => self.flush().await,
                    false => Flow::Continue(()),
                }
            }
            Ok(None) => {
                self.flush().await?;
                self.hear().await
            }
            Err(Malformed(why)) => {
                self.say(&Reply::Error(format!("ERR Protocol error: {why}")));
                Flow::Break(())
            }
        }
    }

    /// The place that it has now: a member's, which the session keeps, or a stranger's.
    fn settle(&mut self, was_stranger: bool) -> Flow {
        if self.session.is_logged_in() {
            self.place = None;
        } else if !was_stranger {
            self.since = Instant::now();
            self.place = self.session.door().0.budget.stranger();
            if self.place.is_none() {
                return Flow::Break(());
            }
        }
        Flow::Continue(())
    }

    fn parse(&mut self) -> Result<Option<Request>, Malformed> {
        if let Some(next) = self.next.take() {
            return Ok(Some(next));
        }
        let before = self.heard.len();
        let limits = if self.session.is_logged_in() {
            &MEMBER
        } else {
            &STRANGER
        };
        let parsed = self.parser.next(&mut self.heard, limits);
        if let Some(counters) = self.session.counters() {
            counters.came((before - self.heard.len()) as u64);
        }
        parsed
    }

    async fn answer(&mut self, words: Request) -> Flow {
        if let Some(call) = self.session.plain_set(&words) {
            return self.set(call).await;
        }
        match self.handle(words).await {
            Step::Answer(reply) => self.say(&reply),
            Step::Answers(answers) => {
                answers.replies.iter().for_each(|reply| self.say(reply));
                self.owed.push(answers.grant);
            }
            Step::Wait(call, timeout) => return self.wait(call, timeout).await,
            Step::End(reply) => {
                self.say(&reply);
                return Flow::Break(());
            }
        }
        Flow::Continue(())
    }

    /// Whoever has hung up for some time is not worked for any more. Some only say that they have nothing more to ask, and wait
    /// for the answer; both look the same.
    async fn handle(&mut self, words: Request) -> Step {
        let gone = self.session.client.gone.clone();
        let mut handling = std::pin::pin!(self.session.handle(words));
        let mut ended = None;
        loop {
            let may_read = ended.is_none() && self.heard.len() < AHEAD;
            tokio::select! {
                biased;
                step = &mut handling => return step,
                read = self.socket.read_buf(&mut self.heard), if may_read => {
                    if !read.is_ok_and(|read| read > 0) {
                        ended = Some(Instant::now() + LEFT);
                    }
                }
                () = sleep_until(ended.unwrap_or_else(Instant::now)), if ended.is_some() => {
                    gone.stop();
                    return handling.await;
                }
            }
        }
    }

    /// A `SET`, and those that came right behind it: the store commits them together.
    async fn set(&mut self, call: Call) -> Flow {
        let mut bytes = call.size();
        let mut calls = vec![call];
        while calls.len() < TOGETHER && bytes < TOGETHER_BYTES {
            match self.parse() {
                Ok(Some(words)) => match self.session.plain_set(&words) {
                    Some(call) => {
                        bytes += call.size();
                        calls.push(call);
                    }
                    None => {
                        self.next = Some(words);
                        break;
                    }
                },
                Ok(None) => break,
                Err(Malformed(why)) => {
                    for reply in self.session.set_all(calls).await {
                        self.say(&reply);
                    }
                    self.say(&Reply::Error(format!("ERR Protocol error: {why}")));
                    return Flow::Break(());
                }
            }
        }
        for reply in self.session.set_all(calls).await {
            self.say(&reply);
        }
        match self.session.is_logged_in() {
            true => Flow::Continue(()),
            false => Flow::Break(()),
        }
    }

    fn say(&mut self, reply: &Reply) {
        let before = self.out.len();
        reply.write(self.session.client.version, &mut self.out);
        if let Some(counters) = self.session.counters() {
            counters.went((self.out.len() - before) as u64);
        }
    }

    /// Sends what there is to say. One that is cut off is not waited for.
    async fn flush(&mut self) -> Flow {
        if self.out.is_empty() {
            return Flow::Continue(());
        }
        let out = std::mem::take(&mut self.out);
        let cut = self.session.subscriptions.inbox().map(|inbox| inbox.cut());
        let cut = async move {
            match cut {
                Some(cut) => cut.stopped().await,
                None => std::future::pending().await,
            }
        };
        let sent = tokio::select! {
            sent = self.socket.write_all(&out) => sent.is_ok(),
            () = cut => false,
        };
        self.owed.clear();
        match sent {
            true => Flow::Continue(()),
            false => Flow::Break(()),
        }
    }

    /// Waits for bytes, for a message, or for the end.
    async fn hear(&mut self) -> Flow {
        if !self.grant.cover(self.parser.held()).await {
            self.say(&Fault::of("TRYAGAIN the node has no memory for this request").into_reply());
            return Flow::Break(());
        }
        let until = self.until();
        self.heard.reserve(READ);
        let inbox = self.session.subscriptions.inbox();
        let message = async {
            match inbox {
                Some(inbox) => inbox.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            read = self.socket.read_buf(&mut self.heard) => match read {
                Ok(read) if read > 0 => Flow::Continue(()),
                _ => Flow::Break(()),
            },
            message = message => match message {
                Some(message) if self.session.is_good() => {
                    self.say(&message.reply);
                    self.owed.push(message.grant);
                    Flow::Continue(())
                }
                _ => Flow::Break(()),
            },
            () = self.stop.stopped() => Flow::Break(()),
            () = sleep_until(until) => Flow::Break(()),
        }
    }

    /// When it has taken too long.
    fn until(&mut self) -> Instant {
        if !self.session.is_logged_in() {
            return self.since + PATIENCE;
        }
        let now = Instant::now();
        if self.parser.is_under_way() {
            return *self.due.get_or_insert(now + REQUEST);
        }
        if self.session.is_in_transaction() {
            return now + TRANSACTION;
        }
        match self.session.subscriptions.count() {
            0 => now + IDLE,
            _ => now + IDLE * 24 * 365,
        }
    }

    /// Waits until a list has elements, the time is up, or the client has gone.
    async fn wait(&mut self, call: Call, timeout: Option<Duration>) -> Flow {
        let Some(space) = self.session.space() else {
            return Flow::Break(());
        };
        let until = timeout.map(|timeout| Instant::now() + timeout);
        let waiter = space.bells.wait(call.command.keys(&call.words));
        loop {
            let ear = waiter.listen();
            let tried = run::waiting(&space, &call).await;
            if let Some(reply) = tried.unwrap_or_else(|fault| Some(fault.into_reply())) {
                self.say(&reply);
                return Flow::Continue(());
            }
            self.flush().await?;
            if !self.until_rung(ear, until).await? {
                if let Run::Wait(_, nothing) = &call.command.run {
                    self.say(nothing);
                }
                return Flow::Continue(());
            }
            if !self.session.is_good() {
                self.say(&Fault::NO_AUTH.into_reply());
                return Flow::Break(());
            }
        }
    }

    /// Waits for a ring: true; false when the time is up. What comes meanwhile is kept for later.
    async fn until_rung(&mut self, ear: Ear, until: Option<Instant>) -> ControlFlow<(), bool> {
        let mut ear = std::pin::pin!(ear.hear());
        let mut time_is_up = std::pin::pin!(async move {
            match until {
                Some(until) => sleep_until(until).await,
                None => std::future::pending().await,
            }
        });
        loop {
            let may_read = self.heard.len() < AHEAD;
            tokio::select! {
                () = &mut ear => return ControlFlow::Continue(true),
                () = &mut time_is_up => return ControlFlow::Continue(false),
                read = self.socket.read_buf(&mut self.heard), if may_read => match read {
                    Ok(read) if read > 0 => {}
                    _ => return ControlFlow::Break(()),
                },
                () = self.stop.stopped() => return ControlFlow::Break(()),
            }
        }
    }
}
