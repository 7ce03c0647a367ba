//! What a parameter stands beside: a column, a number, a function's value.

use std::collections::HashMap;

use super::{Field, Guess, is_arithmetic, is_compare, is_json};
use crate::{
    sql::{
        casts, tables,
        token::{Kind, Token},
    },
    types::Type,
};

/// Functions whose values are integers.
const INTEGERS: &[&str] = &[
    "char_length",
    "count",
    "instr",
    "json_array_length",
    "length",
    "octet_length",
    "unicode",
    "unixepoch",
];
/// Functions whose values are numbers.
const NUMBERS: &[&str] = &[
    "avg",
    "ceil",
    "ceiling",
    "floor",
    "julianday",
    "power",
    "random",
    "sign",
    "sqrt",
    "total",
];
/// Functions whose values are numbers like those that they are given.
const RECKONED: &[&str] = &["abs", "mod", "round", "sum"];
/// Functions whose values are those that they are given.
const SAME: &[&str] = &["coalesce", "ifnull", "max", "min", "nullif"];
/// Functions whose values are text.
const TEXTS: &[&str] = &[
    "date",
    "datetime",
    "group_concat",
    "hex",
    "lower",
    "ltrim",
    "replace",
    "rtrim",
    "strftime",
    "substr",
    "substring",
    "time",
    "trim",
    "typeof",
    "upper",
];
/// Functions in functions that are looked into.
const NESTED: usize = 4;
/// Tokens of an expression that are looked at.
const LOOKED_AT: usize = 32;

/// A statement, with where its parentheses open and close.
pub(super) struct Text<'a, 'b> {
    tokens: &'b [Token<'a>],
    opens: HashMap<usize, usize>,
}

// === impl Text ===

