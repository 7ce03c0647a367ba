//! Ranges of sorted sets: by rank, by score, by member; read, counted and removed.

use bytes::Bytes;

use crate::{
    args::{first, is, range, take},
    fault::{Fault, Outcome},
    number::{self, integer},
    reply::Reply,
    tx::Tx,
    value::Zset,
};

/// An end of a range of scores or members.
#[derive(Debug, Clone, PartialEq)]
enum Bound<T> {
    Least,
    Greatest,
    From(T),
    Beyond(T),
}

/// Which elements.
enum By {
    Rank(i64, i64),
    Score(Bound<f64>, Bound<f64>),
    Member(Bound<Bytes>, Bound<Bytes>),
}

/// What the two ends of a range are.
#[derive(Clone, Copy, PartialEq)]
enum Unit {
    Rank,
    Score,
    Member,
}

/// A range as it was asked for.
struct Range {
    by: By,
    reverse: bool,
    limit: Option<(i64, i64)>,
    scores: bool,
}

// === impl Bound ===

impl<T: PartialOrd> Bound<T> {
    fn is_below(&self, value: &T) -> bool {
        match self {
            Self::Least => true,
            Self::Greatest => false,
            Self::From(bound) => bound <= value,
            Self::Beyond(bound) => bound < value,
        }
    }

    fn is_above(&self, value: &T) -> bool {
        match self {
            Self::Least => false,
            Self::Greatest => true,
            Self::From(bound) => bound >= value,
            Self::Beyond(bound) => bound > value,
        }
    }
}

fn score(word: &Bytes) -> Result<Bound<f64>, Fault> {
    let fault = Fault::of("ERR min or max is not a float");
    match word.strip_prefix(b"(") {
        Some(word) => number::real(word).map(Bound::Beyond),
        None => number::real(word).map(Bound::From),
    }
    .ok_or(fault)
}

fn member(word: &Bytes) -> Result<Bound<Bytes>, Fault> {
    match word.first() {
        Some(b'-') if word.len() == 1 => Ok(Bound::Least),
        Some(b'+') if word.len() == 1 => Ok(Bound::Greatest),
        Some(b'(') => Ok(Bound::Beyond(word.slice(1..))),
        Some(b'[') => Ok(Bound::From(word.slice(1..))),
        _ => Err(Fault::of("ERR min or max not valid string range item")),
    }
}

// === impl By ===

impl By {
    fn read(unit: Unit, min: &Bytes, max: &Bytes) -> Result<Self, Fault> {
        Ok(match unit {
            Unit::Rank => Self::Rank(integer(min)?, integer(max)?),
            Unit::Score => Self::Score(score(min)?, score(max)?),
            Unit::Member => Self::Member(member(min)?, member(max)?),
        })
    }

    /// The elements, in order.
    fn select(&self, zset: &Zset, reverse: bool) -> Vec<(Bytes, f64)> {
        let mut sorted = zset.sorted();
        if reverse {
            sorted.reverse();
        }
        let owned = |(member, score): &(&Bytes, f64)| ((*member).clone(), *score);
        match self {
            Self::Rank(start, stop) => match range(*start, *stop, sorted.len()) {
                Some((start, stop)) => {
                    let some = sorted.get(start..=stop).unwrap_or_default();
                    some.iter().map(owned).collect()
                }
                None => Vec::new(),
            },
            Self::Score(min, max) => {
                let is_in =
                    |(_, score): &&(&Bytes, f64)| min.is_below(score) && max.is_above(score);
                sorted.iter().filter(is_in).map(owned).collect()
            }
            Self::Member(min, max) => {
                let is_in =
                    |(member, _): &&(&Bytes, f64)| min.is_below(member) && max.is_above(member);
                sorted.iter().filter(is_in).map(owned).collect()
            }
        }
    }
}

// === impl Range ===

