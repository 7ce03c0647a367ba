//! What kind of statement it is, and who does it: the session itself, or SQLite.

use super::{
    catalog,
    outline::{Outline, find_at_top},
    rewrite::{Edits, Names},
    settings::{self, Change},
    token::{Kind, Token},
};
use crate::error::Fault;

/// What is done with a statement.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Plan {
    Begin {
        read_only: bool,
        /// SQLite's words for it.
        text: &'static str,
    },
    Commit,
    Rollback,
    Savepoint(String),
    Release(String),
    RollbackTo(String),
    /// SET and RESET.
    Set(Change),
    /// SET TRANSACTION: whether it only reads, if that is said.
    SetTransaction(Option<bool>),
    Show(String),
    DiscardAll,
    /// Forget a statement of this name, or all.
    Deallocate(Option<String>),
    /// Taken, and of no effect.
    Nothing(&'static str),
    Sql(Box<Sql>),
}

/// A statement that SQLite runs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sql {
    pub(crate) text: String,
    pub(crate) tag: Tag,
    /// Whether it may change anything.
    pub(crate) writes: bool,
    /// It changes what the connection is, which is kept from then on.
    pub(crate) sticks: bool,
    pub(crate) describe: Describe,
    pub(crate) outline: Outline,
    /// Parameters that the client gives.
    pub(crate) parameters: u16,
    /// Which of them SQLite is given, where that is not all.
    pub(crate) picked: Option<Vec<u16>>,
}

/// How the columns of an answer are found out without running the statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Describe {
    /// There is no answer.
    Nothing,
    /// By running this, which reads no row; with how many parameters.
    Query(String, u16),
    /// By beginning it: it only reads, and is short.
    Itself,
}

/// What a statement is called when it is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Tag {
    /// With the number of rows that were sent.
    Select,
    /// With the number of rows that were changed.
    Insert,
    Update,
    Delete,
    Words(String),
}

// === impl Sql ===

impl Sql {
    /// Whether it changes something, and may do so together with others.
    pub(crate) fn joins(&self) -> bool {
        const ALONE: &[&str] = &["VACUUM", "PRAGMA"];
        let alone = matches!(&self.tag, Tag::Words(words) if ALONE.contains(&&**words));
        self.writes && !alone
    }
}

/// Statements of PostgreSQL's that SQLite has no counterpart for, and what to do instead.
const UNSERVED: &[(&str, &str)] = &[
    ("copy", "use INSERT with many rows"),
    (
        "listen",
        "queues and topics carry messages between programs",
    ),
    (
        "notify",
        "queues and topics carry messages between programs",
    ),
    (
        "prepare",
        "prepare statements by the protocol, as drivers do",
    ),
    (
        "execute",
        "prepare statements by the protocol, as drivers do",
    ),
    (
        "declare",
        "rows are streamed without a cursor; the protocol's portals take a number of rows",
    ),
    (
        "fetch",
        "rows are streamed without a cursor; the protocol's portals take a number of rows",
    ),
    ("move", "rows are streamed without a cursor"),
    ("truncate", "use DELETE FROM"),
    (
        "lock",
        "a transaction that writes locks its database: BEGIN IMMEDIATE",
    ),
    ("grant", "an access key opens all databases of its project"),
    ("revoke", "an access key opens all databases of its project"),
    ("call", "there are no procedures"),
    ("do", "there are no procedures"),
];

/// The plan of a statement.
pub(crate) fn plan(tokens: &[Token<'_>], names: &Names) -> Result<Plan, Fault> {
    let first = tokens.first().filter(|first| first.kind == Kind::Word);
    let word = first.map(|first| first.text.to_ascii_lowercase());
    let word = word.unwrap_or_default();
    let rest = tokens.get(1..).unwrap_or_default();
    let starts = |word: &str| rest.first().is_some_and(|token| token.is(word));
    if let Some((_, hint)) = UNSERVED.iter().find(|(known, _)| *known == word) {
        return Err(Fault::unserved(word.to_ascii_uppercase()).hint(*hint));
    }
    Ok(match &*word {
        "begin" => begin(rest)?,
        "start" if starts("transaction") => begin(rest)?,
        "commit" | "end" => ends(rest).map(|()| Plan::Commit)?,
        "abort" => ends(rest).map(|()| Plan::Rollback)?,
        "rollback" => rollback(rest)?,
        "savepoint" => Plan::Savepoint(name(rest)?),
        "release" => Plan::Release(name(skip(rest, &["savepoint"]))?),
        "set" => settings::set(rest)?,
        "reset" => settings::reset(rest)?,
        "show" => settings::show(rest)?,
        "discard" if starts("all") => Plan::DiscardAll,
        "deallocate" => match skip(rest, &["prepare"]) {
            [all] if all.is("all") => Plan::Deallocate(None),
            rest => Plan::Deallocate(Some(name(rest)?)),
        },
        "unlisten" => Plan::Nothing("UNLISTEN"),
        "close" if starts("all") => Plan::Nothing("CLOSE CURSOR ALL"),
        "close" => return Err(Fault::unserved("CLOSE")),
        _ => match catalog::answer(tokens, names)? {
            Some(sql) => Plan::Sql(Box::new(sql)),
            None => Plan::Sql(Box::new(sql(tokens, &word, names)?)),
        },
    })
}

/// The tokens without those of these words that they begin with.
fn skip<'a, 'b>(tokens: &'b [Token<'a>], words: &[&str]) -> &'b [Token<'a>] {
    match tokens.first() {
        Some(first) if words.iter().any(|word| first.is(word)) => {
            tokens.get(1..).unwrap_or_default()
        }
        _ => tokens,
    }
}

