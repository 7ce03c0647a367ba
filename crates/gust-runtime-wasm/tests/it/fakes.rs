//! What guests are given to touch: a database that answers by name of the statement, a server on loopback.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use gust_backend::sql::{Connection, Effect, Rows, Sql, SqlLimits, Transaction, Value};
use gust_types::{Blame, Error, Kind, Result};
use http::{Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::Value as Json;
use tokio::net::TcpListener;

use crate::kit::{Answered, Function, get, post};

/// A database whose statements are `echo` (its parameters as a row), `count` (as many rows as the parameter says),
/// and the names of errors.
pub(crate) struct Fake;

#[async_trait]
impl Sql for Fake {
    async fn connect(&self) -> Result<Box<dyn Connection>> {
        Ok(Box::new(Fake))
    }

    async fn begin(&self) -> Result<Box<dyn Transaction>> {
        Err(Error::unavailable("no transactions here"))
    }

    async fn mark(&self, _: &str) -> Result<Option<Bytes>> {
        Ok(None)
    }

    async fn watch(&self, _: Vec<String>, _: bool) -> Result<()> {
        Ok(())
    }

    fn limits(&self) -> SqlLimits {
        SqlLimits {
            statement: 1 << 20,
            result: 1 << 20,
            database: 1 << 30,
            time: Duration::from_secs(5),
        }
    }
}

#[async_trait]
impl Connection for Fake {
    async fn execute(&self, statement: &str, parameters: Vec<Value>) -> Result<Rows> {
        let fault = |kind, text: &str| Error::new(kind, Blame::Function, text);
        let named = |rows: Vec<Result<Vec<Value>>>| {
            Ok(Rows {
                columns: vec!["first".to_owned(), "second".to_owned()],
                rows: stream::iter(rows).boxed(),
            })
        };
        let row = |n: i64| Ok(vec![Value::Integer(n), Value::Text(format!("row {n}"))]);
        match (statement, parameters.first()) {
            ("echo", _) => named(vec![Ok(parameters)]),
            ("count", Some(Value::Integer(most))) => named((0..*most).map(row).collect()),
            ("nothing", _) => Ok(Rows {
                columns: Vec::new(),
                rows: stream::empty().boxed(),
            }),
            ("breaks off", _) => named(vec![
                row(0),
                Err(fault(Kind::Exhausted, "the answer is too large")),
            ]),
            ("fill up", _) => Err(fault(Kind::Exhausted, "the database is full")),
            ("vanish", _) => Err(fault(Kind::NotFound, "no such database")),
            _ => Err(fault(Kind::Invalid, "syntax error")),
        }
    }

    async fn effect(&self) -> Result<Effect> {
        Ok(Effect {
            changes: 3,
            last_insert_rowid: 7,
        })
    }
}

/// A server on loopback that says what it was asked. `/silent` never answers.
pub(crate) async fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    gust_task::spawn("test server", async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            gust_task::spawn("test connection", async move {
                let http = http1::Builder::new();
                let served = http.serve_connection(TokioIo::new(tcp), service_fn(answer));
                drop(served.await);
            });
        }
    });
    address
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    use http_body_util::BodyExt as _;
    let (head, body) = request.into_parts();
    if head.uri.path() == "/silent" {
        std::future::pending::<()>().await;
    }
    let body = body.collect().await.map(|body| body.to_bytes());
    let body = body.unwrap_or_default();
    let text = format!("{} {} {body:?}", head.method, head.uri);
    let mut response = Response::new(Full::new(Bytes::from(text)));
    let headers = response.headers_mut();
    headers.insert(
        "x-traced",
        head.headers
            .contains_key("traceparent")
            .to_string()
            .parse()
            .unwrap(),
    );
    Ok(response)
}

impl Answered {
    /// The JSON that host guests answer.
    #[track_caller]
    pub(crate) fn json(&self) -> Json {
        assert_eq!(self.status, 200, "{}", self.text());
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }
}

impl Function {
    pub(crate) async fn ask(&self, path: &str) -> Json {
        self.send(get(path)).await.json()
    }

    pub(crate) async fn put(&self, path: &str, body: impl Into<Bytes>) -> Json {
        let mut call = post(path, body);
        *call.request.method_mut() = http::Method::PUT;
        self.send(call).await.json()
    }

    pub(crate) async fn post(&self, path: &str, body: impl Into<Bytes>) -> Json {
        self.send(post(path, body)).await.json()
    }

    pub(crate) async fn delete(&self, path: &str) -> Json {
        let mut call = get(path);
        *call.request.method_mut() = http::Method::DELETE;
        self.send(call).await.json()
    }
}

/// What a function is given: all that an app's manifest can give.
pub(crate) fn give(bindings: &mut gust_runtime::Bindings) {
    let label = |label: &str| gust_types::Label::new(label).unwrap();
    let store = gust_backend::kv::memory::MemoryKv::default();
    bindings.kv.insert(label("default"), Arc::new(store));
    bindings.sql.insert(label("default"), Arc::new(Fake));
    bindings.variables = Arc::new(
        [("api_key", "s3cret"), ("empty", "")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into(),
    );
    bindings.environment = Arc::new(vec![("MODE".to_owned(), "test é".to_owned())]);
}
