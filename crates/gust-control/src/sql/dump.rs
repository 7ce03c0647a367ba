//! A database as SQL that makes it again: the tables, their rows, then what hangs on them.

use std::{fmt::Write as _, time::Duration};

use bytes::Bytes;
use futures::{Stream, TryStreamExt as _, stream};
use gust_backend::sql::{Connection, Value};
use gust_types::{Error, Label, ProjectName, Result};
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
        let (to, pieces) = mpsc::channel(PIECES);
        gust_task::spawn("sql dump", async move {
            let mut writer = Writer {
                to,
                text: String::new(),
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
}

async fn dump(connection: &dyn Connection, to: &mut Writer) -> Result<()> {
    // One snapshot for all of it.
    rows(connection, "BEGIN").await?;
    to.line("PRAGMA foreign_keys = OFF;").await?;
    to.line("BEGIN;").await?;
    let tables = schema(connection, "type = 'table'").await?;
    for (name, sql) in &tables {
        if sql.to_ascii_uppercase().starts_with("CREATE VIRTUAL TABLE") {
            let text = format!("a virtual table cannot be dumped: {name}");
            return Err(Error::invalid(text).hint("drop it, and make it again after the import"));
        }
        to.line(&format!("{sql};")).await?;
        table(connection, name, to).await?;
    }
    sequences(connection, to).await?;
    for (_, sql) in schema(connection, "type <> 'table' AND sql IS NOT NULL").await? {
        to.line(&format!("{sql};")).await?;
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

async fn table(connection: &dyn Connection, name: &str, to: &mut Writer) -> Result<()> {
    // Generated columns cannot be written to.
    let sql = format!(
        "SELECT name FROM pragma_table_xinfo({}) WHERE hidden = 0",
        text(name)
    );
    let names = rows(connection, &sql).await?;
    let columns: Vec<String> = names
        .into_iter()
        .filter_map(|row| match row.into_iter().next() {
            Some(Value::Text(name)) => Some(quoted(&name)),
            _ => None,
        })
        .collect();
    let (columns, name) = (columns.join(","), quoted(name));
    let select = format!("SELECT {columns} FROM {name}");
    let mut found = connection.execute(&select, Vec::new()).await?.rows;
    while let Some(row) = found.try_next().await? {
        let mut line = format!("INSERT INTO {name}({columns}) VALUES(");
        for (at, value) in row.iter().enumerate() {
            line.push_str(if at == 0 { "" } else { "," });
            literal(value, &mut line);
        }
        line.push_str(");");
        to.line(&line).await?;
    }
    Ok(())
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
    let found = connection.execute(sql, Vec::new()).await?;
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
