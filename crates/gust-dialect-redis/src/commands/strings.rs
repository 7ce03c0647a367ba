//! Strings: the values that functions see as they are.

use bytes::{Bytes, BytesMut};

use super::expiry::Expires;
use crate::{
    args::{first, is, pairs, range, take},
    fault::{Fault, Outcome},
    number::{self, integer},
    reply::Reply,
    tx::{self, Tx},
    value::Value,
};

/// The options of `SET`.
#[derive(Default)]
struct Options {
    absent: bool,
    present: bool,
    get: bool,
    expires: Option<Expires>,
}

pub(crate) fn get(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    let [key] = take(args)?;
    Ok(Reply::maybe(tx.get::<Bytes>(key)?))
}

/// Whether `SET` overwrites, whatever is there: then nothing needs to be read for it.
pub(crate) fn is_blind(args: &[Bytes]) -> bool {
    match args {
        [_, _] => true,
        [_, _, unit, _] => is_unit(unit),
        _ => false,
    }
}

fn is_unit(word: &[u8]) -> bool {
    ["ex", "px", "exat", "pxat"]
        .iter()
        .any(|name| is(word, name))
}

pub(crate) fn set(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    let [key, value, rest @ ..] = args else {
        return Err(Fault::SYNTAX);
    };
    let options = Options::read(rest, tx.now_ms)?;
    let value = Value::String(value.clone());
    if is_blind(args) {
        let expires_us = options.expires.and_then(Expires::at_us);
        tx.put(key, value, expires_us)?;
        return Ok(Reply::OK);
    }
    let old = match options.get {
        true => Reply::maybe(tx.get::<Bytes>(key)?),
        false => Reply::Null,
    };
    if (options.absent && tx.has(key)?) || (options.present && !tx.has(key)?) {
        return Ok(old);
    }
    let expires_us = match options.expires {
        Some(Expires::Keep) => tx.expiry(key)?,
        other => other.and_then(Expires::at_us),
    };
    tx.put(key, value, expires_us)?;
    Ok(if options.get { old } else { Reply::OK })
}

impl Options {
    /// The times are read last: what does not belong there is a fault before they are.
    fn read(mut args: &[Bytes], now_ms: u64) -> Result<Self, Fault> {
        let (mut options, mut time) = (Self::default(), None);
        while let [word, rest @ ..] = args {
            let has_expiry = time.is_some() || options.expires.is_some();
            args = rest;
            match rest {
                _ if is(word, "nx") && !options.present => options.absent = true,
                _ if is(word, "xx") && !options.absent => options.present = true,
                _ if is(word, "get") => options.get = true,
                _ if is(word, "keepttl") && !has_expiry => options.expires = Some(Expires::Keep),
                [value, rest @ ..] if is_unit(word) && !has_expiry => {
                    time = Some((word, value));
                    args = rest;
                }
                _ => return Err(Fault::SYNTAX),
            }
        }
        if let Some((unit, value)) = time {
            options.expires = Some(Expires::read(unit, value, now_ms, "set")?);
        }
        Ok(options)
    }
}

pub(crate) fn setnx(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    let [key, value] = take(args)?;
    if tx.has(key)? {
        return Ok(Reply::ZERO);
    }
    tx.put(key, Value::String(value.clone()), None)?;
    Ok(Reply::Int(1))
}

pub(crate) fn setex(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    set_for(tx, args, b"ex", "setex")
}

pub(crate) fn psetex(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    set_for(tx, args, b"px", "psetex")
}

fn set_for(tx: &mut Tx, args: &[Bytes], unit: &[u8], command: &str) -> Outcome {
    let [key, time, value] = take(args)?;
    let expires = Expires::read(unit, time, tx.now_ms, command)?;
    tx.put(key, Value::String(value.clone()), expires.at_us())?;
    Ok(Reply::OK)
}

pub(crate) fn getset(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    let [key, value] = take(args)?;
    let old = Reply::maybe(tx.get::<Bytes>(key)?);
    tx.put(key, Value::String(value.clone()), None)?;
    Ok(old)
}

pub(crate) fn getdel(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    let [key] = take(args)?;
    let old = Reply::maybe(tx.get::<Bytes>(key)?);
    tx.remove(key)?;
    Ok(old)
}

pub(crate) fn getex(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    let (key, rest) = first(args)?;
    match rest {
        [] => {}
        [word] if is(word, "persist") => {}
        [unit, _] if is_unit(unit) => {}
        _ => return Err(Fault::SYNTAX),
    }
    let Some(value) = tx.get::<Bytes>(key)?.cloned() else {
        return Ok(Reply::Null);
    };
    let at_us = match rest {
        [] => tx.expiry(key)?,
        [unit, time] => Expires::read(unit, time, tx.now_ms, "getex")?.at_us(),
        _ => None,
    };
    if tx.expiry(key)? != at_us {
        tx.expire(key, at_us)?;
    }
    Ok(Reply::Bulk(value))
}

