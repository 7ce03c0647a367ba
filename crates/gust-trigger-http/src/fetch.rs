//! One answer: the request, where it leads, and no more of the body than may be.
//!
//! Each request has a connection of its own. What the user's headers say goes to the place that the URL names and nowhere
//! else, and a server that sends us on opens no private address: whoever runs a page does not speak for who deployed.

use std::{
    pin::pin,
    time::{Duration, SystemTime},
};

use bytes::{Bytes, BytesMut};
use gust_task::clock;
use gust_trigger::{Dial, Peer, Tls};
use gust_types::{Error, Result};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Empty};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;
use url::{Position, Url};

use crate::{seen::Tags, settings::SCHEMES};

/// Times that a server may send us on.
const HOPS: usize = 5;
/// Bytes of an answer's headers.
const HEAD: usize = 64 << 10;
/// Bytes of a media type.
const MEDIA: usize = 256;
/// The longest that a server may ask us to wait.
const PAUSE: Duration = Duration::from_secs(86_400);

/// A page.
pub(crate) struct Page {
    /// Where it is. No name and no password.
    pub(crate) peer: Peer,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    /// How long an answer may take, from the connection to its last byte.
    pub(crate) timeout: Duration,
    /// Bytes of the body.
    pub(crate) most: usize,
    pub(crate) tls: Tls,
    pub(crate) dial: Dial,
}

/// What a server said.
#[derive(Debug)]
pub(crate) enum Answer {
    /// What it said before.
    Same,
    Fresh(Fresh),
}

/// A body, whole.
#[derive(Debug)]
pub(crate) struct Fresh {
    pub(crate) tags: Tags,
    pub(crate) media: Option<String>,
    pub(crate) bytes: Bytes,
}

/// There was no answer that can be used.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) error: Error,
    /// Whether to ask again as soon as after a lost connection.
    soon: bool,
    /// What the server asks for.
    after: Option<Duration>,
}

/// Where a request goes next.
pub(crate) enum Next {
    Here(Answer),
    On(Url),
}

// === impl Page ===

impl Page {
    /// Bytes of a page that is one event; a little less than a message may have.
    pub(crate) const WHOLE: usize = 992 << 10;
    /// Bytes of a list, none of whose elements may be larger than a message.
    pub(crate) const LIST: usize = 8 << 20;

    pub(crate) async fn fetch(&self, tags: Option<&Tags>) -> Result<Answer, Failed> {
        match timeout(self.timeout, self.walk(tags)).await {
            Ok(answer) => answer,
            Err(_) => Err(Error::timeout(format!(
                "no whole answer within {} ms: {}",
                self.timeout.as_millis(),
                self.peer
            ))
            .into()),
        }
    }

    /// Goes where it is sent.
    async fn walk(&self, tags: Option<&Tags>) -> Result<Answer, Failed> {
        let mut url = self.url.clone();
        for _ in 0..=HOPS {
            match self.step(&url, tags).await? {
                Next::Here(answer) => return Ok(answer),
                Next::On(next) => url = next,
            }
        }
        let text = format!("sent on more than {HOPS} times: {}", self.peer);
        Err(Failed::late(Error::unavailable(text)))
    }

    pub(crate) async fn step(&self, url: &Url, tags: Option<&Tags>) -> Result<Next, Failed> {
        let mut peer = Peer::parse(url.as_str(), SCHEMES)
            .map_err(|_| Failed::late(Error::unavailable("sent on to what is no place")))?;
        peer.user = None;
        peer.password = None;
        let home = peer.same_place(&self.peer);
        if self.peer.tls && !peer.tls {
            let text = format!("sent on from TLS to a place without: {peer}");
            return Err(Failed::late(Error::denied(text)));
        }
        let stream = match home {
            true => self.dial.connect(&peer, &self.tls).await?,
            false => self.dial.follow(&self.peer, &peer, &self.tls).await?,
        };
        let fault = |error: hyper::Error| {
            Error::unavailable(format!("no answer that is HTTP: {peer}")).because(error)
        };
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(HEAD)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(fault)?;
        let asked = async {
            let request = self.request(url, home, tags)?;
            let answer = sender.send_request(request).await.map_err(fault)?;
            self.heard(url, &peer, answer).await
        };
        let (mut asked, mut connection) = (pin!(asked), pin!(connection));
        let mut open = true;
        loop {
            tokio::select! {
                next = &mut asked => return next,
                // Whatever it ends with, the request ends with it too.
                _ = &mut connection, if open => open = false,
            }
        }
    }

    pub(crate) fn request(
        &self,
        url: &Url,
        home: bool,
        tags: Option<&Tags>,
    ) -> Result<Request<Empty<Bytes>>> {
        let host = &url[Position::BeforeHost..Position::AfterPort];
        let target = &url[Position::BeforePath..Position::AfterQuery];
        let mut headers = match home {
            true => self.headers.clone(),
            false => HeaderMap::new(),
        };
        headers.insert(header::HOST, value(host)?);
        headers.insert(
            header::ACCEPT_ENCODING,
            HeaderValue::from_static("identity"),
        );
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        let agent = concat!("gust/", env!("CARGO_PKG_VERSION"));
        let defaults = [(header::USER_AGENT, agent), (header::ACCEPT, "*/*")];
        for (name, text) in defaults {
            headers
                .entry(name)
                .or_insert(HeaderValue::from_static(text));
        }
        if let Some(etag) = tags.and_then(|tags| tags.etag.as_deref()) {
            headers.insert(header::IF_NONE_MATCH, value(etag)?);
        } else if let Some(modified) = tags.and_then(|tags| tags.modified.as_deref()) {
            headers.insert(header::IF_MODIFIED_SINCE, value(modified)?);
        }
        let mut request = Request::get(target).body(Empty::new()).map_err(|error| {
            Error::invalid("the url has no path that can be sent").because(error)
        })?;
        *request.headers_mut() = headers;
        Ok(request)
    }

