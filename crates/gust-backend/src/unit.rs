//! A unit of work: what a function writes while it handles one delivery, committed together with the end of the
//! delivery, or not at all.
//!
//! A call that has a [`Unit`] gets its stores, databases and outlets through it ([`Unit::kv`], [`Unit::outlet`]): what it
//! writes stays in the unit, and what it reads is the store with the unit's writes over it. When the function has
//! answered that it is done, [`Unit::commit`] hands everything to the backend in one piece ([`crate::Backends::commit`]),
//! together with the receipts of the messages. A unit that is dropped leaves nothing behind.
//!
//! A database commits by itself, before the rest: the transaction leaves a mark in it, with what is still to be done. Should
//! the node go down between the two commits, [`Unit::unfinished`] finds the mark when the message is delivered again, and the
//! rest is done instead of calling the function. Since the rest must not be refused then, a call that uses a database
//! cannot make writes to stores that rest on what was read.
//!
//! Easily confused: a *unit* gathers, a [`Commit`] is what it comes to. What a write rests on (a compare-and-set, an
//! increment) is checked twice: when the guest writes, and again when it is committed.
//!
//! - `kv.rs`, `sql.rs`, `outlet.rs`, `bucket.rs`: stores, databases, outlets and buckets as a call with a unit sees them.
//! - `intent.rs`: the rest, as it stands in a mark.
//! - `memory.rs`: backends in memory that commit units; `suite.rs`: the checks that every implementation passes.

mod bucket;
mod intent;
mod kv;
pub mod memory;
mod outlet;
mod sql;
pub mod suite;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use gust_task::clock;
use gust_types::{Blame, Error, Kind, Label, ProjectName, Result, trigger::TopicSettings};
use parking_lot::Mutex;

use crate::{
    Backends,
    blob::Bucket,
    kv::{Condition, Kv, PutOptions, Version, Write},
    outlet::Outlet,
    queue::{Message, QueueSettings, Receipt, check},
    sql::{Mark, Sql, Transaction},
};

/// What one delivery writes.
pub struct Unit {
    backends: Arc<dyn Backends>,
    project: ProjectName,
    queue: Label,
    receipts: Vec<Receipt>,
    /// One write at a time: what a condition rests on is read before it is staged.
    writing: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

/// What units come to, committed whole or not at all.
#[derive(Debug, Clone, Default)]
pub struct Commit {
    /// The queue that the messages were taken from.
    pub queue: Option<Label>,
    /// The messages: all of them still the consumer's, and done with this.
    pub receipts: Vec<Receipt>,
    /// What changes in stores of the project, each at most once.
    pub stores: Vec<Changes>,
    /// What is published.
    pub published: Vec<Publication>,
}

/// What changes in one store.
#[derive(Debug, Clone, PartialEq)]
pub struct Changes {
    /// The store.
    pub store: Label,
    /// What must hold: keys, and the state that the writes rest on.
    pub checks: Vec<(String, Condition)>,
    /// The writes, without conditions of their own.
    pub writes: Vec<Write>,
}

/// Messages for one queue or topic of the project.
#[derive(Debug, Clone, PartialEq)]
pub struct Publication {
    /// Where they go.
    pub to: Place,
    /// In this order.
    pub messages: Vec<Message>,
}

/// Where messages go.
#[derive(Debug, Clone, PartialEq)]
pub enum Place {
    /// A queue, which behaves like this.
    Queue(Label, QueueSettings),
    /// A topic, which behaves like this; keys are remembered for so long.
    Topic(Label, TopicSettings, Option<Duration>),
}

/// Marks of units that are over, which databases may forget with their next commit.
#[derive(Default)]
pub struct Marks(Mutex<BTreeMap<Label, Vec<String>>>);

#[derive(Default)]
struct State {
    /// The function has answered: nothing is added any more.
    closed: bool,
    /// The database that the call uses, and its transaction.
    database: Option<(Label, Arc<dyn Transaction>)>,
    /// The database has committed.
    sealed: bool,
    /// Whether any write rests on what was read.
    conditional: bool,
    stores: BTreeMap<Label, BTreeMap<String, Staged>>,
    /// What stores must hold beside what the writes rest on. Each store in it is in `stores`.
    required: BTreeMap<Label, Vec<(String, Condition)>>,
    published: Vec<Publication>,
    /// What is staged: writes and messages, and bytes of them.
    count: usize,
    bytes: usize,
    /// The last version that a staged value was given.
    version: u64,
}

/// A key that the unit writes.
#[derive(Clone)]
struct Staged {
    /// What the store must hold for it.
    base: Option<Condition>,
    change: Change,
}

#[derive(Clone)]
enum Change {
    Put {
        value: Bytes,
        expires_us: Option<u64>,
        version: Version,
    },
    Delete,
}

/// Writes and messages in one unit.
pub const MAX_WRITES: usize = 10_000;
/// Bytes of all of them, keys included.
pub const MAX_BYTES: usize = 16 << 20;

/// How long a database keeps a mark: longer than any queue keeps a message.
const KEPT: Duration = Duration::from_secs(15 * 86_400);
/// Marks that wait to be forgotten, for each database. What is beyond goes when it is old.
const FORGET: usize = 256;

/// Versions of staged values begin here: no store ever gets that far.
const STAGED: u64 = 1 << 62;

// === impl Unit ===

impl Unit {
    /// An empty unit for messages of this queue.
    pub fn new(
        backends: Arc<dyn Backends>,
        project: ProjectName,
        queue: Label,
        receipts: Vec<Receipt>,
    ) -> Arc<Self> {
        Arc::new(Self {
            backends,
            project,
            queue,
            receipts,
            writing: tokio::sync::Mutex::default(),
            state: Mutex::default(),
        })
    }

