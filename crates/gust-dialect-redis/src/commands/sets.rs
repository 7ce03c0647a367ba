//! Sets.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::{choose, hashes::whole};
use crate::{
    args::{Scan, cursor, first, is, positive, take},
    fault::{Fault, Outcome},
    number::{self, integer},
    reply::Reply,
    space::Space,
    turn::Turn,
    tx::Tx,
    value::{ELEMENT, Set, Value},
};

/// What looking at a member counts when others wait for their turn.
const STEPS: usize = 64;

pub(crate) fn sadd(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    let (key, members) = first(args)?;
    let set = tx.edit::<Set>(key)?;
    let fresh = members
        .iter()
        .filter(|member| set.insert((*member).clone()))
        .count();
    if fresh > 0 {
        tx.changed(key);
    }
    Ok(Reply::count(fresh))
}

pub(crate) fn srem(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    let (key, members) = first(args)?;
    let set = tx.edit::<Set>(key)?;
    let gone = members.iter().filter(|member| set.remove(*member)).count();
    if gone > 0 {
        tx.changed(key);
    }
    Ok(Reply::count(gone))
}

pub(crate) fn smembers(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    let [key] = take(args)?;
    let members = tx.get::<Set>(key)?.into_iter().flatten();
    Ok(Reply::Set(Reply::bulks(members)))
}

pub(crate) fn sismember(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    let [key, member] = take(args)?;
    let set = tx.get::<Set>(key)?;
    Ok(Reply::Int(
        set.is_some_and(|set| set.contains(member)).into(),
    ))
}

pub(crate) fn smismember(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    let (key, members) = first(args)?;
    let set = tx.get::<Set>(key)?;
    let is_in = |member| Reply::Int(set.is_some_and(|set| set.contains(member)).into());
    Ok(Reply::Array(members.iter().map(is_in).collect()))
}

pub(crate) fn scard(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    let [key] = take(args)?;
    Ok(Reply::count(tx.get::<Set>(key)?.map_or(0, Set::len)))
}

pub(crate) fn spop(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    let (key, rest) = first(args)?;
    let count = match rest {
        [] => None,
        [count] => Some(positive(count)?),
        _ => return Err(Fault::SYNTAX),
    };
    let set = tx.edit::<Set>(key)?;
    let wanted = i64::try_from(count.unwrap_or(1)).unwrap_or(i64::MAX);
    let mut chosen = choose(wanted, set.len())?;
    chosen.sort_unstable();
    let mut chosen = chosen.into_iter().peekable();
    let mut popped = Vec::new();
    let all = std::mem::take(set).into_iter().enumerate();
    for (at, member) in all {
        match chosen.next_if_eq(&at) {
            Some(_) => popped.push(Reply::Bulk(member)),
            None => {
                set.insert(member);
            }
        }
    }
    if !popped.is_empty() {
        tx.changed(key);
    }
    Ok(match count {
        Some(_) => Reply::Set(popped),
        None => popped.into_iter().next().unwrap_or(Reply::Null),
    })
}

pub(crate) fn srandmember(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    let (key, rest) = first(args)?;
    let count = match rest {
        [] => None,
        [count] => Some(integer(count)?),
        _ => return Err(Fault::SYNTAX),
    };
    let members: Vec<_> = tx.get::<Set>(key)?.into_iter().flatten().collect();
    let chosen = choose(count.unwrap_or(1), members.len())?;
    let mut chosen = chosen.into_iter().filter_map(|at| members.get(at).copied());
    Ok(match count {
        Some(_) => Reply::Array(Reply::bulks(chosen)),
        None => Reply::maybe(chosen.next()),
    })
}

pub(crate) fn smove(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    let [from, to, member] = take(args)?;
    if !tx.has(from)? {
        return Ok(Reply::ZERO);
    }
    tx.get::<Set>(to)?;
    if !tx.get::<Set>(from)?.is_some_and(|set| set.contains(member)) {
        return Ok(Reply::ZERO);
    }
    if from != to {
        tx.edit::<Set>(from)?.remove(member);
        tx.changed(from);
        if tx.edit::<Set>(to)?.insert(member.clone()) {
            tx.changed(to);
        }
    }
    Ok(Reply::Int(1))
}

pub(crate) async fn sscan(tx: &mut Tx, _: &Space, args: &[Bytes]) -> Outcome {
    let (key, rest) = first(args)?;
    let (at, options) = first(rest)?;
    cursor(at)?;
    // As in Redis, nothing more is looked at when there is no such key.
    if tx.get::<Set>(key)?.is_none() {
        return Ok(whole(Vec::new()));
    }
    let scan = Scan::read(options, false)?;
    let members = tx.get::<Set>(key)?.into_iter().flatten();
    let (mut found, mut turn) = (Vec::new(), Turn::default());
    for member in members {
        if scan.takes(member, &mut turn).await {
            found.push(member);
        }
    }
    Ok(whole(Reply::bulks(found)))
}

/// How several sets become one.
#[derive(Clone, Copy)]
enum Of {
    All,
    Any,
    FirstOnly,
}

