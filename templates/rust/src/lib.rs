use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;
use spin_sdk::key_value::Store;

#[http_service]
async fn handle(request: Request) -> anyhow::Result<impl IntoResponse> {
    let name = match request.uri().path().trim_matches('/') {
        "" => "world",
        name => name,
    };

    // "default" is the label that gust.toml lists under `kv`.
    let visits = Store::open("default").await?;
    let before = visits.get(name).await?.unwrap_or_default();
    let count = String::from_utf8_lossy(&before).parse().unwrap_or(0u64) + 1;
    visits.set(name, count.to_string()).await?;

    println!("visit {count} of {name}");
    Ok(format!("Hello, {name}! This is visit {count}.\n"))
}
