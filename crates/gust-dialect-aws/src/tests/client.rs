//! A client that signs for itself, and lies when it is told to.

use std::net::SocketAddr;

use bytes::Bytes;
use hmac::{Hmac, Mac as _};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

#[derive(Clone)]
pub(super) struct Client {
    pub(super) address: SocketAddr,
    id: &'static str,
}

/// What is wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lie {
    No,
    /// It is not signed at all.
    Unsigned,
    /// With another secret.
    Secret,
    /// Seconds ahead of the clock, or behind it.
    Skewed(i64),
    /// The body is another than the one that was signed.
    Body,
    /// It says the hash of another body.
    Hash,
    /// The target is not among what is signed.
    Target,
    /// For another service.
    Service,
    /// The scope is of another day.
    Day,
}

pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(super) fn json(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text());
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Refused with this error of JSON's, and this older one.
    pub(super) fn is(&self, status: u16, code: &str, query: &str) {
        assert_eq!(self.status, status, "{}", self.text());
        let text = self.text();
        assert!(text.contains(&format!("#{code}\"")), "{text}");
        let said = self.headers.get("x-amzn-query-error").unwrap();
        assert_eq!(said.to_str().unwrap().split(';').next(), Some(query));
    }
}

impl Client {
    pub(super) fn new(address: SocketAddr, id: &'static str) -> Self {
        Self { address, id }
    }

    pub(super) fn url(&self, queue: &str) -> String {
        format!("http://{}/000000000000/{queue}", self.address)
    }

    /// An operation in JSON.
    pub(super) async fn ask(&self, action: &str, params: Value) -> Answer {
        self.lie(action, &params.to_string(), Lie::No).await
    }

    pub(super) async fn lie(&self, action: &str, body: &str, lie: Lie) -> Answer {
        let target = format!("AmazonSQS.{action}");
        let headers = [
            ("content-type", "application/x-amz-json-1.0"),
            ("x-amz-target", target.as_str()),
        ];
        self.exchange("/", "sqs", &headers, body, lie).await
    }

    pub(super) async fn event(&self, body: &Value) -> Answer {
        let headers = [
            ("content-type", "application/x-amz-json-1.1"),
            ("x-amz-target", "AWSEvents.PutEvents"),
        ];
        let body = body.to_string();
        self.exchange("/", "events", &headers, &body, Lie::No).await
    }

    /// An operation as a form.
    pub(super) async fn form(&self, path: &str, service: &str, body: &str) -> Answer {
        let media = "application/x-www-form-urlencoded; charset=utf-8";
        let headers = [("content-type", media)];
        self.exchange(path, service, &headers, body, Lie::No).await
    }

    pub(super) async fn exchange(
        &self,
        path: &str,
        service: &str,
        headers: &[(&str, &str)],
        body: &str,
        lie: Lie,
    ) -> Answer {
        let all = self.signed(path, service, headers, body, lie);
        let socket = TcpStream::connect(self.address).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket))
            .await
            .unwrap();
        gust_task::spawn("client", async move {
            let _ = connection.await;
        });
        let mut request = Request::post(path);
        for (name, value) in &all {
            request = request.header(name.as_str(), value.as_str());
        }
        let body = match lie {
            Lie::Body => "{\"QueueUrl\":\"others\"}",
            _ => body,
        };
        let body = Full::new(Bytes::copy_from_slice(body.as_bytes()));
        let answer = sender
            .send_request(request.body(body).unwrap())
            .await
            .unwrap();
        let (head, body) = answer.into_parts();
        Answer {
            status: head.status,
            headers: head.headers,
            body: body.collect().await.unwrap().to_bytes(),
        }
    }

    /// All headers of a request, its signature among them.
    pub(super) fn signed(
        &self,
        path: &str,
        service: &str,
        headers: &[(&str, &str)],
        body: &str,
        lie: Lie,
    ) -> Vec<(String, String)> {
        let skew = match lie {
            Lie::Skewed(secs) => secs,
            _ => 0,
        };
        let date = stamp(skew);
        let mut all: Vec<_> = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        all.push(("host".to_owned(), self.address.to_string()));
        all.push(("x-amz-date".to_owned(), date.clone()));
        if lie == Lie::Hash {
            let hash = hex::encode(Sha256::digest(b"others"));
            all.push(("x-amz-content-sha256".to_owned(), hash));
        }
        all.sort_unstable();
        let covered = all
            .iter()
            .filter(|(name, _)| lie != Lie::Target || name != "x-amz-target");
        let names: Vec<_> = covered.clone().map(|(name, _)| name.as_str()).collect();
        let names = names.join(";");
        let lines: String = covered
            .map(|(name, value)| format!("{name}:{value}\n"))
            .collect();
        let hash = hex::encode(Sha256::digest(body.as_bytes()));
        let canonical = format!("POST\n{path}\n\n{lines}\n{names}\n{hash}");
        let service = match lie {
            Lie::Service => "s3",
            _ => service,
        };
        let day = match lie {
            Lie::Day => "20200101",
            _ => &date[..8],
        };
        let scope = format!("{day}/eu-central-1/{service}/aws4_request");
        let hash = hex::encode(Sha256::digest(canonical.as_bytes()));
        let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{hash}");
        let secret = match lie {
            Lie::Secret => "AWS4wrong".to_owned(),
            _ => format!("AWS4secret of {}", self.id),
        };
        let key = scope
            .split('/')
            .fold(secret.into_bytes(), |key, part| hmac(&key, part));
        let signature = hex::encode(hmac(&key, &text));
        if lie != Lie::Unsigned {
            let id = self.id;
            let value = format!(
                "AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}"
            );
            all.push(("authorization".to_owned(), value));
        }
        all
    }

    /// Sends what it is given, as it is.
    pub(super) async fn raw(&self, bytes: &[u8]) -> TcpStream {
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        socket.write_all(bytes).await.unwrap();
        socket
    }

    /// A whole request in bytes.
    pub(super) fn bytes(&self, action: &str, body: &str) -> Vec<u8> {
        self.lying(action, body, Lie::No)
    }

    pub(super) fn lying(&self, action: &str, body: &str, lie: Lie) -> Vec<u8> {
        let target = format!("AmazonSQS.{action}");
        let length = body.len().to_string();
        let headers = [
            ("content-length", length.as_str()),
            ("x-amz-target", target.as_str()),
        ];
        let all = self.signed("/", "sqs", &headers, body, lie);
        let lines: String = all
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        format!("POST / HTTP/1.1\r\n{lines}\r\n{body}").into_bytes()
    }
}

fn stamp(skew: i64) -> String {
    let now = gust_task::clock::unix_micros() as i64 / 1_000_000 + skew;
    let at = chrono::DateTime::from_timestamp(now, 0).unwrap();
    at.format("%Y%m%dT%H%M%SZ").to_string()
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}
