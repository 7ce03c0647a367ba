//! What a statement's text tells of its columns and parameters.
//!
//! SQLite's values have types, its columns hardly. So what a column of an answer is follows from the table's column that it
//! shows, a cast, or a function that is known; else from the values. Nothing here has to be right for a statement to
//! run: a wrong guess is a value that does not fit, and that is seen when the value is there.

use std::collections::{BTreeMap, HashMap};

use super::{
    casts, tables,
    token::{Kind, Token},
};
use crate::types::Type;

/// A column of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item {
    /// A table's column.
    Column(String),
    /// What is reckoned with a table's column.
    Number(String),
    /// All columns of the tables.
    Star,
    Known(Type),
    Unknown,
}

/// What a parameter is compared with or stored in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Guess {
    Known(Type),
    Column(String),
    /// The column of the written table at this place.
    Place(usize),
}

/// What is known of a statement.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Outline {
    /// The columns of its answer.
    pub(crate) items: Vec<Item>,
    /// The tables that these show; none when they show anything but plain tables.
    pub(crate) shown: Vec<String>,
    /// All tables.
    pub(crate) tables: Vec<String>,
    pub(crate) parameters: BTreeMap<u16, Guess>,
}

/// The columns of tables as they are declared, by the table's name in small letters.
pub(crate) type Declared = HashMap<String, Vec<(String, String)>>;

/// Tables that are looked up for one statement.
const TABLES: usize = 32;

// === impl Outline ===

