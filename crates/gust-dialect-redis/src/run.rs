//! Commands over a store, once or again until nobody was in between.
//!
//! A command, or all commands of a transaction, run on a [`Tx`]; what they changed is written in one batch under the condition
//! that what they read is still so. Where it is not, all of it runs again. What only reads more than one key is read again to see
//! that it was all there at one time.

use std::time::Duration;

use bytes::Bytes;
use gust_backend::kv::{Condition, Version, Write};
use gust_task::{Stop, clock, ids};
use gust_types::Kind;

use crate::{
    budget::Grant,
    commands::strings,
    fault::{Fault, Outcome},
    frame::Request,
    number,
    patience::Patience,
    reply::Reply,
    session::Client,
    space::Space,
    table::{Access, Command, Run, Verb},
    turn::Turn,
    tx::{Changes, Tx},
};

/// How often something is tried while others write the same keys.
const ATTEMPTS: u32 = 64;
/// Bytes that all answers of a command or a transaction have at most.
const ANSWERS: usize = 64 << 20;

/// What reading an element or a key counts when others wait for their turn.
const STEPS: usize = 64;

/// A command as it was asked for.
pub(crate) struct Call {
    pub(crate) command: &'static Command,
    /// Its name, then its arguments.
    pub(crate) words: Request,
}

/// What a command about the connection may look at.
pub(crate) struct Cx<'a> {
    pub(crate) client: &'a mut Client,
    pub(crate) space: &'a Space,
}

/// A key that somebody watches, and what it had then.
pub(crate) type Watched = (Bytes, Option<Version>);

/// Answers, and the memory that they take.
pub(crate) struct Answers {
    pub(crate) replies: Vec<Reply>,
    pub(crate) grant: Grant,
}

// === impl Call ===

impl Call {
    pub(crate) fn args(&self) -> &[Bytes] {
        self.words.get(1..).unwrap_or_default()
    }

    pub(crate) fn size(&self) -> usize {
        self.words.iter().map(|word| word.len() + 64).sum()
    }

    /// Whether it is a `SET` that overwrites, whatever is there: several of them may go to the store at once.
    pub(crate) fn is_plain_set(&self) -> bool {
        self.command.name == "set" && strings::is_blind(self.args())
    }
}

/// Runs one command.
pub(crate) async fn one(space: &Space, client: &mut Client, call: &Call) -> Result<Answers, Fault> {
    if matches!(call.command.name, "incr" | "decr" | "incrby" | "decrby")
        && let Some(sum) = count(space, call).await?
    {
        return Ok(Answers {
            replies: vec![Reply::Int(sum)],
            grant: Grant::default(),
        });
    }
    let done = all(space, client, std::slice::from_ref(call), &[]).await?;
    done.ok_or(Fault::BUSY)
}

