//! Sets.

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
    value::{Set, Value},
};

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

fn combine(tx: &Tx, keys: &[Bytes], of: Of) -> Result<Set, Fault> {
    let empty = Set::new();
    let mut sets = Vec::with_capacity(keys.len());
    for key in keys {
        sets.push(tx.get::<Set>(key)?.unwrap_or(&empty));
    }
    let (start, rest) = sets.split_first().ok_or(Fault::SYNTAX)?;
    Ok(match of {
        Of::Any => sets.into_iter().flatten().cloned().collect(),
        Of::All => {
            let is_in_all = |member: &&Bytes| rest.iter().all(|set| set.contains(*member));
            start.iter().filter(is_in_all).cloned().collect()
        }
        Of::FirstOnly => {
            let is_in_none = |member: &&Bytes| !rest.iter().any(|set| set.contains(*member));
            start.iter().filter(is_in_none).cloned().collect()
        }
    })
}

fn show(set: &Set) -> Reply {
    Reply::Set(Reply::bulks(set))
}

pub(crate) fn sinter(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    Ok(show(&combine(tx, args, Of::All)?))
}

pub(crate) fn sunion(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    Ok(show(&combine(tx, args, Of::Any)?))
}

pub(crate) fn sdiff(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    Ok(show(&combine(tx, args, Of::FirstOnly)?))
}

pub(crate) fn sinterstore(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    store(tx, args, Of::All)
}

pub(crate) fn sunionstore(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    store(tx, args, Of::Any)
}

pub(crate) fn sdiffstore(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    store(tx, args, Of::FirstOnly)
}

fn store(tx: &mut Tx, args: &[Bytes], of: Of) -> Outcome {
    let (to, keys) = first(args)?;
    let set = combine(tx, keys, of)?;
    let count = set.len();
    match count {
        0 => drop(tx.remove(to)?),
        _ => tx.put(to, Value::Set(set), None)?,
    }
    Ok(Reply::count(count))
}

pub(crate) fn sintercard(tx: &mut Tx, args: &[Bytes]) -> Outcome {
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
    let found = combine(tx, keys, Of::All)?.len();
    Ok(Reply::count(if limit == 0 {
        found
    } else {
        found.min(limit)
    }))
}
