//! Shows a function written with Spin's Rust SDK, which answers through `wasi:http/handler@0.3.0`.

use spin_sdk::http::{IntoResponse, Request, Response};
use spin_sdk::http_service;

#[http_service]
async fn hello(_request: Request) -> anyhow::Result<impl IntoResponse> {
    let response = Response::builder().header("content-type", "text/plain");
    Ok(response.body("Hello from Gust\n".to_owned())?)
}
