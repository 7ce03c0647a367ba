//! Greets whoever asks, and counts the visits to each path in a key-value store.

use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;
use spin_sdk::key_value::Store;

#[http_service]
async fn hello(request: Request) -> anyhow::Result<impl IntoResponse> {
    let name = match request.uri().path().trim_matches('/') {
        "" => "world",
        name => name,
    };

    // "default" is the label that gust.toml lists under `kv`. Two calls at the same moment may count as one visit.
    let store = Store::open("default").await?;
    let key = format!("visits/{name}");
    let before = store.get(&key).await?.unwrap_or_default();
    let visits = String::from_utf8_lossy(&before).parse().unwrap_or(0u64) + 1;
    store.set(&key, visits.to_string()).await?;

    println!("visit {visits} of {name}");
    Ok(format!("Hello, {name}! This is visit {visits}.\n"))
}
