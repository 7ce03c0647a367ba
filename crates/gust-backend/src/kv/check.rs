//! What implementations share: refusing what is over a limit, and counting in decimal.

use gust_types::{Blame, Error, Kind, Result};

use super::{Condition, KvLimits, Version, Write};

/// Refuses a key that is too long: `Invalid`, the function's fault.
pub fn key(key: &str, limits: &KvLimits) -> Result<()> {
    if key.len() > limits.key {
        let text = format!(
            "key is longer than {} bytes, in bytes: {}",
            limits.key,
            key.len()
        );
        return Err(Error::new(Kind::Invalid, Blame::Function, text));
    }
    Ok(())
}

/// Refuses a batch with a key, a value or a sum over its limit: `Invalid` for keys, `Exhausted` for sizes. A
/// [`Write::Require`] writes nothing: only the bytes of its key count.
pub fn batch(batch: &[Write], limits: &KvLimits) -> Result<()> {
    let over = |what: &str, limit: usize, size: usize| {
        let text = format!("{what} than {limit}: {size}");
        let error = Error::new(Kind::Exhausted, Blame::Function, text);
        Err(error.hint("write it in several smaller batches"))
    };
    let writes = batch.iter().filter(|write| write.is_write()).count();
    if writes > limits.batch {
        return over("batch has more writes", limits.batch, writes);
    }
    let mut bytes = 0;
    for write in batch {
        key(write.key(), limits)?;
        if write.size() > limits.value {
            let text = format!(
                "value has more bytes than {}: {}",
                limits.value,
                write.size()
            );
            return Err(Error::new(Kind::Exhausted, Blame::Function, text));
        }
        bytes += write.key().len() + write.size();
    }
    if bytes > limits.batch_bytes {
        return over("batch has more bytes", limits.batch_bytes, bytes);
    }
    Ok(())
}

/// Whether a condition holds for the version that is there; a `Conflict` otherwise.
pub fn condition(key: &str, condition: Condition, there: Option<Version>) -> Result<()> {
    let fault = match (condition, there) {
        (Condition::Always, _) | (Condition::Absent, None) => return Ok(()),
        (Condition::Version(wanted), Some(version)) if wanted == version => return Ok(()),
        (Condition::Absent, Some(_)) => "key has a value already",
        (Condition::Version(_), Some(_)) => "value was changed by somebody else",
        (Condition::Version(_), None) => "value is gone",
    };
    let text = format!("{fault}: {key:?}");
    Err(Error::new(Kind::Conflict, Blame::Function, text))
}

/// The number that `value` holds in decimal digits plus `delta`.
pub fn sum(key: &str, value: Option<&[u8]>, delta: i64) -> Result<i64> {
    let fault = |why: &str| {
        Error::new(
            Kind::Invalid,
            Blame::Function,
            format!("{why} at key: {key:?}"),
        )
    };
    let number = match value {
        None => 0,
        Some(bytes) => std::str::from_utf8(bytes)
            .ok()
            .and_then(|text| text.parse::<i64>().ok())
            .ok_or_else(|| fault("value is not a decimal number"))?,
    };
    number
        .checked_add(delta)
        .ok_or_else(|| fault("sum does not fit 64 bits"))
}

impl Write {
    /// The key it writes.
    pub fn key(&self) -> &str {
        match self {
            Write::Put { key, .. } | Write::Delete { key } | Write::Require { key, .. } => key,
        }
    }

    /// Whether it changes anything.
    pub fn is_write(&self) -> bool {
        !matches!(self, Write::Require { .. })
    }

    /// Bytes of its value.
    pub fn size(&self) -> usize {
        match self {
            Write::Put { value, .. } => value.len(),
            Write::Delete { .. } | Write::Require { .. } => 0,
        }
    }
}
