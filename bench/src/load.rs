//! A small HTTP/1.1 client over one kept connection, for latencies that wrk cannot give.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::Result;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;

/// One connection.
pub(crate) struct Client(SendRequest<Empty<Bytes>>);

/// What one request got.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) retry_after: bool,
    pub(crate) took: Duration,
    pub(crate) body: Bytes,
}

impl Client {
    pub(crate) async fn connect(addr: SocketAddr) -> Result<Self> {
        let stream = tokio::net::TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        gust_task::spawn("client", async move {
            // It ends with an error when the server closes first; the next request says so.
            let _ = connection.await;
        });
        Ok(Self(sender))
    }

    pub(crate) async fn get(&mut self, host: &str, path: &str) -> Result<Answer> {
        let request = http::Request::get(path)
            .header("host", host)
            .body(Empty::new())?;
        self.0.ready().await?;
        let started = now();
        let response = self.0.send_request(request).await?;
        let status = response.status().as_u16();
        let retry_after = response.headers().contains_key("retry-after");
        let body = response.into_body().collect().await?.to_bytes();
        Ok(Answer {
            status,
            retry_after,
            took: started.elapsed(),
            body,
        })
    }
}

pub(crate) fn now() -> Instant {
    gust_task::clock::now()
}

/// The value at this percentile, 0 to 100.
pub(crate) fn percentile(sorted: &[Duration], p: f64) -> Duration {
    let last = sorted.len().saturating_sub(1);
    sorted
        .get((last as f64 * p / 100.0).round() as usize)
        .copied()
        .unwrap_or_default()
}

/// `{"p50": ms, "p99": ms}`.
pub(crate) fn p50_p99(mut all: Vec<Duration>) -> serde_json::Value {
    all.sort();
    serde_json::json!({
        "p50": crate::millis(percentile(&all, 50.0)),
        "p99": crate::millis(percentile(&all, 99.0)),
    })
}
