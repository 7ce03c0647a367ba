//! Calls that are made later: what is tried again, how long results are kept, and who hears of them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{Error, FunctionName, Label, Span, trigger::RetrySpec};

/// How calls of a function are made later.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LaterSpec {
    /// What becomes of a call that fails. Default three attempts, a minute and two minutes apart, within 6 h.
    pub retry: RetrySpec,
    /// How long a result is kept. Default 1 day.
    pub keep: Span,
    /// Calls made at once, as far as the function's own limit allows. Default 100.
    pub concurrency: u32,
    /// Told of each call that the function answered.
    pub on_success: Option<Destination>,
    /// Told of each call that was given up.
    pub on_failure: Option<Destination>,
    /// Whether callers from outside may ask for it. Default no.
    pub public: bool,
    /// Posted to when a call is over, unless who asked for the call named another address.
    pub callback: Option<CallbackUrl>,
    /// What callbacks are signed with, each with all of them: templates that name one secret variable each. Without any
    /// there are no callbacks.
    pub callback_secrets: Vec<String>,
    /// Whether callers from outside may name an address. Default no.
    pub callback_public: bool,
}

/// An address that is posted to when a call is over. What is printed of it ends before its query, where secrets may be.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CallbackUrl(String);

/// Who is told what became of a call. Written `queue:NAME`, `topic:NAME` or `function:NAME`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Destination {
    /// A queue of the project.
    Queue(Label),
    /// A topic of the project.
    Topic(Label),
    /// Another function of the app, called later in its turn.
    Function(FunctionName),
}

// === impl LaterSpec ===

impl LaterSpec {
    /// The shortest that a result may be kept.
    pub const KEEP_LEAST: Span = Span::secs(60);
    /// The longest that a result may be kept.
    pub const KEEP_MOST: Span = Span::secs(14 * 86_400);
    /// The longest that a call may wait for its last attempt: less than any queue keeps it.
    pub const MAX_AGE: Span = Span::secs(7 * 86_400);
    /// The most secrets that callbacks are signed with.
    pub const SECRETS: usize = 8;
    /// The most calls at once.
    pub const CONCURRENCY: u32 = 1000;

    /// How a call is tried again unless its function says otherwise.
    pub fn retry() -> RetrySpec {
        RetrySpec {
            attempts: 3,
            delay: Span::secs(60),
            ..RetrySpec::default()
        }
    }

    /// Refuses what is out of range.
    pub fn check(&self) -> Result<(), Error> {
        let range =
            |what: &str, low: Span, high: Span, given: Span| match low <= given && given <= high {
                true => Ok(()),
                false => Err(Error::invalid(format!(
                    "{what} is not {low} to {high}: {given}"
                ))),
            };
        range("async.keep", Self::KEEP_LEAST, Self::KEEP_MOST, self.keep)?;
        let age = self.retry.max_age;
        range("async.retry.max_age", Span::secs(1), Self::MAX_AGE, age)?;
        if !(1..=Self::CONCURRENCY).contains(&self.concurrency) {
            let (most, given) = (Self::CONCURRENCY, self.concurrency);
            let text = format!("async.concurrency is not 1 to {most}: {given}");
            return Err(Error::invalid(text));
        }
        if !(1..=1000).contains(&self.retry.attempts) || self.retry.jitter > 100 {
            return Err(Error::invalid(
                "async.retry has attempts that are not 1 to 1000, or a jitter that is not 0 to 100",
            ));
        }
        if self.callback_secrets.len() > Self::SECRETS {
            let (most, given) = (Self::SECRETS, self.callback_secrets.len());
            let text = format!("async.callback_secret is more than {most} secrets: {given}");
            return Err(Error::invalid(text));
        }
        if (self.callback.is_some() || self.callback_public) && self.callback_secrets.is_empty() {
            return Err(Error::invalid("async.callback has no callback_secret")
                .hint("who is called back has to know that it is you: name a secret variable"));
        }
        if self.retry.delay > self.retry.max_delay {
            let most = self.retry.max_delay;
            let text = format!("async.retry.delay is longer than its max_delay, which is {most}");
            return Err(Error::invalid(text));
        }
        Ok(())
    }

