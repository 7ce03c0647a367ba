//! Shows the host's `fermyon:spin@2.0.0` interfaces by path, answering JSON; an error is its variant's name.

use kit::{Json, Path, sql::Param};
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, Method, ResponseOutparam};

use fermyon::spin2_0_0::key_value::{self, Store};
use fermyon::spin2_0_0::sqlite::{self, Connection, Value};
use fermyon::spin2_0_0::variables;

wit_bindgen::generate!({
    path: "../../../wit",
    world: "gust:host/spin-v2",
    generate_all,
});

struct Host;

wasip2::http::proxy::export!(Host);

impl Guest for Host {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = kit_p2::path(&request);
        let answer = match path.parts()[..] {
            ["kv", store, ..] => kv(&request, &path, store).unwrap_or_else(kv_error),
            ["sql", database] => sql(&request, &path, database).unwrap_or_else(sql_error),
            ["var", name] => match variables::get(name) {
                Ok(value) => Json::object([("value", value.into())]),
                Err(e) => variables_error(e),
            },
            ["fetch"] => kit_p2::fetch(&path),
            _ => return kit_p2::text(out, 404, "no such path\n"),
        };
        kit_p2::json(out, 200, &answer);
    }
}

fn done() -> Json {
    Json::object([("ok", true.into())])
}

/// GET `/kv/s` lists; GET, PUT, DELETE `/kv/s/k` the value; GET `/kv/s/k/exists`; `/kv/s/-/open/n` opens `n` at once.
fn kv(request: &IncomingRequest, path: &Path, name: &str) -> Result<Json, key_value::Error> {
    let store = Store::open(name)?;
    Ok(match (request.method(), &path.parts()[2..]) {
        (Method::Get, []) => {
            let keys = store.get_keys()?.into_iter().map(Json::from).collect();
            Json::object([("keys", keys)])
        }
        (Method::Get, [key]) => {
            Json::object([("value", store.get(key)?.map_or(Json::Null, Json::bytes))])
        }
        (Method::Put, [key]) => {
            store.set(key, &kit_p2::Body::of(request).all().unwrap_or_default())?;
            done()
        }
        (Method::Delete, [key]) => {
            store.delete(key)?;
            done()
        }
        (_, [key, "exists"]) => Json::object([("exists", store.exists(key)?.into())]),
        (_, ["-", "open", n]) => {
            let stores = (0..n.parse().unwrap_or(0)).map(|_| Store::open(name));
            let stores = stores.collect::<Result<Vec<_>, _>>()?;
            Json::object([("open", stores.len().into())])
        }
        _ => Json::error("BadPath", "no such operation"),
    })
}

fn kv_error(e: key_value::Error) -> Json {
    match e {
        key_value::Error::StoreTableFull => Json::error("store-table-full", ""),
        key_value::Error::NoSuchStore => Json::error("no-such-store", ""),
        key_value::Error::AccessDenied => Json::error("access-denied", ""),
        key_value::Error::Other(e) => Json::error("other", e),
    }
}

/// `/sql/<database>?i=1&t=text`: the body is the statement, the query its parameters.
fn sql(request: &IncomingRequest, path: &Path, database: &str) -> Result<Json, sqlite::Error> {
    let connection = Connection::open(database)?;
    let statement = kit_p2::Body::of(request).all().unwrap_or_default();
    let params: Vec<Value> = kit::sql::params(path)
        .into_iter()
        .map(Value::from)
        .collect();
    let result = connection.execute(&String::from_utf8_lossy(&statement), &params)?;
    let rows = result
        .rows
        .into_iter()
        .map(|row| row.values.into_iter().map(Json::from).collect());
    Ok(Json::object([
        (
            "columns",
            result.columns.into_iter().map(Json::from).collect(),
        ),
        ("rows", rows.collect()),
    ]))
}

fn sql_error(e: sqlite::Error) -> Json {
    match e {
        sqlite::Error::NoSuchDatabase => Json::error("no-such-database", ""),
        sqlite::Error::AccessDenied => Json::error("access-denied", ""),
        sqlite::Error::InvalidConnection => Json::error("invalid-connection", ""),
        sqlite::Error::DatabaseFull => Json::error("database-full", ""),
        sqlite::Error::Io(e) => Json::error("io", e),
    }
}

fn variables_error(e: variables::Error) -> Json {
    match e {
        variables::Error::InvalidName(e) => Json::error("invalid-name", e),
        variables::Error::Undefined(e) => Json::error("undefined", e),
        variables::Error::Provider(e) => Json::error("provider", e),
        variables::Error::Other(e) => Json::error("other", e),
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
