//! What is written otherwise of tables: columns that number themselves, and lists of values with names.

use std::collections::{HashMap, HashSet};

use super::{
    rewrite::Edits,
    token::{Kind, Token, quote_name},
};
use crate::error::Fault;

const SERIAL: &[&str] = &[
    "serial",
    "bigserial",
    "smallserial",
    "serial2",
    "serial4",
    "serial8",
];

pub(crate) fn edit(tokens: &[Token<'_>], edits: &mut Edits) -> Result<(), Fault> {
    let create = tokens.first().is_some_and(|token| token.is("create"));
    if create && tokens.iter().take(4).any(|token| token.is("table")) {
        serials(tokens, edits)?;
    }
    let pairs = pairs(tokens);
    for at in 0..tokens.len() {
        values_with_names(tokens, at, &pairs, edits);
    }
    Ok(())
}

/// The items of the outermost parentheses: where each begins and ends.
fn items(tokens: &[Token<'_>]) -> Vec<(usize, usize)> {
    let (mut found, mut depth, mut start) = (Vec::new(), 0usize, 0);
    for (at, token) in tokens.iter().enumerate() {
        if token.is_sign("(") {
            depth += 1;
            if depth == 1 {
                start = at + 1;
            }
        } else if token.is_sign(")") {
            depth = depth.saturating_sub(1);
            if depth == 0 {
                found.push((start, at));
                break;
            }
        } else if token.is_sign(",") && depth == 1 {
            found.push((start, at));
            start = at + 1;
        }
    }
    found
}

/// SERIAL: SQLite numbers a table's rows by its one column that is `INTEGER PRIMARY KEY`.
fn serials(tokens: &[Token<'_>], edits: &mut Edits) -> Result<(), Fault> {
    let items = items(tokens);
    let of = |(start, end): (usize, usize)| tokens.get(start..end).unwrap_or_default();
    let keys: HashSet<String> = items
        .iter()
        .filter_map(|item| keys_only(of(*item)))
        .collect();
    for item in &items {
        let column = of(*item);
        let numbered = column
            .get(1)
            .is_some_and(|kind| SERIAL.iter().any(|word| kind.is(word)));
        let identity = column.iter().position(|token| token.is("generated"));
        let identity =
            identity.filter(|at| column.iter().skip(*at).any(|token| token.is("identity")));
        if !numbered && identity.is_none() {
            continue;
        }
        let name = column.first().and_then(Token::name).unwrap_or_default();
        let inline = column.windows(2).any(is_primary_key);
        if !inline && !keys.contains(&name) {
            let text = format!("column \"{name}\" numbers itself and is not the primary key");
            return Err(Fault::new("0A000", text).hint("make it the PRIMARY KEY of its table"));
        }
        edits.replace(item.0 + 1, "INTEGER");
        if let Some(at) = identity {
            edits.remove(identity_of(column, at, item.0));
        }
    }
    Ok(())
}

fn is_primary_key(two: &[Token<'_>]) -> bool {
    matches!(two, [one, two] if one.is("primary") && two.is("key"))
}

/// The one column that a table's `PRIMARY KEY (..)` names.
fn keys_only(item: &[Token<'_>]) -> Option<String> {
    let at = item.windows(2).position(is_primary_key)?;
    match item.get(at + 2..)? {
        [open, name, close] if open.is_sign("(") && close.is_sign(")") => name.name(),
        _ => None,
    }
}

/// `GENERATED .. AS IDENTITY [(..)]`.
fn identity_of(column: &[Token<'_>], at: usize, start: usize) -> std::ops::Range<usize> {
    let word = column
        .iter()
        .skip(at)
        .position(|token| token.is("identity"))
        .unwrap_or(0);
    let mut end = at + word + 1;
    if column.get(end).is_some_and(|token| token.is_sign("(")) {
        let close = column.iter().skip(end).position(|token| token.is_sign(")"));
        end += close.map_or(0, |close| close + 1);
    }
    start + at..start + end
}

/// `(VALUES (..), ..) AS t (a, b)`: SQLite calls such columns `column1`, `column2` and has no names for them there.
fn values_with_names(
    tokens: &[Token<'_>],
    at: usize,
    pairs: &HashMap<usize, usize>,
    edits: &mut Edits,
) -> Option<()> {
    let opens = tokens.get(at)?.is_sign("(") && tokens.get(at + 1)?.is("values");
    let from = at.checked_sub(1).and_then(|before| tokens.get(before));
    if !opens || !from.is_some_and(|t| t.is("from") || t.is("join") || t.is_sign(",")) {
        return None;
    }
    let close = *pairs.get(&at)?;
    let mut name = close + 1;
    if tokens.get(name)?.is("as") {
        name += 1;
    }
    if !matches!(tokens.get(name)?.kind, Kind::Word | Kind::Quoted)
        || !tokens.get(name + 1)?.is_sign("(")
    {
        return None;
    }
    let end = *pairs.get(&(name + 1))?;
    let names = tokens.get(name + 2..end)?;
    let names: Vec<String> = names.iter().filter_map(Token::name).collect();
    let columns = names.iter().enumerate();
    let columns: Vec<_> = columns
        .map(|(n, name)| format!("column{} AS {}", n + 1, quote_name(name)))
        .collect();
    edits.after(at, &format!("SELECT {} FROM (", columns.join(", ")));
    edits.after(close, ")");
    edits.remove(name + 1..end + 1);
    Some(())
}

/// Where each parenthesis closes that opens.
pub(crate) fn pairs(tokens: &[Token<'_>]) -> HashMap<usize, usize> {
    let (mut pairs, mut open) = (HashMap::new(), Vec::new());
    for (at, token) in tokens.iter().enumerate() {
        if token.is_sign("(") {
            open.push(at);
        } else if token.is_sign(")") {
            pairs.extend(open.pop().map(|opened| (opened, at)));
        }
    }
    pairs
}
