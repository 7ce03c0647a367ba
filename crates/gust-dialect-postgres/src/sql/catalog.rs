//! PostgreSQL's catalogs are not here. A few questions to them are answered all the same: what psql asks for `\dt`, `\d` and
//! `\l`, whether a table is there (SQLAlchemy), and which types there are beside the usual ones (none).
//!
//! A question is recognised by the words it has, and becomes one to `sqlite_schema`. Any other is refused.

use super::{
    outline::{Outline, find_at_top},
    plan::{Describe, Sql, Tag},
    rewrite::Names,
    token::{Kind, Token, quote, quote_name},
};
use crate::error::Fault;

/// Catalogs that have nothing in them here.
const EMPTY: &[&str] = &[
    "pg_collation",
    "pg_constraint",
    "pg_description",
    "pg_enum",
    "pg_event_trigger",
    "pg_extension",
    "pg_foreign_table",
    "pg_inherits",
    "pg_policy",
    "pg_publication",
    "pg_range",
    "pg_rewrite",
    "pg_sequence",
    "pg_statistic_ext",
    "pg_subscription",
    "pg_trigger",
    "pg_type",
];

/// Catalogs that are asked of something that is here.
const KNOWN: &[&str] = &[
    "information_schema",
    "pg_am",
    "pg_attrdef",
    "pg_attribute",
    "pg_class",
    "pg_database",
    "pg_index",
    "pg_indexes",
    "pg_namespace",
    "pg_proc",
    "pg_roles",
    "pg_settings",
    "pg_tables",
    "pg_user",
    "pg_views",
];

/// What is the user's own in `sqlite_schema`.
const OWN: &str =
    "name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name NOT LIKE '\\_gust\\_%' ESCAPE '\\'";

/// The answer to a question to the catalogs; nothing if it is not one.
pub(crate) fn answer(tokens: &[Token<'_>], names: &Names) -> Result<Option<Sql>, Fault> {
    let asked = asked(tokens);
    if asked.is_empty() {
        return Ok(None);
    }
    let question = Question::of(tokens);
    let has = |table: &str| asked.iter().any(|name| name == table);
    let first = main(tokens).unwrap_or_else(|| asked.first().cloned().unwrap_or_default());
    let first = &*first;
    let text = if first == "pg_database" {
        Some(databases(names))
    } else if has("pg_attribute") && question.has("a . attrelid =") {
        question.columns()
    } else if first == "pg_class" && question.has("c . relchecks") {
        question.table()
    } else if first == "pg_class" && question.has("as \"schema\"") {
        question.tables(names)?
    } else if first == "pg_class" && question.has("c . oid , n . nspname , c . relname") {
        question.found()?
    } else if first == "pg_class"
        && question.has("relname from")
        && question.has("pg_table_is_visible")
    {
        return question.has_table().map(Some).ok_or_else(|| unknown(first));
    } else {
        None
    };
    if let Some(text) = text {
        return Ok(Some(select(text, question.parameters(), Vec::new())));
    }
    if EMPTY.contains(&first) || has("pg_inherits") {
        let text = question.nothing();
        return Ok(Some(select(text, question.parameters(), Vec::new())));
    }
    Err(unknown(first))
}

fn unknown(catalog: &str) -> Fault {
    let text = format!("this question to PostgreSQL's catalogs is not served: {catalog}");
    Fault::new("0A000", text)
        .hint("SQLite's own are sqlite_schema and the pragma_table_info(..) functions")
}

fn select(text: String, parameters: u16, picked: Vec<u16>) -> Sql {
    let given = picked.len() as u16;
    Sql {
        describe: Describe::Query(format!("SELECT * FROM (\n{text}\n) LIMIT 0"), given),
        text,
        tag: Tag::Select,
        writes: false,
        sticks: false,
        outline: Outline::default(),
        parameters,
        picked: Some(picked),
    }
}

/// The catalogs that a statement reads, in the order they are named.
fn asked(tokens: &[Token<'_>]) -> Vec<String> {
    let mut asked = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let known =
            token.kind == Kind::Word && EMPTY.iter().chain(KNOWN).any(|name| token.is(name));
        if !known || asked.len() >= 16 {
            continue;
        }
        let mut before = at.checked_sub(1);
        let get = |at: Option<usize>| at.and_then(|at| tokens.get(at));
        if get(before).is_some_and(|token| token.is_sign(".")) {
            before = at.checked_sub(3);
        }
        if get(before).is_some_and(|t| t.is("from") || t.is("join") || t.is_sign(",")) {
            let next = tokens.get(at + 1);
            let column =
                next.is_some_and(|next| next.is_sign(".")) && !token.is("information_schema");
            if !column {
                asked.push(token.text.to_ascii_lowercase());
            }
        }
    }
    asked
}

/// What the query itself reads, its subqueries aside.
fn main(tokens: &[Token<'_>]) -> Option<String> {
    let from =
        find_at_top(tokens, "from").filter(|_| tokens.first().is_some_and(|t| t.is("select")))?;
    let qualified = tokens.get(from + 2).is_some_and(|token| token.is_sign("."));
    let token = tokens.get(if qualified { from + 3 } else { from + 1 })?;
    let name = token.text.to_ascii_lowercase();
    let known = EMPTY.iter().chain(KNOWN).any(|known| *known == name);
    known.then_some(name)
}

fn databases(names: &Names) -> String {
    format!(
        "SELECT {} AS \"Name\", {} AS \"Owner\", 'UTF8' AS \"Encoding\"",
        quote(&names.database),
        quote(&names.user)
    )
}

/// A statement by its words.
struct Question<'a> {
    tokens: &'a [Token<'a>],
    /// In small letters, with a space between any two tokens.
    said: String,
}

