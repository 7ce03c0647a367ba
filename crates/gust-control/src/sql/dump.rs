//! A database as SQL that makes it again: the tables, their rows, then what hangs on them.

use std::{fmt::Write as _, time::Duration};

use bytes::Bytes;
use futures::{Stream, TryStreamExt as _, stream};
use gust_backend::sql::{Connection, Value};
use gust_types::{Error, Kind, Label, ProjectName, Result};
use tokio::sync::mpsc;

use crate::control::Control;

/// Bytes that are sent at once, about.
const PIECE: usize = 64 << 10;
/// Pieces that wait for whoever reads.
const PIECES: usize = 4;
/// How long whoever reads may read nothing: the database cannot tidy up meanwhile.
const SILENCE: Duration = Duration::from_secs(30);

/// What the platform keeps for itself, and what SQLite makes by itself.
const NOT_DUMPED: &str =
    "name NOT LIKE '\\_gust\\_%' ESCAPE '\\' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'";

impl Control {
    /// The whole database as it is now, while others go on writing.
    pub(crate) async fn dump_sql(
        &self,
        project: &ProjectName,
        name: &Label,
    ) -> Result<impl Stream<Item = Result<Bytes>> + use<>> {
        if !self.databases(project).await?.contains(name) {
            let error = Error::not_found(format!("there is no such database: {name}"));
            return Err(error.hint("list them with: gust sql ls"));
        }
        let database = self.0.parts.backends.sql(project, name)?;
        let connection = database.connect().await?;
        let statement = database.limits().statement;
        let (to, pieces) = mpsc::channel(PIECES);
        gust_task::spawn("sql dump", async move {
            let mut writer = Writer {
                to,
                text: String::new(),
                statement,
            };
            let dumped = dump(&*connection, &mut writer).await;
            let last = match dumped {
                Ok(()) => Ok(Bytes::from(writer.text)),
                Err(error) => Err(error),
            };
            let _ = writer.to.send_timeout(last, SILENCE).await;
        });
        Ok(stream::unfold(pieces, async |mut pieces| {
            Some((pieces.recv().await?, pieces))
        }))
    }
}

/// Sends text in pieces.
struct Writer {
    to: mpsc::Sender<Result<Bytes>>,
    text: String,
    /// Bytes of a statement that the database takes.
    statement: usize,
}

async fn dump(connection: &dyn Connection, to: &mut Writer) -> Result<()> {
    // One snapshot for all of it.
    rows(connection, "BEGIN").await?;
    to.line("PRAGMA foreign_keys = OFF;").await?;
    to.line("BEGIN;").await?;
    for number in ["user_version", "application_id"] {
        let found = rows(connection, &format!("PRAGMA {number}")).await?;
        if let Some([Value::Integer(n)]) = found.first().map(Vec::as_slice)
            && *n != 0
        {
            to.line(&format!("PRAGMA {number} = {n};")).await?;
        }
    }
    let tables = schema(connection, "type = 'table'").await?;
    for (name, sql) in &tables {
        if sql.to_ascii_uppercase().starts_with("CREATE VIRTUAL TABLE") {
            let text = format!("a virtual table cannot be dumped: {name}");
            return Err(Error::invalid(text).hint("drop it, and make it again after the import"));
        }
        // What it was made with may end in a comment.
        to.line(&format!("{sql}\n;")).await?;
        table(connection, name, to).await?;
    }
    sequences(connection, to).await?;
    for (_, sql) in schema(connection, "type <> 'table' AND sql IS NOT NULL").await? {
        to.line(&format!("{sql}\n;")).await?;
    }
    to.line("COMMIT;").await
}

/// Names and definitions, in the order in which they were made.
async fn schema(connection: &dyn Connection, which: &str) -> Result<Vec<(String, String)>> {
    let sql = format!(
        "SELECT name, sql FROM sqlite_schema WHERE {which} AND {NOT_DUMPED} ORDER BY rowid"
    );
    let found = rows(connection, &sql).await?;
    let pair = |row: Vec<Value>| match <[Value; 2]>::try_from(row) {
        Ok([Value::Text(name), Value::Text(sql)]) => Some((name, sql)),
        _ => None,
    };
    Ok(found.into_iter().filter_map(pair).collect())
}

/// What of a table is read: by pages, since an answer has bounds.
struct Table {
    /// As SQL has it.
    name: String,
    /// Its columns that can be written to, as SQL has them.
    columns: String,
    /// What its rows are told apart by, as SQL has it: the row's number, or the primary key. Empty when a column has every
    /// name of the number; then all rows are read at once.
    key: Vec<String>,
}

/// Rows of a page, to begin with.
const PAGE: usize = 1000;

async fn table(connection: &dyn Connection, name: &str, to: &mut Writer) -> Result<()> {
    let table = Table::of(connection, name).await?;
    let (mut size, mut after): (usize, Vec<Value>) = (PAGE, Vec::new());
    loop {
        let found = match rows_of(connection, &table.page(size, !after.is_empty()), &after).await {
            // Fewer of them have room.
            Err(error) if error.kind == Kind::Exhausted && size > 1 && !table.key.is_empty() => {
                size = (size / 4).max(1);
                continue;
            }
            found => found?,
        };
        let full = found.len() == size && !table.key.is_empty();
        for mut row in found {
            let values = row.split_off(table.key.len());
            after = row;
            to.line(&table.insert(&values, to.statement)?).await?;
        }
        if !full {
            return Ok(());
        }
    }
}

