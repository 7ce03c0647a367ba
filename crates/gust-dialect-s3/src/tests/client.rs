//! A client that signs with AWS4-HMAC-SHA256, and can do it wrong.

use std::net::SocketAddr;

use bytes::Bytes;
use hmac::{Hmac, Mac as _};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use sha2::{Digest as _, Sha256};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

pub(super) struct Client {
    pub(super) address: SocketAddr,
    id: &'static str,
}

pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    body: Bytes,
}

/// How a request is not what it says.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Lie {
    No,
    /// It has no signature.
    Unsigned,
    /// It is signed with another secret.
    Secret,
    /// The clock is wrong by so many seconds.
    Skewed(i64),
    /// The bytes are not those that were signed.
    Bytes,
    /// The body is chunked, unsigned, with a trailer: no lie, but for what the chunks say.
    Trailer,
    /// More is announced than comes.
    Length,
}

impl Answer {
    #[track_caller]
    pub(super) fn is(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        self
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

pub(super) fn encode(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte);
    let encoded = text.bytes().map(|byte| match plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    });
    encoded.collect()
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// `20260101T000000Z`, so many seconds from now.
fn stamp(skew: i64) -> String {
    let now_us = gust_task::clock::unix_micros() as i64 + skew * 1_000_000;
    let now = chrono::DateTime::from_timestamp_micros(now_us).unwrap();
    now.format("%Y%m%dT%H%M%SZ").to_string()
}

impl Client {
    pub(super) fn new(address: SocketAddr, id: &'static str) -> Self {
        Self { address, id }
    }

    pub(super) async fn get(&self, target: &str) -> Answer {
        self.send("GET", target, &[], "").await
    }

    pub(super) async fn put(&self, target: &str, body: &str) -> Answer {
        self.send("PUT", target, &[], body).await
    }

    pub(super) async fn send(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        self.lie(method, target, headers, body, Lie::No).await
    }

    fn sign(&self, lie: Lie, date: &str, canonical: &str) -> String {
        let scope = format!("{}/us-east-1/s3/aws4_request", &date[..8]);
        let text = format!(
            "AWS4-HMAC-SHA256\n{date}\n{scope}\n{}",
            sha256(canonical.as_bytes())
        );
        let secret = match lie {
            Lie::Secret => "another".to_owned(),
            _ => format!("secret of {}", self.id),
        };
        let mut key = hmac(format!("AWS4{secret}").as_bytes(), &date[..8]);
        for part in ["us-east-1", "s3", "aws4_request"] {
            key = hmac(&key, part);
        }
        hex::encode(hmac(&key, &text))
    }

    pub(super) async fn lie(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
        lie: Lie,
    ) -> Answer {
        let skew = if let Lie::Skewed(skew) = lie { skew } else { 0 };
        let date = stamp(skew);
        let payload = match lie {
            Lie::Bytes => sha256(b"others"),
            Lie::Trailer => "STREAMING-UNSIGNED-PAYLOAD-TRAILER".to_owned(),
            Lie::Length => "UNSIGNED-PAYLOAD".to_owned(),
            _ => sha256(body.as_bytes()),
        };
        let mut all: Vec<(String, String)> = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        all.push(("host".to_owned(), self.address.to_string()));
        all.push(("x-amz-date".to_owned(), date.clone()));
        all.push(("x-amz-content-sha256".to_owned(), payload.clone()));
        all.sort_unstable();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let signed = all
            .iter()
            .map(|(name, _)| name.as_str())
            .collect::<Vec<_>>()
            .join(";");
        let lines: String = all
            .iter()
            .map(|(name, value)| format!("{name}:{value}\n"))
            .collect();
        let canonical = format!(
            "{method}\n{path}\n{}\n{lines}\n{signed}\n{payload}",
            sorted(query)
        );
        let signature = self.sign(lie, &date, &canonical);
        if lie != Lie::Unsigned {
            let credential = format!("{}/{}/us-east-1/s3/aws4_request", self.id, &date[..8]);
            all.push((
                "authorization".to_owned(),
                format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={signed}, Signature={signature}"),
            ));
        }
        let all: Vec<_> = all
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        if lie == Lie::Length {
            return self.head_only(method, target, &all).await;
        }
        self.exchange(method, target, &all, body).await
    }

    /// A URL that is good for so many seconds, from so many seconds ago.
    pub(super) fn presign(&self, method: &str, path: &str, secs: u64, skew: i64) -> String {
        let date = stamp(skew);
        let credential = format!("{}/{}/us-east-1/s3/aws4_request", self.id, &date[..8]);
        let query = format!(
            "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={}&X-Amz-Date={date}&X-Amz-Expires={secs}&X-Amz-SignedHeaders=host",
            encode(&credential).replace('/', "%2F")
        );
        let canonical = format!(
            "{method}\n{path}\n{query}\nhost:{}\n\nhost\nUNSIGNED-PAYLOAD",
            self.address
        );
        let signature = self.sign(Lie::No, &date, &canonical);
        format!("{path}?{query}&X-Amz-Signature={signature}")
    }

    pub(super) async fn plain(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let host = self.address.to_string();
        let mut all = vec![("host", host.as_str())];
        all.extend(headers);
        self.exchange(method, target, &all, body).await
    }

    async fn exchange(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let socket = TcpStream::connect(self.address).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket))
            .await
            .unwrap();
        gust_task::spawn("client", async move {
            let _ = connection.await;
        });
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
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

    /// Sends a head by hand and reads the answer to what never comes.
    async fn head_only(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> Answer {
        use tokio::io::AsyncReadExt as _;
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        let lines: String = headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        let head = format!("{method} {target} HTTP/1.1\r\n{lines}\r\n");
        socket.write_all(head.as_bytes()).await.unwrap();
        let mut all = Vec::new();
        let mut piece = [0; 4096];
        while !String::from_utf8_lossy(&all).contains("</Error>") {
            let read = socket.read(&mut piece).await.unwrap();
            assert!(read > 0, "{}", String::from_utf8_lossy(&all));
            all.extend_from_slice(&piece[..read]);
        }
        let text = String::from_utf8_lossy(&all).into_owned();
        let status = text.split(' ').nth(1).unwrap().parse::<u16>().unwrap();
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: text.into(),
        }
    }

    /// Announces so many bytes, sends some, and goes away.
    pub(super) async fn broken(&self, path: &str, announced: usize, some: &str) {
        let url = self.presign("PUT", path, 60, 0);
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        let head = format!(
            "PUT {url} HTTP/1.1\r\nhost: {}\r\ncontent-length: {announced}\r\n\r\n{some}",
            self.address
        );
        socket.write_all(head.as_bytes()).await.unwrap();
        socket.flush().await.unwrap();
    }
}

/// The query as it is signed.
fn sorted(query: &str) -> String {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| match pair.split_once('=') {
        Some(_) => pair.to_owned(),
        None => format!("{pair}="),
    });
    let mut pairs: Vec<_> = pairs.collect();
    pairs.sort_unstable();
    pairs.join("&")
}
