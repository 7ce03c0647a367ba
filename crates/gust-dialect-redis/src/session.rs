//! Who is asking: the login, the transaction under way, and what becomes of a request.
//!
//! A login is looked at again with every request, so that a key that is removed ends at once.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use gust_backend::keys::AccessKey;
use gust_task::Stop;
use gust_types::Label;
use subtle::ConstantTimeEq as _;

use crate::{
    Door,
    budget::{Grant, Place},
    commands::server::{self, is_name},
    counts::Counters,
    fault::{Fault, Outcome},
    frame::Request,
    hub::Topic,
    number,
    reply::{Reply, Version},
    run::{self, Answers, Call, Watched},
    space::Space,
    subscriptions::Subscriptions,
    table::{self, Run, Verb},
};

/// Commands of one transaction, and bytes of them.
const QUEUED: usize = 10_000;
const QUEUED_BYTES: usize = 16 << 20;
/// Keys that a client watches at once.
const WATCHED: usize = 1000;

/// A client, as it can be told of.
pub(crate) struct Client {
    pub(crate) id: i64,
    pub(crate) version: Version,
    pub(crate) name: Bytes,
    pub(crate) library: Bytes,
    pub(crate) library_version: Bytes,
    /// Given when it has hung up: then nothing is done for it any more.
    pub(crate) gone: Stop,
}

/// One connection's state.
pub(crate) struct Session {
    door: Door,
    pub(crate) client: Client,
    login: Option<Login>,
    multi: Option<Multi>,
    watched: Vec<Watched>,
    pub(crate) subscriptions: Subscriptions,
}

/// Whose the connection is.
struct Login {
    id: String,
    key: AccessKey,
    space: Arc<Space>,
    _place: Place,
}

/// Commands that wait for `EXEC`.
struct Multi {
    calls: Vec<Call>,
    bytes: usize,
    grant: Grant,
    is_broken: bool,
}

/// What becomes of a request.
pub(crate) enum Step {
    Answer(Reply),
    Answers(Answers),
    /// It waits for elements, for so long.
    Wait(Call, Option<Duration>),
    /// The last thing that is said.
    End(Reply),
}

// === impl Client ===

impl Client {
    pub(crate) fn new(id: i64) -> Self {
        Self {
            id,
            version: Version::default(),
            name: Bytes::new(),
            library: Bytes::new(),
            library_version: Bytes::new(),
            gone: Stop::new(),
        }
    }

    pub(crate) fn rename(&mut self, name: &Bytes) -> Result<(), Fault> {
        is_name(name)?;
        self.name = name.clone();
        Ok(())
    }

    /// As `CLIENT INFO` has it.
    pub(crate) fn describe(&self) -> String {
        let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
        let version = if self.version == Version::Three { 3 } else { 2 };
        format!(
            "id={} name={} db=0 resp={version} lib-name={} lib-ver={}\n",
            self.id,
            text(&self.name),
            text(&self.library),
            text(&self.library_version)
        )
    }
}

// === impl Session ===

impl Session {
    pub(crate) fn new(door: Door, id: i64) -> Self {
        Self {
            door,
            client: Client::new(id),
            login: None,
            multi: None,
            watched: Vec::new(),
            subscriptions: Subscriptions::new(id),
        }
    }

    pub(crate) fn door(&self) -> &Door {
        &self.door
    }

    pub(crate) fn is_logged_in(&self) -> bool {
        self.login.is_some()
    }

    pub(crate) fn counters(&self) -> Option<&Counters> {
        Some(&*self.login.as_ref()?.space.counters)
    }

    pub(crate) fn space(&self) -> Option<Arc<Space>> {
        Some(self.login.as_ref()?.space.clone())
    }

    /// Memory to be taken.
    pub(crate) fn grant(&self) -> Grant {
        let login = self.login.as_ref();
        login.map_or_else(Grant::default, |login| login.space.part.grant())
    }

    /// Whether it keeps commands that wait for the last one.
    pub(crate) fn is_in_transaction(&self) -> bool {
        self.multi.is_some()
    }

    /// Whether the key that it was opened with is still good. Nobody's connection has none.
    pub(crate) fn is_good(&self) -> bool {
        self.login.as_ref().is_none_or(|login| {
            let there = self.door.0.keys.find(&login.id);
            there.is_some_and(|key| {
                key.project == login.key.project && key.secret == login.key.secret
            })
        })
    }

