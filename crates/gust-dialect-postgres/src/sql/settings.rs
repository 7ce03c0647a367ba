//! SET, RESET and SHOW: what clients set by habit is kept and shown, and of effect where there is something to have it on.

use std::{collections::BTreeMap, time::Duration};

use super::{
    plan::{Plan, modes, syntax},
    rewrite::VERSION,
    token::{Kind, Token},
};
use crate::error::Fault;

/// Bytes of a value.
const VALUE: usize = 256;

/// A change of settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    Set {
        name: String,
        value: Option<String>,
        /// Until the end of the transaction.
        local: bool,
    },
    ResetAll,
}

/// What may be set.
#[derive(Clone, Copy)]
enum Accepts {
    Anything,
    /// One of these, in small letters.
    Only(&'static [&'static str]),
    /// Milliseconds, or a number with its unit.
    Time,
    /// It tells, and is not set.
    Nothing,
}

/// Names, values to begin with, and values that are taken.
const KNOWN: &[(&str, &str, Accepts)] = &[
    ("application_name", "", Accepts::Anything),
    ("bytea_output", "hex", Accepts::Only(&["hex"])),
    (
        "client_encoding",
        "UTF8",
        Accepts::Only(&["utf8", "utf-8", "unicode"]),
    ),
    ("client_min_messages", "notice", Accepts::Anything),
    (
        "datestyle",
        "ISO, MDY",
        Accepts::Only(&["iso", "iso, mdy", "iso,mdy", "iso, dmy", "iso, ymd"]),
    ),
    (
        "default_transaction_isolation",
        "serializable",
        Accepts::Anything,
    ),
    (
        "default_transaction_read_only",
        "off",
        Accepts::Only(&["on", "off", "true", "false"]),
    ),
    ("extra_float_digits", "1", Accepts::Anything),
    (
        "idle_in_transaction_session_timeout",
        "1min",
        Accepts::Nothing,
    ),
    ("in_hot_standby", "off", Accepts::Nothing),
    ("integer_datetimes", "on", Accepts::Nothing),
    ("intervalstyle", "postgres", Accepts::Only(&["postgres"])),
    ("is_superuser", "off", Accepts::Nothing),
    ("jit", "off", Accepts::Anything),
    ("lock_timeout", "0", Accepts::Anything),
    ("max_identifier_length", "63", Accepts::Nothing),
    ("search_path", "public", Accepts::Anything),
    ("server_encoding", "UTF8", Accepts::Nothing),
    ("server_version", VERSION, Accepts::Nothing),
    ("server_version_num", "150000", Accepts::Nothing),
    ("session_authorization", "", Accepts::Nothing),
    (
        "standard_conforming_strings",
        "on",
        Accepts::Only(&["on", "true"]),
    ),
    ("statement_timeout", "0", Accepts::Time),
    (
        "synchronous_commit",
        "on",
        Accepts::Only(&["on", "local", "remote_write", "remote_apply"]),
    ),
    ("timezone", "UTC", Accepts::Anything),
    ("transaction_isolation", "serializable", Accepts::Nothing),
    ("transaction_read_only", "off", Accepts::Nothing),
];

/// Those that a client is told of whenever they change, and how they are spelt there.
pub(crate) const REPORTED: &[(&str, &str)] = &[
    ("application_name", "application_name"),
    ("client_encoding", "client_encoding"),
    ("datestyle", "DateStyle"),
    ("integer_datetimes", "integer_datetimes"),
    ("intervalstyle", "IntervalStyle"),
    ("is_superuser", "is_superuser"),
    ("server_encoding", "server_encoding"),
    ("server_version", "server_version"),
    ("session_authorization", "session_authorization"),
    ("standard_conforming_strings", "standard_conforming_strings"),
    ("timezone", "TimeZone"),
];

/// A session's settings.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    /// What the client began with.
    first: BTreeMap<String, String>,
    set: BTreeMap<String, String>,
    local: BTreeMap<String, String>,
}

// === impl Settings ===

