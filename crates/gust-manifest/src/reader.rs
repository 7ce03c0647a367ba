//! Reading a parsed TOML document without stopping at the first fault.
//!
//! A [`Table`] knows which keys its [`Section`] has, so an unknown key is reported the moment a table is opened and the
//! reference page cannot name other keys than the reader takes. Every accessor answers `None` both for "absent" and for
//! "wrong, and reported": the caller goes on either way, and [`Cx::finish`] decides at the end.

use std::{cell::RefCell, ops::Range};

use gust_types::{ByteSize, Error, Kind, Span};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::{
    error::{Fault, MAX_FAULTS, ManifestError, Place},
    keys::{self, Section},
    suggest,
};

/// A byte range of the manifest.
pub(crate) type At = Range<usize>;

/// What a whole reading shares: the text, the faults and the notes.
pub(crate) struct Cx<'a> {
    pub(crate) text: &'a str,
    faults: RefCell<Vec<Found>>,
    notes: RefCell<Vec<String>>,
}

/// A fault before its place is looked up: where, what, and what to do.
type Found = (Option<At>, String, Option<String>);

/// A string and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Text {
    pub(crate) value: String,
    pub(crate) at: At,
}

/// A value with its place.
pub(crate) type Value<'a> = &'a Spanned<DeValue<'a>>;

/// A table that is being read.
#[derive(Clone)]
pub(crate) struct Table<'a> {
    pub(crate) cx: &'a Cx<'a>,
    entries: &'a DeTable<'a>,
    /// As the file writes it: `[function.hello]`.
    pub(crate) name: String,
    start: usize,
    end: usize,
}

// === impl Cx ===

impl<'a> Cx<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self {
            text,
            faults: RefCell::default(),
            notes: RefCell::default(),
        }
    }

    /// Reports a fault at a place.
    pub(crate) fn fault(&self, at: &At, message: impl Into<String>) {
        self.add(Some(at.clone()), message.into(), None);
    }

    /// Reports a fault at a place and says what to do.
    pub(crate) fn fault_hint(&self, at: &At, message: impl Into<String>, hint: impl Into<String>) {
        self.add(Some(at.clone()), message.into(), Some(hint.into()));
    }

    /// Reports an error of the words' own checks at a place.
    pub(crate) fn refuse(&self, at: &At, error: Error) {
        self.add(Some(at.clone()), error.message, error.hint);
    }

    /// Passes a value on, or reports why there is none.
    pub(crate) fn take<T>(&self, at: &At, result: Result<T, Error>) -> Option<T> {
        result.map_err(|error| self.refuse(at, error)).ok()
    }

    fn add(&self, at: Option<At>, message: String, hint: Option<String>) {
        self.faults.borrow_mut().push((at, message, hint));
    }

    /// Something a person should know that is no fault.
    pub(crate) fn note(&self, note: impl Into<String>) {
        self.notes.borrow_mut().push(note.into());
    }

    pub(crate) fn has_faults(&self) -> bool {
        !self.faults.borrow().is_empty()
    }

    /// The line of a place, counting from 1.
    pub(crate) fn line(&self, at: &At) -> usize {
        Place::find(self.text, at).line
    }

    /// The notes if all went well, else every fault in the order of the file.
    pub(crate) fn finish(&self, file: &str) -> Result<Vec<String>, ManifestError> {
        let mut faults = self.faults.take();
        if faults.is_empty() {
            return Ok(self.notes.take());
        }
        faults.sort_by_key(|(at, ..)| at.as_ref().map_or(usize::MAX, |at| at.start));
        faults.dedup();
        let more = faults.len().saturating_sub(MAX_FAULTS);
        faults.truncate(MAX_FAULTS);
        Err(ManifestError {
            file: file.to_owned(),
            kind: Kind::Invalid,
            more,
            faults: faults
                .into_iter()
                .map(|(at, message, hint)| Fault {
                    place: at.map(|at| Place::find(self.text, &at)),
                    message: printable(message),
                    hint: hint.map(printable),
                })
                .collect(),
        })
    }

    /// The string of a value, or a fault that says what it is instead.
    pub(crate) fn text(&self, what: &str, value: Value<'_>) -> Option<Text> {
        match value.get_ref() {
            DeValue::String(text) => Some(Text {
                value: text.clone().into_owned(),
                at: value.span(),
            }),
            other => {
                let hint = match other {
                    DeValue::Integer(n) => Some(format!("write it in quotes: \"{n}\"")),
                    DeValue::Float(n) => Some(format!("write it in quotes: \"{n}\"")),
                    DeValue::Boolean(b) => Some(format!("write it in quotes: \"{b}\"")),
                    _ => None,
                };
                let message = format!("{what} must be a string, not {}", kind(other));
                self.add(Some(value.span()), message, hint);
                None
            }
        }
    }
}

