//! Shows the host's `spin:key-value@3`, `spin:sqlite@3` and `spin:variables@3` by path, answering JSON.

use kit::{Json, Path};
use wasip3::exports::http::handler::Guest;
use wasip3::http::types::{ErrorCode, Method, Request, Response};

use spin::key_value::key_value::{self, Store};
use spin::variables::variables;

mod sql;

wit_bindgen::generate!({
    path: "../../../wit",
    world: "gust:host/spin-v3",
    generate_all,
});

struct Host;

wasip3::http::service::export!(Host);

impl Guest for Host {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let path = kit_p3::path(&request);
        let answer = match path.parts()[..] {
            ["kv", store, ..] => kv(request, &path, store).await.unwrap_or_else(kv_error),
            ["sql", database] => sql::streamed(request, &path, database).await,
            ["sql-sync", database] => sql::whole(request, &path, database).await,
            ["var", name] => match variables::get(name.to_owned()).await {
                Ok(value) => Json::object([("value", value.into())]),
                Err(e) => variables_error(e),
            },
            ["fetch"] => kit_p3::fetch(&path).await,
            _ => return kit_p3::text(404, "no such path\n"),
        };
        kit_p3::json(200, &answer)
    }
}

fn done() -> Json {
    Json::object([("ok", true.into())])
}

/// GET `/kv/s` lists; GET, PUT, DELETE `/kv/s/k` the value; GET `/kv/s/k/exists`; `/kv/s/-/open/n` opens `n` at once.
async fn kv(request: Request, path: &Path, name: &str) -> Result<Json, key_value::Error> {
    let store = Store::open(name.to_owned()).await?;
    Ok(match (request.get_method(), &path.parts()[2..]) {
        (Method::Get, []) => {
            let (keys, listed) = store.get_keys().await;
            let keys = keys.collect().await;
            listed.await?;
            Json::object([("keys", keys.into_iter().map(Json::from).collect())])
        }
        (Method::Get, [key]) => {
            let value = store.get((*key).to_owned()).await?;
            Json::object([("value", value.map_or(Json::Null, Json::bytes))])
        }
        (Method::Put, [key]) => {
            let value = kit_p3::Body::of_request(request).all().await;
            store.set((*key).to_owned(), value).await?;
            done()
        }
        (Method::Delete, [key]) => {
            store.delete((*key).to_owned()).await?;
            done()
        }
        (_, [key, "exists"]) => {
            Json::object([("exists", store.exists((*key).to_owned()).await?.into())])
        }
        (_, ["-", "open", n]) => {
            let mut stores = Vec::new();
            for _ in 0..n.parse().unwrap_or(0) {
                stores.push(Store::open(name.to_owned()).await?);
            }
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

fn variables_error(e: variables::Error) -> Json {
    match e {
        variables::Error::InvalidName(e) => Json::error("invalid-name", e),
        variables::Error::Undefined(e) => Json::error("undefined", e),
        variables::Error::Provider(e) => Json::error("provider", e),
        variables::Error::Other(e) => Json::error("other", e),
    }
}
