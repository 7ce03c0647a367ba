//! Unions and intersections of sorted sets.

use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;

use crate::{
    args::{counted, first, is},
    fault::{Fault, Outcome},
    number,
    reply::Reply,
    space::Space,
    turn::Turn,
    tx::Tx,
    value::{ELEMENT, Set, Value, Zset},
};

/// What looking at a member counts when others wait for their turn.
const STEPS: usize = 64;

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

pub(crate) async fn zunionstore(tx: &mut Tx, _: &Space, args: &[Bytes]) -> Outcome {
    store(tx, args, false, "zunionstore").await
}

pub(crate) async fn zinterstore(tx: &mut Tx, _: &Space, args: &[Bytes]) -> Outcome {
    store(tx, args, true, "zinterstore").await
}

async fn store(tx: &mut Tx, args: &[Bytes], of_all: bool, command: &str) -> Outcome {
    let (to, rest) = first(args)?;
    let (count, rest) = first(rest)?;
    let none = || {
        Fault::new(format!(
            "ERR at least 1 input key is needed for '{command}' command"
        ))
    };
    let (keys, options) = counted(count, rest, none)?;
    // What may be in hand at once: all members, or those of the first when the others can only take away.
    let mut most = 0;
    let mut seen = HashSet::new();
    for (nth, key) in keys.iter().enumerate() {
        let input = Input::of(tx, key)?;
        if seen.insert(key) && (nth == 0 || !of_all) {
            most += input.len();
        }
    }
    let (weights, aggregate) = read(options, keys.len())?;
    tx.take(most * 2 * ELEMENT).await?;
    let zset = combine(tx, keys, &weights, aggregate, of_all).await?;
    let count = zset.0.len();
    match count {
        0 => drop(tx.remove(to)?),
        _ => tx.put(to, Value::Zset(zset), None)?,
    }
    Ok(Reply::count(count))
}

async fn combine(
    tx: &Tx,
    keys: &[Bytes],
    weights: &[f64],
    aggregate: Aggregate,
    of_all: bool,
) -> Result<Zset, Fault> {
    let mut found: BTreeMap<Bytes, (f64, usize)> = BTreeMap::new();
    let mut turn = Turn::default();
    for (nth, (key, weight)) in keys.iter().zip(weights).enumerate() {
        turn.spend(STEPS).await;
        for (member, score) in Input::of(tx, key)?.scores() {
            turn.spend(STEPS).await;
            let score = number_or_zero(score * weight);
            match found.get_mut(member) {
                Some((there, seen)) => {
                    *there = aggregate.of(*there, score);
                    *seen += 1;
                }
                None if of_all && nth > 0 => {}
                None => drop(found.insert(member.clone(), (score, 1))),
            }
        }
    }
    let enough = if of_all { keys.len() } else { 1 };
    let mut zset = Zset::default();
    for (member, (score, seen)) in found {
        turn.spend(STEPS).await;
        if seen >= enough {
            zset.0.insert(member, score);
        }
    }
    Ok(zset)
}

/// A key that members and scores come from; those of a plain set have the score 1.
enum Input<'a> {
    None,
    Set(&'a Set),
    Zset(&'a Zset),
}

// === impl Input ===

impl<'a> Input<'a> {
    fn of(tx: &'a Tx, key: &Bytes) -> Result<Self, Fault> {
        match tx.value(key)? {
            None => Ok(Self::None),
            Some(Value::Zset(zset)) => Ok(Self::Zset(zset)),
            Some(Value::Set(set)) => Ok(Self::Set(set)),
            Some(_) => Err(Fault::WRONG_TYPE),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Set(set) => set.len(),
            Self::Zset(zset) => zset.0.len(),
        }
    }

    fn scores(&self) -> impl Iterator<Item = (&'a Bytes, f64)> + use<'a> {
        let (set, zset) = match self {
            Self::None => (None, None),
            Self::Set(set) => (Some(*set), None),
            Self::Zset(zset) => (None, Some(*zset)),
        };
        let set = set.into_iter().flatten().map(|member| (member, 1.0));
        let zset = zset.into_iter().flat_map(|zset| &zset.0);
        set.chain(zset.map(|(member, score)| (member, *score)))
    }
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