// === impl Table ===

impl<'a> Table<'a> {
    /// Opens a table and reports the keys that its section does not have.
    pub(crate) fn open(
        cx: &'a Cx<'a>,
        section: &Section,
        name: impl Into<String>,
        at: At,
        entries: &'a DeTable<'a>,
    ) -> Self {
        let name = name.into();
        for key in entries.keys() {
            if section.open
                || section
                    .keys
                    .iter()
                    .any(|k| k.name == key.get_ref().as_ref())
            {
                continue;
            }
            if let Some(instead) = keys::instead(section, key.get_ref()) {
                let message = format!("triggers of this kind are not built: `{}`", key.get_ref());
                cx.add(Some(key.span()), message, Some(instead.to_owned()));
                continue;
            }
            let message = format!("unknown key in {name}: `{}`", key.get_ref());
            let hint = suggest::key(section, key.get_ref());
            cx.add(Some(key.span()), message, hint);
        }
        Self {
            cx,
            entries,
            name,
            start: at.start,
            end: at.end,
        }
    }

    /// Where the table begins.
    pub(crate) fn at(&self) -> At {
        self.start..self.end
    }

    pub(crate) fn value(&self, key: &str) -> Option<Value<'a>> {
        self.entries.get(key)
    }

    /// Where a key stands, or else the table.
    pub(crate) fn key_at(&self, key: &str) -> At {
        self.entries
            .get_key_value(key)
            .map_or_else(|| self.at(), |(key, _)| key.span())
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = (Text, Value<'a>)> + use<'a> {
        self.entries.iter().map(|(key, value)| {
            let text = Text {
                value: key.get_ref().clone().into_owned(),
                at: key.span(),
            };
            (text, value)
        })
    }

    fn mismatch(&self, key: &str, value: Value<'a>, wanted: &str) {
        let found = kind(value.get_ref());
        self.cx.fault(
            &value.span(),
            format!("`{key}` must be {wanted}, not {found}"),
        );
    }

    /// Reports that a key must be there and is not.
    pub(crate) fn missing(&self, key: &str) {
        self.cx
            .fault(&self.at(), format!("{} needs the key `{key}`", self.name));
    }

    pub(crate) fn string(&self, key: &str) -> Option<Text> {
        self.cx.text(&format!("`{key}`"), self.value(key)?)
    }

    pub(crate) fn required_string(&self, key: &str) -> Option<Text> {
        if self.value(key).is_none() {
            self.missing(key);
        }
        self.string(key)
    }

    /// The string of a key, or an empty one.
    pub(crate) fn string_or_empty(&self, key: &str) -> String {
        self.string(key).map(|t| t.value).unwrap_or_default()
    }

    pub(crate) fn strings(&self, key: &str) -> Vec<Text> {
        match self.value(key).map(|v| (v, v.get_ref())) {
            None => Vec::new(),
            Some((_, DeValue::Array(items))) => self.items(key, items.iter()),
            Some((value, _)) => {
                self.mismatch(key, value, "a list of strings");
                Vec::new()
            }
        }
    }

    /// A string, or a list of strings.
    pub(crate) fn string_or_strings(&self, key: &str) -> Vec<Text> {
        match self.value(key).map(|v| (v, v.get_ref())) {
            None => Vec::new(),
            Some((value, DeValue::String(_))) => self.items(key, std::iter::once(value)),
            Some((_, DeValue::Array(items))) => self.items(key, items.iter()),
            Some((value, _)) => {
                self.mismatch(key, value, "a string or a list of strings");
                Vec::new()
            }
        }
    }

    fn items(&self, key: &str, items: impl Iterator<Item = Value<'a>>) -> Vec<Text> {
        items
            .filter_map(|item| self.cx.text(&format!("each item of `{key}`"), item))
            .collect()
    }

    pub(crate) fn boolean(&self, key: &str) -> Option<bool> {
        let value = self.value(key)?;
        match value.get_ref() {
            DeValue::Boolean(b) => Some(*b),
            _ => {
                self.mismatch(key, value, "true or false");
                None
            }
        }
    }

    /// A whole number within the bounds, both inclusive.
    pub(crate) fn integer(&self, key: &str, low: u64, high: u64) -> Option<u64> {
        let value = self.value(key)?;
        let DeValue::Integer(number) = value.get_ref() else {
            self.mismatch(key, value, "a whole number");
            return None;
        };
        let parsed = i128::from_str_radix(number.as_str(), number.radix()).ok();
        match parsed.and_then(|n| u64::try_from(n).ok()) {
            Some(n) if (low..=high).contains(&n) => Some(n),
            _ => {
                self.cx.fault(
                    &value.span(),
                    format!("`{key}` must be between {low} and {high}: {number}"),
                );
                None
            }
        }
    }

    /// A size such as `"64MiB"`, or a number of bytes.
    pub(crate) fn size(&self, key: &str, low: ByteSize, high: ByteSize) -> Option<ByteSize> {
        let value = self.value(key)?;
        let text = match value.get_ref() {
            DeValue::String(text) => text.as_ref(),
            DeValue::Integer(number) if number.radix() == 10 => number.as_str(),
            _ => {
                self.mismatch(key, value, "a size such as \"64MiB\"");
                return None;
            }
        };
        let size: ByteSize = self.cx.take(&value.span(), text.parse())?;
        self.within(key, value, size, low, high)
    }

    /// A duration such as `"30s"`.
    pub(crate) fn span(&self, key: &str, low: Span, high: Span) -> Option<Span> {
        let value = self.value(key)?;
        let DeValue::String(text) = value.get_ref() else {
            self.mismatch(key, value, "a duration such as \"30s\"");
            return None;
        };
        let span: Span = self.cx.take(&value.span(), text.parse())?;
        self.within(key, value, span, low, high)
    }

    fn within<T: PartialOrd + std::fmt::Display>(
        &self,
        key: &str,
        value: Value<'a>,
        found: T,
        low: T,
        high: T,
    ) -> Option<T> {
        if found < low || found > high {
            self.cx.fault(
                &value.span(),
                format!("`{key}` must be between {low} and {high}: {found}"),
            );
            return None;
        }
        Some(found)
    }

    /// A table below this one.
    pub(crate) fn table(
        &self,
        key: &str,
        section: &Section,
        name: impl Into<String>,
    ) -> Option<Table<'a>> {
        let value = self.value(key)?;
        self.as_table(key, value, section, name)
    }

    /// Opens a value as a table, or says what it is instead.
    pub(crate) fn as_table(
        &self,
        key: &str,
        value: Value<'a>,
        section: &Section,
        name: impl Into<String>,
    ) -> Option<Table<'a>> {
        match value.get_ref() {
            DeValue::Table(entries) => {
                let at = self.header_of(key, value);
                Some(Table::open(self.cx, section, name, at, entries))
            }
            _ => {
                self.mismatch(key, value, "a table");
                None
            }
        }
    }

    /// The key's place says more than that of a table that `[a.b]` and `[a.c]` only imply.
    fn header_of(&self, key: &str, value: Value<'a>) -> At {
        match self.entries.get_key_value(key) {
            Some((key, found)) if std::ptr::eq(found, value) => key.span(),
            _ => value.span(),
        }
    }

    /// Every value of a list of tables, opened or reported.
    pub(crate) fn tables(&self, key: &str, section: &Section, name: &str) -> Vec<Table<'a>> {
        let Some(value) = self.value(key) else {
            return Vec::new();
        };
        let DeValue::Array(items) = value.get_ref() else {
            self.mismatch(key, value, &format!("a list of tables ({name})"));
            return Vec::new();
        };
        items
            .iter()
            .filter_map(|item| self.as_table(key, item, section, name))
            .collect()
    }

    /// Names and strings: `environment`, `variables`, `headers`.
    pub(crate) fn string_map(&self, key: &str) -> Vec<(Text, Text)> {
        let Some(value) = self.value(key) else {
            return Vec::new();
        };
        let DeValue::Table(entries) = value.get_ref() else {
            self.mismatch(key, value, "a table of strings");
            return Vec::new();
        };
        let pair = |(name, value): (&'a Spanned<_>, Value<'a>)| {
            let name: &Spanned<std::borrow::Cow<'a, str>> = name;
            let text = self
                .cx
                .text(&format!("`{key}.{}`", name.get_ref()), value)?;
            let name = Text {
                value: name.get_ref().clone().into_owned(),
                at: name.span(),
            };
            Some((name, text))
        };
        entries.iter().filter_map(pair).collect()
    }
}

/// Keys are quoted as they are, and a terminal obeys control characters.
fn printable(text: String) -> String {
    text.replace(|c: char| c.is_control(), "\u{fffd}")
}

/// What a value is, for people.
pub(crate) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
