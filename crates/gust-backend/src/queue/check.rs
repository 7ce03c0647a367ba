//! What implementations share: refusing what is over a limit, and what a message's age and attempts mean.

use std::time::Duration;

use gust_types::{Blame, Error, Kind, Result, error::TooLarge, event::Event};

use super::{Message, QueueLimits, QueueSettings};

/// The cause of a death by attempts.
pub const TOO_OFTEN: &str = "taken too often without being done";
/// The cause of a death by age.
pub const TOO_OLD: &str = "older than the queue keeps messages";

/// The attribute that has a message's media type.
pub const MEDIA_TYPE: &str = "content-type";

/// Refuses attributes that no event could carry: their names are those of an event's attributes, or `content-type`, and
/// their values are what these take.
pub fn attributes(message: &Message) -> Result<()> {
    let mut event = Event::new("0", "/", "0")?;
    for (name, value) in &message.attributes {
        let name = match name.as_str() {
            MEDIA_TYPE => "datacontenttype",
            name if Event::is_name(name) => name,
            name => {
                return Err(
                    Error::invalid(format!("not the name of an attribute: {name:?}"))
                        .hint("use lower-case letters and digits, 64 at most, or content-type"),
                );
            }
        };
        event.set(name, value.clone())?;
    }
    Ok(())
}

/// Refuses a batch that is over a limit: `Exhausted` for sizes, `Invalid` for the rest, the caller's fault.
pub fn batch(messages: &[Message], limits: &QueueLimits) -> Result<()> {
    let over = |what: &str, limit: usize, size: usize| {
        let text = format!("{what} than {limit}: {size}");
        Err(Error::new(Kind::Exhausted, Blame::Caller, text).because(TooLarge))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_such_that_an_event_can_be_made_of_them() {
        let with = |name: &str, value: &str| {
            let mut message = Message::new("x");
            message.attributes.insert(name.into(), value.into());
            attributes(&message)
        };
        for (name, value) in [
            ("colour", "红"),
            (MEDIA_TYPE, "text/plain; charset=utf-8"),
            ("type", "order.placed"),
            ("source", "/shop"),
            ("time", "2026-04-05T17:31:00Z"),
        ] {
            assert!(with(name, value).is_ok(), "{name}");
        }
        for (name, value) in [
            ("Bad Name", ""),
            ("ce-type", "order.placed"),
            ("data", "x"),
            ("colour", "a\nb"),
            ("time", "yesterday"),
            ("source", "not a uri"),
            (MEDIA_TYPE, "nonsense"),
            (MEDIA_TYPE, "application/cloudevents+json"),
            ("specversion", "0.3"),
        ] {
            let error = with(name, value).unwrap_err();
            assert_eq!(error.kind, Kind::Invalid, "{name}: {}", error.message);
        }
    }
}
