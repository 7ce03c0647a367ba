//! Hashes.

use bytes::Bytes;

use super::choose;
use crate::{
    args::{Scan, cursor, first, is, pairs, take},
    fault::{Fault, Outcome},
    number::{self, integer},
    reply::Reply,
    space::Space,
    turn::Turn,
    tx::Tx,
    value::Hash,
};

pub(crate) fn hset(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    let (key, rest) = first(args)?;
    if !rest.len().is_multiple_of(2) {
        return Err(Fault::arity("hset"));
    }
    Ok(Reply::count(put(tx, key, rest)?))
}

pub(crate) fn hmset(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    let (key, rest) = first(args)?;
    if !rest.len().is_multiple_of(2) {
        return Err(Fault::arity("hmset"));
    }
    put(tx, key, rest)?;
    Ok(Reply::OK)
}

/// Answers how many fields are new.
fn put(tx: &mut Tx, key: &Bytes, fields: &[Bytes]) -> Result<usize, Fault> {
    let hash = tx.edit::<Hash>(key)?;
    let mut fresh = 0;
    for (field, value) in pairs(fields) {
        fresh += usize::from(hash.insert(field.clone(), value.clone()).is_none());
    }
    tx.changed(key);
    Ok(fresh)
}

pub(crate) fn hsetnx(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    let [key, field, value] = take(args)?;
    let hash = tx.edit::<Hash>(key)?;
    if hash.contains_key(field) {
        return Ok(Reply::ZERO);
    }
    hash.insert(field.clone(), value.clone());
    tx.changed(key);
    Ok(Reply::Int(1))
}

pub(crate) fn hget(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    let [key, field] = take(args)?;
    let hash = tx.get::<Hash>(key)?;
    Ok(Reply::maybe(hash.and_then(|hash| hash.get(field))))
}

pub(crate) fn hmget(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    let (key, fields) = first(args)?;
    let hash = tx.get::<Hash>(key)?;
    let get = |field| Reply::maybe(hash.and_then(|hash| hash.get(field)));
    Ok(Reply::Array(fields.iter().map(get).collect()))
}

pub(crate) fn hgetall(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    let [key] = take(args)?;
    let hash = tx.get::<Hash>(key)?.into_iter().flatten();
    Ok(Reply::Map(hash.map(pair).collect()))
}

fn pair((field, value): (&Bytes, &Bytes)) -> (Reply, Reply) {
    (Reply::Bulk(field.clone()), Reply::Bulk(value.clone()))
}

pub(crate) fn hkeys(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    let [key] = take(args)?;
    let hash = tx.get::<Hash>(key)?.into_iter();
    Ok(Reply::Array(Reply::bulks(hash.flat_map(Hash::keys))))
}

pub(crate) fn hvals(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    let [key] = take(args)?;
    let hash = tx.get::<Hash>(key)?.into_iter();
    Ok(Reply::Array(Reply::bulks(hash.flat_map(Hash::values))))
}

pub(crate) fn hdel(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    let (key, fields) = first(args)?;
    let hash = tx.edit::<Hash>(key)?;
    let gone = fields.iter().filter(|field| hash.remove(*field).is_some());
    let gone = gone.count();
    if gone > 0 {
        tx.changed(key);
    }
    Ok(Reply::count(gone))
}

pub(crate) fn hexists(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    let [key, field] = take(args)?;
    let hash = tx.get::<Hash>(key)?;
    Ok(Reply::Int(
        hash.is_some_and(|hash| hash.contains_key(field)).into(),
    ))
}

pub(crate) fn hlen(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    let [key] = take(args)?;
    Ok(Reply::count(tx.get::<Hash>(key)?.map_or(0, Hash::len)))
}

pub(crate) fn hstrlen(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    let [key, field] = take(args)?;
    let hash = tx.get::<Hash>(key)?;
    Ok(Reply::count(
        hash.and_then(|hash| hash.get(field)).map_or(0, Bytes::len),
    ))
}

pub(crate) fn hincrby(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    let [key, field, by] = take(args)?;
    let by = integer(by)?;
    let hash = tx.edit::<Hash>(key)?;
    let old = hash.get(field).map_or(Some(0), |old| number::whole(old));
    let old = old.ok_or(Fault::of("ERR hash value is not an integer"))?;
    let sum = old.checked_add(by).ok_or(Fault::OVERFLOW)?;
    hash.insert(field.clone(), sum.to_string().into());
    tx.changed(key);
    Ok(Reply::Int(sum))
}

pub(crate) fn hincrbyfloat(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    let [key, field, by] = take(args)?;
    if number::real(by).ok_or(Fault::FLOAT)?.is_infinite() {
        return Err(Fault::of("ERR value is NaN or Infinity"));
    }
    let hash = tx.edit::<Hash>(key)?;
    let old = hash.get(field).map_or(&b"0"[..], |old| old);
    if number::real(old).is_none() {
        return Err(Fault::of("ERR hash value is not a float"));
    }
    let text = number::add(old, by).ok_or(Fault::NAN)?;
    let text = Bytes::from(text);
    hash.insert(field.clone(), text.clone());
    tx.changed(key);
    Ok(Reply::Bulk(text))
}

pub(crate) fn hrandfield(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    let (key, rest) = first(args)?;
    let (count, with_values) = match rest {
        [] => (None, false),
        [count] => (Some(integer(count)?), false),
        [count, word] if is(word, "withvalues") => (Some(integer(count)?), true),
        _ => return Err(Fault::SYNTAX),
    };
    let fields: Vec<_> = tx.get::<Hash>(key)?.into_iter().flatten().collect();
    let chosen = choose(count.unwrap_or(1), fields.len())?;
    let mut chosen = chosen.into_iter().filter_map(|at| fields.get(at).copied());
    if count.is_none() {
        return Ok(Reply::maybe(chosen.next().map(|(field, _)| field)));
    }
    Ok(match with_values {
        true => Reply::Pairs(chosen.map(pair).collect()),
        false => Reply::Array(Reply::bulks(chosen.map(|(field, _)| field))),
    })
}

pub(crate) async fn hscan(tx: &mut Tx, _: &Space, args: &[Bytes]) -> Outcome {
    let (key, rest) = first(args)?;
    let (at, options) = first(rest)?;
    cursor(at)?;
    // As in Redis, nothing more is looked at when there is no such key.
    if tx.get::<Hash>(key)?.is_none() {
        return Ok(whole(Vec::new()));
    }
    let scan = Scan::read(options, false)?;
    let fields = tx.get::<Hash>(key)?.into_iter().flatten();
    let (mut items, mut turn) = (Vec::new(), Turn::default());
    for (field, value) in fields {
        if scan.takes(field, &mut turn).await {
            items.extend([field, value]);
        }
    }
    Ok(whole(Reply::bulks(items)))
}

/// What commands that read a structure piece by piece answer: all of it, and that there is no more.
pub(super) fn whole(items: Vec<Reply>) -> Reply {
    Reply::Array(vec![Reply::word("0"), Reply::Array(items)])
}