    /// A store of the project as the call sees it.
    pub fn kv(self: &Arc<Self>, name: &Label, store: Arc<dyn Kv>) -> Arc<dyn Kv> {
        Arc::new(kv::UnitKv::new(self.clone(), name.clone(), store))
    }

    /// A database of the project as the call sees it.
    pub fn sql(self: &Arc<Self>, name: &Label, database: Arc<dyn Sql>) -> Arc<dyn Sql> {
        Arc::new(sql::UnitSql::new(self.clone(), name.clone(), database))
    }

    /// A queue or a topic of the project as the call sees it: what is published goes out when the unit is committed, and
    /// has no number before.
    pub fn outlet(self: &Arc<Self>, outlet: Arc<dyn Outlet>) -> Arc<dyn Outlet> {
        Arc::new(outlet::UnitOutlet::new(self.clone(), outlet))
    }

    /// A bucket of the project as the call sees it: to be read. Objects are made one by one, and no commit of theirs waits
    /// for another.
    pub fn bucket(self: &Arc<Self>, bucket: Arc<dyn Bucket>) -> Arc<dyn Bucket> {
        Arc::new(bucket::UnitBucket::new(self.clone(), bucket))
    }

    /// The function has answered. What it does after that is refused.
    pub fn close(&self) {
        self.state.lock().closed = true;
    }

    /// Adds what is published with it, closed or not: what the platform makes of the answer.
    pub fn publish(&self, publication: Publication) -> Result<()> {
        self.state.lock().publish(publication)
    }

    /// The call came to nothing, and so does the unit: its transaction is rolled back, whoever still holds on to it.
    pub fn abandon(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        let database = state.database.take();
        drop(state);
        drop(database);
    }

    /// Commits it: everything is durable and the messages are done, or nothing has happened. `Conflict` when what a write
    /// rests on has changed meanwhile, `NotFound` when the messages are not this consumer's any more.
    ///
    /// With a database, an error may also come between its commit and that of the rest; [`Unit::is_sealed`] tells. Then
    /// the function must not be called again for this message: [`Unit::unfinished`] has what is left to be done.
    pub async fn commit(&self, marks: &Marks) -> Result<()> {
        // A write that is being staged comes first, and none comes behind it.
        let turn = self.writing.lock().await;
        self.close();
        drop(turn);
        let database = self.state.lock().database.take();
        let commit = self.take();
        let Some((name, transaction)) = database else {
            return self.backends.commit(&self.project, commit).await;
        };
        let now_us = clock::unix_micros();
        // A database does not know of receipts. One whose time is up may be somebody else's by now.
        if commit
            .receipts
            .iter()
            .any(|receipt| receipt.until_us <= now_us)
        {
            return Err(check::stale());
        }
        let id = mark_of(&self.queue, &commit.receipts);
        let mark = Mark {
            id: id.clone(),
            at_us: now_us,
            intent: intent::encode(&commit),
            forget: marks.take(&name),
            forget_before_us: now_us.saturating_sub(KEPT.as_micros() as u64),
        };
        transaction.commit(mark).await?;
        self.state.lock().sealed = true;
        self.backends.commit(&self.project, commit).await?;
        marks.add(name, id);
        Ok(())
    }

    /// Whether the database has committed.
    pub fn is_sealed(&self) -> bool {
        self.state.lock().sealed
    }

    /// What is left to be done for these messages of a queue, if one of the databases committed for them before and the
    /// rest did not. Places of what is published have the default settings.
    pub async fn unfinished(
        databases: &[Arc<dyn Sql>],
        queue: &Label,
        receipts: &[Receipt],
    ) -> Result<Option<Commit>> {
        let id = mark_of(queue, receipts);
        for database in databases {
            if let Some(intent) = database.mark(&id).await? {
                return Ok(Some(Commit {
                    queue: Some(queue.clone()),
                    receipts: receipts.to_vec(),
                    ..intent::decode(&intent)?
                }));
            }
        }
        Ok(None)
    }