/// Each key once, in turns; and no more memory than was asked for.
async fn combine(tx: &mut Tx, keys: &[Bytes], of: Of) -> Result<Set, Fault> {
    let (start, rest) = first(keys)?;
    let rest: BTreeSet<&Bytes> = rest.iter().collect();
    let (mut smallest, mut most) = (start, length(tx, start)?);
    for key in &rest {
        let length = length(tx, key)?;
        match of {
            Of::Any => most += length,
            Of::All if length < most => (smallest, most) = (key, length),
            Of::All | Of::FirstOnly => {}
        }
    }
    tx.take(most * ELEMENT).await?;
    let others = rest.into_iter();
    match of {
        Of::Any => any(tx, std::iter::once(start).chain(others)).await,
        Of::All => all(tx, smallest, others.chain([start])).await,
        Of::FirstOnly => first_only(tx, start, others).await,
    }
}

fn length(tx: &Tx, key: &Bytes) -> Result<usize, Fault> {
    Ok(tx.get::<Set>(key)?.map_or(0, Set::len))
}

async fn any(tx: &Tx, keys: impl Iterator<Item = &Bytes> + Send) -> Result<Set, Fault> {
    let (mut found, mut turn) = (Set::new(), Turn::default());
    for key in keys {
        for member in tx.get::<Set>(key)?.into_iter().flatten() {
            turn.spend(STEPS).await;
            found.insert(member.clone());
        }
        turn.spend(STEPS).await;
    }
    Ok(found)
}

async fn all(
    tx: &Tx,
    smallest: &Bytes,
    keys: impl Iterator<Item = &Bytes> + Send,
) -> Result<Set, Fault> {
    let empty = Set::new();
    let sets = keys.map(|key| Ok(tx.get::<Set>(key)?.unwrap_or(&empty)));
    let sets: Vec<&Set> = sets.collect::<Result<_, Fault>>()?;
    let (mut found, mut turn) = (Set::new(), Turn::default());
    'members: for member in tx.get::<Set>(smallest)?.into_iter().flatten() {
        for set in &sets {
            turn.spend(STEPS).await;
            if !set.contains(member) {
                continue 'members;
            }
        }
        found.insert(member.clone());
    }
    Ok(found)
}

async fn first_only(
    tx: &Tx,
    start: &Bytes,
    keys: impl Iterator<Item = &Bytes> + Send,
) -> Result<Set, Fault> {
    let mut found = any(tx, std::iter::once(start)).await?;
    let mut turn = Turn::default();
    for key in keys {
        for member in tx.get::<Set>(key)?.into_iter().flatten() {
            turn.spend(STEPS).await;
            found.remove(member);
        }
        turn.spend(STEPS).await;
    }
    Ok(found)
}

fn show(set: &Set) -> Reply {
    Reply::Set(Reply::bulks(set))
}

pub(crate) async fn sinter(tx: &mut Tx, _: &Space, args: &[Bytes]) -> Outcome {
    Ok(show(&combine(tx, args, Of::All).await?))
}

pub(crate) async fn sunion(tx: &mut Tx, _: &Space, args: &[Bytes]) -> Outcome {
    Ok(show(&combine(tx, args, Of::Any).await?))
}

pub(crate) async fn sdiff(tx: &mut Tx, _: &Space, args: &[Bytes]) -> Outcome {
    Ok(show(&combine(tx, args, Of::FirstOnly).await?))
}

pub(crate) async fn sinterstore(tx: &mut Tx, _: &Space, args: &[Bytes]) -> Outcome {
    store(tx, args, Of::All).await
}

pub(crate) async fn sunionstore(tx: &mut Tx, _: &Space, args: &[Bytes]) -> Outcome {
    store(tx, args, Of::Any).await
}

pub(crate) async fn sdiffstore(tx: &mut Tx, _: &Space, args: &[Bytes]) -> Outcome {
    store(tx, args, Of::FirstOnly).await
}

async fn store(tx: &mut Tx, args: &[Bytes], of: Of) -> Outcome {
    let (to, keys) = first(args)?;
    let set = combine(tx, keys, of).await?;
    let count = set.len();
    match count {
        0 => drop(tx.remove(to)?),
        _ => tx.put(to, Value::Set(set), None)?,
    }
    Ok(Reply::count(count))
}

pub(crate) async fn sintercard(tx: &mut Tx, _: &Space, args: &[Bytes]) -> Outcome {
    let (count, rest) = first(args)?;
    let count = number::whole(count).and_then(|count| usize::try_from(count).ok());
    let count = count.filter(|count| *count > 0);
    let count = count.ok_or(Fault::of("ERR numkeys should be greater than 0"))?;
    let Some((keys, options)) = rest.split_at_checked(count) else {
        return Err(Fault::of(
            "ERR Number of keys can't be greater than number of args",
        ));
    };
    let limit = match options {
        [] => 0,
        [word, limit] if is(word, "limit") => number::whole(limit)
            .and_then(|limit| usize::try_from(limit).ok())
            .ok_or(Fault::of("ERR LIMIT can't be negative"))?,
        _ => return Err(Fault::SYNTAX),
    };
    let found = combine(tx, keys, Of::All).await?.len();
    Ok(Reply::count(if limit == 0 {
        found
    } else {
        found.min(limit)
    }))
}
