//! The triggers of a watched table: which rows they write down, and how.
//!
//! A row is known by its primary key, or by its rowid where it has none. An update that changes the key is the end of one row
//! and the beginning of another, so that what is told of one key is the whole story of that key.

use gust_types::{Blame, Error, Kind, Result};
use rusqlite::{Connection, OptionalExtension as _};

use super::{FULL, WAITING};
use crate::sql::fault;

/// Bytes of a row's values that a change carries: of the old row and of the new one.
const CARRIED: usize = 128 << 10;

/// A watched table as it is now.
struct Table {
    /// As the schema has it.
    name: String,
    /// As it is watched.
    folded: String,
    columns: Vec<String>,
    /// The columns of its primary key, in order; or the rowid's name.
    key: Vec<String>,
}

/// Names and texts of the triggers of a watched table; none while there is no such table.
pub(super) fn triggers(connection: &Connection, folded: &str) -> Result<Vec<(String, String)>> {
    let Some(table) = Table::read(connection, folded)? else {
        return Ok(Vec::new());
    };
    Ok(vec![
        table.trigger(
            "insert",
            &table.change("inserted", "new", ["NULL", &table.row("new")]),
        ),
        table.trigger("update", &table.update()),
        table.trigger(
            "delete",
            &table.change("deleted", "old", [&table.row("old"), "NULL"]),
        ),
    ])
}

/// Refuses a guest's trigger that replaces rows: nobody would be told of those that go.
pub(super) fn check_triggers(connection: &Connection) -> Result<()> {
    for (name, text) in super::triggers(connection)? {
        let words = words(&text);
        let replaces = words.windows(2).any(|pair| {
            matches!(
                [&*pair[0], &*pair[1]],
                ["or", "replace"] | ["replace", "into"]
            )
        });
        if !super::is_ours(&name) && replaces {
            return Err(refused(format!(
                "trigger {name:?} replaces rows, and a table of the database is watched"
            ))
            .hint("write INSERT ... ON CONFLICT DO UPDATE"));
        }
    }
    Ok(())
}

fn refused(text: String) -> Error {
    Error::new(Kind::Invalid, Blame::Function, format!("sql: {text}"))
}

// === impl Table ===

impl Table {
    fn read(connection: &Connection, folded: &str) -> Result<Option<Self>> {
        let found = connection
            .query_row(
                "SELECT type, name, sql FROM sqlite_schema WHERE type IN ('table', 'view') \
                 AND name = ?1 COLLATE NOCASE",
                [folded],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
            )
            .optional();
        let Some(found) = found.map_err(fault::of_statement)? else {
            return Ok(None);
        };
        let (kind, name, text): (String, String, String) = found;
        let cannot = |why: &str| Err(refused(format!("{name:?} cannot be watched: {why}")));
        let words = words(&text);
        if kind == "view" {
            return cannot("it is a view");
        }
        if words.get(1).is_some_and(|word| word == "virtual") {
            return cannot("it is a virtual table");
        }
        if words
            .windows(2)
            .any(|pair| pair[0] == "conflict" && pair[1] == "replace")
        {
            return cannot(
                "it has ON CONFLICT REPLACE, and nobody is told of the rows that go by it",
            );
        }
        let columns = columns(connection, &name).map_err(fault::of_statement)?;
        let mut key: Vec<_> = columns.iter().filter(|(_, place)| *place > 0).collect();
        key.sort_by_key(|(_, place)| *place);
        let mut key: Vec<String> = key.into_iter().map(|(name, _)| name.clone()).collect();
        let columns: Vec<String> = columns.into_iter().map(|(name, _)| name).collect();
        if key.is_empty() {
            let is_free =
                |rowid: &&str| !columns.iter().any(|name| name.eq_ignore_ascii_case(rowid));
            let Some(rowid) = ["rowid", "_rowid_", "oid"].into_iter().find(is_free) else {
                return cannot("it has no primary key, and columns with all names of the rowid");
            };
            key.push(rowid.to_owned());
        }
        Ok(Some(Self {
            name,
            folded: folded.to_owned(),
            columns,
            key,
        }))
    }