/// Counts without a lock and without trying again: the store can do that. Not when what is there is no number as Redis writes
/// them; then the command itself says why.
async fn count(space: &Space, call: &Call) -> Result<Option<i64>, Fault> {
    let (key, by) = strings::step(call.command.name, call.args())?;
    let key = crate::tx::name(key)?;
    let there = space.kv.get(key).await?;
    if there.is_some_and(|there| number::whole(&there.value).is_none()) {
        return Ok(None);
    }
    match space.kv.increment(key, by).await {
        Ok(sum) => Ok(Some(sum)),
        Err(error) if error.kind == Kind::Invalid => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Runs commands as one. `None` when a key that is watched has changed: then nothing was done.
pub(crate) async fn all(
    space: &Space,
    client: &mut Client,
    calls: &[Call],
    watched: &[Watched],
) -> Result<Option<Answers>, Fault> {
    let writes = calls.iter().filter(|call| {
        call.command.access == Access::Write && !call.command.reads(&call.words).is_empty()
    });
    // What takes several batches goes on to its end.
    let mut patience = match calls.iter().any(|call| call.command.is_alone()) {
        true => Patience::of(&Stop::new()),
        false => Patience::of(&client.gone),
    };
    let keys = writes.flat_map(|call| call.command.keys(&call.words));
    let _locks = patience.with(async { Ok(space.lock(keys).await) }).await?;
    if !calls.iter().any(|call| call.command.is_long()) || calls.len() > 1 {
        patience.begin();
    }
    for attempt in 0..ATTEMPTS {
        let grant = space.part.grant();
        let mut tx = Tx::new(space.kv.limits(), clock::unix_micros(), grant);
        let attempted = async {
            if !is_as_watched(space, watched).await? {
                return Ok(None);
            }
            let replies = attempt_all(&mut tx, space, client, calls).await?;
            Ok(Some(replies))
        };
        let Some(replies) = patience.with(attempted).await? else {
            return Ok(None);
        };
        let (changes, grant) = tx.finish()?;
        if commit(space, changes, watched, &patience).await? {
            return Ok(Some(Answers { replies, grant }));
        }
        breathe(attempt).await;
    }
    Err(Fault::BUSY)
}

/// Tries a command that may have to wait: `None` when there is nothing yet.
pub(crate) async fn waiting(space: &Space, call: &Call) -> Result<Option<Reply>, Fault> {
    let Run::Wait(run, _) = call.command.run else {
        return Err(Fault::SYNTAX);
    };
    let keys = call.command.keys(&call.words);
    let _locks = space.lock(keys.iter().copied()).await;
    // Whether the client is still there is seen while it waits.
    let mut patience = Patience::of(&Stop::new());
    patience.begin();
    for attempt in 0..ATTEMPTS {
        let grant = space.part.grant();
        let mut tx = Tx::new(space.kv.limits(), clock::unix_micros(), grant);
        let loaded = async {
            for key in &keys {
                tx.load(&*space.kv, key).await?;
            }
            Ok(())
        };
        patience.with(loaded).await?;
        let Some(reply) = run(&mut tx, call.args())? else {
            return Ok(None);
        };
        let (changes, _) = tx.finish()?;
        if commit(space, changes, &[], &patience).await? {
            return Ok(Some(reply));
        }
        breathe(attempt).await;
    }
    Err(Fault::BUSY)
}

async fn attempt_all(
    tx: &mut Tx,
    space: &Space,
    client: &mut Client,
    calls: &[Call],
) -> Result<Vec<Reply>, Fault> {
    let (mut replies, mut bytes) = (Vec::with_capacity(calls.len()), 0);
    for call in calls {
        match tx.is_heavy() {
            true => tokio::task::yield_now().await,
            false => tokio::task::coop::consume_budget().await,
        }
        let outcome = step(tx, space, client, call).await;
        let reply = outcome.unwrap_or_else(Fault::into_reply);
        bytes += reply.size();
        if bytes > ANSWERS {
            return Err(Fault::new(format!(
                "ERR the answer would have more than {ANSWERS} bytes; nothing was done"
            )));
        }
        replies.push(reply);
    }
    if tx.is_heavy() {
        tokio::task::yield_now().await;
    }
    tx.take(bytes).await?;
    Ok(replies)
}

async fn step(tx: &mut Tx, space: &Space, client: &mut Client, call: &Call) -> Outcome {
    let mut turn = Turn::default();
    for key in call.command.reads(&call.words) {
        let elements = tx.load(&*space.kv, key).await?;
        turn.spend((elements + 1) * STEPS).await;
    }
    match &call.command.run {
        Run::Data(run) => run(tx, call.args()),
        Run::Wait(run, nothing) => {
            timeout(call.args())?;
            Ok(run(tx, call.args())?.unwrap_or_else(|| nothing.clone()))
        }
        Run::Walk(run) => run(tx, space, call.args()).await,
        Run::Local(run) => run(&mut Cx { client, space }, call.args()),
        Run::Session(Verb::Unwatch) => Ok(Reply::OK),
        Run::Session(_) => Err(Fault::of("ERR Command not allowed inside a transaction")),
    }
}

/// Writes what has changed; false when somebody was in between.
async fn commit(
    space: &Space,
    changes: Changes,
    watched: &[Watched],
    patience: &Patience,
) -> Result<bool, Fault> {
    let Changes {
        mut batch,
        read,
        writes,
        lists,
        published,
    } = changes;
    if writes {
        // The last look: what has begun to be written is not stopped.
        patience.with(std::future::ready(Ok(()))).await?;
        for (key, version) in watched {
            let key = crate::tx::name(key)?.to_owned();
            let condition = version.map_or(Condition::Absent, Condition::Version);
            batch.insert(0, Write::Require { key, condition });
        }
        match space.kv.write(batch).await {
            Ok(_) => {}
            Err(error) if error.kind == Kind::Conflict => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    } else if read.len() + watched.len() > 1 {
        let is_still_so = async {
            for (key, version) in &read {
                let there = space.kv.get(key).await?;
                if there.map(|there| there.version) != *version {
                    return Ok(false);
                }
            }
            is_as_watched(space, watched).await
        };
        if !patience.with(is_still_so).await? {
            return Ok(false);
        }
    }
    for (key, elements) in lists {
        space.bells.ring(&key, elements);
    }
    for (channel, message) in published {
        space.hub.publish(&channel, &message).await;
    }
    Ok(true)
}

async fn is_as_watched(space: &Space, watched: &[Watched]) -> Result<bool, Fault> {
    for (key, version) in watched {
        let there = space.kv.get(crate::tx::name(key)?).await?;
        if there.map(|there| there.version) != *version {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Lets others finish: a little at first, then longer, never all at the same time.
async fn breathe(attempt: u32) {
    match attempt {
        0..4 => tokio::task::yield_now().await,
        _ => tokio::time::sleep(Duration::from_micros(ids::random_u64() % 4000)).await,
    }
}

/// How long a command waits; `None` for as long as it takes.
pub(crate) fn timeout(args: &[Bytes]) -> Result<Option<Duration>, Fault> {
    let fault = Fault::of("ERR timeout is not a float or out of range");
    let seconds = args.last().and_then(|word| number::real(word));
    let seconds = seconds.filter(|s| s.abs() < 1e12).ok_or(fault)?;
    if seconds < 0.0 {
        return Err(Fault::of("ERR timeout is negative"));
    }
    // Less than a millisecond is one, since 0 is for ever.
    let wait = Duration::from_secs_f64(seconds).max(Duration::from_millis(1));
    Ok((seconds > 0.0).then_some(wait))
}
