//! How a request is sent and an answer is heard.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use gust_types::{Body, Error, Result, call};
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde::{Serialize, de::DeserializeOwned};

use super::Client;
use crate::{BASE, Problem};

/// The largest answer that is read as one document.
const MAX_ANSWER: usize = 64 << 20;
/// The largest error that is read.
const MAX_PROBLEM: usize = 1 << 20;

impl Client {
    /// Asks for a document.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &impl Serialize,
    ) -> Result<T> {
        let path = with_query(path, query)?;
        let request = self.request(Method::GET, &path, call::empty())?;
        self.document(request).await
    }

    /// Sends a document and hears one.
    pub(super) async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T> {
        let request = self.json(method, path, body)?;
        self.document(request).await
    }

    /// Has something done that takes as long as there is of it: the node answers at its end.
    pub(super) async fn work<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T> {
        let request = self.json(Method::POST, path, body)?;
        self.answer(request, None).await
    }

    /// Removes something.
    pub(super) async fn delete(&self, path: &str) -> Result<()> {
        let request = self.request(Method::DELETE, path, call::empty())?;
        self.exchange(request, Some(self.timeouts.head)).await?;
        Ok(())
    }

    /// A request with a JSON body.
    pub(super) fn json(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<Request<Body>> {
        let bytes = serde_json::to_vec(body)
            .map_err(|e| Error::internal("cannot write a request as json").because(e))?;
        let mut request = self.request(method, path, call::full(bytes))?;
        request.headers_mut().insert(
            header::CONTENT_TYPE,
            header::HeaderValue::from_static("application/json"),
        );
        Ok(request)
    }

    /// A request below `/v1`.
    pub(super) fn request(&self, method: Method, path: &str, body: Body) -> Result<Request<Body>> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{BASE}{path}", self.base));
        if let Some(token) = &self.token {
            let mut value = header::HeaderValue::try_from(format!("Bearer {token}"))
                .map_err(|_| Error::invalid("the token has characters that no token has"))?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        request
            .body(body)
            .map_err(|e| Error::invalid(format!("not a path of the api: {path:?}")).because(e))
    }

    /// Sends and hears a document.
    pub(super) async fn document<T: DeserializeOwned>(&self, request: Request<Body>) -> Result<T> {
        self.answer(request, Some(self.timeouts.head)).await
    }

    pub(super) async fn answer<T: DeserializeOwned>(
        &self,
        request: Request<Body>,
        head: Option<Duration>,
    ) -> Result<T> {
        let response = self.exchange(request, head).await?;
        let bytes = collect(response.into_body(), MAX_ANSWER, self.timeouts.idle).await?;
        serde_json::from_slice(&bytes).map_err(|e| not_ours().because(e))
    }

    /// Sends and hears the head of a good answer; `head` bounds the wait for it. Any other answer is an error.
    pub(super) async fn exchange(
        &self,
        request: Request<Body>,
        head: Option<Duration>,
    ) -> Result<Response<Incoming>> {
        let sent = self.http.request(request);
        let response = match head {
            Some(limit) => tokio::time::timeout(limit, sent)
                .await
                .map_err(|_| self.silent())?,
            None => sent.await,
        }
        .map_err(|e| self.unreachable(e))?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(refusal(response, self.timeouts.idle).await)
    }

    fn unreachable(&self, error: hyper_util::client::legacy::Error) -> Error {
        let (what, hint) = if error.is_connect() {
            (
                "cannot reach the node",
                "is the node running? start it with: gust serve",
            )
        } else {
            (
                "the connection to the node broke",
                "look at the node's log, then try again",
            )
        };
        Error::unavailable(format!("{what}: {}", self.base))
            .because(error)
            .hint(hint)
    }

    fn silent(&self) -> Error {
        Error::new(
            gust_types::Kind::Timeout,
            gust_types::Blame::Platform,
            format!("the node does not answer: {}", self.base),
        )
        .hint("is something else listening there? look at the node's log")
    }
}