pub(crate) fn mget(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    let mut values = Vec::with_capacity(args.len());
    for key in args {
        values.push(match tx.value(key)? {
            Some(Value::String(value)) => Reply::Bulk(value.clone()),
            _ => Reply::Null,
        });
    }
    Ok(Reply::Array(values))
}

pub(crate) fn mset(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    if !args.len().is_multiple_of(2) {
        return Err(Fault::arity("mset"));
    }
    // All of them or none: what could fail is looked at before the first is set.
    for (key, _) in pairs(args) {
        tx::name(key)?;
    }
    tx.has_room(pairs(args).map(|(_, value)| value.len()).sum())?;
    for (key, value) in pairs(args) {
        tx.put(key, Value::String(value.clone()), None)?;
    }
    Ok(Reply::OK)
}

pub(crate) fn msetnx(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    if !args.len().is_multiple_of(2) {
        return Err(Fault::arity("msetnx"));
    }
    for (key, _) in pairs(args) {
        if tx.has(key)? {
            return Ok(Reply::ZERO);
        }
    }
    mset(tx, args)?;
    Ok(Reply::Int(1))
}

pub(crate) fn append(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    let [key, more] = take(args)?;
    let old = tx.get::<Bytes>(key)?;
    let size = old.map_or(0, Bytes::len) + more.len();
    if size > tx.limits().value {
        return Err(Fault::TOO_LONG);
    }
    let mut value = BytesMut::with_capacity(size);
    value.extend_from_slice(old.map_or(&[], |old| old));
    value.extend_from_slice(more);
    tx.replace(key, Value::String(value.freeze()))?;
    Ok(Reply::count(size))
}

pub(crate) fn strlen(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    let [key] = take(args)?;
    Ok(Reply::count(tx.get::<Bytes>(key)?.map_or(0, Bytes::len)))
}

pub(crate) fn getrange(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    let [key, start, end] = take(args)?;
    let (start, end) = (integer(start)?, integer(end)?);
    let empty = Bytes::new();
    let value = tx.get::<Bytes>(key)?.unwrap_or(&empty);
    if start < 0 && end < 0 && start > end {
        return Ok(Reply::Bulk(empty));
    }
    // Unlike elsewhere, an end before the first byte is the first byte.
    let length = i64::try_from(value.len()).unwrap_or(i64::MAX);
    let end = if end < -length { -length } else { end };
    Ok(Reply::Bulk(match range(start, end, value.len()) {
        Some((start, end)) => value.slice(start..=end),
        None => empty,
    }))
}

pub(crate) fn setrange(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    let [key, offset, piece] = take(args)?;
    let offset = integer(offset)?;
    let Ok(offset) = usize::try_from(offset) else {
        return Err(Fault::of("ERR offset is out of range"));
    };
    let old = tx.get::<Bytes>(key)?;
    if piece.is_empty() {
        return Ok(Reply::count(old.map_or(0, Bytes::len)));
    }
    let end = offset.saturating_add(piece.len());
    if end > tx.limits().value {
        return Err(Fault::TOO_LONG);
    }
    let mut value = BytesMut::from(old.map_or(&[][..], |old| old));
    if value.len() < end {
        value.resize(end, 0);
    }
    if let Some(place) = value.get_mut(offset..end) {
        place.copy_from_slice(piece);
    }
    let size = value.len();
    tx.replace(key, Value::String(value.freeze()))?;
    Ok(Reply::count(size))
}

/// What the commands that count add, and to which key.
pub(crate) fn step<'a>(name: &str, args: &'a [Bytes]) -> Result<(&'a Bytes, i64), Fault> {
    let (key, rest) = first(args)?;
    let by = match rest {
        [] => 1,
        [by, ..] => integer(by)?,
    };
    let by = match name.starts_with("decr") {
        true => by
            .checked_neg()
            .ok_or(Fault::of("ERR decrement would overflow"))?,
        false => by,
    };
    Ok((key, by))
}

pub(crate) fn incr(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    count(tx, step("incr", args)?)
}

pub(crate) fn decr(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    count(tx, step("decr", args)?)
}

fn count(tx: &mut Tx, (key, by): (&Bytes, i64)) -> Outcome {
    let old = tx.get::<Bytes>(key)?.map_or(Ok(0), |old| integer(old))?;
    let sum = old.checked_add(by).ok_or(Fault::OVERFLOW)?;
    tx.replace(key, Value::String(sum.to_string().into()))?;
    Ok(Reply::Int(sum))
}

pub(crate) fn incrbyfloat(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    let [key, by] = take(args)?;
    let zero = Bytes::from_static(b"0");
    let old = tx.get::<Bytes>(key)?.unwrap_or(&zero);
    if number::real(old).is_none() || number::real(by).is_none() {
        return Err(Fault::FLOAT);
    }
    let text = number::add(old, by).ok_or(Fault::NAN)?;
    let text = Bytes::from(text);
    tx.replace(key, Value::String(text.clone()))?;
    Ok(Reply::Bulk(text))
}
