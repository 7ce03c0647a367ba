//! CloudEvents SQL 1.0: an expression over the attributes of an event.
//!
//! Every expression has a value for every event, whatever happens: what goes wrong is told beside the value. Evaluation
//! ends at the first fault; the value is then that of the part that failed, if it is the whole expression, and else the
//! zero of the expression's type.
//!
//! The ways of an expression: `lex` to words, `parse` to a tree, `check` for what can never be, `eval` once an event.
//! Two things the specification leaves open or says twice:
//!
//! - AND, OR and XOR bind alike and group from the left, as its text has it; the grammar beside it groups from the right.
//! - A backslash in a string escapes the quote around the string and, in a pattern, `%` and `_`. Before all else it is
//!   itself.

use std::{borrow::Cow, fmt};

use gust_types::{Error, Event, Result};

mod cast;
mod check;
mod eval;
mod function;
mod lex;
mod like;
mod parse;
mod tree;

use tree::Node;

/// A read expression.
#[derive(Debug, Clone, PartialEq)]
pub struct Expression {
    text: Box<str>,
    root: Node,
}

/// What an expression comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<'a> {
    /// True or false.
    Boolean(bool),
    /// A whole number of 32 bits.
    Integer(i32),
    /// Text, which URIs and times are as well.
    String(Cow<'a, str>),
}

/// What a value may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Type {
    /// True or false.
    Boolean,
    /// A whole number of 32 bits.
    Integer,
    /// Text.
    String,
}

/// Why a value is not what the expression asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault<'a> {
    /// The event has no attribute of this name.
    MissingAttribute(&'a str),
    /// There is no function of this name that takes so many arguments.
    MissingFunction(&'a str, usize),
    /// The value is not one of that type.
    Cast(Value<'a>, Type),
    /// Something divided by zero.
    Division,
    /// More than 32 bits.
    Overflow,
    /// The function has no answer to these arguments.
    Function(&'static str),
    /// More text went through the expression than an event is worth.
    Work,
}

/// The kinds of fault that the specification names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// An attribute is not there.
    MissingAttribute,
    /// A function is not there.
    MissingFunction,
    /// A value does not become one of another type.
    Cast,
    /// Arithmetic without a result.
    Math,
    /// A function without a result.
    FunctionEvaluation,
    /// Anything else.
    Generic,
}

// === impl Expression ===

impl Expression {
    /// Bytes of an expression.
    pub const MAX_BYTES: usize = 16 << 10;
    /// Operators, functions and parentheses inside each other. Rows of AND, OR and XOR are not.
    pub const MAX_DEPTH: usize = 64;

    /// Reads an expression. What it says where something is wrong is line and column, what should be there, and what is.
    pub fn parse(text: &str) -> Result<Self> {
        if text.len() > Self::MAX_BYTES {
            let (most, bytes) = (Self::MAX_BYTES, text.len());
            return Err(Error::invalid(format!(
                "an expression may have {most} bytes at most: {bytes}"
            )));
        }
        let root = parse::expression(text).map_err(|wrong| {
            let parse::Wrong {
                at,
                expected,
                found,
            } = wrong;
            let place = place(text, at);
            Error::invalid(format!("{place}: expected {expected}, found: {found}"))
        })?;
        Ok(Self {
            text: text.into(),
            root,
        })
    }

    /// Refuses what is a mistake whatever the event: unknown functions, a value that is no boolean, literals that are not
    /// what they are used as. An expression that was only parsed tells the same, one event at a time, where it gets there.
    pub fn check(&self) -> Result<()> {
        let Some(wrong) = check::predicate(&self.root) else {
            return Ok(());
        };
        let place = place(&self.text, wrong.at);
        let error = Error::invalid(format!("{place}: {}", wrong.message));
        Err(match wrong.hint {
            Some(hint) => error.hint(hint),
            None => error,
        })
    }

    /// What it comes to for this event, and what went wrong.
    pub fn evaluate<'a>(&'a self, event: &'a Event) -> (Value<'a>, Option<Fault<'a>>) {
        eval::evaluate(&self.root, event)
    }

    /// Is it true for this event, and did nothing go wrong?
    pub fn matches(&self, event: &Event) -> bool {
        matches!(self.evaluate(event), (Value::Boolean(true), None))
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// Line and column for people, who count characters from one.
fn place(text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |end| end + 1);
    let column = before.get(start..).unwrap_or_default().chars().count() + 1;
    format!("line {line}, column {column}")
}

/// Quoted, and the start of what is long.
fn shown(text: &str) -> String {
    const MOST: usize = 80;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{:?}…", text.get(..end).unwrap_or_default()),
        None => format!("{text:?}"),
    }
}

// === impl Value ===

impl Value<'_> {
    /// What it is.
    pub fn kind(&self) -> Type {
        match self {
            Self::Boolean(_) => Type::Boolean,
            Self::Integer(_) => Type::Integer,
            Self::String(_) => Type::String,
        }
    }
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(value) => write!(f, "{value}"),
            Self::Integer(value) => write!(f, "{value}"),
            Self::String(value) => f.write_str(&shown(value)),
        }
    }
}

// === impl Type ===

impl Type {
    /// The value in place of one that is not there.
    pub fn zero(self) -> Value<'static> {
        match self {
            Self::Boolean => Value::Boolean(false),
            Self::Integer => Value::Integer(0),
            Self::String => Value::String(Cow::Borrowed("")),
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Boolean => "a boolean",
            Self::Integer => "an integer",
            Self::String => "a string",
        })
    }
}

// === impl Fault ===

impl Fault<'_> {
    /// What the specification calls it.
    pub fn kind(&self) -> FaultKind {
        match self {
            Self::MissingAttribute(_) => FaultKind::MissingAttribute,
            Self::MissingFunction(..) => FaultKind::MissingFunction,
            Self::Cast(..) => FaultKind::Cast,
            Self::Division | Self::Overflow => FaultKind::Math,
            Self::Function(_) => FaultKind::FunctionEvaluation,
            Self::Work => FaultKind::Generic,
        }
    }
}

impl fmt::Display for Fault<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingAttribute(name) => write!(f, "the event has no attribute: {name}"),
            Self::MissingFunction(name, arguments) => write!(
                f,
                "there is no such function with {arguments} arguments: {name}"
            ),
            Self::Cast(value, kind) => write!(f, "not {kind}: {value}"),
            Self::Division => f.write_str("division by zero"),
            Self::Overflow => f.write_str("the result has more than 32 bits"),
            Self::Function(name) => write!(f, "arguments out of range: {name}"),
            Self::Work => f.write_str("the expression takes too long for this event"),
        }
    }
}

#[cfg(test)]
mod tests;
