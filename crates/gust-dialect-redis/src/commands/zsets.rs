//! Sorted sets, member by member. Ranges are in `zranges.rs`, unions and intersections in `zstore.rs`.

use bytes::Bytes;

use super::hashes::whole;
use crate::{
    args::{Scan, cursor, first, is, pairs, positive, take},
    fault::{Fault, Outcome},
    number,
    reply::Reply,
    space::Space,
    turn::Turn,
    tx::Tx,
    value::Zset,
};

/// The options of `ZADD`.
#[derive(Default, Clone, Copy)]
struct Options {
    absent: bool,
    present: bool,
    greater: bool,
    less: bool,
    changed: bool,
    increment: bool,
}

/// What became of a member.
enum Became {
    Nothing,
    Same(f64),
    Added(f64),
    Updated(f64),
}

// === impl Options ===

impl Options {
    /// The options, and the pairs behind them.
    fn read(mut args: &[Bytes]) -> Result<(Self, &[Bytes]), Fault> {
        let mut options = Self::default();
        while let [word, rest @ ..] = args {
            let option = match () {
                () if is(word, "nx") => &mut options.absent,
                () if is(word, "xx") => &mut options.present,
                () if is(word, "gt") => &mut options.greater,
                () if is(word, "lt") => &mut options.less,
                () if is(word, "ch") => &mut options.changed,
                () if is(word, "incr") => &mut options.increment,
                () => break,
            };
            *option = true;
            args = rest;
        }
        if args.is_empty() || !args.len().is_multiple_of(2) {
            return Err(Fault::SYNTAX);
        }
        options.check(args.len() / 2)?;
        Ok((options, args))
    }

    fn check(&self, members: usize) -> Result<(), Fault> {
        if self.absent && self.present {
            return Err(Fault::of(
                "ERR XX and NX options at the same time are not compatible",
            ));
        }
        if self.greater && (self.less || self.absent) || self.less && self.absent {
            return Err(Fault::of(
                "ERR GT, LT, and/or NX options at the same time are not compatible",
            ));
        }
        if self.increment && members > 1 {
            return Err(Fault::of(
                "ERR INCR option supports a single increment-element pair",
            ));
        }
        Ok(())
    }

    fn apply(&self, zset: &mut Zset, member: &Bytes, score: f64) -> Result<Became, Fault> {
        let Some(there) = zset.0.get_mut(member) else {
            if self.present {
                return Ok(Became::Nothing);
            }
            zset.0.insert(member.clone(), score);
            return Ok(Became::Added(score));
        };
        if self.absent {
            return Ok(Became::Nothing);
        }
        let score = if self.increment {
            *there + score
        } else {
            score
        };
        if score.is_nan() {
            return Err(Fault::of("ERR resulting score is not a number (NaN)"));
        }
        if self.greater && score <= *there || self.less && score >= *there {
            return Ok(Became::Nothing);
        }
        if score == *there {
            return Ok(Became::Same(score));
        }
        *there = score;
        Ok(Became::Updated(score))
    }
}

pub(crate) fn zadd(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    let (key, rest) = first(args)?;
    let (options, members) = Options::read(rest)?;
    add(tx, key, options, members)
}

pub(crate) fn zincrby(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    let (key, members) = first(args)?;
    let options = Options {
        increment: true,
        ..Options::default()
    };
    add(tx, key, options, members)
}

fn add(tx: &mut Tx, key: &Bytes, options: Options, members: &[Bytes]) -> Outcome {
    let mut scored = Vec::with_capacity(members.len() / 2);
    for (score, member) in pairs(members) {
        scored.push((number::real(score).ok_or(Fault::FLOAT)?, member));
    }
    let zset = tx.edit::<Zset>(key)?;
    let (mut added, mut updated, mut last) = (0, 0, Reply::Null);
    for (score, member) in scored {
        match options.apply(zset, member, score)? {
            Became::Nothing => {}
            Became::Same(score) => last = Reply::Double(score),
            Became::Added(score) => {
                added += 1;
                last = Reply::Double(score);
            }
            Became::Updated(score) => {
                updated += 1;
                last = Reply::Double(score);
            }
        }
    }
    if added + updated > 0 {
        tx.changed(key);
    }
    Ok(match (options.increment, options.changed) {
        (true, _) => last,
        (false, true) => Reply::Int(added + updated),
        (false, false) => Reply::Int(added),
    })
}

