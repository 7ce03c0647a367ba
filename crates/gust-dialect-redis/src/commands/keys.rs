//! Keys, whatever they hold.

use bytes::Bytes;

use crate::{
    args::{first, is, take},
    fault::{Fault, Outcome},
    number::integer,
    reply::Reply,
    tx::Tx,
    value::Value,
};

pub(crate) fn del(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    let mut count = 0;
    for key in args {
        count += i64::from(tx.remove(key)?.is_some());
    }
    Ok(Reply::Int(count))
}

pub(crate) fn exists(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    let mut count = 0;
    for key in args {
        count += i64::from(tx.has(key)?);
    }
    Ok(Reply::Int(count))
}

pub(crate) fn kind(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    let [key] = take(args)?;
    Ok(Reply::Status(
        tx.value(key)?.map_or("none", |value| value.name()),
    ))
}

pub(crate) fn rename(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    let [from, to] = take(args)?;
    if !tx.has(from)? {
        return Err(Fault::NO_KEY);
    }
    shift(tx, from, to)?;
    Ok(Reply::OK)
}

pub(crate) fn renamenx(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    let [from, to] = take(args)?;
    if !tx.has(from)? {
        return Err(Fault::NO_KEY);
    }
    if tx.has(to)? {
        return Ok(Reply::ZERO);
    }
    shift(tx, from, to)?;
    Ok(Reply::Int(1))
}

fn shift(tx: &mut Tx, from: &Bytes, to: &Bytes) -> Result<(), Fault> {
    if from == to {
        return Ok(());
    }
    let expires_us = tx.expiry(from)?;
    tx.has_room(tx.value(from)?.map_or(0, Value::size))?;
    match tx.remove(from)? {
        Some(value) => tx.put(to, value, expires_us),
        None => Ok(()),
    }
}

pub(crate) fn copy(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    let (from, rest) = first(args)?;
    let (to, mut rest) = first(rest)?;
    let mut replace = false;
    while let [word, more @ ..] = rest {
        rest = match more {
            more if is(word, "replace") => {
                replace = true;
                more
            }
            [database, more @ ..] if is(word, "db") => {
                if integer(database)? != 0 {
                    return Err(Fault::of("ERR DB index is out of range"));
                }
                more
            }
            _ => return Err(Fault::SYNTAX),
        };
    }
    if from == to {
        return Err(Fault::of("ERR source and destination objects are the same"));
    }
    let Some(value) = tx.value(from)?.cloned() else {
        return Ok(Reply::ZERO);
    };
    if tx.has(to)? && !replace {
        return Ok(Reply::ZERO);
    }
    let expires_us = tx.expiry(from)?;
    tx.put(to, value, expires_us)?;
    Ok(Reply::Int(1))
}