    async fn heard(
        &self,
        url: &Url,
        peer: &Peer,
        answer: Response<Incoming>,
    ) -> Result<Next, Failed> {
        let status = answer.status();
        if let 301 | 302 | 303 | 307 | 308 = status.as_u16() {
            let to = answer.headers().get(header::LOCATION);
            let to = to.and_then(|to| url.join(to.to_str().ok()?).ok());
            let Some(mut to) = to else {
                let text = format!("sent on without a place to go: {peer}");
                return Err(Failed::late(Error::unavailable(text)));
            };
            to.set_fragment(None);
            return Ok(Next::On(to));
        }
        match status {
            StatusCode::OK => self.body(peer, answer).await.map(Next::Here),
            StatusCode::NOT_MODIFIED | StatusCode::NO_CONTENT => Ok(Next::Here(Answer::Same)),
            _ => Err(refused(peer, status, answer.headers())),
        }
    }

    async fn body(&self, peer: &Peer, answer: Response<Incoming>) -> Result<Answer, Failed> {
        let too_much = || {
            let text = format!("the answer has more than {} bytes: {peer}", self.most);
            Failed::late(Error::exhausted(text))
        };
        let headers = answer.headers();
        let coded = headers.get(header::CONTENT_ENCODING);
        if coded.is_some_and(|coding| coding != "identity") {
            let text = format!("the answer is compressed, which was not asked for: {peer}");
            return Err(Failed::late(Error::unavailable(text)));
        }
        let tags = Tags::of(headers);
        let media = headers.get(header::CONTENT_TYPE);
        let media = media.and_then(|media| media.to_str().ok());
        let media = media
            .filter(|media| media.len() <= MEDIA)
            .map(str::to_owned);
        let mut body = answer.into_body();
        let mut bytes = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| {
                Error::unavailable(format!("the answer ends too early: {peer}")).because(error)
            })?;
            let Some(data) = frame.data_ref() else {
                continue;
            };
            if bytes.len() + data.len() > self.most {
                return Err(too_much());
            }
            bytes.extend_from_slice(data);
        }
        Ok(Answer::Fresh(Fresh {
            tags,
            media,
            bytes: bytes.freeze(),
        }))
    }
}

fn value(text: &str) -> Result<HeaderValue> {
    HeaderValue::from_str(text)
        .map_err(|error| Error::invalid("the url has a host that cannot be sent").because(error))
}

fn refused(peer: &Peer, status: StatusCode, headers: &HeaderMap) -> Failed {
    let after = headers.get(header::RETRY_AFTER);
    let after = after.and_then(|after| after.to_str().ok()).and_then(pause);
    let asks = after.map_or_else(String::new, |after| {
        format!(", and asks to wait {} s", after.as_secs())
    });
    let error = Error::unavailable(format!("{peer} answers {}{asks}", status.as_u16()));
    let error = match status.as_u16() {
        401 | 403 => error.hint("does it want a user and a password, a token or a header?"),
        _ => error,
    };
    Failed {
        error,
        // Of the other faults, asking again changes nothing.
        soon: status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT,
        after,
    }
}

/// What `Retry-After` says: seconds, or a date.
fn pause(text: &str) -> Option<Duration> {
    let wait = match text.trim().parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let at = httpdate::parse_http_date(text.trim()).ok()?;
            let now = SystemTime::UNIX_EPOCH + Duration::from_micros(clock::unix_micros());
            at.duration_since(now).unwrap_or_default()
        }
    };
    Some(wait.min(PAUSE))
}

// === impl Failed ===

impl Failed {
    /// One that is the same the next time.
    fn late(error: Error) -> Self {
        Self {
            error,
            soon: false,
            after: None,
        }
    }

    /// How long not to ask, by what the server says and by how often it is asked anyway.
    pub(crate) fn pause(&self, every: Duration) -> Option<Duration> {
        match (self.after, self.soon) {
            (Some(after), _) => Some(after),
            (None, true) => None,
            (None, false) => Some(every),
        }
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self {
            error,
            soon: true,
            after: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_may_ask_for_time_in_two_ways() {
        assert_eq!(pause("120"), Some(Duration::from_secs(120)));
        assert_eq!(pause(" 0 "), Some(Duration::ZERO));
        assert_eq!(pause("99999999999"), Some(PAUSE));
        assert_eq!(pause("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        let now = SystemTime::UNIX_EPOCH + Duration::from_micros(clock::unix_micros());
        let later = httpdate::fmt_http_date(now + Duration::from_secs(100));
        let found = pause(&later).unwrap().as_secs();
        assert!((95..=100).contains(&found), "{found}");
        assert_eq!(pause("soon"), None);
        assert_eq!(pause("-1"), None);
    }
}