    /// The name and text of a trigger.
    fn trigger(&self, event: &str, body: &str) -> (String, String) {
        let name = format!("_gust_{event}_{}", self.folded);
        let (quoted_name, on) = (quoted(&name), quoted(&self.name));
        let event = event.to_ascii_uppercase();
        let refusal = literal(&format!("{FULL}: {WAITING}"));
        // Numbers have no gaps, so the first and the last one tell how many there are.
        let text = format!(
            "CREATE TRIGGER {quoted_name} AFTER {event} ON {on} BEGIN \
             SELECT RAISE(ABORT, {refusal}) WHERE (SELECT max(seq) FROM _gust_changes) - \
             (SELECT min(seq) FROM _gust_changes) >= {WAITING}; {body} END"
        );
        (name, text)
    }

    /// Writes a change down.
    fn change(&self, op: &str, of: &str, [old, new]: [&str; 2]) -> String {
        self.change_when(op, of, [old, new], "")
    }

    fn change_when(&self, op: &str, of: &str, [old, new]: [&str; 2], when: &str) -> String {
        let (table, key) = (literal(&self.folded), self.key(of));
        format!(
            "INSERT INTO _gust_changes (at_ms, tab, op, id, old, new) \
             SELECT CAST(unixepoch('now', 'subsec') * 1000 AS INTEGER), {table}, '{op}', {key}, {old}, {new}{when};"
        )
    }

    fn update(&self) -> String {
        let (old, new) = (self.row("old"), self.row("new"));
        let (before, after) = (self.key("old"), self.key("new"));
        let moved = format!(" WHERE {before} IS NOT {after}");
        [
            self.change_when(
                "updated",
                "new",
                [&old, &new],
                &format!(" WHERE {before} IS {after}"),
            ),
            self.change_when("deleted", "old", [&old, "NULL"], &moved),
            self.change_when("inserted", "new", ["NULL", &new], &moved),
        ]
        .join(" ")
    }

    /// The key as text: a single value as it is, several as a JSON list.
    fn key(&self, of: &str) -> String {
        let value = |name: &String| {
            let value = format!("{of}.{}", quoted(name));
            format!("CASE typeof({value}) WHEN 'blob' THEN hex({value}) ELSE {value} END")
        };
        match &self.key[..] {
            [one] => format!("CAST({} AS TEXT)", value(one)),
            several => {
                let values: Vec<_> = several.iter().map(value).collect();
                format!("json_array({})", values.join(", "))
            }
        }
    }

    /// The row as a JSON object; NULL when it is larger than a change carries. A list of values and an aggregate, since a
    /// call has fewer arguments than a table may have columns.
    fn row(&self, of: &str) -> String {
        // With the plus it is no column, so that it does not give its name to the second one of the list.
        let pair = |name: &String| format!("({}, +{of}.{})", literal(name), quoted(name));
        let pairs: Vec<_> = self.columns.iter().map(pair).collect();
        let values = format!("(VALUES {})", pairs.join(", "));
        // JSON has neither bytes nor what is larger than every number.
        let value = "CASE WHEN typeof(column2) = 'blob' THEN json_object('hex', hex(column2)) \
                     WHEN typeof(column2) = 'real' AND abs(column2) > 1.7976931348623157e308 \
                     THEN CAST(column2 AS TEXT) ELSE column2 END";
        format!(
            "CASE WHEN (SELECT total(octet_length(column2)) FROM {values}) <= {CARRIED} \
             THEN (SELECT json_group_object(column1, {value}) FROM {values}) END"
        )
    }
}

/// The columns of a table with their places in its primary key, 0 for none. Generated ones too, hidden ones not.
fn columns(connection: &Connection, table: &str) -> rusqlite::Result<Vec<(String, i64)>> {
    let text = "SELECT name, pk FROM pragma_table_xinfo(?1) WHERE hidden <> 1 ORDER BY cid";
    let mut statement = connection.prepare(text)?;
    let rows = statement.query_map([table], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}

/// A name as SQL has it.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as SQL has it.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The words of a statement in lower case, whatever stands between them.
fn words(text: &str) -> Vec<String> {
    let parts = text.split(|c: char| !c.is_alphanumeric() && c != '_');
    let words = parts.filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect()
}
