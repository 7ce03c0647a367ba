//! `x::type` and `CAST(x AS type)`: PostgreSQL's types in SQLite's words.
//!
//! SQLite takes any word for a type and sees a number in it, so that `CAST('2026-01-02' AS TIMESTAMP)` is 2026 there. So the
//! types are those of a table, and any other is refused.

use super::{
    rewrite::Edits,
    token::{Kind, Token, quote},
};
use crate::{
    error::Fault,
    types::{
        Type,
        parameters::{boolean, bytea},
        times,
    },
};

/// Names of types, what SQLite is told, and what the value is described as.
const CASTS: &[(&str, &str, Type)] = &[
    ("bigint", "INTEGER", Type::Int8),
    ("bool", "INTEGER", Type::Bool),
    ("boolean", "INTEGER", Type::Bool),
    ("bpchar", "TEXT", Type::Text),
    ("bytea", "BLOB", Type::Bytea),
    ("blob", "BLOB", Type::Bytea),
    ("char", "TEXT", Type::Text),
    ("character", "TEXT", Type::Text),
    ("character varying", "TEXT", Type::Text),
    ("citext", "TEXT", Type::Text),
    ("date", "TEXT", Type::Date),
    ("decimal", "NUMERIC", Type::Numeric),
    ("double precision", "REAL", Type::Float8),
    ("float", "REAL", Type::Float8),
    ("float4", "REAL", Type::Float8),
    ("float8", "REAL", Type::Float8),
    ("int", "INTEGER", Type::Int8),
    ("int2", "INTEGER", Type::Int8),
    ("int4", "INTEGER", Type::Int8),
    ("int8", "INTEGER", Type::Int8),
    ("integer", "INTEGER", Type::Int8),
    ("json", "TEXT", Type::Json),
    ("jsonb", "TEXT", Type::Jsonb),
    ("name", "TEXT", Type::Text),
    ("numeric", "NUMERIC", Type::Numeric),
    ("oid", "INTEGER", Type::Int8),
    ("real", "REAL", Type::Float8),
    ("smallint", "INTEGER", Type::Int8),
    ("text", "TEXT", Type::Text),
    ("time", "TEXT", Type::Time),
    ("time without time zone", "TEXT", Type::Time),
    ("timestamp", "TEXT", Type::Timestamp),
    ("timestamp with time zone", "TEXT", Type::Timestamptz),
    ("timestamp without time zone", "TEXT", Type::Timestamp),
    ("timestamptz", "TEXT", Type::Timestamptz),
    ("uuid", "TEXT", Type::Uuid),
    ("varchar", "TEXT", Type::Text),
];

/// A type where one is named, and how many tokens that takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) tokens: usize,
    sqlite: &'static str,
    pub(crate) kind: Type,
}

