//! What the items of a list of columns are, as far as their text tells.

use super::{Field, Item, is_compare, is_json};
use crate::{
    sql::{
        casts, tables,
        token::{Kind, Token},
    },
    types::Type,
};

/// The items of a list of columns.
pub(super) fn items(tokens: &[Token<'_>]) -> Vec<Item> {
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
        [one] if one.is_sign("*") => Item::Star(None),
        [of, dot, star] if dot.is_sign(".") && star.is_sign("*") => Item::Star(of.name()),
        _ if simple(tokens).is_some() => simple(tokens).unwrap_or(Item::Unknown),
        _ => expression(tokens),
    }
}

/// A value that stands there, or a column.
fn literal(one: &Token<'_>) -> Item {
    match one.kind {
        Kind::Word if one.is("null") => Item::Unknown,
        Kind::Word if one.is("true") || one.is("false") => Item::Known(Type::Int8),
        Kind::Word | Kind::Quoted => field(None, one).map_or(Item::Unknown, Item::Column),
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

fn field(table: Option<&Token<'_>>, name: &Token<'_>) -> Option<Field> {
    let table = table.and_then(Token::name);
    name.name().map(|name| Field { table, name })
}

/// A condition, a cast, or a function whose values are of one type.
fn expression(tokens: &[Token<'_>]) -> Item {
    if is_condition(tokens) {
        return Item::Known(Type::Bool);
    }
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

/// Whether a comparison, or anything else that is true or false, stands at the top of an expression.
fn is_condition(tokens: &[Token<'_>]) -> bool {
    const WORDS: &[&str] = &[
        "and", "or", "not", "is", "isnull", "notnull", "in", "like", "ilike", "glob", "between",
        "exists",
    ];
    let tokens = match tokens {
        [first, inner @ .., _] if first.is_sign("(") && is_primary(tokens) => inner,
        _ => tokens,
    };
    let (mut depth, mut at) = (0usize, 0);
    while let Some(token) = tokens.get(at) {
        if token.is_sign("(") || token.is("case") {
            depth += 1;
        } else if token.is_sign(")") || token.is("end") {
            depth = depth.saturating_sub(1);
        } else if depth == 0 {
            let next = tokens.get(at + 1);
            if is_json(tokens, at) {
                at += 1 + tokens
                    .get(at + 1..)
                    .map_or(0, |rest| rest.iter().take_while(|t| t.is_sign(">")).count());
                continue;
            }
            // `<<` and `>>`.
            if matches!(&*token.text, "<" | ">") && next.is_some_and(|t| t.text == token.text) {
                at += 2;
                continue;
            }
            if is_compare(token) || WORDS.iter().any(|word| token.is(word)) {
                return true;
            }
        }
        at += 1;
    }
    false
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
        [.., of, dot, last] if dot.is_sign(".") && tokens.len() <= 5 => {
            field(Some(of), last).map(Item::Column)
        }
        _ => None,
    }
}
