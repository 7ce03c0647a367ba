//! Whether an event that was not taken is delivered again, and when: a pure decision.

use std::fmt;

use gust_types::{Error, Result, Span, trigger};
use serde::{Deserialize, Serialize};

#[cfg(test)]
mod tests;

/// The longest that a receiver's `Retry-After` is obeyed. One that asks for a week has not thought of us.
pub const RETRY_AFTER_MAX: Span = Span::secs(3_600);
/// The most tries that may be asked for.
pub const ATTEMPTS_MAX: u32 = 1_000;

const SECOND_US: u64 = 1_000_000;
const MILLION: u64 = 1_000_000;

/// How a delivery is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetryPolicy {
    /// Tries in all, the first one counted. Default 10: with the other defaults the last is after eight and a half
    /// minutes, which is a restart and a bad deploy taken back. From 1 (never again) to 1,000.
    pub attempts: u32,
    /// How the wait grows. Default `exponential`.
    pub backoff: Backoff,
    /// The wait after the first try. Default 1 s.
    pub delay: Span,
    /// The longest wait, but for a `Retry-After`. Default 5 min.
    pub max_delay: Span,
    /// The part of each wait that is left to chance, so that what failed together does not come again together: 0 none, 1 all
    /// of it. Default 0.5, and so between half the wait and the whole.
    pub jitter: f64,
    /// The age of an event at which it is given up. Default 6 h.
    pub max_age: Span,
}

/// How the wait grows from try to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backoff {
    /// It does not: `delay` each time.
    None,
    /// `delay`, twice `delay`, three times `delay`.
    Linear,
    /// `delay`, twice, four times, eight times. The default.
    #[default]
    Exponential,
}

/// How a try ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// With a reply of this status.
    Status(u16),
    /// Without a reply: no connection, a timeout, a crash.
    Silent,
}

/// A try that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Try {
    /// Which it was: 1 for the first.
    pub attempt: u32,
    /// When the event was taken in.
    pub first_us: u64,
    /// Now.
    pub now_us: u64,
    /// How it ended.
    pub ended: Ended,
    /// How long the receiver asked to be left alone ([`retry_after`]).
    pub retry_after_us: Option<u64>,
    /// Any number, for the jitter. The same number, the same verdict.
    pub random: u64,
}

/// What becomes of the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It has been taken.
    Done,
    /// It is tried again at this moment.
    Again {
        /// In Unix microseconds.
        at_us: u64,
    },
    /// It is given up, and goes where the dead letters go.
    Dead {
        /// Why.
        cause: Cause,
    },
}

/// Why an event is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The receiver does not want it, and would not want it later.
    Refused,
    /// That was the last try.
    Attempts,
    /// The next try would come after `max_age`.
    Age,
}

/// What becomes of an event after this try.
///
/// A wait is never shorter than its jitter allows nor than `Retry-After` asks, and no try comes after `max_age`: rather than
/// to come early, the event is given up.
pub fn decide(policy: &RetryPolicy, tried: &Try) -> Verdict {
    match tried.ended {
        Ended::Status(200..=299) => return Verdict::Done,
        Ended::Status(status) if !is_retried(status) => return Verdict::dead(Cause::Refused),
        Ended::Status(_) | Ended::Silent => {}
    }
    if tried.attempt >= policy.attempts {
        return Verdict::dead(Cause::Attempts);
    }
    let asked = tried.retry_after_us.unwrap_or_default();
    let wait = wait_us(policy, tried.attempt, tried.random).max(asked.min(micros(RETRY_AFTER_MAX)));
    let at_us = tried.now_us.saturating_add(wait);
    if at_us > tried.first_us.saturating_add(micros(policy.max_age)) {
        return Verdict::dead(Cause::Age);
    }
    Verdict::Again { at_us }
}

