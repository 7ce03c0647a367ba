//! SQL databases as the API speaks of them: statements run for people, and databases written down as SQL.

mod dump;

use futures::TryStreamExt as _;
use gust_api::sql::{RanSql, RunSql, SqlResult, SqlValue};
use gust_backend::sql::{Connection, Sql, Value};
use gust_types::{Error, Kind, Label, ProjectName, Result, script};

use crate::{blobs::theirs, control::Control};

/// Rows of one answer, when nobody says.
const ROWS: u32 = 1000;
/// And at most.
const MOST_ROWS: u32 = 100_000;
/// Bytes of all answers of one request, about.
const ANSWER: usize = 8 << 20;
/// Statements of one request.
const STATEMENTS: usize = 1_000_000;

/// What may still be answered.
struct Room {
    rows: usize,
    bytes: usize,
}

impl Control {
    /// The databases of a project, by name.
    pub(crate) async fn databases(&self, project: &ProjectName) -> Result<Vec<Label>> {
        self.must_have(project).await?;
        self.0.parts.backends.databases(project)
    }

    /// Runs statements on a connection of their own.
    pub(crate) async fn run_sql(
        &self,
        project: &ProjectName,
        name: &Label,
        run: RunSql,
    ) -> Result<RanSql> {
        self.must_have(project).await?;
        let database = self.0.parts.backends.sql(project, name)?;
        let rows = run.limit.unwrap_or(ROWS);
        if rows > MOST_ROWS {
            let text = format!("ask for {MOST_ROWS} rows at most: {rows}");
            return Err(Error::invalid(text));
        }
        let statements: Vec<&str> = script::statements(&run.sql).take(STATEMENTS + 1).collect();
        let parameters: Vec<Value> = run
            .parameters
            .into_iter()
            .map(value)
            .collect::<Result<_>>()?;
        check(&statements, &parameters)?;
        let room = Room {
            rows: rows as usize,
            bytes: ANSWER,
        };
        let ran = all(&*database, &statements, parameters, room, run.quiet).await;
        ran.map_err(theirs)
    }
}

fn check(statements: &[&str], parameters: &[Value]) -> Result<()> {
    match statements.len() {
        0 => Err(Error::invalid("there is no statement")),
        many if many > STATEMENTS => Err(Error::too_large(format!(
            "the script has more than {STATEMENTS} statements"
        ))),
        many if many > 1 && !parameters.is_empty() => {
            Err(Error::invalid("parameters belong to a single statement")
                .hint("run the statements one by one, or write the values into them"))
        }
        _ => Ok(()),
    }
}

/// Several statements that say nothing of transactions are one.
async fn all(
    database: &dyn Sql,
    statements: &[&str],
    parameters: Vec<Value>,
    mut room: Room,
    quiet: bool,
) -> Result<RanSql> {
    let connection = database.connect().await?;
    let together = statements.len() > 1 && !statements.iter().any(|s| script::is_transaction(s));
    if together {
        run(&*connection, "BEGIN IMMEDIATE", Vec::new()).await?;
    }
    let mut ran = RanSql::default();
    let mut parameters = Some(parameters);
    for (number, statement) in statements.iter().enumerate() {
        let given = parameters.take().unwrap_or_default();
        let result = one(&*connection, statement, given, &mut room).await;
        let result = result.map_err(|error| match statements.len() {
            1 => error,
            _ => place(error, number + 1, statement, together),
        })?;
        ran.statements += 1;
        ran.changes += result.changes;
        if !quiet {
            ran.results.push(result);
        }
    }
    if together {
        run(&*connection, "COMMIT", Vec::new()).await?;
    } else if statements.iter().any(|s| script::is_transaction(s)) {
        ended(&*connection).await?;
    }
    Ok(ran)
}

/// Refuses a script that leaves its transaction open: nothing of that is kept.
async fn ended(connection: &dyn Connection) -> Result<()> {
    // A transaction cannot begin inside another.
    match run(connection, "BEGIN", Vec::new()).await {
        Ok(()) => Ok(()),
        Err(error) if error.kind == Kind::Invalid => Err(Error::invalid(
            "the script ends inside a transaction, and nothing of that is kept",
        )
        .hint("end it with COMMIT; is the script cut off?")),
        Err(error) => Err(error),
    }
}

/// Says which statement it was.
fn place(error: Error, number: usize, statement: &str, together: bool) -> Error {
    let mut begin: String = statement.chars().take(60).collect();
    if begin.len() < statement.len() {
        begin.push('…');
    }
    let message = format!("statement {number}: {}: {begin:?}", error.message);
    let error = Error { message, ..error };
    match (together, error.hint.is_some()) {
        (true, false) => error.hint("nothing was changed: the statements are one transaction"),
        _ => error,
    }
}

async fn run(connection: &dyn Connection, statement: &str, parameters: Vec<Value>) -> Result<()> {
    let rows = connection.execute(statement, parameters).await?;
    rows.rows.try_for_each(async |_| Ok(())).await
}

async fn one(
    connection: &dyn Connection,
    statement: &str,
    parameters: Vec<Value>,
    room: &mut Room,
) -> Result<SqlResult> {
    let mut answer = connection.execute(statement, parameters).await?;
    let mut result = SqlResult {
        columns: std::mem::take(&mut answer.columns),
        ..SqlResult::default()
    };
    while let Some(row) = answer.rows.try_next().await? {
        let size: usize = row.iter().map(size).sum();
        if result.rows.len() == room.rows || size > room.bytes {
            result.more = true;
            break;
        }
        room.bytes -= size;
        result.rows.push(row.into_iter().map(shown).collect());
    }
    // What returns rows may write, too: it is done when all of them were read.
    let writes = ["INSERT", "UPDATE", "DELETE", "REPLACE", "WITH"];
    let verb = script::verb(statement);
    if writes.contains(&verb.as_str()) && (verb != "WITH" || result.columns.is_empty()) {
        answer.rows.try_for_each(async |_| Ok(())).await?;
        let effect = connection.effect().await?;
        result.changes = effect.changes;
        if matches!(verb.as_str(), "INSERT" | "REPLACE") {
            result.last_insert_rowid = effect.last_insert_rowid;
        }
    }
    Ok(result)
}

fn value(given: SqlValue) -> Result<Value> {
    Ok(match given {
        SqlValue::Null => Value::Null,
        SqlValue::Integer(number) => Value::Integer(number),
        SqlValue::Real(number) => Value::Real(number),
        SqlValue::Text(text) => Value::Text(text),
        SqlValue::Blob { base64 } => Value::Blob(SqlValue::bytes(&base64)?),
    })
}

fn shown(value: Value) -> SqlValue {
    match value {
        Value::Null => SqlValue::Null,
        Value::Integer(number) => SqlValue::Integer(number),
        Value::Real(number) if !number.is_finite() => SqlValue::Text(number.to_string()),
        Value::Real(number) => SqlValue::Real(number),
        Value::Text(text) => SqlValue::Text(text),
        Value::Blob(bytes) => SqlValue::blob(&bytes),
    }
}

/// Bytes of a value in an answer, about.
fn size(value: &Value) -> usize {
    match value {
        Value::Null | Value::Integer(_) | Value::Real(_) => 16,
        Value::Text(text) => text.len() + 4,
        Value::Blob(bytes) => bytes.len() / 3 * 4 + 24,
    }
}
