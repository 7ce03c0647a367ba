//! One request and its response over the network.

use std::{future::poll_fn, sync::Arc};

use http::{HeaderValue, Version, header, uri::PathAndQuery};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use wasmtime_wasi_http::{Error, WasiBody};

use super::{
    body::Received,
    connect::Line,
    fault, headers,
    pool::{Pool, Route},
    time::Budget,
};

/// Kept connections that are tried before a new one is made: each may have been closed by the other side just now.
const KEPT_TRIES: usize = 3;

pub(super) struct Exchange<'a> {
    pub(super) pool: &'a Arc<Pool>,
    pub(super) route: Route,
    pub(super) budget: Budget,
    /// The most bytes of a response's body.
    pub(super) limit: u64,
}

/// A request that did not get through.
enum Unsent {
    /// It never left: another connection may take it.
    Whole(Box<http::Request<WasiBody>>),
    Lost(Error),
}

// === impl Exchange ===

impl Exchange<'_> {
    pub(super) async fn run(
        self,
        mut request: http::Request<WasiBody>,
    ) -> Result<http::Response<WasiBody>, Error> {
        for _ in 0..KEPT_TRIES {
            let Some(line) = self.pool.idle(&self.route) else {
                break;
            };
            let again = repeatable(&request);
            match (self.send(line, request).await, again) {
                (Ok(response), _) => return Ok(response),
                (Err(Unsent::Whole(unsent)), _) => request = *unsent,
                // The other side closed the connection in the moment it was used: nobody's fault.
                (Err(Unsent::Lost(Error::ConnectionTerminated)), Some(same)) => request = same,
                (Err(Unsent::Lost(error)), _) => return Err(error),
            }
        }
        let by = self.budget.connected_by();
        let line = self.pool.connect(&self.route, by).await?;
        self.send(line, request)
            .await
            .map_err(|unsent| match unsent {
                Unsent::Whole(_) => Error::ConnectionTerminated,
                Unsent::Lost(error) => error,
            })
    }

    async fn send(
        &self,
        mut line: Line,
        mut request: http::Request<WasiBody>,
    ) -> Result<http::Response<WasiBody>, Unsent> {
        self.address(&line, &mut request).map_err(Unsent::Lost)?;
        if let Line::Http2(_) = &line
            && let Some(shared) = line.share()
        {
            self.pool.keep(&self.route, shared);
        }
        let answered_by = self.budget.answered_by().into();
        let sent = tokio::time::timeout_at(answered_by, line.send(request)).await;
        let mut response = match sent {
            Ok(sent) => sent?,
            Err(_) => return Err(Unsent::Lost(Error::ConnectionReadTimeout)),
        };
        self.keep_when_done(line);
        headers::strip(response.headers_mut());
        Ok(response.map(|body| Received::new(body, self.budget, self.limit).boxed_unsync()))
    }

    /// Writes the target as the protocol wants it: HTTP/1 the path and a host header, HTTP/2 the whole URI.
    fn address(&self, line: &Line, request: &mut http::Request<WasiBody>) -> Result<(), Error> {
        let origin = &self.route.origin;
        let path = request.uri().path_and_query().cloned();
        let path = path.unwrap_or_else(|| PathAndQuery::from_static("/"));
        let invalid = |_| Error::HttpRequestUriInvalid;
        let (uri, version) = match line {
            Line::Http1(_) => {
                let host = HeaderValue::try_from(origin.authority());
                let host = host.map_err(|_| Error::HttpRequestUriInvalid)?;
                request.headers_mut().insert(header::HOST, host);
                (http::Uri::from(path), Version::HTTP_11)
            }
            Line::Http2(_) => {
                request.headers_mut().remove(header::HOST);
                let uri = http::Uri::builder()
                    .scheme(origin.scheme())
                    .authority(origin.authority())
                    .path_and_query(path)
                    .build();
                (uri.map_err(invalid)?, Version::HTTP_2)
            }
        };
        *request.uri_mut() = uri;
        *request.version_mut() = version;
        Ok(())
    }

    /// An HTTP/1 connection is free again when the body has been read, which is up to the guest.
    fn keep_when_done(&self, line: Line) {
        let Line::Http1(mut line) = line else {
            return;
        };
        let (pool, route) = (self.pool.clone(), self.route.clone());
        if line.is_ready() {
            pool.keep(&route, Line::Http1(line));
            return;
        }
        gust_task::spawn("outbound connection return", async move {
            if line.ready().await.is_ok() {
                pool.keep(&route, Line::Http1(line));
            }
        });
    }
}

/// The same request again, if sending it twice does no harm.
fn repeatable(request: &http::Request<WasiBody>) -> Option<http::Request<WasiBody>> {
    if !request.method().is_idempotent() || !request.body().is_end_stream() {
        return None;
    }
    let nothing = Empty::new().map_err(|never| match never {});
    let mut same = http::Request::new(nothing.boxed_unsync());
    *same.method_mut() = request.method().clone();
    *same.uri_mut() = request.uri().clone();
    *same.headers_mut() = request.headers().clone();
    Some(same)
}

// === impl Line ===

impl Line {
    async fn send(
        &mut self,
        request: http::Request<WasiBody>,
    ) -> Result<http::Response<Incoming>, Unsent> {
        let sent = match self {
            Line::Http1(line) => {
                if poll_fn(|cx| line.poll_ready(cx)).await.is_err() {
                    return Err(Unsent::Whole(Box::new(request)));
                }
                line.try_send_request(request).await
            }
            Line::Http2(line) => {
                if poll_fn(|cx| line.poll_ready(cx)).await.is_err() {
                    return Err(Unsent::Whole(Box::new(request)));
                }
                line.try_send_request(request).await
            }
        };
        sent.map_err(|mut failed| match failed.take_message() {
            Some(request) => Unsent::Whole(Box::new(request)),
            None => Unsent::Lost(fault::of_exchange(failed.into_error())),
        })
    }

    pub(super) fn is_closed(&self) -> bool {
        match self {
            Line::Http1(line) => line.is_closed(),
            Line::Http2(line) => line.is_closed(),
        }
    }

    /// A second sender on the same connection, where the protocol has many requests on one.
    pub(super) fn share(&self) -> Option<Line> {
        match self {
            Line::Http1(_) => None,
            Line::Http2(line) => Some(Line::Http2(line.clone())),
        }
    }
}