    /// A request and what comes of it.
    pub(crate) async fn handle(&mut self, words: Request) -> Step {
        if !self.is_good() {
            self.reset();
            return Step::End(Fault::NO_AUTH.into_reply());
        }
        match self.dispatch(words).await {
            Ok(step) => step,
            Err(fault) => Step::Answer(fault.into_reply()),
        }
    }

    async fn dispatch(&mut self, words: Request) -> Result<Step, Fault> {
        let name = words.first();
        let is_exec = name.is_some_and(|name| name.eq_ignore_ascii_case(b"exec"));
        let admitted = self.admit(words);
        let call = admitted.map_err(|fault| self.refused(fault, is_exec))?;
        match call.command.run {
            // It has nothing to do there, but it has its place among the answers.
            Run::Session(Verb::Unwatch) if self.multi.is_some() => {}
            Run::Session(verb) => return self.perform(verb, &call).await,
            _ => {}
        }
        if call.command.is_alone() && self.multi.is_some() {
            self.spoil();
            return Err(Fault::of("ERR Command not allowed inside a transaction"));
        }
        if self.multi.is_some() {
            let queued = self.queue(call).await.inspect_err(|_| self.spoil());
            return queued.map(Step::Answer);
        }
        let space = self.space().ok_or(Fault::NO_AUTH)?;
        if call.command.name == "ping" && self.is_listening() {
            let text = call.args().first().cloned().unwrap_or_default();
            let pong = vec![Reply::word("pong"), Reply::Bulk(text)];
            return Ok(Step::Answer(Reply::Array(pong)));
        }
        if matches!(call.command.run, Run::Wait(..)) {
            let timeout = run::timeout(call.args())?;
            return Ok(Step::Wait(call, timeout));
        }
        let answers = run::one(&space, &mut self.client, &call).await?;
        Ok(Step::Answers(answers))
    }

    /// What a request that is none does to the transaction under way: an `EXEC` ends it, others spoil it.
    fn refused(&mut self, fault: Fault, is_exec: bool) -> Fault {
        if !is_exec {
            self.spoil();
            return fault;
        }
        self.multi = None;
        self.watched.clear();
        fault.abort()
    }

    /// The command of a request, if this client may ask for it now.
    fn admit(&self, words: Request) -> Result<Call, Fault> {
        let command = words.first().and_then(|name| table::find(name));
        let command = command.ok_or_else(|| Fault::unknown(&words))?;
        if !command.takes(words.len()) {
            return Err(command.fault_of_arity());
        }
        server::knows(command.name, words.get(1))?;
        let is_for_all = matches!(
            command.run,
            Run::Session(Verb::Auth | Verb::Hello | Verb::Quit | Verb::Reset)
        );
        if self.login.is_none() && !is_for_all {
            return Err(Fault::NO_AUTH);
        }
        if self.is_listening() && !may_listener(command.name) {
            return Err(Fault::new(format!(
                "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context",
                command.name
            )));
        }
        if let Some(login) = &self.login {
            login.space.counters.command(command.access);
        }
        Ok(Call { command, words })
    }

    /// Whether it is there for messages alone, as in RESP2 a client is with its first subscription.
    fn is_listening(&self) -> bool {
        self.client.version == Version::Two && self.subscriptions.count() > 0
    }

    /// A transaction with a command that cannot be does not run.
    fn spoil(&mut self) {
        if let Some(multi) = &mut self.multi {
            multi.is_broken = true;
        }
    }

    async fn queue(&mut self, call: Call) -> Outcome {
        let Some(multi) = &mut self.multi else {
            return Err(Fault::SYNTAX);
        };
        multi.bytes += call.size();
        if multi.calls.len() >= QUEUED || multi.bytes > QUEUED_BYTES {
            return Err(Fault::new(format!(
                "ERR a transaction has at most {QUEUED} commands and {QUEUED_BYTES} bytes"
            )));
        }
        if !multi.grant.grow(call.size()).await {
            return Err(Fault::of(
                "TRYAGAIN the node has no memory for this transaction",
            ));
        }
        multi.calls.push(call);
        Ok(Reply::Status("QUEUED"))
    }