impl Settings {
    /// The value of a setting.
    pub(crate) fn get(&self, name: &str) -> Result<&str, Fault> {
        let maps = [&self.local, &self.set, &self.first];
        let set = maps.iter().find_map(|map| map.get(name));
        let known = || KNOWN.iter().find(|(known, ..)| *known == name);
        set.map(|value| &**value)
            .or_else(|| known().map(|(_, value, _)| *value))
            .ok_or_else(|| unknown(name))
    }

    /// A setting that came with the login.
    pub(crate) fn begin(&mut self, name: &str, value: &str) -> Result<(), Fault> {
        let name = name.to_ascii_lowercase();
        // Some clients quote it as a statement would.
        let bare = value
            .strip_prefix('\'')
            .and_then(|value| value.strip_suffix('\''));
        let value = checked(&name, bare.unwrap_or(value))?;
        self.first.insert(name, value);
        Ok(())
    }

    /// Who logged in.
    pub(crate) fn is(&mut self, user: &str) {
        self.first
            .insert("session_authorization".to_owned(), user.to_owned());
    }

    /// Changes something; answers the names of what changed.
    pub(crate) fn change(&mut self, change: &Change) -> Result<Vec<String>, Fault> {
        match change {
            Change::ResetAll => {
                self.local.clear();
                let names = std::mem::take(&mut self.set).into_keys();
                Ok(names.collect())
            }
            Change::Set {
                name, value: None, ..
            } => {
                self.get(name)?;
                self.local.remove(name);
                self.set.remove(name);
                Ok(vec![name.clone()])
            }
            Change::Set {
                name,
                value: Some(value),
                local,
            } => {
                let value = checked(name, value)?;
                let map = if *local {
                    &mut self.local
                } else {
                    &mut self.set
                };
                map.insert(name.clone(), value);
                Ok(vec![name.clone()])
            }
        }
    }

    /// A transaction ends; answers the names of what changed.
    pub(crate) fn transaction_ends(&mut self) -> Vec<String> {
        std::mem::take(&mut self.local).into_keys().collect()
    }

    /// How long a statement may run at most, if the client says so.
    pub(crate) fn statement_timeout(&self) -> Option<Duration> {
        let most = self.get("statement_timeout").ok().and_then(time);
        most.filter(|most| !most.is_zero())
    }

    /// Whether transactions only read unless they say otherwise.
    pub(crate) fn read_only(&self) -> bool {
        self.get("default_transaction_read_only")
            .is_ok_and(|value| matches!(value, "on" | "true"))
    }
}

