//! PostgreSQL's spellings into SQLite's, token by token.

use std::{borrow::Cow, collections::BTreeMap, ops::Range};

use super::{
    casts, tables,
    token::{Kind, Token, quote},
};
use crate::error::Fault;

/// What a session is called by functions that ask.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names {
    pub(crate) database: String,
    pub(crate) user: String,
    pub(crate) session: u32,
}

/// What is said to clients that ask for the server's version.
pub(crate) const VERSION: &str = "15.0";

/// What is written instead of tokens.
#[derive(Default)]
pub(crate) struct Edits(BTreeMap<usize, Edit>);

#[derive(Default)]
struct Edit {
    before: String,
    text: Option<String>,
    after: String,
}

// === impl Edit ===

impl Edit {
    fn leaves_nothing(&self) -> bool {
        self.before.is_empty() && self.after.is_empty() && self.text.as_deref() == Some("")
    }
}

// === impl Edits ===

impl Edits {
    /// All that has to be written otherwise in a statement.
    pub(crate) fn of(tokens: &[Token<'_>], names: &Names) -> Result<Self, Fault> {
        let mut edits = Self::default();
        casts::edit(tokens, &mut edits)?;
        tables::edit(tokens, &mut edits)?;
        let mut list = List::default();
        for (at, token) in tokens.iter().enumerate() {
            word(tokens, at, list.is_open(), names, &mut edits);
            list.see(token);
        }
        Ok(edits)
    }

    pub(crate) fn before(&mut self, at: usize, text: &str) {
        self.0.entry(at).or_default().before.push_str(text);
    }

    pub(crate) fn after(&mut self, at: usize, text: &str) {
        self.0.entry(at).or_default().after.push_str(text);
    }

    pub(crate) fn replace(&mut self, at: usize, text: &str) {
        self.0.entry(at).or_default().text = Some(text.to_owned());
    }

    pub(crate) fn remove(&mut self, range: Range<usize>) {
        for at in range {
            self.replace(at, "");
        }
    }

    /// The text of these tokens.
    pub(crate) fn write(&self, tokens: &[Token<'_>], range: Range<usize>) -> String {
        let mut text = String::new();
        for (at, token) in tokens.iter().enumerate().take(range.end).skip(range.start) {
            let edit = self.0.get(&at);
            if edit.is_some_and(Edit::leaves_nothing) {
                continue;
            }
            let instead = edit.and_then(|edit| edit.text.as_deref());
            let piece = match (instead, token.kind) {
                (Some(instead), _) => Cow::Borrowed(instead),
                (None, Kind::Parameter(n)) => Cow::Owned(format!("?{n}")),
                (None, _) => Cow::Borrowed(&*token.text),
            };
            let before = edit.map_or("", |edit| &edit.before);
            let first = before.chars().chain(piece.chars()).next();
            if token.apart && !text.is_empty() || grow_together(text.chars().next_back(), first) {
                text.push(' ');
            }
            text.push_str(before);
            text.push_str(&piece);
            text.push_str(edit.map_or("", |edit| &edit.after));
        }
        text
    }
}

/// Whether two tokens would be read as one without a space between them.
fn grow_together(last: Option<char>, first: Option<char>) -> bool {
    let (Some(last), Some(first)) = (last, first) else {
        return false;
    };
    let word = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
    match (last, first) {
        ('\'' | '"' | '`' | '-', first) => last == first,
        ('/', '*') => true,
        (last, first) => word(last) && (word(first) || first == '\''),
    }
}

/// Words that mean something else to SQLite, or nothing.
fn word(tokens: &[Token<'_>], at: usize, listed: bool, names: &Names, edits: &mut Edits) {
    let Some(token) = tokens.get(at).filter(|token| token.kind == Kind::Word) else {
        return;
    };
    let sign = |at: usize, sign: &str| tokens.get(at).is_some_and(|token| token.is_sign(sign));
    let qualified = at > 0 && sign(at - 1, ".");
    let catalog = qualified && at > 1 && tokens.get(at - 2).is_some_and(|t| t.is("pg_catalog"));
    if token.is("ilike") {
        edits.replace(at, "LIKE");
    } else if token.is("public") && sign(at + 1, ".") && !qualified {
        edits.replace(at, "main");
    } else if !qualified || catalog {
        let call = sign(at + 1, "(") && sign(at + 2, ")");
        let Some((said, name)) = function(token, call, names) else {
            return;
        };
        let start = if catalog { at - 2 } else { at };
        let end = if call { at + 3 } else { at + 1 };
        edits.remove(start..end);
        edits.replace(start, &said);
        if listed && is_whole_item(tokens, start, end) {
            edits.after(end - 1, &format!(" AS {name}"));
        }
    }
}

/// What a function without arguments says, and the name of its column.
fn function(token: &Token<'_>, call: bool, names: &Names) -> Option<(String, &'static str)> {
    const CALLS: &[&str] = &[
        "version",
        "current_schema",
        "current_database",
        "pg_backend_pid",
        "pg_is_in_recovery",
        "pg_advisory_unlock_all",
        "now",
    ];
    const WORDS: &[&str] = &[
        "current_user",
        "session_user",
        "current_catalog",
        "current_schema",
    ];
    let known = if call { CALLS } else { WORDS };
    let name = known.iter().find(|name| token.is(name))?;
    let said = match *name {
        "version" => quote(&format!("PostgreSQL {VERSION} (Gust: SQLite's dialect)")),
        "current_schema" => "'public'".to_owned(),
        "current_database" | "current_catalog" => quote(&names.database),
        "current_user" | "session_user" => quote(&names.user),
        "pg_backend_pid" => names.session.to_string(),
        "pg_is_in_recovery" => "0".to_owned(),
        "now" => "CURRENT_TIMESTAMP".to_owned(),
        _ => "NULL".to_owned(),
    };
    Some((said, name))
}

/// Whether these tokens are a whole item of a list.
fn is_whole_item(tokens: &[Token<'_>], start: usize, end: usize) -> bool {
    let begins = start.checked_sub(1).and_then(|at| tokens.get(at));
    let begins = begins.is_some_and(|token| token.is("select") || token.is_sign(","));
    begins
        && tokens
            .get(end)
            .is_none_or(|token| token.is("from") || token.is_sign(","))
}

/// Whether the outermost SELECT's list goes on here.
#[derive(Default)]
struct List {
    depth: usize,
    open: bool,
}

impl List {
    fn is_open(&self) -> bool {
        self.open && self.depth == 0
    }

    fn see(&mut self, token: &Token<'_>) {
        if token.is_sign("(") {
            self.depth += 1;
        } else if token.is_sign(")") {
            self.depth = self.depth.saturating_sub(1);
        } else if self.depth == 0 && token.is("select") {
            self.open = true;
        } else if self.depth == 0
            && ["from", "where", "order", "group", "limit"]
                .iter()
                .any(|word| token.is(word))
        {
            self.open = false;
        }
    }
}