    async fn perform(&mut self, verb: Verb, call: &Call) -> Result<Step, Fault> {
        let in_multi = self.multi.is_some();
        let args = call.args();
        let done = match verb {
            Verb::Quit => return Ok(Step::End(Reply::OK)),
            Verb::Reset => {
                self.reset();
                Reply::Status("RESET")
            }
            Verb::Multi if in_multi => {
                return Err(Fault::of("ERR MULTI calls can not be nested"));
            }
            Verb::Watch if in_multi => {
                return Err(Fault::of("ERR WATCH inside MULTI is not allowed"));
            }
            Verb::Exec => return self.exec().await,
            Verb::Discard => {
                let multi = self.multi.take();
                multi.ok_or(Fault::of("ERR DISCARD without MULTI"))?;
                self.watched.clear();
                Reply::OK
            }
            _ if in_multi => {
                self.spoil();
                return Err(Fault::of("ERR Command not allowed inside a transaction"));
            }
            Verb::Multi => {
                self.multi = Some(Multi {
                    calls: Vec::new(),
                    bytes: 0,
                    grant: self.grant(),
                    is_broken: false,
                });
                Reply::OK
            }
            Verb::Watch => self.watch(args).await?,
            Verb::Unwatch => {
                self.watched.clear();
                Reply::OK
            }
            Verb::Auth => self.auth(args)?,
            Verb::Hello => self.hello(args)?,
            Verb::Subscribe => self.listen(Topic::Channel, args).await?,
            Verb::Psubscribe => self.listen(Topic::Pattern, args).await?,
            Verb::Unsubscribe => self.subscriptions.end(Topic::Channel, args),
            Verb::Punsubscribe => self.subscriptions.end(Topic::Pattern, args),
        };
        Ok(Step::Answer(done))
    }

    async fn listen(&mut self, topic: Topic, names: &[Bytes]) -> Outcome {
        let space = self.space().ok_or(Fault::NO_AUTH)?;
        self.subscriptions.begin(&space, topic, names).await
    }

    async fn exec(&mut self) -> Result<Step, Fault> {
        let multi = self.multi.take();
        let multi = multi.ok_or(Fault::of("ERR EXEC without MULTI"))?;
        let watched = std::mem::take(&mut self.watched);
        if multi.is_broken {
            return Err(Fault::of(
                "EXECABORT Transaction discarded because of previous errors.",
            ));
        }
        let space = self.space().ok_or(Fault::NO_AUTH)?;
        let done = run::all(&space, &mut self.client, &multi.calls, &watched).await?;
        Ok(match done {
            Some(mut answers) => {
                let replies = std::mem::take(&mut answers.replies);
                answers.replies.push(Reply::Array(replies));
                Step::Answers(answers)
            }
            None => Step::Answer(Reply::NullArray),
        })
    }

    async fn watch(&mut self, keys: &[Bytes]) -> Outcome {
        let space = self.space().ok_or(Fault::NO_AUTH)?;
        for key in keys {
            if self.watched.iter().any(|(there, _)| there == key) {
                continue;
            }
            if self.watched.len() >= WATCHED {
                return Err(Fault::new(format!(
                    "ERR a client watches at most {WATCHED} keys"
                )));
            }
            let there = space.kv.get(crate::tx::name(key)?).await?;
            self.watched
                .push((key.clone(), there.map(|there| there.version)));
        }
        Ok(Reply::OK)
    }

    fn auth(&mut self, args: &[Bytes]) -> Outcome {
        match args {
            [user, password] => self.log_in(user, password)?,
            [_] => return Err(Fault::WRONG_PASS),
            _ => return Err(Fault::SYNTAX),
        }
        Ok(Reply::OK)
    }

