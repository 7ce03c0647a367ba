//! What an expression is made of.

use super::{Type, Value, function::Function, like::Pattern};

/// One part of an expression.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    /// Where it starts, or where its operator stands, in bytes.
    pub(super) at: usize,
    pub(super) what: What,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum What {
    Literal(Value<'static>),
    Attribute(Box<str>),
    Exists(Box<str>),
    Not(Box<Node>),
    Minus(Box<Node>),
    Like {
        value: Box<Node>,
        pattern: Pattern,
        negated: bool,
    },
    In {
        value: Box<Node>,
        set: Vec<Node>,
        negated: bool,
    },
    Arithmetic(Arithmetic, Box<(Node, Node)>),
    Compare(Compare, Box<(Node, Node)>),
    /// A row of any length, from the left. Flat, since a list of a hundred ids is a hundred ORs.
    Logic(Box<Node>, Vec<(Logic, Node)>),
    Call {
        name: Box<str>,
        /// Unknown when there is none of this name and number of arguments, which is a fault of the event's evaluation.
        function: Option<Function>,
        arguments: Vec<Node>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Multiply,
    Divide,
    Remainder,
    Add,
    Subtract,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compare {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Logic {
    And,
    Or,
    Xor,
}

// === impl Node ===

impl Node {
    /// What it comes to, where that is certain. An attribute is whatever the event has.
    pub(super) fn kind(&self) -> Option<Type> {
        match &self.what {
            What::Literal(value) => Some(value.kind()),
            What::Attribute(_) => None,
            What::Exists(_) | What::Not(_) | What::Like { .. } | What::In { .. } => {
                Some(Type::Boolean)
            }
            What::Compare(..) | What::Logic(..) => Some(Type::Boolean),
            What::Minus(_) | What::Arithmetic(..) => Some(Type::Integer),
            What::Call { function, .. } => function.map(Function::returns),
        }
    }

    /// The value in place of one that is not there. Where nothing is certain, the specification has a boolean.
    pub(super) fn zero(&self) -> Value<'static> {
        self.kind().unwrap_or(Type::Boolean).zero()
    }
}
