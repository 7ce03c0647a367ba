//! Shows `spin:sqlite@3.0.0` as a function from before the 3.1.0 additions imports it: `POST /sql/<database>`.

use kit::{Json, Path, sql::Param};
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

use spin::sqlite3_0_0::sqlite::{Connection, Error, Value};

wit_bindgen::generate!({
    path: "../../../wit",
    inline: "
        package guest:host-spin32;

        world sql {
            import spin:sqlite/sqlite@3.0.0;
        }
    ",
    generate_all,
});

struct Host;

wasip2::http::proxy::export!(Host);

impl Guest for Host {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = kit_p2::path(&request);
        match path.parts()[..] {
            ["sql", database] => {
                let answer = sql(&request, &path, database).unwrap_or_else(error);
                kit_p2::json(out, 200, &answer);
            }
            _ => kit_p2::text(out, 404, "no such path\n"),
        }
    }
}

/// The body is the statement, the query its parameters: `?i=1&t=text`.
fn sql(request: &IncomingRequest, path: &Path, database: &str) -> Result<Json, Error> {
    let connection = Connection::open(database)?;
    let statement = kit_p2::Body::of(request).all().unwrap_or_default();
    let params: Vec<_> = kit::sql::params(path)
        .into_iter()
        .map(Value::from)
        .collect();
    let result = connection.execute(&String::from_utf8_lossy(&statement), &params)?;
    let rows = result.rows.into_iter();
    Ok(Json::object([
        (
            "columns",
            result.columns.into_iter().map(Json::from).collect(),
        ),
        (
            "rows",
            rows.map(|row| row.values.into_iter().map(Json::from).collect())
                .collect(),
        ),
        ("last_insert_rowid", connection.last_insert_rowid().into()),
        ("changes", connection.changes().into()),
    ]))
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