/// Whether the same event may be taken later by who answered so.
pub fn is_retried(status: u16) -> bool {
    match status {
        // Not there yet, too slow, in the way of another, too early, too often.
        404 | 408 | 409 | 425 | 429 => true,
        // A redirect is not followed, it would be asked again each time; the others say that the event is at fault.
        200..=499 => false,
        // A fault of the receiver, or no status at all.
        _ => true,
    }
}

/// A `Retry-After`, in seconds or as a date, as a wait from now on in microseconds. What is neither is not there.
pub fn retry_after(header: &str, now_us: u64) -> Option<u64> {
    let header = header.trim();
    if !header.is_empty() && header.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than fit are a very long time.
        let seconds = header.parse().unwrap_or(u64::MAX);
        return Some(seconds.saturating_mul(SECOND_US));
    }
    let date = httpdate::parse_http_date(header).ok()?;
    let since = date.duration_since(std::time::UNIX_EPOCH).ok()?;
    let at_us = u64::try_from(since.as_micros()).ok()?;
    Some(at_us.saturating_sub(now_us))
}

/// The wait after this try, less its share of the jitter.
fn wait_us(policy: &RetryPolicy, attempt: u32, random: u64) -> u64 {
    let delay = micros(policy.delay);
    let factor = match policy.backoff {
        Backoff::None => 1,
        Backoff::Linear => u64::from(attempt),
        Backoff::Exponential => 1u64
            .checked_shl(attempt.saturating_sub(1))
            .unwrap_or(u64::MAX),
    };
    let wait = delay.saturating_mul(factor).min(micros(policy.max_delay));
    // In whole numbers, since floating point may differ in its last digit between machines.
    let millionths = (policy.jitter.clamp(0.0, 1.0) * MILLION as f64) as u64;
    let most = u128::from(wait) * u128::from(millionths) / u128::from(MILLION);
    wait.saturating_sub(((most * u128::from(random)) >> 64) as u64)
}

// === impl RetryPolicy ===

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 10,
            backoff: Backoff::default(),
            delay: Span::secs(1),
            max_delay: Span::secs(300),
            jitter: 0.5,
            max_age: Span::secs(6 * 3_600),
        }
    }
}

impl From<&trigger::RetrySpec> for RetryPolicy {
    fn from(spec: &trigger::RetrySpec) -> Self {
        Self {
            attempts: spec.attempts,
            backoff: match spec.backoff {
                trigger::Backoff::None => Backoff::None,
                trigger::Backoff::Linear => Backoff::Linear,
                trigger::Backoff::Exponential => Backoff::Exponential,
            },
            delay: spec.delay,
            max_delay: spec.max_delay,
            jitter: f64::from(spec.jitter) / 100.0,
            max_age: spec.max_age,
        }
    }
}

impl RetryPolicy {
    /// Refuses what cannot be meant. Asked once, when the policy is read.
    pub fn check(&self) -> Result<()> {
        if !(1..=ATTEMPTS_MAX).contains(&self.attempts) {
            return Err(Error::invalid(format!(
                "attempts is from 1 to {ATTEMPTS_MAX}, not {}",
                self.attempts
            ))
            .hint("the first try counts: 1 is to try once"));
        }
        if !(0.0..=1.0).contains(&self.jitter) {
            return Err(Error::invalid(format!(
                "jitter is from 0 to 1, not {}",
                self.jitter
            )));
        }
        if self.delay > self.max_delay {
            return Err(Error::invalid(format!(
                "delay is longer than max_delay, which is {}: {}",
                self.max_delay, self.delay
            )));
        }
        Ok(())
    }
}

fn micros(span: Span) -> u64 {
    u64::try_from(span.0.as_micros()).unwrap_or(u64::MAX)
}

// === impl Verdict ===

impl Verdict {
    fn dead(cause: Cause) -> Self {
        Self::Dead { cause }
    }
}

// === impl Cause ===

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "the receiver refused it",
            Self::Attempts => "the last try failed",
            Self::Age => "it became too old",
        })
    }
}
