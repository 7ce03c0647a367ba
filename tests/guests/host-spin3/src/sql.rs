//! `/sql/<database>` over `spin:sqlite@3.1.0`, rows from its stream; `/sql-sync/<database>` over its older functions.
//!
//! The body is the statement, the query its parameters: `?i=1&t=text`.

use kit::{Json, Path, sql::Param};
use wasip3::http::types::Request;

use crate::spin::sqlite3_1_0::sqlite::{Connection, Error, RowResult, Value};

pub(crate) async fn streamed(request: Request, path: &Path, database: &str) -> Json {
    let statement = statement(request).await;
    let answer = async {
        let connection = Connection::open_async(database.to_owned()).await?;
        let (columns, rows, ended) = connection.execute_async(statement, params(path)).await?;
        let rows = rows.collect().await;
        ended.await?;
        let rowid = connection.last_insert_rowid_async().await;
        Ok(result(
            columns,
            rows,
            rowid,
            connection.changes_async().await,
        ))
    };
    answer.await.unwrap_or_else(error)
}

pub(crate) async fn whole(request: Request, path: &Path, database: &str) -> Json {
    let statement = statement(request).await;
    let answer = || {
        let connection = Connection::open(database)?;
        let found = connection.execute(&statement, &params(path))?;
        let rowid = connection.last_insert_rowid();
        Ok(result(
            found.columns,
            found.rows,
            rowid,
            connection.changes(),
        ))
    };
    answer().unwrap_or_else(error)
}

async fn statement(request: Request) -> String {
    let bytes = kit_p3::Body::of_request(request).all().await;
    String::from_utf8_lossy(&bytes).into_owned()
}

fn params(path: &Path) -> Vec<Value> {
    kit::sql::params(path)
        .into_iter()
        .map(Value::from)
        .collect()
}

fn result(columns: Vec<String>, rows: Vec<RowResult>, rowid: i64, changes: u64) -> Json {
    let rows = rows
        .into_iter()
        .map(|row| row.values.into_iter().map(Json::from).collect());
    Json::object([
        ("columns", columns.into_iter().map(Json::from).collect()),
        ("rows", rows.collect()),
        ("last_insert_rowid", rowid.into()),
        ("changes", changes.into()),
    ])
}

fn error(e: Error) -> Json {
    match e {
        Error::NoSuchDatabase => Json::error("no-such-database", ""),
        Error::AccessDenied => Json::error("access-denied", ""),
        Error::InvalidConnection => Json::error("invalid-connection", ""),
        Error::DatabaseFull => Json::error("database-full", ""),
        Error::Io(e) => Json::error("io", e),
    }
}

impl From<Param> for Value {
    fn from(param: Param) -> Self {
        match param {
            Param::Integer(n) => Self::Integer(n),
            Param::Real(n) => Self::Real(n),
            Param::Text(text) => Self::Text(text),
            Param::Blob(bytes) => Self::Blob(bytes),
            Param::Null => Self::Null,
        }
    }
}

impl From<Value> for Json {
    fn from(value: Value) -> Self {
        match value {
            Value::Integer(n) => Self::Int(n),
            Value::Real(n) => Self::Real(n),
            Value::Text(text) => Self::Text(text),
            Value::Blob(bytes) => Self::object([("blob", Self::bytes(bytes))]),
            Value::Null => Self::Null,
        }
    }
}
