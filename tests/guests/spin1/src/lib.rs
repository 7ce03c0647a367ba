//! Shows a Spin 1 function: a core module with a component-type section, exporting `fermyon:spin/inbound-http`.

use exports::fermyon::spin::inbound_http::{Guest, Request, Response};
use fermyon::spin::http_types::{HttpError, Method};
use fermyon::spin::{config, http, key_value, sqlite};
use kit::{Json, Path, sql::Param};

wit_bindgen::generate!({
    path: "../../../wit",
    world: "gust:host/spin-v1-http",
    generate_all,
});

struct Spin1;

export!(Spin1);

impl Guest for Spin1 {
    fn handle_request(request: Request) -> Response {
        let path = Path::parse(&request.uri);
        let answer = match path.parts()[..] {
            ["info"] => info(&request),
            ["kv", store, ..] => kv(&request, &path, store).unwrap_or_else(kv_error),
            ["sql", database] => sql(&request, &path, database).unwrap_or_else(sql_error),
            ["config", key] => match config::get_config(key) {
                Ok(value) => Json::object([("value", value.into())]),
                Err(e) => config_error(e),
            },
            ["fetch"] => fetch(&path),
            ["trap"] => core::arch::wasm32::unreachable(),
            ["headers", n] => {
                let many = n.parse().unwrap_or(0);
                return Response {
                    status: 200,
                    headers: Some(
                        (0..many)
                            .map(|n| (format!("x-{n}"), n.to_string()))
                            .collect(),
                    ),
                    body: None,
                };
            }
            ["no-body"] => {
                return Response {
                    status: 204,
                    headers: None,
                    body: None,
                };
            }
            _ => return respond(200, "text/plain", "Hello from Gust\n"),
        };
        respond(200, "application/json", &answer.to_string())
    }
}

fn respond(status: u16, content_type: &str, body: &str) -> Response {
    let headers = vec![("content-type".to_owned(), content_type.to_owned())];
    Response {
        status,
        headers: Some(headers),
        body: Some(body.as_bytes().to_vec()),
    }
}

fn done() -> Json {
    Json::object([("ok", true.into())])
}

fn pairs(pairs: &[(String, String)]) -> Json {
    pairs
        .iter()
        .map(|(k, v)| Json::from_iter([k.as_str().into(), v.as_str().into()]))
        .collect()
}

fn info(request: &Request) -> Json {
    Json::object([
        ("method", format!("{:?}", request.method).into()),
        ("uri", request.uri.as_str().into()),
        ("headers", pairs(&request.headers)),
        ("params", pairs(&request.params)),
        ("body", request.body.clone().map_or(Json::Null, Json::bytes)),
    ])
}

/// GET `/kv/s` lists; GET, PUT, DELETE `/kv/s/k` the value; GET `/kv/s/k/exists`; `/kv/s/-/closed` uses a closed store.
fn kv(request: &Request, path: &Path, name: &str) -> Result<Json, key_value::Error> {
    let store = key_value::open(name)?;
    let body = request.body.as_deref().unwrap_or_default();
    let answer = match (request.method, &path.parts()[2..]) {
        (Method::Get, []) => key_value::get_keys(store)
            .map(|keys| Json::object([("keys", keys.into_iter().map(Json::from).collect())])),
        (_, ["-", "closed"]) => {
            key_value::close(store);
            key_value::get(store, "any").map(|_| done())
        }
        (Method::Get, [key]) => {
            key_value::get(store, key).map(|value| Json::object([("value", Json::bytes(value))]))
        }
        (Method::Put, [key]) => key_value::set(store, key, body).map(|()| done()),
        (Method::Delete, [key]) => key_value::delete(store, key).map(|()| done()),
        (_, [key, "exists"]) => {
            key_value::exists(store, key).map(|yes| Json::object([("exists", yes.into())]))
        }
        _ => Ok(Json::error("BadPath", "no such operation")),
    };
    key_value::close(store);
    answer
}

fn kv_error(e: key_value::Error) -> Json {
    match e {
        key_value::Error::StoreTableFull => Json::error("store-table-full", ""),
        key_value::Error::NoSuchStore => Json::error("no-such-store", ""),
        key_value::Error::AccessDenied => Json::error("access-denied", ""),
        key_value::Error::InvalidStore => Json::error("invalid-store", ""),
        key_value::Error::NoSuchKey => Json::error("no-such-key", ""),
        key_value::Error::Io(e) => Json::error("io", e),
    }
}

/// `/sql/<database>?i=1&t=text`: the body is the statement, the query its parameters.
fn sql(request: &Request, path: &Path, database: &str) -> Result<Json, sqlite::Error> {
    let connection = sqlite::open(database)?;
    let statement = String::from_utf8_lossy(request.body.as_deref().unwrap_or_default());
    let params: Vec<_> = kit::sql::params(path)
        .into_iter()
        .map(sqlite::Value::from)
        .collect();
    let result = sqlite::execute(connection, &statement, &params);
    sqlite::close(connection);
    let result = result?;
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

fn config_error(e: config::Error) -> Json {
    match e {
        config::Error::Provider(e) => Json::error("provider", e),
        config::Error::InvalidKey(e) => Json::error("invalid-key", e),
        config::Error::InvalidSchema(e) => Json::error("invalid-schema", e),
        config::Error::Other(e) => Json::error("other", e),
    }
}

/// `/fetch?url=`
fn fetch(path: &Path) -> Json {
    let request = fermyon::spin::http_types::Request {
        method: Method::Get,
        uri: path.query("url").unwrap_or_default().to_owned(),
        headers: Vec::new(),
        params: Vec::new(),
        body: None,
    };
    match http::send_request(&request) {
        Ok(response) => Json::object([
            ("status", Json::Int(response.status.into())),
            ("headers", pairs(&response.headers.unwrap_or_default())),
            ("body", response.body.map_or(Json::Null, Json::bytes)),
        ]),
        Err(e) => Json::error(http_error(e), ""),
    }
}

fn http_error(e: HttpError) -> &'static str {
    match e {
        HttpError::Success => "success",
        HttpError::DestinationNotAllowed => "destination-not-allowed",
        HttpError::InvalidUrl => "invalid-url",
        HttpError::RequestError => "request-error",
        HttpError::RuntimeError => "runtime-error",
        HttpError::TooManyRequests => "too-many-requests",
    }
}

impl From<Param> for sqlite::Value {
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

impl From<sqlite::Value> for Json {
    fn from(value: sqlite::Value) -> Self {
        match value {
            sqlite::Value::Integer(n) => Self::Int(n),
            sqlite::Value::Real(n) => Self::Real(n),
            sqlite::Value::Text(text) => Self::Text(text),
            sqlite::Value::Blob(bytes) => Self::object([("blob", Self::bytes(bytes))]),
            sqlite::Value::Null => Self::Null,
        }
    }
}
