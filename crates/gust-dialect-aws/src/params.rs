//! What a request asks with, whichever protocol it came in: JSON, whose numbers a form writes as text.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Map, Value};

use crate::fault::{Code, Fault, Result};

/// An object of parameters.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Params<'v>(&'v Map<String, Value>);

// === impl Params ===

impl<'v> Params<'v> {
    pub(crate) fn of(value: &'v Value) -> Result<Self> {
        value.as_object().map(Self).ok_or_else(malformed)
    }

    /// A text that need not be there.
    pub(crate) fn text(&self, name: &str) -> Result<Option<&'v str>> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(no(name, "a text")),
        }
    }

    /// A text that has to be there.
    pub(crate) fn need(&self, name: &str) -> Result<&'v str> {
        self.text(name)?.ok_or_else(|| Fault::missing(name))
    }

    /// A number that has to lie between two.
    pub(crate) fn number(&self, name: &str, least: i64, most: i64) -> Result<Option<i64>> {
        let number = match self.0.get(name) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::Number(number)) => number.as_i64(),
            Some(Value::String(text)) => text.parse().ok(),
            Some(_) => None,
        };
        let number = number.ok_or_else(|| no(name, "an integer"))?;
        if !(least..=most).contains(&number) {
            let reason = format!("Must be between {least} and {most}, if provided");
            return Err(Fault::value(name, &number.to_string(), &reason));
        }
        Ok(Some(number))
    }

    /// A time in seconds, with what is behind the point.
    pub(crate) fn seconds(&self, name: &str) -> Option<f64> {
        self.0.get(name)?.as_f64()
    }

    /// Texts; none of them when there is no list.
    pub(crate) fn texts(&self, name: &str) -> Result<Vec<&'v str>> {
        let all = self.list(name)?.iter();
        all.map(|text| text.as_str().ok_or_else(|| no(name, "a list of texts")))
            .collect()
    }

    /// A list; an empty one when there is none.
    pub(crate) fn list(&self, name: &str) -> Result<&'v [Value]> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(&[]),
            Some(Value::Array(list)) => Ok(list),
            Some(_) => Err(no(name, "a list")),
        }
    }

    /// Names and values; none when there is no map.
    pub(crate) fn map(&self, name: &str) -> Result<Vec<(&'v str, &'v Value)>> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Object(map)) => Ok(map.iter().map(|(n, v)| (n.as_str(), v)).collect()),
            Some(_) => Err(no(name, "a map")),
        }
    }

    /// The same where values are texts.
    pub(crate) fn pairs(&self, name: &str) -> Result<Vec<(&'v str, &'v str)>> {
        let pairs = self.map(name)?.into_iter();
        let text = |value: &'v Value| value.as_str().ok_or_else(|| no(name, "a map of texts"));
        pairs
            .map(|(name, value)| Ok((name, text(value)?)))
            .collect()
    }

    /// Bytes, which both protocols write in Base64.
    pub(crate) fn bytes(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let Some(text) = self.text(name)? else {
            return Ok(None);
        };
        let bytes = BASE64.decode(text).map_err(|_| no(name, "Base64"))?;
        Ok(Some(bytes))
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|value| !value.is_null())
    }

    /// Refuses what would have to be ignored.
    pub(crate) fn refuse(&self, names: &[&str]) -> Result<()> {
        match names.iter().find(|name| self.has(name)) {
            Some(name) => Err(Fault::not_served(&format!("The parameter {name}"))),
            None => Ok(()),
        }
    }
}

fn malformed() -> Fault {
    Code::MALFORMED.says("The request is no JSON object.")
}

fn no(name: &str, what: &str) -> Fault {
    Code::MALFORMED.says(format!("The parameter {name} is not {what}."))
}
