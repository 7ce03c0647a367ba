//! Speaks to a node's control API.
//!
//! One method per resource and verb, grouped by file: [`apps`], [`artifacts`], [`blobs`], [`keys`], [`kv`], [`later`], [`money`], [`queues`],
//! [`sql`], [`topics`] and [`invoke`]; [`wire`] is
//! how any of them sends and hears. Every wait is bounded: to connect, to hear a head, between two pieces of a body.
//! Errors of the node come back as the [`Error`] that the node's own code raised.

pub mod apps;
pub mod artifacts;
pub mod blobs;
pub mod invoke;
pub mod keys;
pub mod kv;
pub mod later;
pub mod money;
pub mod ndjson;
pub mod queues;
pub mod sql;
pub mod topics;
mod wire;

use std::{fmt, sync::Arc, time::Duration};

use gust_types::{Error, Result};
use hyper_util::client::legacy::{Client as Http, connect::HttpConnector};

pub use self::{artifacts::Upload, invoke::Invoked, ndjson::Lines};

/// A connection pool to one node. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    base: Arc<str>,
    token: Option<Arc<str>>,
    http: Http<HttpConnector, gust_types::Body>,
    timeouts: Timeouts,
}

/// How long each wait may be.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// For the head of an ordinary answer. Default 30 s.
    pub head: Duration,
    /// Between two pieces of a body; the node sends signs of life during long steps. Default 60 s.
    pub idle: Duration,
}

const CONNECT: Duration = Duration::from_secs(5);

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(30),
            idle: Duration::from_secs(60),
        }
    }
}

// The token is a secret.
impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("base", &self.base).finish()
    }
}

// === impl Client ===

impl Client {
    /// A client of the node at `url` (such as `http://127.0.0.1:8081`) that shows `token`.
    pub fn new(url: &str, token: Option<String>) -> Result<Self> {
        let base = check_url(url)?;
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT));
        connector.set_nodelay(true);
        let http = Http::builder(hyper_util::rt::TokioExecutor::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_timer(hyper_util::rt::TokioTimer::new())
            .build(connector);
        Ok(Self {
            base: base.into(),
            token: token.map(Into::into),
            http,
            timeouts: Timeouts::default(),
        })
    }

    /// Where the node is.
    pub fn url(&self) -> &str {
        &self.base
    }
}

/// The URL without a trailing slash, if it is one that this client speaks.
fn check_url(url: &str) -> Result<String> {
    let fault = |why: &str, hint: &str| {
        Error::invalid(format!("the node's address {why}: {url:?}")).hint(hint)
    };
    let uri: http::Uri = url
        .parse()
        .map_err(|e| fault("is not a URL", "write it like http://127.0.0.1:8081").because(e))?;
    match uri.scheme_str() {
        Some("http") => {}
        Some("https") => {
            return Err(fault(
                "is an https URL, which this client does not speak",
                "reach the control port over loopback or a tunnel, with an http URL",
            ));
        }
        _ => {
            return Err(fault(
                "has no scheme",
                "write it like http://127.0.0.1:8081",
            ));
        }
    }
    if uri.authority().is_none_or(|a| a.as_str().contains('@')) || uri.query().is_some() {
        return Err(fault(
            "is not just a host",
            "write it like http://127.0.0.1:8081",
        ));
    }
    Ok(url.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked_once() {
        let cases = [
            ("http://127.0.0.1:8081", true),
            ("http://node.example/gust/", true),
            ("127.0.0.1:8081", false),
            ("https://node.example", false),
            ("http://user:pass@node.example", false),
            ("http://node.example/?x=1", false),
            ("", false),
        ];
        for (url, good) in cases {
            assert_eq!(Client::new(url, None).is_ok(), good, "{url}");
        }
    }

    #[test]
    fn the_token_is_not_printed() {
        let client = Client::new("http://localhost:1", Some("hush".into())).unwrap();
        assert!(!format!("{client:?}").contains("hush"));
    }

    #[tokio::test]
    async fn a_node_that_is_not_there_is_said_with_a_hint() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let client = Client::new(&format!("http://{address}"), None).unwrap();
        let error = client.status().await.unwrap_err();
        assert_eq!(error.kind, gust_types::Kind::Unavailable);
        assert!(error.hint.unwrap().contains("gust serve"));
    }
}
