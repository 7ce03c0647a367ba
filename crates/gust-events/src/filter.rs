//! Which events a trigger wants: the filters of the CloudEvents Subscriptions API, and those of a Knative trigger.
//!
//! What is written is a [`FilterSpec`], in whatever file; [`Filter`] is what it means, read and checked once and then asked
//! about every event. An attribute that an event does not have is never equal to anything, so `not` of that is true.

use std::collections::BTreeMap;

pub use gust_types::trigger::FilterSpec;
use gust_types::{Error, Event, Result};

pub mod sql;

/// Says of an event whether it is wanted. Without anything in it, all are.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Filter {
    /// All of them have to be true.
    tests: Vec<Test>,
}

#[derive(Debug, Clone, PartialEq)]
enum Test {
    Text(Comparison, Vec<(Box<str>, Box<str>)>),
    All(Vec<Test>),
    Any(Vec<Test>),
    Not(Box<Test>),
    Sql(sql::Expression),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Exact,
    Prefix,
    Suffix,
}

/// Reads filters, and counts what they come to.
struct Reader {
    filters: usize,
    bytes: usize,
}

// === impl Filter ===

impl Filter {
    /// Filters of one trigger, those inside others too.
    pub const MAX_FILTERS: usize = 256;
    /// Filters inside each other.
    pub const MAX_DEPTH: usize = 16;
    /// All names, texts and expressions of one trigger.
    pub const MAX_BYTES: usize = 64 << 10;

    /// The filter that wants what all of these want; with none of them, everything.
    pub fn new(specs: &[FilterSpec]) -> Result<Self> {
        let mut reader = Reader {
            filters: 0,
            bytes: 0,
        };
        let tests = reader.list("filters", 0, specs)?;
        Ok(Self { tests })
    }

    /// Is this event wanted?
    pub fn matches(&self, event: &Event) -> bool {
        self.tests.iter().all(|test| test.matches(event))
    }

    /// What went wrong in asking whether an event is wanted; that it lacks an attribute is nothing wrong.
    pub fn fault(&self, event: &Event) -> Option<String> {
        self.tests.iter().find_map(|test| test.fault(event))
    }

    /// Is every event wanted?
    pub fn is_everything(&self) -> bool {
        self.tests.is_empty()
    }
}

// === impl Test ===

impl Test {
    fn matches(&self, event: &Event) -> bool {
        match self {
            Self::Text(comparison, wanted) => wanted.iter().all(|(name, wanted)| {
                let value = event.attribute(name);
                value.is_some_and(|value| comparison.holds(&value.text(), wanted))
            }),
            Self::All(tests) => tests.iter().all(|test| test.matches(event)),
            Self::Any(tests) => tests.iter().any(|test| test.matches(event)),
            Self::Not(test) => !test.matches(event),
            Self::Sql(expression) => expression.matches(event),
        }
    }

    fn fault(&self, event: &Event) -> Option<String> {
        match self {
            Self::Text(..) => None,
            Self::All(tests) | Self::Any(tests) => tests.iter().find_map(|test| test.fault(event)),
            Self::Not(test) => test.fault(event),
            Self::Sql(expression) => {
                let (_, fault) = expression.evaluate(event);
                let fault = fault.filter(|f| f.kind() != sql::FaultKind::MissingAttribute);
                fault.map(|fault| fault.to_string())
            }
        }
    }
}

// === impl Comparison ===

impl Comparison {
    fn holds(self, text: &str, wanted: &str) -> bool {
        match self {
            Self::Exact => text == wanted,
            Self::Prefix => text.starts_with(wanted),
            Self::Suffix => text.ends_with(wanted),
        }
    }
}

// === impl Reader ===

impl Reader {
    /// The places of errors read like `filters[0].any[2]`.
    fn list(&mut self, place: &str, depth: usize, specs: &[FilterSpec]) -> Result<Vec<Test>> {
        let specs = specs.iter().enumerate();
        specs
            .map(|(n, spec)| self.test(&format!("{place}[{n}]"), depth, spec))
            .collect()
    }

