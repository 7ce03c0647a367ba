//! What implementations share: refusing what is over a limit, and what is forgotten when.

use std::time::Duration;

use gust_types::{Blame, Error, Kind, Result};

use super::{Position, Start, TopicSettings};
use crate::queue::{Message, QueueLimits, check};

/// Topics of a project.
pub const TOPICS: usize = 1000;
/// Subscriptions of a topic.
pub const SUBSCRIPTIONS: usize = 256;
/// Events that are forgotten in one step.
pub const STEP: usize = 2000;
/// Bytes of a subscription's name.
pub const NAME: usize = 256;

/// Refuses events that are over a limit, or that say what only a message of a queue can.
pub fn events(events: &[Message], limits: &QueueLimits) -> Result<()> {
    if events.iter().any(|e| e.priority != 0 || e.delay.is_some()) {
        return Err(Error::invalid(
            "an event of a topic has no priority and no delay",
        ));
    }
    check::batch(events, limits)
}

/// Refuses a batch that would not fit whatever is forgotten for it, and any while forgetting lags far behind.
pub fn room(settings: &TopicSettings, bytes: u64, events: &[Message]) -> Result<()> {
    let fresh: u64 = events.iter().map(Message::weight).sum();
    let most = settings.max_bytes.0;
    if fresh > most {
        let text = format!("more than the topic keeps altogether: {fresh} bytes");
        return Err(Error::new(Kind::Exhausted, Blame::Caller, text)
            .hint("publish less at once, or raise the topic's max_bytes"));
    }
    if bytes > most.saturating_add(most / 4 + (16 << 20)) {
        let text = "topic is over its max_bytes, and its oldest events are still being removed";
        return Err(Error::new(Kind::Exhausted, Blame::Caller, text).hint("try again in a moment"));
    }
    Ok(())
}

/// Whether the oldest event goes: published then, with so many bytes kept.
pub fn is_over(settings: &TopicSettings, bytes: u64, published_us: u64, now_us: u64) -> bool {
    bytes > settings.max_bytes.0 || now_us.saturating_sub(published_us) > micros(settings.max_age.0)
}

/// Microseconds of a length of time.
pub fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Refuses what is no name of a subscription.
pub fn name(name: &str) -> Result<()> {
    if name.is_empty() || name.len() > NAME || name.contains('\0') {
        let text = format!("not the name of a subscription: {name:?}");
        return Err(Error::invalid(text).hint(format!("1 to {NAME} bytes without a zero byte")));
    }
    Ok(())
}

/// Where a cursor goes, in a log from `first` to `last`; `since` finds the first event at a time or later.
pub fn cursor(
    start: Start,
    first: u64,
    last: u64,
    since: impl FnOnce(u64) -> Result<u64>,
) -> Result<Position> {
    let before = first.saturating_sub(1);
    Ok(Position(match start {
        Start::Latest => last,
        Start::Earliest => before,
        Start::After(Position(at)) if at > last => {
            return Err(
                Error::invalid(format!("the topic has no such position: {at}"))
                    .hint(format!("the last one is {last}")),
            );
        }
        Start::After(Position(at)) => at.max(before),
        Start::Since(time_us) => since(time_us)?.saturating_sub(1).clamp(before, last),
    }))
}

/// The first of the positions from `first` to `last` that was published at this time or later, by halves; `last + 1`
/// when none was.
pub fn since(
    first: u64,
    last: u64,
    time_us: u64,
    published_us: impl Fn(u64) -> Result<u64>,
) -> Result<u64> {
    let (mut low, mut high) = (first, last.saturating_add(1));
    while low < high {
        let middle = low + (high - low) / 2;
        match published_us(middle)? < time_us {
            true => low = middle + 1,
            false => high = middle,
        }
    }
    Ok(low)
}

/// Refuses a subscription too many.
pub fn too_many() -> Error {
    let text = format!("the topic has {SUBSCRIPTIONS} subscriptions already");
    Error::exhausted(text).hint("let one trigger take what several do, or use another topic")
}

/// There is no such subscription.
pub fn unknown(name: &str) -> Error {
    Error::not_found(format!("no such subscription: {name}"))
}

/// The cursor is not where it was expected.
pub fn moved(cursor: Position) -> Error {
    Error::conflict(format!("the subscription's cursor stands at {}", cursor.0))
}

/// A step that is none.
pub fn step(from: Position, to: Position, last: u64) -> Result<()> {
    if from <= to && to.0 <= last {
        return Ok(());
    }
    let text = format!("no step of a cursor: from {} to {}", from.0, to.0);
    Err(Error::invalid(text))
}