    /// The user is the id of an access key, perhaps with a dot and the name of a store behind it; the password its secret.
    fn log_in(&mut self, user: &[u8], password: &[u8]) -> Result<(), Fault> {
        let user = std::str::from_utf8(user).map_err(|_| Fault::WRONG_PASS)?;
        let (id, store) = user.split_once('.').unwrap_or((user, "default"));
        let key = self.door.0.keys.find(id);
        // Somebody who guesses ids learns nothing from how long it takes.
        let secret = key.as_ref().map_or("", |key| &key.secret);
        let is_right = bool::from(secret.as_bytes().ct_eq(password));
        let key = key.filter(|key| is_right && !key.secret.is_empty());
        let key = key.ok_or(Fault::WRONG_PASS)?;
        let store = Label::new(store).map_err(|_| {
            Fault::of("ERR the user is KEYID or KEYID.store, and this is no name of a store")
        })?;
        let space = self.door.0.spaces.open(&self.door, &key.project, &store)?;
        // What was begun for another store ends, and its place is free.
        self.subscriptions.clear();
        self.watched.clear();
        self.login = None;
        let place = space.part.connect();
        let place = place.ok_or(Fault::of("ERR max number of clients reached"))?;
        self.login = Some(Login {
            id: id.to_owned(),
            key,
            space,
            _place: place,
        });
        Ok(())
    }

    fn hello(&mut self, args: &[Bytes]) -> Outcome {
        let (version, rest) = match args {
            [] => (self.client.version, args),
            [version, rest @ ..] => {
                let number = number::whole(version);
                let number = number.ok_or(Fault::of(
                    "ERR Protocol version is not an integer or out of range",
                ))?;
                match number {
                    2 => (Version::Two, rest),
                    3 => (Version::Three, rest),
                    _ => return Err(Fault::of("NOPROTO unsupported protocol version")),
                }
            }
        };
        let hello = server::hello_options(rest)?;
        hello.name.map_or(Ok(()), |name| is_name(name))?;
        if let Some((user, password)) = hello.auth {
            self.log_in(user, password)?;
        }
        if self.login.is_none() {
            return Err(Fault::of(
                "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time",
            ));
        }
        hello.name.map_or(Ok(()), |name| self.client.rename(name))?;
        self.client.version = version;
        let number = if version == Version::Three { 3 } else { 2 };
        Ok(Reply::Map(vec![
            (Reply::word("server"), Reply::word("redis")),
            (Reply::word("version"), Reply::word(server::VERSION)),
            (Reply::word("proto"), Reply::Int(number)),
            (Reply::word("id"), Reply::Int(self.client.id)),
            (Reply::word("mode"), Reply::word("standalone")),
            (Reply::word("role"), Reply::word("master")),
            (Reply::word("modules"), Reply::Array(Vec::new())),
        ]))
    }

    /// As if the client had just come.
    fn reset(&mut self) {
        self.subscriptions.clear();
        self.multi = None;
        self.watched.clear();
        self.login = None;
        self.client.version = Version::Two;
        self.client.name = Bytes::new();
    }

    /// Whether a request is a `SET` that may go to the store together with others like it.
    pub(crate) fn plain_set(&self, words: &Request) -> Option<Call> {
        let is_set = |name: &Bytes| name.eq_ignore_ascii_case(b"set");
        let name = words.first().filter(|name| is_set(name))?;
        if self.login.is_none() || self.multi.is_some() || self.is_listening() {
            return None;
        }
        let command = table::find(name)?;
        let words = words.clone();
        let call = Call { command, words };
        call.is_plain_set().then_some(call)
    }

    /// Several of them, which came one right behind the other.
    pub(crate) async fn set_all(&mut self, calls: Vec<Call>) -> Vec<Reply> {
        let Some(space) = self.space().filter(|_| self.is_good()) else {
            self.reset();
            return calls.iter().map(|_| Fault::NO_AUTH.into_reply()).collect();
        };
        for call in &calls {
            space.counters.command(call.command.access);
        }
        match run::all(&space, &mut self.client, &calls, &[]).await {
            Ok(Some(answers)) => answers.replies,
            // One by one it may go, and if not, each has its own error.
            _ => {
                let mut replies = Vec::with_capacity(calls.len());
                for call in &calls {
                    let done = run::one(&space, &mut self.client, call).await;
                    let reply = done.map(|answers| answers.replies.into_iter().next());
                    replies.push(match reply {
                        Ok(reply) => reply.unwrap_or(Reply::Null),
                        Err(fault) => fault.into_reply(),
                    });
                }
                replies
            }
        }
    }
}

fn may_listener(command: &str) -> bool {
    command.ends_with("subscribe") || ["ping", "quit", "reset"].contains(&command)
}