    fn take(&self) -> Commit {
        let mut state = self.state.lock();
        let stores = std::mem::take(&mut state.stores).into_iter();
        let mut required = std::mem::take(&mut state.required);
        let changes = |(store, staged): (Label, BTreeMap<String, Staged>)| {
            let required = required.remove(&store).unwrap_or_default();
            Changes::of(store, staged, required)
        };
        Commit {
            queue: Some(self.queue.clone()),
            receipts: self.receipts.clone(),
            stores: stores.map(changes).collect(),
            published: std::mem::take(&mut state.published),
        }
    }
}

/// The mark of a delivery: a queue never gives a number twice.
fn mark_of(queue: &Label, receipts: &[Receipt]) -> String {
    let mut id = queue.as_str().to_owned();
    for receipt in receipts {
        id.push('#');
        id.push_str(&receipt.id.0.to_string());
    }
    id
}

// === impl Marks ===

impl Marks {
    fn take(&self, database: &Label) -> Vec<String> {
        self.0.lock().remove(database).unwrap_or_default()
    }

    fn add(&self, database: Label, id: String) {
        let mut marks = self.0.lock();
        let marks = marks.entry(database).or_default();
        if marks.len() < FORGET {
            marks.push(id);
        }
    }
}

// === impl State ===

impl State {
    fn open(&self) -> Result<()> {
        if !self.closed {
            return Ok(());
        }
        let text = "the call has answered, and what it does now would be no part of its delivery";
        Err(Error::new(Kind::Invalid, Blame::Function, text)
            .hint("finish the work before the answer, or take exactly_once off the trigger"))
    }

    /// The transaction of this database if the call uses it; an error when it cannot.
    fn may_use(&self, database: &Label) -> Result<Option<Arc<dyn Transaction>>> {
        self.open()?;
        match &self.database {
            Some((name, begun)) if name == database => Ok(Some(begun.clone())),
            Some((name, _)) => Err(sql::refused(&format!(
                "two databases in one call: {name} and {database}"
            ))
            .hint(
                "let another function handle the other one, or take exactly_once off the trigger",
            )),
            None if self.conditional => Err(conditions_and_database()),
            None => Ok(None),
        }
    }

    fn publish(&mut self, publication: Publication) -> Result<()> {
        let count = publication.messages.len();
        let bytes = publication.messages.iter().map(Message::size).sum();
        self.grow(count, bytes)?;
        match self
            .published
            .iter_mut()
            .find(|there| there.to == publication.to)
        {
            Some(there) => there.messages.extend(publication.messages),
            None => self.published.push(publication),
        }
        Ok(())
    }

    fn grow(&mut self, count: usize, bytes: usize) -> Result<()> {
        let over = |what: &str, most: usize, now: usize| {
            let text = format!(
                "a delivery with exactly_once writes no more {what} than {most}, and this would be: {now}"
            );
            Error::new(Kind::Exhausted, Blame::Function, text)
                .hint("write less in one delivery, or take exactly_once off the trigger")
        };
        let (counts, sizes) = (self.count + count, self.bytes + bytes);
        if counts > MAX_WRITES {
            return Err(over("keys and messages", MAX_WRITES, counts));
        }
        if sizes > MAX_BYTES {
            return Err(over("bytes", MAX_BYTES, sizes));
        }
        (self.count, self.bytes) = (counts, sizes);
        Ok(())
    }
}

fn conditions_and_database() -> Error {
    sql::refused("a database, and a compare-and-set or an increment in a key-value store")
        .hint("count in the database, or write to the store without a condition")
}

// === impl Changes ===

impl Changes {
    fn of(
        store: Label,
        staged: BTreeMap<String, Staged>,
        mut checks: Vec<(String, Condition)>,
    ) -> Self {
        let mut writes = Vec::with_capacity(staged.len());
        for (key, staged) in staged {
            checks.extend(staged.base.map(|base| (key.clone(), base)));
            writes.push(match staged.change {
                Change::Put {
                    value, expires_us, ..
                } => Write::Put {
                    key,
                    value,
                    options: PutOptions {
                        condition: Condition::Always,
                        expires_us,
                    },
                },
                Change::Delete => Write::Delete { key },
            });
        }
        Self {
            store,
            checks,
            writes,
        }
    }
}

// === impl Commit ===

impl Commit {
    /// Bytes of keys, values and messages.
    pub fn size(&self) -> usize {
        let writes = self.stores.iter().flat_map(|changes| &changes.writes);
        let writes: usize = writes.map(|write| write.key().len() + write.size()).sum();
        let messages = self.published.iter().flat_map(|p| &p.messages);
        writes + messages.map(Message::size).sum::<usize>()
    }
}