pub(crate) fn zscore(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    let [key, member] = take(args)?;
    Ok(score(tx.get::<Zset>(key)?, member))
}

pub(crate) fn zmscore(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    let (key, members) = first(args)?;
    let zset = tx.get::<Zset>(key)?;
    let scores = members.iter().map(|member| score(zset, member));
    Ok(Reply::Array(scores.collect()))
}

fn score(zset: Option<&Zset>, member: &Bytes) -> Reply {
    let score = zset.and_then(|zset| zset.0.get(member));
    score.map_or(Reply::Null, |score| Reply::Double(*score))
}

pub(crate) fn zcard(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    let [key] = take(args)?;
    Ok(Reply::count(
        tx.get::<Zset>(key)?.map_or(0, |zset| zset.0.len()),
    ))
}

pub(crate) fn zrank(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    let [key, member] = take(args)?;
    let sorted = tx.get::<Zset>(key)?.map(Zset::sorted).unwrap_or_default();
    let rank = sorted.iter().position(|(there, _)| *there == member);
    Ok(rank.map_or(Reply::Null, Reply::count))
}

pub(crate) fn zrevrank(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    let [key, member] = take(args)?;
    let sorted = tx.get::<Zset>(key)?.map(Zset::sorted).unwrap_or_default();
    let rank = sorted.iter().rev().position(|(there, _)| *there == member);
    Ok(rank.map_or(Reply::Null, Reply::count))
}

pub(crate) fn zrem(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    let (key, members) = first(args)?;
    let zset = tx.edit::<Zset>(key)?;
    let gone = members
        .iter()
        .filter(|member| zset.0.remove(*member).is_some());
    let gone = gone.count();
    if gone > 0 {
        tx.changed(key);
    }
    Ok(Reply::count(gone))
}

pub(crate) fn zpopmin(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    pop(tx, args, false)
}

pub(crate) fn zpopmax(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    pop(tx, args, true)
}

fn pop(tx: &mut Tx, args: &[Bytes], greatest: bool) -> Outcome {
    let (key, rest) = first(args)?;
    let count = match rest {
        [] => None,
        [count] => Some(positive(count)?),
        _ => return Err(Fault::SYNTAX),
    };
    let zset = tx.edit::<Zset>(key)?;
    let mut sorted = zset.sorted();
    if greatest {
        sorted.reverse();
    }
    sorted.truncate(count.unwrap_or(1));
    let popped: Vec<_> = sorted
        .into_iter()
        .map(|(m, score)| (m.clone(), score))
        .collect();
    for (member, _) in &popped {
        zset.0.remove(member);
    }
    if !popped.is_empty() {
        tx.changed(key);
    }
    let pairs = popped
        .into_iter()
        .map(|(m, s)| (Reply::Bulk(m), Reply::Double(s)));
    Ok(match count {
        Some(_) => Reply::Pairs(pairs.collect()),
        None => Reply::Array(pairs.flat_map(|(member, score)| [member, score]).collect()),
    })
}

pub(crate) async fn zscan(tx: &mut Tx, _: &Space, args: &[Bytes]) -> Outcome {
    let (key, rest) = first(args)?;
    let (at, options) = first(rest)?;
    cursor(at)?;
    // As in Redis, nothing more is looked at when there is no such key.
    if tx.get::<Zset>(key)?.is_none() {
        return Ok(whole(Vec::new()));
    }
    let scan = Scan::read(options, false)?;
    let sorted = tx.get::<Zset>(key)?.map(Zset::sorted).unwrap_or_default();
    let (mut items, mut turn) = (Vec::new(), Turn::default());
    for (member, score) in sorted {
        if scan.takes(member, &mut turn).await {
            items.push(Reply::Bulk(member.clone()));
            items.push(Reply::text(number::show(score)));
        }
    }
    Ok(whole(items))
}