impl Range {
    /// What stands behind the key; `ZRANGE` says by option what the others have in their names.
    fn read(args: &[Bytes], fixed: Option<(Unit, bool)>) -> Result<Self, Fault> {
        let [start, stop, rest @ ..] = args else {
            return Err(Fault::SYNTAX);
        };
        let (mut unit, mut reverse) = fixed.unwrap_or((Unit::Rank, false));
        let (mut limit, mut scores, mut rest) = (None, false, rest);
        while let [word, more @ ..] = rest {
            rest = more;
            match more {
                _ if is(word, "withscores") => scores = true,
                [offset, count, more @ ..] if is(word, "limit") => {
                    limit = Some((integer(offset)?, integer(count)?));
                    rest = more;
                }
                _ if fixed.is_some() => return Err(Fault::SYNTAX),
                _ if is(word, "rev") => reverse = true,
                _ if is(word, "byscore") => unit = Unit::Score,
                _ if is(word, "bylex") => unit = Unit::Member,
                _ => return Err(Fault::SYNTAX),
            }
        }
        if limit.is_some() && unit == Unit::Rank {
            return Err(Fault::of(
                "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
            ));
        }
        if scores && unit == Unit::Member {
            return Err(Fault::of(
                "ERR syntax error, WITHSCORES not supported in combination with BYLEX",
            ));
        }
        // The greater end stands first in a reversed range, but for ranks.
        let (min, max) = match reverse && unit != Unit::Rank {
            true => (stop, start),
            false => (start, stop),
        };
        Ok(Self {
            by: By::read(unit, min, max)?,
            reverse,
            limit,
            scores,
        })
    }

    fn select(&self, zset: &Zset) -> Vec<(Bytes, f64)> {
        let mut found = self.by.select(zset, self.reverse);
        if let Some((offset, count)) = self.limit {
            let Ok(offset) = usize::try_from(offset) else {
                return Vec::new();
            };
            found.drain(..offset.min(found.len()));
            if let Ok(count) = usize::try_from(count) {
                found.truncate(count);
            }
        }
        found
    }
}

fn read(tx: &mut Tx, args: &[Bytes], fixed: Option<(Unit, bool)>) -> Outcome {
    let (key, rest) = first(args)?;
    let range = Range::read(rest, fixed)?;
    let zset = tx.get::<Zset>(key)?;
    let found = zset.map(|zset| range.select(zset)).unwrap_or_default();
    Ok(match range.scores {
        true => {
            let pair = |(member, score)| (Reply::Bulk(member), Reply::Double(score));
            Reply::Pairs(found.into_iter().map(pair).collect())
        }
        false => Reply::Array(
            found
                .into_iter()
                .map(|(member, _)| Reply::Bulk(member))
                .collect(),
        ),
    })
}

pub(crate) fn zrange(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    read(tx, args, None)
}

pub(crate) fn zrevrange(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    read(tx, args, Some((Unit::Rank, true)))
}

pub(crate) fn zrangebyscore(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    read(tx, args, Some((Unit::Score, false)))
}

pub(crate) fn zrevrangebyscore(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    read(tx, args, Some((Unit::Score, true)))
}

pub(crate) fn zrangebylex(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    read(tx, args, Some((Unit::Member, false)))
}

pub(crate) fn zrevrangebylex(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    read(tx, args, Some((Unit::Member, true)))
}

fn count(tx: &mut Tx, args: &[Bytes], unit: Unit) -> Outcome {
    let [key, min, max] = take(args)?;
    let by = By::read(unit, min, max)?;
    let found = tx.get::<Zset>(key)?.map(|zset| by.select(zset, false));
    Ok(Reply::count(found.unwrap_or_default().len()))
}

pub(crate) fn zcount(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    count(tx, args, Unit::Score)
}

pub(crate) fn zlexcount(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    count(tx, args, Unit::Member)
}

fn remove(tx: &mut Tx, args: &[Bytes], unit: Unit) -> Outcome {
    let [key, min, max] = take(args)?;
    let by = By::read(unit, min, max)?;
    let zset = tx.edit::<Zset>(key)?;
    let found = by.select(zset, false);
    for (member, _) in &found {
        zset.0.remove(member);
    }
    if !found.is_empty() {
        tx.changed(key);
    }
    Ok(Reply::count(found.len()))
}

pub(crate) fn zremrangebyrank(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    remove(tx, args, Unit::Rank)
}

pub(crate) fn zremrangebyscore(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    remove(tx, args, Unit::Score)
}

pub(crate) fn zremrangebylex(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    remove(tx, args, Unit::Member)
}