impl<'a, 'b> Text<'a, 'b> {
    pub(super) fn of(tokens: &'b [Token<'a>]) -> Self {
        let pairs = tables::pairs(tokens).into_iter();
        Self {
            tokens,
            opens: pairs.map(|(open, close)| (close, open)).collect(),
        }
    }

    fn get(&self, at: usize) -> Option<&'b Token<'a>> {
        self.tokens.get(at)
    }

    fn from(&self, at: usize) -> &'b [Token<'a>] {
        self.tokens.get(at..).unwrap_or_default()
    }

    fn before(&self, at: usize) -> Option<&'b Token<'a>> {
        at.checked_sub(1).and_then(|at| self.get(at))
    }

    /// What a parameter is taken for; `open` is the parenthesis around it.
    pub(super) fn parameter(&self, at: usize, open: Option<usize>) -> Option<Guess> {
        if let Some(kind) = self.cast(at) {
            return kind;
        }
        let before = self.before(at);
        if before.is_some_and(|t| t.is("limit") || t.is("offset")) {
            return Some(Guess::Known(Type::Int8));
        }
        if let Some(number) = self.reckoned(at) {
            return Some(number);
        }
        let likes = |t: &Token<'_>| {
            ["like", "ilike", "between", "is", "not"]
                .iter()
                .any(|word| t.is(word))
        };
        let mut start = at;
        while self
            .before(start)
            .is_some_and(|t| is_compare(t) || likes(t))
        {
            start -= 1;
        }
        if start < at {
            // `a -> $1`: a path.
            let path = start
                .checked_sub(1)
                .is_some_and(|minus| is_json(self.tokens, minus));
            return (!path).then(|| self.left(start)).flatten();
        }
        let between = at
            .checked_sub(3)
            .filter(|_| before.is_some_and(|t| t.is("and")));
        if let Some(between) = between.filter(|at| self.get(*at).is_some_and(|t| t.is("between"))) {
            let not = self.before(between).is_some_and(|t| t.is("not"));
            return self.left(between.saturating_sub(not.into()));
        }
        if self.get(at + 1).is_some_and(is_compare) {
            let next = (at + 1..at + 4).find(|at| !self.get(*at).is_some_and(is_compare));
            return next.and_then(|next| self.right(next, NESTED));
        }
        self.listed(open?)
    }

    /// `$1::type`, `CAST($1 AS type)`.
    fn cast(&self, at: usize) -> Option<Option<Guess>> {
        let next = self.get(at + 1)?;
        let called = next.is("as")
            && at
                .checked_sub(2)
                .and_then(|at| self.get(at))
                .is_some_and(|t| t.is("cast"));
        (next.kind == Kind::Cast || called).then(|| {
            let named = casts::named(self.from(at + 2)).ok()?;
            Some(Guess::Known(named.kind))
        })
    }

    /// A parameter that is reckoned with.
    fn reckoned(&self, at: usize) -> Option<Guess> {
        let beside = if self.before(at).is_some_and(is_arithmetic) {
            self.left(at - 1)
        } else if self.get(at + 1).is_some_and(is_arithmetic) && !is_json(self.tokens, at + 1) {
            self.right(at + 2, NESTED)
        } else {
            return None;
        };
        Some(as_number(beside))
    }

    /// One of a list: `a IN ($1, $2)`, `coalesce(a, $1)`.
    fn listed(&self, open: usize) -> Option<Guess> {
        let name = self.before(open)?;
        if SAME.iter().any(|same| name.is(same)) {
            return self.called(open, NESTED);
        }
        let mut at = open.checked_sub(1).filter(|_| name.is("in"))?;
        if self.before(at).is_some_and(|t| t.is("not")) {
            at -= 1;
        }
        self.left(at)
    }

    /// The operand that ends before this.
    pub(super) fn left(&self, end: usize) -> Option<Guess> {
        let last = end.checked_sub(1)?;
        let token = self.get(last)?;
        let joined = |start: usize| self.before(start).is_some_and(|t| t.is_sign("|"));
        if token.is_sign(")") {
            let open = *self.opens.get(&last)?;
            let start = open.saturating_sub(1);
            return (!joined(start))
                .then(|| self.called(open, NESTED))
                .flatten();
        }
        if matches!(token.kind, Kind::Parameter(_)) {
            return self.reckoned(last);
        }
        let dot = self.before(last).is_some_and(|t| t.is_sign("."));
        let table = last
            .checked_sub(2)
            .filter(|_| dot)
            .and_then(|at| self.get(at)?.name());
        let start = if dot { last.saturating_sub(2) } else { last };
        (!joined(start)).then(|| atom(token, table)).flatten()
    }

    /// The operand that begins here.
    fn right(&self, at: usize, depth: usize) -> Option<Guess> {
        let (first, next) = (self.get(at)?, self.get(at + 1));
        let sign = |sign: &str| next.is_some_and(|t| t.is_sign(sign));
        if first.is_sign("(") {
            return self.called(at, depth);
        }
        if is_arithmetic(first) {
            return Some(Guess::Known(Type::Numeric));
        }
        if first.kind == Kind::Word && sign("(") {
            return self.called(at + 1, depth);
        }
        if sign(".") {
            return atom(self.get(at + 2)?, first.name());
        }
        (!sign("|")).then(|| atom(first, None)).flatten()
    }

    /// The value of what stands in these parentheses, or of the function that they belong to.
    fn called(&self, open: usize, depth: usize) -> Option<Guess> {
        let depth = depth.checked_sub(1)?;
        let name = self.before(open)?;
        let is = |names: &[&str]| names.iter().any(|known| name.is(known));
        if is(INTEGERS) {
            return Some(Guess::Known(Type::Int8));
        }
        if is(NUMBERS) {
            return Some(Guess::Known(Type::Numeric));
        }
        if is(TEXTS) {
            return Some(Guess::Known(Type::Text));
        }
        if is(RECKONED) {
            return Some(as_number(self.first(open, depth)));
        }
        if is(SAME) {
            return self.first(open, depth);
        }
        let call = matches!(name.kind, Kind::Word | Kind::Quoted) && !casts::is_keyword(name);
        if call || self.get(open + 1)?.is("select") {
            return None;
        }
        let inside = self.from(open + 1).iter().take(LOOKED_AT);
        let mut inside = inside.take_while(|t| !t.is_sign(")"));
        if inside.any(is_arithmetic) {
            return Some(as_number(self.first(open, depth)));
        }
        self.get(open + 2)
            .filter(|t| t.is_sign(")") || t.is_sign("."))
            .and_then(|_| self.first(open, depth))
    }

    /// The first operand in parentheses that tells something.
    fn first(&self, open: usize, depth: usize) -> Option<Guess> {
        let end = (open + 1 + LOOKED_AT).min(self.tokens.len());
        for at in open + 1..end {
            let token = self.get(at)?;
            if token.is_sign(")") {
                return None;
            }
            let operand = matches!(token.kind, Kind::Word | Kind::Quoted | Kind::Number)
                && !casts::is_keyword(token);
            if operand || token.is_sign("(") {
                return self.right(at, depth);
            }
        }
        None
    }
}

/// A value that stands there, or a column.
fn atom(token: &Token<'_>, table: Option<String>) -> Option<Guess> {
    match token.kind {
        Kind::Number if token.text.ends_with('\'') => None,
        Kind::Number => Some(Guess::Known(Type::Numeric)),
        Kind::Word if token.is("true") || token.is("false") => Some(Guess::Known(Type::Bool)),
        _ => {
            let name = token.name()?;
            Some(Guess::Column(Field { table, name }))
        }
    }
}

/// What is reckoned with: a number, like the column if that is one.
fn as_number(beside: Option<Guess>) -> Guess {
    match beside {
        Some(Guess::Column(field) | Guess::Number(field)) => Guess::Number(field),
        Some(Guess::Known(kind)) if kind.is_number() => Guess::Known(kind),
        _ => Guess::Known(Type::Numeric),
    }
}