/// The error that a refusing answer carries.
async fn refusal(response: Response<Incoming>, idle: Duration) -> Error {
    let status = response.status();
    let body = collect(response.into_body(), MAX_PROBLEM, idle)
        .await
        .unwrap_or_default();
    match serde_json::from_slice::<Problem>(&body) {
        Ok(problem) => problem.into(),
        Err(_) => unexplained(status),
    }
}

/// An error without a problem in it: something between us and the node, or no node at all.
fn unexplained(status: StatusCode) -> Error {
    use gust_types::{Blame, Kind};
    let (kind, blame) = match status.as_u16() {
        401 | 403 => (Kind::Denied, Blame::Caller),
        404 | 405 => (Kind::NotFound, Blame::Caller),
        429 => (Kind::Exhausted, Blame::Caller),
        400..=499 => (Kind::Invalid, Blame::Caller),
        502..=504 => (Kind::Unavailable, Blame::Platform),
        _ => (Kind::Internal, Blame::Platform),
    };
    Error::new(
        kind,
        blame,
        format!("the answer is not of a gust node, its status is: {status}"),
    )
    .hint("is this the address of the node's control port?")
}

fn not_ours() -> Error {
    Error::new(
        gust_types::Kind::Failed,
        gust_types::Blame::Platform,
        "the node's answer is not understood",
    )
    .hint("are this program and the node of the same version?")
}

/// A path with these parameters.
pub(super) fn with_query(path: &str, query: &impl Serialize) -> Result<String> {
    let fault = |e: serde_json::Error| Error::internal("cannot write a query").because(e);
    let serde_json::Value::Object(fields) = serde_json::to_value(query).map_err(fault)? else {
        return Ok(path.to_owned());
    };
    let mut out = path.to_owned();
    for (i, (name, value)) in fields.iter().enumerate() {
        let text = match value {
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        out.push(if i == 0 { '?' } else { '&' });
        out.push_str(name);
        out.push('=');
        escape(&text, &mut out);
    }
    Ok(out)
}

/// Percent-encodes everything that is not unreserved.
pub(super) fn escape(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
}

/// The whole body, if it stays within `limit`.
async fn collect(mut body: Incoming, limit: usize, idle: Duration) -> Result<Bytes> {
    let mut all = BytesMut::new();
    while let Some(frame) = next_frame(&mut body, idle).await? {
        if all.len() + frame.len() > limit {
            return Err(not_ours());
        }
        all.extend_from_slice(&frame);
    }
    Ok(all.freeze())
}

/// The next piece of a body; trailers are skipped.
pub(super) async fn next_frame(body: &mut Incoming, idle: Duration) -> Result<Option<Bytes>> {
    loop {
        let frame = tokio::time::timeout(idle, body.frame())
            .await
            .map_err(|_| {
                Error::new(
                    gust_types::Kind::Timeout,
                    gust_types::Blame::Platform,
                    "the node fell silent in the middle of an answer",
                )
            })?;
        match frame {
            None => return Ok(None),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
            Some(Err(e)) => {
                return Err(Error::unavailable("the node's answer broke off")
                    .because(e)
                    .hint("look at the node's log, then try again"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_escaped_and_absent_fields_left_out() {
        let query = crate::usage::BillQuery {
            month: Some("2026-01&x=ü".into()),
            ..Default::default()
        };
        assert_eq!(
            with_query("/b", &query).unwrap(),
            "/b?month=2026-01%26x%3D%C3%BC"
        );
        assert_eq!(
            with_query("/b", &crate::usage::BillQuery::default()).unwrap(),
            "/b"
        );
        let logs = crate::logs::LogQuery {
            limit: Some(5),
            follow: true,
            ..Default::default()
        };
        assert_eq!(with_query("/l", &logs).unwrap(), "/l?limit=5&follow=true");
    }
}
