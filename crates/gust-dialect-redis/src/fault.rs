//! Errors in the words of Redis.

use std::borrow::Cow;

use gust_types::{Blame, Error, Kind};

use crate::reply::Reply;

/// What a client is told went wrong: the code and the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault(pub(crate) Cow<'static, str>);

/// What a command comes to.
pub(crate) type Outcome = Result<Reply, Fault>;

// === impl Fault ===

impl Fault {
    pub(crate) const WRONG_TYPE: Self =
        Self::of("WRONGTYPE Operation against a key holding the wrong kind of value");
    pub(crate) const SYNTAX: Self = Self::of("ERR syntax error");
    pub(crate) const INTEGER: Self = Self::of("ERR value is not an integer or out of range");
    pub(crate) const FLOAT: Self = Self::of("ERR value is not a valid float");
    pub(crate) const POSITIVE: Self = Self::of("ERR value is out of range, must be positive");
    pub(crate) const NO_KEY: Self = Self::of("ERR no such key");
    pub(crate) const INDEX: Self = Self::of("ERR index out of range");
    pub(crate) const OVERFLOW: Self = Self::of("ERR increment or decrement would overflow");
    pub(crate) const NAN: Self = Self::of("ERR increment would produce NaN or Infinity");
    pub(crate) const TOO_LONG: Self =
        Self::of("ERR string exceeds maximum allowed size (proto-max-bulk-len)");
    pub(crate) const NO_AUTH: Self = Self::of("NOAUTH Authentication required.");
    pub(crate) const WRONG_PASS: Self =
        Self::of("WRONGPASS invalid username-password pair or user is disabled.");
    pub(crate) const BUSY: Self =
        Self::of("TRYAGAIN too many others write to these keys, try again later");

    pub(crate) const TOO_SLOW: Self = Self::of(
        "ERR this takes longer than the 10 seconds that a command or a transaction has; nothing was changed, ask for less at once",
    );
    pub(crate) const GONE: Self = Self::of("ERR the client has gone; nothing was changed");

    pub(crate) const fn of(text: &'static str) -> Self {
        Self(Cow::Borrowed(text))
    }

    pub(crate) fn new(text: String) -> Self {
        Self(Cow::Owned(text))
    }

    pub(crate) fn arity(command: &str) -> Self {
        Self::new(format!(
            "ERR wrong number of arguments for '{command}' command"
        ))
    }

    pub(crate) fn expire_time(command: &str) -> Self {
        Self::new(format!("ERR invalid expire time in '{command}' command"))
    }

    pub(crate) fn subcommand(command: &str, asked: &[u8]) -> Self {
        let asked = cut(asked);
        let command = command.to_uppercase();
        Self::new(format!(
            "ERR unknown subcommand '{asked}'. Try {command} HELP."
        ))
    }

    pub(crate) fn unknown(words: &[bytes::Bytes]) -> Self {
        let (name, arguments) = words
            .split_first()
            .map_or((&[][..], &[][..]), |(n, a)| (n, a));
        let mut text = format!(
            "ERR unknown command '{}', with args beginning with: ",
            cut(name)
        );
        for argument in arguments {
            if text.len() >= 128 {
                break;
            }
            text.push_str(&format!("'{}' ", cut(argument)));
        }
        Self::new(text)
    }

    /// The same for a transaction that ends with it.
    pub(crate) fn abort(self) -> Self {
        let why = self.0.strip_prefix("ERR ").unwrap_or(&self.0);
        Self::new(format!("EXECABORT Transaction discarded because of: {why}"))
    }

    pub(crate) fn into_reply(self) -> Reply {
        Reply::Error(self.0.into_owned())
    }
}

/// What came, short enough to be told; as in Redis, a zero byte ends it.
fn cut(bytes: &[u8]) -> String {
    let end = bytes.iter().take(128).position(|byte| *byte == 0);
    let end = end.unwrap_or_else(|| bytes.len().min(128));
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
}

/// What went wrong behind the door. What is ours goes to the log and not to the client.
impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        if error.blame == Blame::Platform {
            tracing::warn!(error = error.chain(), "a command of a redis client failed");
        }
        let code = match (error.kind, error.blame) {
            (Kind::Internal, _) => {
                return Self::of("ERR the node failed; its log knows why");
            }
            (Kind::Conflict, _) => return Self::BUSY,
            (Kind::Exhausted, Blame::Platform) => "OOM",
            (Kind::Unavailable | Kind::Timeout, _) => "TRYAGAIN",
            (Kind::Denied, _) => "NOPERM",
            _ => "ERR",
        };
        let hint = error
            .hint
            .as_deref()
            .map_or(String::new(), |hint| format!(" ({hint})"));
        Self::new(format!("{code} {}{hint}", error.message))
    }
}
