//! When values end.

use bytes::Bytes;

use crate::{
    args::{first, is, take},
    fault::{Fault, Outcome},
    number::integer,
    reply::Reply,
    tx::Tx,
};

/// The last millisecond that a value can end at: the store counts microseconds.
const LAST_MS: i64 = (u64::MAX / 1000) as i64;

/// When a value that is set ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Expires {
    /// When the one before it would have.
    Keep,
    /// At this Unix millisecond.
    At(u64),
}

/// Under which condition an expiry is set.
#[derive(Debug, Default, Clone, Copy)]
struct Only {
    none: bool,
    some: bool,
    later: bool,
    earlier: bool,
}

// === impl Expires ===

impl Expires {
    /// `EX 10` and the like.
    pub(crate) fn read(
        unit: &[u8],
        value: &Bytes,
        now_ms: u64,
        command: &str,
    ) -> Result<Self, Fault> {
        let (factor, is_from_now) = match () {
            () if is(unit, "ex") => (1000, true),
            () if is(unit, "px") => (1, true),
            () if is(unit, "exat") => (1000, false),
            () if is(unit, "pxat") => (1, false),
            () => return Err(Fault::SYNTAX),
        };
        let value = integer(value)?;
        let at = at_ms(value, factor, is_from_now, now_ms).filter(|_| value > 0);
        let at = at.and_then(|at| u64::try_from(at).ok());
        at.map(Self::At).ok_or_else(|| Fault::expire_time(command))
    }

    pub(crate) fn at_us(self) -> Option<u64> {
        match self {
            Self::Keep => None,
            Self::At(ms) => Some(ms.saturating_mul(1000)),
        }
    }
}

/// A time given in this unit, from now or from 1970, as Unix milliseconds; `None` when it is beyond all measure.
fn at_ms(value: i64, factor: i64, is_from_now: bool, now_ms: u64) -> Option<i64> {
    let base = if is_from_now {
        i64::try_from(now_ms).ok()?
    } else {
        0
    };
    let at = value.checked_mul(factor)?.checked_add(base)?;
    (at <= LAST_MS).then_some(at)
}

impl Only {
    fn read(words: &[Bytes]) -> Result<Self, Fault> {
        let mut only = Self::default();
        for word in words {
            match () {
                () if is(word, "nx") => only.none = true,
                () if is(word, "xx") => only.some = true,
                () if is(word, "gt") => only.later = true,
                () if is(word, "lt") => only.earlier = true,
                () => {
                    let word = String::from_utf8_lossy(word);
                    return Err(Fault::new(format!("ERR Unsupported option {word}")));
                }
            }
        }
        if only.none && (only.some || only.later || only.earlier) {
            return Err(Fault::of(
                "ERR NX and XX, GT or LT options at the same time are not compatible",
            ));
        }
        if only.later && only.earlier {
            return Err(Fault::of(
                "ERR GT and LT options at the same time are not compatible",
            ));
        }
        Ok(only)
    }

    fn allows(self, there_ms: Option<u64>, at_ms: i64) -> bool {
        let there = there_ms.map(|there| i64::try_from(there).unwrap_or(i64::MAX));
        !(self.none && there.is_some()
            || self.some && there.is_none()
            || self.later && there.is_none_or(|there| at_ms <= there)
            || self.earlier && there.is_some_and(|there| at_ms >= there))
    }
}

pub(crate) fn expire(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    set(tx, args, 1000, true, "expire")
}

pub(crate) fn pexpire(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    set(tx, args, 1, true, "pexpire")
}

pub(crate) fn expireat(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    set(tx, args, 1000, false, "expireat")
}

pub(crate) fn pexpireat(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    set(tx, args, 1, false, "pexpireat")
}

fn set(tx: &mut Tx, args: &[Bytes], factor: i64, is_from_now: bool, command: &str) -> Outcome {
    let (key, rest) = first(args)?;
    let (time, options) = first(rest)?;
    let only = Only::read(options)?;
    let at = at_ms(integer(time)?, factor, is_from_now, tx.now_ms);
    let at = at.ok_or_else(|| Fault::expire_time(command))?;
    if !tx.has(key)? {
        return Ok(Reply::ZERO);
    }
    let there = tx.expiry(key)?.map(|there| there / 1000);
    if !only.allows(there, at) {
        return Ok(Reply::ZERO);
    }
    let at = u64::try_from(at).unwrap_or(0);
    tx.expire(key, Some(at.saturating_mul(1000)))?;
    Ok(Reply::Int(1))
}

pub(crate) fn persist(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    let [key] = take(args)?;
    if tx.expiry(key)?.is_none() {
        return Ok(Reply::ZERO);
    }
    tx.expire(key, None)?;
    Ok(Reply::Int(1))
}

pub(crate) fn ttl(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    let now_ms = tx.now_ms;
    tell(tx, args, |at| (at.saturating_sub(now_ms) + 500) / 1000)
}

pub(crate) fn pttl(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    let now_ms = tx.now_ms;
    tell(tx, args, |at| at.saturating_sub(now_ms))
}

pub(crate) fn expiretime(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    tell(tx, args, |at| (at + 500) / 1000)
}

pub(crate) fn pexpiretime(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    tell(tx, args, |at| at)
}

fn tell(tx: &mut Tx, args: &[Bytes], show: impl Fn(u64) -> u64) -> Outcome {
    let [key] = take(args)?;
    if !tx.has(key)? {
        return Ok(Reply::Int(-2));
    }
    Ok(Reply::Int(match tx.expiry(key)? {
        Some(at_us) => i64::try_from(show(at_us / 1000)).unwrap_or(i64::MAX),
        None => -1,
    }))
}