/// The type that these tokens begin with.
pub(crate) fn named(tokens: &[Token<'_>]) -> Result<Named, Fault> {
    let mut at = 0;
    if tokens.first().is_some_and(|t| t.is("pg_catalog"))
        && tokens.get(1).is_some_and(|t| t.is_sign("."))
    {
        at = 2;
    }
    let first = tokens.get(at).and_then(Token::name).unwrap_or_default();
    let mut name = first.to_ascii_lowercase();
    at += 1;
    if is(tokens, at, &["precision"]) && name == "double"
        || is(tokens, at, &["varying"]) && name == "character"
    {
        name = format!(
            "{name} {}",
            tokens.get(at).map_or("", |t| &t.text).to_ascii_lowercase()
        );
        at += 1;
    }
    at += in_parentheses(tokens, at);
    for zone in ["with", "without"] {
        if name.starts_with("time") && is(tokens, at, &[zone, "time", "zone"]) {
            name = format!("{name} {zone} time zone");
            at += 3;
            break;
        }
    }
    if tokens
        .get(at)
        .is_some_and(|t| t.kind == Kind::Quoted && t.text.starts_with('['))
    {
        return Err(Fault::unserved("the type of an array"));
    }
    let found = CASTS.iter().find(|(known, ..)| *known == name);
    let (_, sqlite, kind) = found.ok_or_else(|| {
        Fault::new("42704", format!("type \"{name}\" is not served in a cast"))
            .hint("docs/postgres.md has the types that are")
    })?;
    Ok(Named {
        tokens: at,
        sqlite,
        kind: *kind,
    })
}

fn is(tokens: &[Token<'_>], at: usize, words: &[&str]) -> bool {
    let mut words = words.iter().enumerate();
    words.all(|(n, word)| tokens.get(at + n).is_some_and(|token| token.is(word)))
}

/// How many tokens a length like `(10, 2)` takes.
fn in_parentheses(tokens: &[Token<'_>], at: usize) -> usize {
    if !tokens.get(at).is_some_and(|t| t.is_sign("(")) {
        return 0;
    }
    let rest = tokens.get(at..).unwrap_or_default();
    let end = rest.iter().take(5).position(|t| t.is_sign(")"));
    end.map_or(0, |end| end + 1)
}

/// Puts every cast into SQLite's words.
pub(crate) fn edit(tokens: &[Token<'_>], edits: &mut Edits) -> Result<(), Fault> {
    let mut starts = Starts::default();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        if token.kind == Kind::Cast {
            let named = named(tokens.get(at + 1..).unwrap_or_default())?;
            let start = starts
                .last
                .ok_or_else(|| Fault::new("42601", "syntax error at or near \"::\""))?;
            cast(tokens, start, at, &named, edits);
            // What was cast is an operand again.
            at += 1 + named.tokens;
            continue;
        }
        if token.is("as") && starts.in_cast() {
            let named = named(tokens.get(at + 1..).unwrap_or_default())?;
            edits.replace(at + 1, named.sqlite);
            edits.remove(at + 2..at + 1 + named.tokens);
            at += 1 + named.tokens;
            continue;
        }
        starts.see(tokens, at);
        at += 1;
    }
    Ok(())
}

fn cast(tokens: &[Token<'_>], start: usize, at: usize, named: &Named, edits: &mut Edits) {
    edits.remove(at..at + 1 + named.tokens);
    let alone = (start + 1 == at).then(|| tokens.get(start)).flatten();
    let string = alone.and_then(Token::string);
    if let Some(said) = string.and_then(|string| literal(&string, named)) {
        edits.replace(start, &said);
        return;
    }
    edits.before(start, "CAST(");
    edits.replace(at, &format!(" AS {})", named.sqlite));
}

/// A string that is a value of the type: what SQLite's own cast would make of it is another.
fn literal(string: &str, named: &Named) -> Option<String> {
    match named.kind {
        Type::Bool => boolean(string.trim()).map(|yes| u8::from(yes).to_string()),
        Type::Bytea => bytea(string).map(|bytes| format!("X'{}'", hex::encode(bytes))),
        Type::Timestamptz => Some(quote(
            &times::in_utc(string).unwrap_or_else(|| string.to_owned()),
        )),
        _ if named.sqlite == "TEXT" => Some(quote(string)),
        _ => None,
    }
}

/// Where the operand begins that ends at the last token, as far as one does.
#[derive(Default)]
struct Starts {
    last: Option<usize>,
    /// Open parentheses: where what they belong to begins, and whether it is a CAST.
    open: Vec<(usize, bool)>,
}

impl Starts {
    fn in_cast(&self) -> bool {
        self.open.last().is_some_and(|(_, cast)| *cast)
    }

    fn see(&mut self, tokens: &[Token<'_>], at: usize) {
        let Some(token) = tokens.get(at) else { return };
        let before = at.checked_sub(1).and_then(|before| tokens.get(before));
        if token.is_sign("(") {
            // A name before it is a function's.
            let call =
                before.filter(|b| matches!(b.kind, Kind::Word | Kind::Quoted) && !is_keyword(b));
            let start = call.and(self.last).unwrap_or(at);
            self.open
                .push((start, before.is_some_and(|b| b.is("cast"))));
            self.last = None;
        } else if token.is_sign(")") {
            self.last = self.open.pop().map(|(start, _)| start);
        } else if token.is_sign(".") {
            // The operand goes on.
        } else if matches!(token.kind, Kind::Word | Kind::Quoted)
            && before.is_some_and(|b| b.is_sign("."))
        {
            self.last = self.last.or(Some(at));
        } else if token.kind == Kind::Sign || is_keyword(token) {
            self.last = None;
        } else {
            self.last = Some(at);
        }
    }
}

/// Words that are no operand and no function.
pub(super) fn is_keyword(token: &Token<'_>) -> bool {
    const WORDS: &[&str] = &[
        "all",
        "and",
        "as",
        "between",
        "by",
        "case",
        "check",
        "default",
        "distinct",
        "else",
        "end",
        "escape",
        "exists",
        "filter",
        "from",
        "glob",
        "group",
        "having",
        "ilike",
        "in",
        "is",
        "isnull",
        "like",
        "limit",
        "match",
        "not",
        "notnull",
        "offset",
        "on",
        "or",
        "order",
        "over",
        "regexp",
        "returning",
        "select",
        "set",
        "then",
        "using",
        "values",
        "when",
        "where",
    ];
    token.kind == Kind::Word && WORDS.iter().any(|word| token.is(word))
}