impl Outline {
    /// Of a query.
    pub(crate) fn of_query(tokens: &[Token<'_>]) -> Self {
        let mut outline = Self::of_any(tokens);
        let select = tokens.first().is_some_and(|token| token.is("select"));
        if !select || has_at_top(tokens, &["union", "except", "intersect"]) {
            return outline;
        }
        let from = find_at_top(tokens, "from").unwrap_or(tokens.len());
        let mut start = 1;
        if tokens
            .get(1)
            .is_some_and(|t| t.is("distinct") || t.is("all"))
        {
            start = 2;
        }
        outline.items = items(tokens.get(start..from).unwrap_or_default());
        outline.shown = plain_tables(tokens.get(from..).unwrap_or_default());
        outline
    }

    /// Of a write, whose answer begins at this token.
    pub(crate) fn of_write(tokens: &[Token<'_>], returning: Option<usize>) -> Self {
        let mut outline = Self::of_any(tokens);
        outline.inserted(tokens);
        if let Some(at) = returning {
            outline.items = items(tokens.get(at..).unwrap_or_default());
            outline.shown.extend(outline.tables.first().cloned());
        }
        outline
    }

    fn of_any(tokens: &[Token<'_>]) -> Self {
        let mut outline = Self::default();
        let mut open: Vec<usize> = Vec::new();
        for (at, token) in tokens.iter().enumerate() {
            if token.is_sign("(") {
                open.push(at);
            } else if token.is_sign(")") {
                open.pop();
            }
            if ["from", "join", "into", "update"]
                .iter()
                .any(|word| token.is(word))
                && outline.tables.len() < TABLES
            {
                outline
                    .tables
                    .extend(table(tokens.get(at + 1..).unwrap_or_default()));
            }
            if let Kind::Parameter(n) = token.kind
                && let Some(guess) = guess(tokens, at, open.last().copied())
            {
                outline.parameters.entry(n).or_insert(guess);
            }
        }
        outline
    }

    /// The parameters that stand in an INSERT's lists of values.
    fn inserted(&mut self, tokens: &[Token<'_>]) -> Option<()> {
        let into = tokens.iter().take(8).position(|token| token.is("into"))?;
        let values = find_at_top(tokens, "values")?;
        let open = tokens
            .iter()
            .take(values)
            .skip(into)
            .position(|token| token.is_sign("("));
        let columns: Option<Vec<String>> = open.map(|open| {
            let names = tokens.iter().take(values).skip(into + open);
            names.filter_map(Token::name).collect()
        });
        let (mut depth, mut place) = (0usize, 0);
        for (at, token) in tokens.iter().enumerate().skip(values + 1) {
            if token.is_sign("(") {
                depth += 1;
                place = if depth == 1 { 0 } else { place };
            } else if token.is_sign(")") {
                depth = depth.saturating_sub(1);
            } else if token.is_sign(",") && depth == 1 {
                place += 1;
            } else if let (Kind::Parameter(n), 1) = (token.kind, depth) {
                if tokens
                    .get(at + 1)
                    .is_some_and(|next| next.kind == Kind::Cast)
                {
                    continue;
                }
                let guess = match &columns {
                    Some(columns) => Guess::Column(columns.get(place)?.clone()),
                    None => Guess::Place(place),
                };
                self.parameters.entry(n).or_insert(guess);
            }
        }
        Some(())
    }

    /// What each column of an answer is declared as, as far as is known.
    pub(crate) fn columns(&self, names: &[String], declared: &Declared) -> Vec<Option<Type>> {
        let of = |name: &str| self.declared(&self.shown, name, declared);
        let stars = self
            .items
            .iter()
            .filter(|item| **item == Item::Star)
            .count();
        let one = |item: &Item, name: &str| match item {
            Item::Column(column) => of(column),
            Item::Number(column) => {
                let numbers = [Type::Int8, Type::Float8, Type::Numeric];
                of(column).filter(|kind| numbers.contains(kind))
            }
            Item::Star => of(name),
            Item::Known(kind) => Some(*kind),
            Item::Unknown => None,
        };
        if stars == 0 {
            let items = self.items.iter().map(Some).chain(std::iter::repeat(None));
            let pairs = names.iter().zip(items);
            return pairs
                .map(|(name, item)| item.and_then(|item| one(item, name)))
                .collect();
        }
        let first = self
            .items
            .iter()
            .position(|item| *item == Item::Star)
            .unwrap_or(0);
        let after = self.items.len() - first - 1;
        let many = names.iter().enumerate().map(|(at, name)| {
            let left = names.len() - at;
            if at < first {
                self.items.get(at).and_then(|item| one(item, name))
            } else if left > after || stars > 1 {
                of(name)
            } else {
                self.items
                    .get(self.items.len() - left)
                    .and_then(|item| one(item, name))
            }
        });
        many.collect()
    }

    /// What a parameter is taken for.
    pub(crate) fn parameter(&self, n: u16, declared: &Declared) -> Type {
        let guessed = match self.parameters.get(&n) {
            Some(Guess::Known(kind)) => Some(*kind),
            Some(Guess::Column(name)) => self.declared(&self.tables, name, declared),
            Some(Guess::Place(place)) => {
                let table = self.tables.first().and_then(|table| declared.get(table));
                let column = table.and_then(|columns| columns.get(*place));
                column.and_then(|(_, kind)| Type::of_declared(kind))
            }
            None => None,
        };
        guessed.unwrap_or(Type::Text)
    }

    /// A column's type; none when tables differ in it.
    fn declared(&self, tables: &[String], column: &str, declared: &Declared) -> Option<Type> {
        let mut found = None;
        for (name, kind) in tables
            .iter()
            .filter_map(|table| declared.get(table))
            .flatten()
        {
            if !name.eq_ignore_ascii_case(column) {
                continue;
            }
            let kind = Type::of_declared(kind)?;
            if found.is_some_and(|before| before != kind) {
                return None;
            }
            found = Some(kind);
        }
        found
    }
}

/// The table that these tokens begin with.
fn table(tokens: &[Token<'_>]) -> Option<String> {
    let first = tokens.first()?.name()?;
    let qualified = tokens.get(1).is_some_and(|token| token.is_sign("."));
    let name = if qualified {
        tokens.get(2)?.name()?
    } else {
        first
    };
    Some(name.to_ascii_lowercase())
}

/// The tables of a FROM, if it has nothing but tables.
fn plain_tables(from: &[Token<'_>]) -> Vec<String> {
    const ENDS: &[&str] = &[
        "where", "group", "having", "window", "order", "limit", "offset",
    ];
    let (mut found, mut expected, mut depth) = (Vec::new(), false, 0usize);
    for (at, token) in from.iter().enumerate() {
        if depth == 0 && ENDS.iter().any(|word| token.is(word)) {
            break;
        }
        if expected {
            match table(from.get(at..).unwrap_or_default()) {
                Some(name) if found.len() < TABLES => found.push(name),
                _ => return Vec::new(),
            }
        }
        expected = depth == 0 && (token.is("from") || token.is("join") || token.is_sign(","));
        if token.is_sign("(") {
            depth += 1;
        } else if token.is_sign(")") {
            depth = depth.saturating_sub(1);
        }
    }
    found
}

/// The position of a word outside of parentheses.
pub(crate) fn find_at_top(tokens: &[Token<'_>], word: &str) -> Option<usize> {
    let mut depth = 0usize;
    tokens.iter().position(|token| {
        if token.is_sign("(") {
            depth += 1;
        } else if token.is_sign(")") {
            depth = depth.saturating_sub(1);
        }
        depth == 0 && token.is(word)
    })
}

fn has_at_top(tokens: &[Token<'_>], words: &[&str]) -> bool {
    words.iter().any(|word| find_at_top(tokens, word).is_some())
}

/// The items of a list of columns.
fn items(tokens: &[Token<'_>]) -> Vec<Item> {
    let mut depth = 0usize;
    let split = tokens.split(|token| {
        if token.is_sign("(") {
            depth += 1;
        } else if token.is_sign(")") {
            depth = depth.saturating_sub(1);
        }
        depth == 0 && token.is_sign(",")
    });
    split.map(item).collect()
}

fn item(tokens: &[Token<'_>]) -> Item {
    let tokens = without_alias(tokens);
    match tokens {
        [one] if one.is_sign("*") => Item::Star,
        [_, dot, star] if dot.is_sign(".") && star.is_sign("*") => Item::Star,
        _ if simple(tokens).is_some() => simple(tokens).unwrap_or(Item::Unknown),
        _ => expression(tokens),
    }
}

/// A value that stands there, or a column.
fn literal(one: &Token<'_>) -> Item {
    match one.kind {
        Kind::Word if one.is("null") => Item::Unknown,
        Kind::Word if one.is("true") || one.is("false") => Item::Known(Type::Int8),
        Kind::Word | Kind::Quoted => one.name().map_or(Item::Unknown, Item::Column),
        Kind::Text => Item::Known(Type::Text),
        Kind::Number if one.text.parse::<i64>().is_ok() => Item::Known(Type::Int8),
        Kind::Number if one.text.parse::<f64>().is_ok() => Item::Known(Type::Float8),
        _ => Item::Unknown,
    }
}

fn without_alias<'a, 'b>(tokens: &'b [Token<'a>]) -> &'b [Token<'a>] {
    match tokens {
        [rest @ .., word, _] if word.is("as") && !rest.is_empty() => rest,
        [rest @ .., last]
            if last.kind == Kind::Quoted && rest.last().is_some_and(|t| t.kind == Kind::Word) =>
        {
            rest
        }
        _ => tokens,
    }
}

/// A cast, or a function whose values are of one type.
fn expression(tokens: &[Token<'_>]) -> Item {
    if tokens.iter().any(|token| token.kind == Kind::Cast) {
        return cast(tokens).unwrap_or(Item::Unknown);
    }
    let Some(first) = tokens.first().filter(|_| is_primary(tokens)) else {
        return Item::Unknown;
    };
    let inner = tokens.get(2..tokens.len().saturating_sub(1));
    let inner = inner.unwrap_or_default();
    if first.is("cast") {
        let at = inner.iter().rposition(|token| token.is("as"));
        let named = at.and_then(|at| casts::named(inner.get(at + 1..)?).ok());
        return named.map_or(Item::Unknown, |named| Item::Known(named.kind));
    }
    function(first, inner)
}

fn function(first: &Token<'_>, inner: &[Token<'_>]) -> Item {
    const INTEGERS: &[&str] = &[
        "count",
        "exists",
        "length",
        "octet_length",
        "instr",
        "changes",
        "last_insert_rowid",
    ];
    let is = |names: &[&str]| names.iter().any(|name| first.is(name));
    if is(INTEGERS) {
        return Item::Known(Type::Int8);
    }
    if is(&["avg", "total"]) {
        return Item::Known(Type::Float8);
    }
    // One level and no more: what is nested deeper than a stack is no reason to fail.
    match simple(inner) {
        Some(item) if is(&["max", "min"]) => item,
        Some(Item::Column(name)) if is(&["sum", "abs"]) => Item::Number(name),
        _ => Item::Unknown,
    }
}

/// `x::type`, once or more often, and nothing beside it.
fn cast(tokens: &[Token<'_>]) -> Option<Item> {
    let first = tokens.iter().position(|token| token.kind == Kind::Cast)?;
    let last = tokens.iter().rposition(|token| token.kind == Kind::Cast)?;
    let (before, rest) = (tokens.get(..first)?, tokens.get(last + 1..)?);
    let named = casts::named(rest).ok()?;
    let between = tokens.get(first..last)?.iter();
    let plain = between.filter(|token| token.kind == Kind::Sign).count() == 0;
    let alone = plain && named.tokens == rest.len();
    let whole = alone && (simple(before).is_some() || is_primary(before));
    whole.then_some(Item::Known(named.kind))
}

/// Whether these are parentheses or a function's call, and nothing beside it.
fn is_primary(tokens: &[Token<'_>]) -> bool {
    let opens = tokens.iter().take(2).position(|token| token.is_sign("("));
    let word = tokens.first().is_some_and(|first| first.kind == Kind::Word);
    let Some(at) = opens.filter(|at| *at == 0 || word) else {
        return false;
    };
    let close = tables::pairs(tokens).get(&at).copied();
    close.is_some_and(|close| close + 1 == tokens.len())
}

/// A column or a value, without a function around it.
fn simple(tokens: &[Token<'_>]) -> Option<Item> {
    match tokens {
        [one] if !one.is_sign("*") => Some(literal(one)),
        [.., dot, last] if dot.is_sign(".") && tokens.len() <= 5 => last.name().map(Item::Column),
        _ => None,
    }
}

/// What a parameter stands beside.
fn guess(tokens: &[Token<'_>], at: usize, open: Option<usize>) -> Option<Guess> {
    let get = |at: usize| tokens.get(at);
    let back = |by: usize| at.checked_sub(by).and_then(get);
    if get(at + 1).is_some_and(|next| next.kind == Kind::Cast) {
        let named = casts::named(tokens.get(at + 2..)?).ok()?;
        return Some(Guess::Known(named.kind));
    }
    if get(at + 1).is_some_and(|next| next.is("as")) && back(2).is_some_and(|t| t.is("cast")) {
        let named = casts::named(tokens.get(at + 2..)?).ok()?;
        return Some(Guess::Known(named.kind));
    }
    let before = back(1);
    if before.is_some_and(|t| t.is("limit") || t.is("offset")) {
        return Some(Guess::Known(Type::Int8));
    }
    let compares = |t: &Token<'_>| ["=", "<", ">", "!"].iter().any(|sign| t.is_sign(sign));
    let likes = |t: &Token<'_>| {
        ["like", "ilike", "between", "is"]
            .iter()
            .any(|word| t.is(word))
    };
    let mut place = at.checked_sub(1);
    while let Some(token) = place
        .and_then(get)
        .filter(|t| compares(t) || likes(t) || t.is("not"))
    {
        let _ = token;
        place = place.and_then(|place| place.checked_sub(1));
    }
    if place != at.checked_sub(1) {
        return place.and_then(get).and_then(column);
    }
    if get(at + 1).is_some_and(compares) {
        let next = (at + 1..at + 4).filter_map(get).find(|t| !compares(t));
        return next.and_then(column);
    }
    // One of a list: `a IN ($1, $2)`.
    let open = open?;
    let list = open
        .checked_sub(1)
        .and_then(get)
        .is_some_and(|t| t.is("in"));
    let mut name = open.checked_sub(2)?;
    if get(name).is_some_and(|t| t.is("not")) {
        name = name.checked_sub(1)?;
    }
    list.then(|| get(name).and_then(column)).flatten()
}

fn column(token: &Token<'_>) -> Option<Guess> {
    token.name().map(Guess::Column)
}