    /// The destinations there are.
    pub fn destinations(&self) -> impl Iterator<Item = &Destination> {
        self.on_success.iter().chain(&self.on_failure)
    }
}

impl Default for LaterSpec {
    fn default() -> Self {
        Self {
            retry: Self::retry(),
            keep: Span::secs(86_400),
            concurrency: 100,
            on_success: None,
            on_failure: None,
            public: false,
            callback: None,
            callback_secrets: Vec::new(),
            callback_public: false,
        }
    }
}

// === impl CallbackUrl ===

impl CallbackUrl {
    /// Bytes of an address.
    pub const MOST: usize = 2048;

    /// All of it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CallbackUrl {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let fault = |why: &str| {
            // Its query may be a secret: it is not said again.
            Err(Error::invalid(format!("the address of a callback {why}"))
                .hint("write it like https://example.com/done"))
        };
        if text.len() > Self::MOST {
            return fault(&format!("has more bytes than {}", Self::MOST));
        }
        let Ok(uri) = text.parse::<http::Uri>() else {
            return fault("cannot be read");
        };
        let scheme = uri.scheme_str().unwrap_or_default();
        if !matches!(scheme, "https" | "http") {
            return fault("is no https address");
        }
        let Some(authority) = uri.authority() else {
            return fault("has no host");
        };
        if authority.host().is_empty() || authority.as_str().contains('@') {
            return fault("has no host, or a name or password before it");
        }
        if text.contains('#') {
            return fault("has a fragment, which nobody would be sent");
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for CallbackUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.split('?').next().unwrap_or_default())
    }
}

impl fmt::Debug for CallbackUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl TryFrom<String> for CallbackUrl {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<CallbackUrl> for String {
    fn from(url: CallbackUrl) -> Self {
        url.0
    }
}

// === impl Destination ===

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Queue(name) => write!(f, "queue:{name}"),
            Self::Topic(name) => write!(f, "topic:{name}"),
            Self::Function(name) => write!(f, "function:{name}"),
        }
    }
}

impl FromStr for Destination {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        match text.split_once(':') {
            Some(("queue", name)) => Label::new(name).map(Self::Queue),
            Some(("topic", name)) => Label::new(name).map(Self::Topic),
            Some(("function", name)) => FunctionName::new(name).map(Self::Function),
            Some(("http" | "https", _)) => {
                let text = format!("addresses are no destinations of calls: {text:?}");
                Err(Error::invalid(text).hint(
                    "name a function that calls the address; its `outbound` says where it may go",
                ))
            }
            _ => Err(Error::invalid(format!("not a destination: {text:?}"))
                .hint("write it like \"queue:orders-failed\" or \"function:notify\"")),
        }
    }
}

impl TryFrom<String> for Destination {
    type Error = Error;
    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<Destination> for String {
    fn from(destination: Destination) -> Self {
        destination.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_a_kind_and_a_name() {
        for text in ["queue:orders_failed", "topic:orders", "function:notify"] {
            assert_eq!(text.parse::<Destination>().unwrap().to_string(), text);
        }
        for (bad, why) in [
            ("orders", "not a destination"),
            ("queue:", "label"),
            ("function:Notify", "function name"),
            ("bucket:orders", "not a destination"),
            ("https://example.com/hook", "addresses are no destinations"),
        ] {
            let error = bad.parse::<Destination>().unwrap_err();
            assert!(error.message.contains(why), "{bad}: {error}");
        }
    }

    #[test]
    fn what_is_out_of_range_is_refused() {
        let good = LaterSpec::default();
        good.check().unwrap();
        let retry = |change: fn(&mut RetrySpec)| {
            let mut spec = good.clone();
            change(&mut spec.retry);
            spec
        };
        for bad in [
            LaterSpec {
                keep: Span::secs(1),
                ..good.clone()
            },
            LaterSpec {
                concurrency: 0,
                ..good.clone()
            },
            retry(|retry| retry.max_age = Span::secs(8 * 86_400)),
            retry(|retry| retry.attempts = 0),
            retry(|retry| retry.jitter = 101),
            retry(|retry| retry.delay = Span::secs(3600)),
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
    }
}
