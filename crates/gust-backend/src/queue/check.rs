//! What implementations share: refusing what is over a limit, and what a message's age and attempts mean.

use std::time::Duration;

use gust_types::{Blame, Error, Kind, Result};

use super::{Message, QueueLimits, QueueSettings};

/// The cause of a death by attempts.
pub const TOO_OFTEN: &str = "taken too often without being done";
/// The cause of a death by age.
pub const TOO_OLD: &str = "older than the queue keeps messages";

/// Refuses a batch that is over a limit: `Exhausted` for sizes, `Invalid` for the rest, the caller's fault.
pub fn batch(messages: &[Message], limits: &QueueLimits) -> Result<()> {
    let over = |what: &str, limit: usize, size: usize| {
        let text = format!("{what} than {limit}: {size}");
        Err(Error::new(Kind::Exhausted, Blame::Caller, text))
    };
    if messages.len() > limits.batch {
        return over("batch has more messages", limits.batch, messages.len());
    }
    let mut bytes = 0;
    for message in messages {
        if message.size() > limits.message {
            return over("message has more bytes", limits.message, message.size());
        }
        name("group", message.group.as_deref(), limits)?;
        name("key", message.key.as_deref(), limits)?;
        if message.priority > Message::MAX_PRIORITY {
            let text = format!(
                "priority is above {}: {}",
                Message::MAX_PRIORITY,
                message.priority
            );
            return Err(Error::invalid(text));
        }
        if message.delay.is_some_and(|delay| delay > MAX_DELAY) {
            return Err(Error::invalid("delay is longer than 14 days"));
        }
        bytes += message.size();
    }
    if bytes > limits.batch_bytes {
        return over("batch has more bytes", limits.batch_bytes, bytes);
    }
    Ok(())
}

/// The longest delay, and the longest time that a taken message can be its consumer's.
pub const MAX_DELAY: Duration = Duration::from_secs(14 * 86_400);

fn name(what: &str, name: Option<&str>, limits: &QueueLimits) -> Result<()> {
    let Some(name) = name else { return Ok(()) };
    if name.is_empty() || name.len() > limits.name || name.contains('\0') {
        let text = format!("{what} is not a name: {name:?}");
        let hint = format!("1 to {} bytes without a zero byte", limits.name);
        return Err(Error::invalid(text).hint(hint));
    }
    Ok(())
}

/// The queue has no room.
pub fn full(settings: &QueueSettings) -> Error {
    let text = format!("queue holds more than {} already", settings.max_bytes);
    Error::new(Kind::Exhausted, Blame::Caller, text)
        .hint("wait until consumers have caught up, purge it, or raise its max_bytes")
}

/// The receipt is worth nothing.
pub fn stale() -> Error {
    Error::not_found("message is not this consumer's any more")
        .hint("its time was up or somebody settled it; extend long work in time")
}

/// Microseconds of a length of time, at most [`MAX_DELAY`].
pub fn micros(time: Duration) -> u64 {
    u64::try_from(time.min(MAX_DELAY).as_micros()).unwrap_or(u64::MAX)
}

/// For how long a taken message is its consumer's, in microseconds: a millisecond at least.
pub fn visibility_us(visibility: Duration) -> u64 {
    micros(visibility).max(1000)
}

/// Bytes of messages that one look, or one taking, goes on for; the one that crosses it is still among them.
pub const LOOK_BYTES: u64 = 8 << 20;
