//! A small HTTP/1.1 client over one kept connection.

use std::{net::SocketAddr, time::Duration};

use anyhow::Result;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;

/// One connection.
pub struct Client {
    sender: SendRequest<Full<Bytes>>,
    host: String,
}

/// What a request got.
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
    /// From sending to the body's end.
    pub took: Duration,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Result<serde_json::Value> {
        Ok(serde_json::from_slice(&self.body)?)
    }
}

impl Client {
    /// Connects; requests name this host.
    pub async fn connect(addr: SocketAddr, host: &str) -> Result<Self> {
        let stream = tokio::net::TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        gust_task::spawn("client", async move {
            // It ends with an error when the server closes first; the next request says so.
            let _ = connection.await;
        });
        Ok(Self {
            sender,
            host: host.to_owned(),
        })
    }

    /// A GET of this path.
    pub async fn get(&mut self, path: &str) -> Result<Answer> {
        self.send(Request::get(path), Bytes::new()).await
    }

    /// A GET with another `Host`.
    pub async fn get_from(&mut self, host: &str, path: &str) -> Result<Answer> {
        self.send(Request::get(path).header("host", host), Bytes::new())
            .await
    }

    /// A POST to this path.
    pub async fn post(&mut self, path: &str, body: impl Into<Bytes>) -> Result<Answer> {
        self.send(Request::post(path), body.into()).await
    }

    /// Any request; `Host` is added when it has none.
    pub async fn send(&mut self, request: http::request::Builder, body: Bytes) -> Result<Answer> {
        let mut request = request.body(Full::new(body))?;
        if !request.headers().contains_key("host") {
            request.headers_mut().insert("host", self.host.parse()?);
        }
        self.sender.ready().await?;
        let started = gust_task::clock::now();
        let response = self.sender.send_request(request).await?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Answer {
            status: parts.status,
            headers: parts.headers,
            body,
            took: started.elapsed(),
        })
    }
}
