//! Unions and intersections of sorted sets.

use std::{borrow::Cow, collections::BTreeMap};

use bytes::Bytes;

use crate::{
    args::{counted, first, is},
    fault::{Fault, Outcome},
    number,
    reply::Reply,
    tx::Tx,
    value::{Value, Zset},
};

/// What several scores of a member become.
#[derive(Default, Clone, Copy)]
enum Aggregate {
    #[default]
    Sum,
    Min,
    Max,
}

impl Aggregate {
    fn read(word: &[u8]) -> Result<Self, Fault> {
        match () {
            () if is(word, "sum") => Ok(Self::Sum),
            () if is(word, "min") => Ok(Self::Min),
            () if is(word, "max") => Ok(Self::Max),
            () => Err(Fault::SYNTAX),
        }
    }

    fn of(self, a: f64, b: f64) -> f64 {
        match self {
            Self::Sum => number_or_zero(a + b),
            Self::Min => a.min(b),
            Self::Max => a.max(b),
        }
    }
}

/// As in Redis, infinity less infinity is 0, and so is 0 times infinity.
fn number_or_zero(number: f64) -> f64 {
    if number.is_nan() { 0.0 } else { number }
}

pub(crate) fn zunionstore(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    store(tx, args, false, "zunionstore")
}

pub(crate) fn zinterstore(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    store(tx, args, true, "zinterstore")
}

fn store(tx: &mut Tx, args: &[Bytes], of_all: bool, command: &str) -> Outcome {
    let (to, rest) = first(args)?;
    let (count, rest) = first(rest)?;
    let none = || {
        Fault::new(format!(
            "ERR at least 1 input key is needed for '{command}' command"
        ))
    };
    let (keys, options) = counted(count, rest, none)?;
    let mut inputs = Vec::with_capacity(keys.len());
    for key in keys {
        inputs.push(scores(tx, key)?);
    }
    let (weights, aggregate) = read(options, keys.len())?;
    let mut found: BTreeMap<Bytes, (f64, usize)> = BTreeMap::new();
    for (input, weight) in inputs.iter().zip(&weights) {
        for (member, score) in input.iter() {
            let score = number_or_zero(score * weight);
            found
                .entry(member.clone())
                .and_modify(|(there, seen)| {
                    *there = aggregate.of(*there, score);
                    *seen += 1;
                })
                .or_insert((score, 1));
        }
    }
    let enough = if of_all { inputs.len() } else { 1 };
    let found = found.into_iter().filter(|(_, (_, seen))| *seen >= enough);
    let zset = Zset(found.map(|(member, (score, _))| (member, score)).collect());
    drop(inputs);
    let count = zset.0.len();
    match count {
        0 => drop(tx.remove(to)?),
        _ => tx.put(to, Value::Zset(zset), None)?,
    }
    Ok(Reply::count(count))
}

/// Members and scores of a key; those of a plain set have the score 1.
fn scores<'a>(tx: &'a Tx, key: &Bytes) -> Result<Cow<'a, BTreeMap<Bytes, f64>>, Fault> {
    Ok(match tx.value(key)? {
        None => Cow::Owned(BTreeMap::new()),
        Some(Value::Zset(zset)) => Cow::Borrowed(&zset.0),
        Some(Value::Set(set)) => Cow::Owned(set.iter().map(|m| (m.clone(), 1.0)).collect()),
        Some(_) => return Err(Fault::WRONG_TYPE),
    })
}

fn read(mut args: &[Bytes], keys: usize) -> Result<(Vec<f64>, Aggregate), Fault> {
    let (mut weights, mut aggregate) = (vec![1.0; keys], Aggregate::default());
    while let [word, rest @ ..] = args {
        if is(word, "weights") {
            let (given, rest) = rest.split_at_checked(keys).ok_or(Fault::SYNTAX)?;
            for (weight, given) in weights.iter_mut().zip(given) {
                let fault = Fault::of("ERR weight value is not a float");
                *weight = number::real(given).ok_or(fault)?;
            }
            args = rest;
        } else if is(word, "aggregate") {
            let (how, rest) = first(rest)?;
            aggregate = Aggregate::read(how)?;
            args = rest;
        } else {
            return Err(Fault::SYNTAX);
        }
    }
    Ok((weights, aggregate))
}