/// The one name that is left.
fn name(tokens: &[Token<'_>]) -> Result<String, Fault> {
    match tokens {
        [one] => one.name().map(|name| match one.kind {
            Kind::Word => name.to_ascii_lowercase(),
            _ => name,
        }),
        _ => None,
    }
    .ok_or_else(|| syntax(tokens))
}

pub(crate) fn syntax(tokens: &[Token<'_>]) -> Fault {
    let at = tokens.first().map_or("end of input", |token| &token.text);
    let at: String = at.chars().take(40).collect();
    Fault::new("42601", format!("syntax error at or near \"{at}\""))
}

fn begin(rest: &[Token<'_>]) -> Result<Plan, Fault> {
    const SQLITE: &[(&str, &str)] = &[
        ("deferred", "BEGIN"),
        ("immediate", "BEGIN IMMEDIATE"),
        ("exclusive", "BEGIN EXCLUSIVE"),
    ];
    let mut text = "BEGIN";
    let mut rest = rest;
    if let Some((word, said)) = SQLITE
        .iter()
        .find(|(word, _)| rest.first().is_some_and(|t| t.is(word)))
    {
        text = said;
        rest = skip(rest, &[word]);
    }
    let read_only = modes(skip(rest, &["work", "transaction"]))?.unwrap_or(false);
    Ok(Plan::Begin { read_only, text })
}

/// The modes of a transaction; whether it only reads, if that is said. It is serializable whatever is asked for.
pub(crate) fn modes(tokens: &[Token<'_>]) -> Result<Option<bool>, Fault> {
    const MODES: &[(&[&str], Option<bool>)] = &[
        (&["isolation", "level", "serializable"], None),
        (&["isolation", "level", "repeatable", "read"], None),
        (&["isolation", "level", "read", "committed"], None),
        (&["isolation", "level", "read", "uncommitted"], None),
        (&["read", "only"], Some(true)),
        (&["read", "write"], Some(false)),
        (&["deferrable"], None),
        (&["not", "deferrable"], None),
    ];
    let (mut rest, mut read_only) = (tokens, None);
    while let Some(first) = rest.first() {
        if first.is_sign(",") {
            rest = rest.get(1..).unwrap_or_default();
            continue;
        }
        let fits = |words: &[&str]| {
            let mut words = words.iter().enumerate();
            words.all(|(n, word)| rest.get(n).is_some_and(|token| token.is(word)))
        };
        let (words, said) = MODES
            .iter()
            .find(|(words, _)| fits(words))
            .ok_or_else(|| syntax(rest))?;
        read_only = said.or(read_only);
        rest = rest.get(words.len()..).unwrap_or_default();
    }
    Ok(read_only)
}

/// What may stand after COMMIT.
fn ends(rest: &[Token<'_>]) -> Result<(), Fault> {
    match skip(rest, &["work", "transaction"]) {
        [] => Ok(()),
        [and, no, chain] if and.is("and") && no.is("no") && chain.is("chain") => Ok(()),
        [and, ..] if and.is("and") => Err(Fault::unserved("AND CHAIN")),
        [prepared, ..] if prepared.is("prepared") => Err(Fault::unserved("a prepared transaction")),
        rest => Err(syntax(rest)),
    }
}

fn rollback(rest: &[Token<'_>]) -> Result<Plan, Fault> {
    let rest = skip(rest, &["work", "transaction"]);
    if rest.first().is_some_and(|token| token.is("to")) {
        let rest = skip(skip(rest, &["to"]), &["savepoint"]);
        return Ok(Plan::RollbackTo(name(rest)?));
    }
    ends(rest).map(|()| Plan::Rollback)
}

fn sql(tokens: &[Token<'_>], word: &str, names: &Names) -> Result<Sql, Fault> {
    let edits = Edits::of(tokens, names)?;
    let text = edits.write(tokens, 0..tokens.len());
    let main = main_verb(tokens, word);
    let (tag, mut writes) = tag(tokens, main);
    let parameters = highest(tokens);
    let returning = (writes).then(|| find_at_top(tokens, "returning")).flatten();
    let pragma_reads = word == "pragma" && reads_only(tokens);
    let (outline, describe) = match (main, &tag) {
        ("pragma", _) if pragma_reads => {
            writes = false;
            (Outline::default(), Describe::Itself)
        }
        ("explain", _) => (Outline::default(), Describe::Itself),
        (_, Tag::Select) => {
            let query = format!("SELECT * FROM (\n{text}\n) LIMIT 0");
            (
                Outline::of_query(tokens),
                Describe::Query(query, parameters),
            )
        }
        (_, Tag::Insert | Tag::Update | Tag::Delete) => {
            let describe = match returning {
                Some(at) => returned(tokens, at, main, &edits).ok_or_else(|| syntax(tokens))?,
                None => Describe::Nothing,
            };
            let outline = Outline::of_write(tokens, returning.map(|at| at + 1));
            (outline, describe)
        }
        _ => (Outline::default(), Describe::Nothing),
    };
    Ok(Sql {
        text,
        tag,
        writes,
        sticks: word == "create" && is_temporary(tokens) || word == "pragma" && !pragma_reads,
        describe,
        outline,
        parameters,
        picked: None,
    })
}

/// Whether a CREATE makes something that only its connection has: `CREATE TEMP ..`, or a name in `temp`.
fn is_temporary(tokens: &[Token<'_>]) -> bool {
    let said = tokens
        .get(1)
        .is_some_and(|t| t.is("temp") || t.is("temporary"));
    let named = tokens.windows(2).take(8).any(|pair| {
        let [name, dot] = pair else { return false };
        // SQLite takes strings for names too.
        let name = name.name().or_else(|| name.string());
        dot.is_sign(".") && name.is_some_and(|name| name.eq_ignore_ascii_case("temp"))
    });
    said || named
}

/// The verb of a statement, past what WITH says.
fn main_verb<'a>(tokens: &[Token<'_>], word: &'a str) -> &'a str {
    const VERBS: &[&str] = &["select", "insert", "update", "delete", "replace", "values"];
    if word != "with" {
        return word;
    }
    let found = VERBS
        .iter()
        .filter_map(|verb| Some((find_at_top(tokens, verb)?, *verb)));
    found.min().map_or("select", |(_, verb)| verb)
}

/// What it is called in the end, and whether it writes.
fn tag(tokens: &[Token<'_>], main: &str) -> (Tag, bool) {
    match main {
        "select" | "values" => (Tag::Select, false),
        "insert" | "replace" => (Tag::Insert, true),
        "update" => (Tag::Update, true),
        "delete" => (Tag::Delete, true),
        "explain" => (Tag::Words("EXPLAIN".to_owned()), false),
        "create" | "drop" | "alter" => {
            const KINDS: &[&str] = &["table", "index", "view", "trigger"];
            let mut words = tokens.iter().take(5);
            let kind = words.find_map(|token| KINDS.iter().find(|kind| token.is(kind)));
            let words = format!("{main} {}", kind.unwrap_or(&"")).to_ascii_uppercase();
            (Tag::Words(words.trim_end().to_owned()), true)
        }
        main => (Tag::Words(main.to_ascii_uppercase()), true),
    }
}

/// The highest number of a parameter.
fn highest(tokens: &[Token<'_>]) -> u16 {
    let numbers = tokens.iter().filter_map(|token| match token.kind {
        Kind::Parameter(n) => Some(n),
        _ => None,
    });
    numbers.max().unwrap_or(0)
}

/// Whether a PRAGMA only tells something: of those with an argument, the ones that list.
fn reads_only(tokens: &[Token<'_>]) -> bool {
    const LISTS: &[&str] = &[
        "table_info",
        "table_xinfo",
        "index_info",
        "index_xinfo",
        "index_list",
        "foreign_key_list",
        "foreign_key_check",
        "integrity_check",
        "quick_check",
    ];
    let lists = tokens
        .iter()
        .take(4)
        .any(|token| LISTS.iter().any(|list| token.is(list)));
    let argument = tokens
        .iter()
        .any(|token| token.is_sign("=") || token.is_sign("("));
    let optimizes = tokens.iter().any(|token| token.is("optimize"));
    lists || !argument && !optimizes
}

/// The query that has the columns of a RETURNING.
fn returned(tokens: &[Token<'_>], at: usize, main: &str, edits: &Edits) -> Option<Describe> {
    let before = match main {
        "update" => "update",
        "delete" => "from",
        _ => "into",
    };
    let mut start = find_at_top(tokens, before)? + 1;
    // UPDATE OR IGNORE t
    if tokens.get(start)?.is("or") {
        start += 2;
    }
    let mut end = start + 1;
    if tokens.get(end).is_some_and(|token| token.is_sign(".")) {
        end += 2;
    }
    if tokens.get(end).is_some_and(|token| token.is("as")) {
        end += 2;
    }
    let (table, list) = (
        edits.write(tokens, start..end),
        edits.write(tokens, at + 1..tokens.len()),
    );
    let text = format!("SELECT {list} FROM {table} LIMIT 0");
    Some(Describe::Query(text, highest(tokens.get(at..)?)))
}