/// A time like `1500`, `10s` or `2min`.
fn time(text: &str) -> Option<Duration> {
    let end = text.find(|c: char| !c.is_ascii_digit());
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    let unit = match unit.trim() {
        "" | "ms" => 1,
        "s" => 1000,
        "min" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    let number: u32 = number.parse().ok()?;
    Some(Duration::from_millis(u64::from(number) * unit))
}

fn unknown(name: &str) -> Fault {
    Fault::new(
        "42704",
        format!("unrecognized configuration parameter \"{name}\""),
    )
    .hint("docs/postgres.md has those that are known")
}

fn checked(name: &str, value: &str) -> Result<String, Fault> {
    let (.., accepts) = KNOWN
        .iter()
        .find(|(known, ..)| *known == name)
        .ok_or_else(|| unknown(name))?;
    let lower = value.to_ascii_lowercase();
    let taken = match accepts {
        Accepts::Anything => value.len() <= VALUE,
        Accepts::Only(values) => values.contains(&&*lower),
        Accepts::Time => time(value).is_some(),
        Accepts::Nothing => {
            return Err(Fault::new(
                "55P02",
                format!("parameter \"{name}\" cannot be changed"),
            ));
        }
    };
    if !taken {
        let shown: String = value.chars().take(40).collect();
        let text = format!("invalid value for parameter \"{name}\": \"{shown}\"");
        return Err(Fault::new("22023", text));
    }
    Ok(match name {
        "client_encoding" => "UTF8".to_owned(),
        "datestyle" => "ISO, MDY".to_owned(),
        _ => value.to_owned(),
    })
}

/// The part of a statement after SET.
pub(crate) fn set(rest: &[Token<'_>]) -> Result<Plan, Fault> {
    let word = |at: usize, word: &str| rest.get(at).is_some_and(|token| token.is(word));
    if word(0, "transaction") {
        return modes(rest.get(1..).unwrap_or_default()).map(Plan::SetTransaction);
    }
    if word(0, "session") && word(1, "characteristics") && word(2, "as") && word(3, "transaction") {
        let read_only = modes(rest.get(4..).unwrap_or_default())?;
        let value = Some(
            if read_only.unwrap_or(false) {
                "on"
            } else {
                "off"
            }
            .to_owned(),
        );
        let name = "default_transaction_read_only".to_owned();
        return Ok(Plan::Set(Change::Set {
            name,
            value,
            local: false,
        }));
    }
    let local = word(0, "local");
    let scoped =
        local || word(0, "session") && !rest.get(1).is_some_and(|t| t.is_sign("=") || t.is("to"));
    let rest = rest.get(usize::from(scoped)..).unwrap_or_default();
    let (name, values) = match rest {
        [time, zone, values @ ..] if time.is("time") && zone.is("zone") => {
            ("timezone".to_owned(), values)
        }
        [names, values @ ..] if names.is("names") => ("client_encoding".to_owned(), values),
        _ => named(rest)?,
    };
    let value = value(values)?;
    Ok(Plan::Set(Change::Set { name, value, local }))
}

/// `name = ..` or `name TO ..`.
fn named<'a, 'b>(tokens: &'b [Token<'a>]) -> Result<(String, &'b [Token<'a>]), Fault> {
    match tokens {
        [name, to, values @ ..] if to.is_sign("=") || to.is("to") => {
            let name = name.name().ok_or_else(|| syntax(tokens))?;
            Ok((name.to_ascii_lowercase(), values))
        }
        _ => Err(syntax(tokens)),
    }
}

/// The values as one text; nothing for DEFAULT.
fn value(tokens: &[Token<'_>]) -> Result<Option<String>, Fault> {
    match tokens {
        [] => return Err(syntax(tokens)),
        [one] if one.is("default") => return Ok(None),
        _ => {}
    }
    let mut value = String::new();
    for token in tokens {
        let text = match token.kind {
            Kind::Text => token.string(),
            Kind::Quoted => token.name(),
            Kind::Word | Kind::Number => Some(token.text.to_string()),
            Kind::Sign if token.is_sign(",") => Some(", ".to_owned()),
            Kind::Sign if token.is_sign("-") || token.is_sign("+") => Some(token.text.to_string()),
            _ => None,
        };
        value.push_str(&text.ok_or_else(|| syntax(tokens))?);
    }
    Ok(Some(value))
}

/// The part of a statement after RESET.
pub(crate) fn reset(rest: &[Token<'_>]) -> Result<Plan, Fault> {
    match rest {
        [all] if all.is("all") => Ok(Plan::Set(Change::ResetAll)),
        rest => {
            let name = shown(rest)?;
            Ok(Plan::Set(Change::Set {
                name,
                value: None,
                local: false,
            }))
        }
    }
}

/// The part of a statement after SHOW.
pub(crate) fn show(rest: &[Token<'_>]) -> Result<Plan, Fault> {
    match rest {
        [all] if all.is("all") => Err(Fault::unserved("SHOW ALL")),
        rest => shown(rest).map(Plan::Show),
    }
}

fn shown(tokens: &[Token<'_>]) -> Result<String, Fault> {
    let is = |words: &[&str]| {
        let mut pairs = tokens.iter().zip(words);
        tokens.len() == words.len() && pairs.all(|(token, word)| token.is(word))
    };
    if is(&["transaction", "isolation", "level"]) {
        return Ok("transaction_isolation".to_owned());
    }
    if is(&["time", "zone"]) {
        return Ok("timezone".to_owned());
    }
    match tokens {
        [name] => name.name().map(|name| name.to_ascii_lowercase()),
        _ => None,
    }
    .ok_or_else(|| syntax(tokens))
}