    fn test(&mut self, place: &str, depth: usize, spec: &FilterSpec) -> Result<Test> {
        self.filters += 1;
        if self.filters > Filter::MAX_FILTERS {
            let most = Filter::MAX_FILTERS;
            return Err(Error::invalid(format!(
                "{place}: more filters than a trigger may have: {most}"
            )));
        }
        if depth >= Filter::MAX_DEPTH {
            let most = Filter::MAX_DEPTH;
            return Err(Error::invalid(format!(
                "{place}: filters are nested deeper than they may be: {most}"
            )));
        }
        let depth = depth + 1;
        Ok(match spec {
            FilterSpec::Exact(wanted) => self.text(place, "exact", Comparison::Exact, wanted)?,
            FilterSpec::Prefix(wanted) => self.text(place, "prefix", Comparison::Prefix, wanted)?,
            FilterSpec::Suffix(wanted) => self.text(place, "suffix", Comparison::Suffix, wanted)?,
            FilterSpec::All(specs) => {
                let place = format!("{place}.all");
                Test::All(self.list(some(&place, specs)?, depth, specs)?)
            }
            FilterSpec::Any(specs) => {
                let place = format!("{place}.any");
                Test::Any(self.list(some(&place, specs)?, depth, specs)?)
            }
            FilterSpec::Not(spec) => {
                Test::Not(Box::new(self.test(&format!("{place}.not"), depth, spec)?))
            }
            FilterSpec::Sql(text) => {
                let place = format!("{place}.sql");
                self.count(&place, text.len())?;
                Test::Sql(expression(text).map_err(|mut error| {
                    error.message = format!("{place}: {}", error.message);
                    error
                })?)
            }
        })
    }

    fn text(
        &mut self,
        place: &str,
        dialect: &str,
        comparison: Comparison,
        wanted: &BTreeMap<String, String>,
    ) -> Result<Test> {
        let place = format!("{place}.{dialect}");
        if wanted.is_empty() {
            return Err(Error::invalid(format!(
                "a filter names no attribute: {place}"
            )));
        }
        let mut texts = Vec::with_capacity(wanted.len());
        for (name, text) in wanted {
            if text.is_empty() {
                return Err(Error::invalid(format!("{place}: a text is empty: {name}"))
                    .hint("for any value write { sql = \"EXISTS name\" }"));
            }
            texts.push((self.name(&place, name, text)?, text.as_str().into()));
        }
        Ok(Test::Text(comparison, texts))
    }

    fn name(&mut self, place: &str, name: &str, text: &str) -> Result<Box<str>> {
        self.count(place, name.len() + text.len())?;
        if !Event::is_name(name) {
            return Err(
                Error::invalid(format!("{place}: no attribute has this name: {name:?}"))
                    .hint("names are of lower-case letters and digits"),
            );
        }
        Ok(name.into())
    }

    fn count(&mut self, place: &str, bytes: usize) -> Result<()> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > Filter::MAX_BYTES {
            let most = Filter::MAX_BYTES;
            return Err(Error::invalid(format!(
                "{place}: the filters of a trigger have more bytes than they may: {most}"
            )));
        }
        Ok(())
    }
}

/// A mistake is told here rather than wondered about later.
fn expression(text: &str) -> Result<sql::Expression> {
    let expression = sql::Expression::parse(text)?;
    expression.check()?;
    Ok(expression)
}

/// An empty `all` or `any` is forbidden, since nobody agrees on what it means.
fn some<'p>(place: &'p str, specs: &[FilterSpec]) -> Result<&'p str> {
    match specs {
        [] => Err(Error::invalid(format!(
            "a list of filters is empty: {place}"
        ))),
        _ => Ok(place),
    }
}

#[cfg(test)]
mod tests;