impl<'a> Question<'a> {
    fn of(tokens: &'a [Token<'a>]) -> Self {
        let words: Vec<_> = tokens
            .iter()
            .map(|token| token.text.to_lowercase())
            .collect();
        Self {
            tokens,
            said: words.join(" "),
        }
    }

    fn has(&self, words: &str) -> bool {
        self.said.contains(words)
    }

    fn parameters(&self) -> u16 {
        let numbers = self.tokens.iter().filter_map(|token| match token.kind {
            Kind::Parameter(n) => Some(n),
            _ => None,
        });
        numbers.max().unwrap_or(0)
    }

    /// The token after these words.
    fn after(&self, words: &[&str]) -> Option<&Token<'a>> {
        let mut windows = self.tokens.windows(words.len() + 1);
        let fits = |window: &&[Token<'_>]| {
            let mut pairs = window.iter().zip(words);
            pairs.all(|(token, word)| token.text.eq_ignore_ascii_case(word))
        };
        windows.find(fits)?.last()
    }

    /// The condition on names that a pattern of psql's is, such as `'^(a.*)$'`.
    fn pattern(&self) -> Result<String, Fault> {
        let token = self.after(&["relname", "OPERATOR", "(", "pg_catalog", ".", "~", ")"]);
        let Some(pattern) = token.and_then(Token::string) else {
            return Ok(String::new());
        };
        let inner = pattern
            .strip_prefix("^(")
            .and_then(|p| p.strip_suffix(")$"));
        let glob = inner
            .unwrap_or(&pattern)
            .replace(".*", "*")
            .replace('.', "?");
        if glob.contains(['\\', '[', ']', '(', ')', '|', '+', '^', '$', '{']) {
            return Err(Fault::unserved("this pattern of names").hint("use letters, * and ?"));
        }
        Ok(format!(" AND lower(name) GLOB lower({})", quote(&glob)))
    }

    /// psql's `\d`, `\dt`, `\dv`, `\di`.
    fn tables(&self, names: &Names) -> Result<Option<String>, Fault> {
        let kinds = [("'r'", "'table'"), ("'v'", "'view'"), ("'i'", "'index'")];
        let list = self
            .said
            .split("relkind in (")
            .nth(1)
            .and_then(|rest| rest.split(')').next());
        let list = list.unwrap_or_default();
        let kinds = kinds.iter().filter(|(kind, _)| list.contains(kind));
        let kinds: Vec<_> = kinds.map(|(_, kind)| *kind).collect();
        let table = if kinds == ["'index'"] {
            ", tbl_name AS \"Table\""
        } else {
            ""
        };
        Ok(Some(format!(
            "SELECT 'public' AS \"Schema\", name AS \"Name\", type AS \"Type\", {} AS \"Owner\"{table} \
             FROM sqlite_schema WHERE type IN ({}) AND {OWN}{} ORDER BY name",
            quote(&names.user),
            kinds.join(", "),
            self.pattern()?
        )))
    }

    /// psql's `\d NAME`: which tables are meant.
    fn found(&self) -> Result<Option<String>, Fault> {
        let pattern = self.pattern()?;
        Ok(Some(format!(
            "SELECT rowid AS oid, 'public' AS nspname, name AS relname FROM sqlite_schema \
             WHERE type IN ('table', 'view') AND {OWN}{pattern} ORDER BY name"
        )))
    }

    /// The number of a table, as [`Question::found`] told it.
    fn number(&self, words: &[&str]) -> Option<i64> {
        self.after(words)?.string()?.parse().ok()
    }

    /// What psql wants to know of one table, item by item. Of indexes and constraints it is told nothing.
    fn table(&self) -> Option<String> {
        let number = self.number(&["c", ".", "oid", "="])?;
        let one = |item: &[Token<'_>]| match &*item.last().and_then(Token::name).unwrap_or_default()
        {
            "relchecks" | "reltablespace" => "0",
            "relkind" => "CASE type WHEN 'view' THEN 'v' ELSE 'r' END",
            "relpersistence" => "'p'",
            "relreplident" => "'d'",
            "amname" => "''",
            name if name.starts_with("rel") => "'f'",
            _ => "''",
        };
        let items: Vec<_> = self.items().map(one).collect();
        let items = items.join(", ");
        Some(format!(
            "SELECT {items} FROM sqlite_schema WHERE rowid = {number}"
        ))
    }

    /// What psql wants to know of the columns of one table, item by item.
    fn columns(&self) -> Option<String> {
        const KNOWN: &[(&str, &str)] = &[
            ("pg_get_expr", "dflt_value"),
            ("collname", "NULL"),
            ("format_type", "lower(type)"),
            ("attname", "name"),
            (
                "attnotnull",
                "CASE WHEN \"notnull\" OR pk THEN 't' ELSE 'f' END",
            ),
            ("attidentity", "''"),
            ("attgenerated", "''"),
            ("attstorage", "'p'"),
            ("attcompression", "''"),
        ];
        let number = self.number(&["a", ".", "attrelid", "="])?;
        let one = |item: &[Token<'_>]| {
            let found = KNOWN
                .iter()
                .find(|(word, _)| item.iter().any(|token| token.is(word)));
            found.map_or("NULL", |(_, instead)| *instead)
        };
        let items: Vec<_> = self.items().map(one).collect();
        Some(format!(
            "SELECT {} FROM pragma_table_xinfo((SELECT name FROM sqlite_schema WHERE rowid = {number} AND {OWN}))",
            items.join(", ")
        ))
    }

    /// Which of these tables there are: `relname = ..` or `relname IN (..)`.
    fn has_table(&self) -> Option<Sql> {
        let at = self.tokens.windows(2).position(|two| match two {
            [name, next] => name.is("relname") && (next.is_sign("=") || next.is("in")),
            _ => false,
        })?;
        let one = self.tokens.get(at + 1)?.is_sign("=");
        let rest = self.tokens.get(at + 2..)?.iter();
        let rest = rest.take_while(|token| !token.is_sign(")"));
        let values = rest.filter(|token| matches!(token.kind, Kind::Parameter(_) | Kind::Text));
        let (mut list, mut picked) = (Vec::new(), Vec::new());
        for value in values.take(if one { 1 } else { usize::MAX }) {
            match value.kind {
                Kind::Parameter(n) => {
                    picked.push(n);
                    list.push(format!("?{}", picked.len()));
                }
                _ => list.push(value.text.to_string()),
            }
        }
        let text = format!(
            "SELECT name AS relname FROM sqlite_schema WHERE type IN ('table', 'view') AND name IN ({})",
            list.join(", ")
        );
        Some(select(text, self.parameters(), picked))
    }

    /// No rows, with the columns that were asked for.
    fn nothing(&self) -> String {
        let names = self.items().map(|item| {
            let name = item.last().and_then(Token::name);
            name.unwrap_or_else(|| "?column?".to_owned())
        });
        let columns: Vec<_> = names
            .map(|name| format!("NULL AS {}", quote_name(&name)))
            .collect();
        format!("SELECT {} WHERE 0", columns.join(", "))
    }

    /// What is asked for: clients count on as many columns.
    fn items(&self) -> impl Iterator<Item = &[Token<'a>]> {
        let select = self.tokens.first().is_some_and(|token| token.is("select"));
        let from = find_at_top(self.tokens, "from").filter(|_| select);
        let list = self.tokens.get(1..from.unwrap_or(1)).unwrap_or_default();
        let mut depth = 0usize;
        list.split(move |token| {
            if token.is_sign("(") {
                depth += 1;
            } else if token.is_sign(")") {
                depth = depth.saturating_sub(1);
            }
            depth == 0 && token.is_sign(",")
        })
    }
}