impl Table {
    async fn of(connection: &dyn Connection, name: &str) -> Result<Self> {
        // Generated columns cannot be written to.
        let sql = format!(
            "SELECT name, pk FROM pragma_table_xinfo({}) WHERE hidden = 0",
            text(name)
        );
        let mut columns = Vec::new();
        for row in rows(connection, &sql).await? {
            if let [Value::Text(name), Value::Integer(pk)] = row.as_slice() {
                columns.push((name.clone(), *pk));
            }
        }
        let without = format!(
            "SELECT wr FROM pragma_table_list({}) WHERE schema = 'main'",
            text(name)
        );
        let without = rows(connection, &without).await?;
        let key = match without.first().map(Vec::as_slice) {
            Some([Value::Integer(1)]) => {
                let mut key: Vec<_> = columns.iter().filter(|(_, pk)| *pk > 0).collect();
                key.sort_by_key(|(_, pk)| *pk);
                key.into_iter().map(|(name, _)| quoted(name)).collect()
            }
            _ => {
                let taken = |id: &&&str| {
                    columns
                        .iter()
                        .any(|(name, _)| name.eq_ignore_ascii_case(id))
                };
                let number = ["rowid", "_rowid_", "oid"].iter().find(|id| !taken(id));
                number.map(|id| (*id).to_owned()).into_iter().collect()
            }
        };
        let columns: Vec<_> = columns.iter().map(|(name, _)| quoted(name)).collect();
        Ok(Self {
            name: quoted(name),
            columns: columns.join(","),
            key,
        })
    }

    /// The next rows, each with its key before its columns.
    fn page(&self, size: usize, goes_on: bool) -> String {
        let (name, columns) = (&self.name, &self.columns);
        if self.key.is_empty() {
            return format!("SELECT {columns} FROM {name}");
        }
        let key = self.key.join(",");
        let places: Vec<_> = (1..=self.key.len()).map(|at| format!("?{at}")).collect();
        let after = match goes_on {
            true => format!("WHERE ({key}) > ({})", places.join(",")),
            false => String::new(),
        };
        format!("SELECT {key},{columns} FROM {name} {after} ORDER BY {key} LIMIT {size}")
    }

    /// The statement that makes a row again, which has bounds.
    fn insert(&self, values: &[Value], most: usize) -> Result<String> {
        let (name, columns) = (&self.name, &self.columns);
        let mut line = format!("INSERT INTO {name}({columns}) VALUES(");
        for (at, value) in values.iter().enumerate() {
            line.push_str(if at == 0 { "" } else { "," });
            literal(value, &mut line);
        }
        line.push_str(");");
        match line.len() > most {
            false => Ok(line),
            true => Err(Error::invalid(format!(
                "a row of {name} is larger than a statement may be: {} bytes as SQL",
                line.len()
            ))
            .hint("keep what is so large in a bucket, and its key in the row")),
        }
    }
}

/// Where AUTOINCREMENT goes on.
async fn sequences(connection: &dyn Connection, to: &mut Writer) -> Result<()> {
    let there = "SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_sequence'";
    if rows(connection, there).await?.is_empty() {
        return Ok(());
    }
    let sql = format!("SELECT name, seq FROM sqlite_sequence WHERE {NOT_DUMPED}");
    for row in rows(connection, &sql).await? {
        let [name, seq] = row.as_slice() else {
            continue;
        };
        let (mut named, mut number) = (String::new(), String::new());
        literal(name, &mut named);
        literal(seq, &mut number);
        to.line(&format!(
            "DELETE FROM sqlite_sequence WHERE name = {named};"
        ))
        .await?;
        to.line(&format!(
            "INSERT INTO sqlite_sequence(name,seq) VALUES({named},{number});"
        ))
        .await?;
    }
    Ok(())
}

async fn rows(connection: &dyn Connection, sql: &str) -> Result<Vec<Vec<Value>>> {
    rows_of(connection, sql, &[]).await
}

async fn rows_of(
    connection: &dyn Connection,
    sql: &str,
    parameters: &[Value],
) -> Result<Vec<Vec<Value>>> {
    let found = connection.execute(sql, parameters.to_vec()).await?;
    found.rows.try_collect().await
}

/// A name as SQL has it.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn text(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

/// A value as SQL has it. Text with a zero byte, which SQL cannot have in quotes, is cast from its bytes.
fn literal(value: &Value, to: &mut String) {
    let hex = |bytes: &[u8], to: &mut String| {
        to.push_str("X'");
        for byte in bytes {
            let _ = write!(to, "{byte:02X}");
        }
        to.push('\'');
    };
    match value {
        Value::Null => to.push_str("NULL"),
        Value::Integer(number) => {
            let _ = write!(to, "{number}");
        }
        Value::Real(number) if number.is_nan() => to.push_str("NULL"),
        Value::Real(number) if number.is_infinite() => {
            to.push_str(if *number > 0.0 { "9e999" } else { "-9e999" });
        }
        // With a fraction or an exponent, so that it stays a REAL.
        Value::Real(number) => {
            let _ = write!(to, "{number:?}");
        }
        Value::Text(value) if value.contains('\0') => {
            to.push_str("CAST(");
            hex(value.as_bytes(), to);
            to.push_str(" AS TEXT)");
        }
        Value::Text(value) => to.push_str(&text(value)),
        Value::Blob(bytes) => hex(bytes, to),
    }
}

// === impl Writer ===

impl Writer {
    async fn line(&mut self, line: &str) -> Result<()> {
        self.text.push_str(line);
        self.text.push('\n');
        if self.text.len() < PIECE {
            return Ok(());
        }
        let piece = Ok(Bytes::from(std::mem::take(&mut self.text)));
        let sent = self.to.send_timeout(piece, SILENCE).await;
        sent.map_err(|_| Error::timeout("nobody reads the dump"))
    }
}
