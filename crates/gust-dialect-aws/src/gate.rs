//! One request, from its head to its answer: bounded, checked for its signature, counted, and named.
//!
//! head → body → signature → service → answer. A body is read only for a key that is known, and as much of it as there is
//! room for in memory. A head that says the body's hash proves by itself whose it is, and then the signature comes first.
//! What was done is told, whatever room there is.

use std::{
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures::FutureExt as _;
use gust_backend::keys::AccessKey;
use gust_task::clock;
use gust_types::ProjectName;
use http::{HeaderMap, HeaderValue, Method, Request, Response, header, request};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::{BodyExt as _, Full};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::{
    Door, Inner,
    fault::{Code, Fault, Result},
    memory::Room,
    operations::{self, Service},
    params::Params,
    protocol::Protocol,
    signature::{self, Signed},
    sqs::moves,
};
use gust_backend::counts::{Class, Counters};

/// Bytes of a request: a batch of a MiB, with what forms and JSON need to write it.
const BODY: usize = 4 << 20;
/// Bytes of a request's head.
pub(crate) const HEADERS: usize = 64 << 10;
/// The longest pause in a request.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest that a whole request may take to come.
const WHOLE: Duration = Duration::from_secs(60);

/// A request that was read and is whose it says.
pub(crate) struct Call<'a> {
    pub(crate) door: &'a Arc<Inner>,
    pub(crate) project: ProjectName,
    pub(crate) region: String,
    /// Where the caller finds this door: scheme and host.
    pub(crate) origin: String,
    pub(crate) path: String,
    pub(crate) params: Value,
}

/// An answer's bytes, and the room in memory that they take.
pub(crate) struct Going {
    bytes: Full<Bytes>,
    _room: Option<Room>,
}

/// What is known of a request when it is refused.
struct Visit {
    protocol: Protocol,
    service: Service,
    counted: Option<(ProjectName, Arc<Counters>)>,
}

// === impl Door ===

impl Door {
    /// Answers a request, whatever happens.
    pub(crate) async fn answer<B>(&self, request: Request<B>) -> Response<Going>
    where
        B: HttpBody<Data = Bytes> + Unpin + Send + 'static,
    {
        let id = gust_task::ids::call_id().to_string();
        let mut visit = Visit {
            protocol: Protocol::of(request.headers()),
            service: guess(request.headers()),
            counted: None,
        };
        let pass = AssertUnwindSafe(self.0.pass(request, &mut visit, &id));
        let answer = pass.catch_unwind().await.unwrap_or_else(|panic| {
            let panic = gust_task::panic_text(&*panic);
            tracing::error!(panic, "an aws operation panicked");
            Err(Code::INTERNAL.says("the node failed; its log knows why"))
        });
        let mut answer =
            answer.unwrap_or_else(|fault| visit.protocol.refusal(visit.service, &fault, &id));
        let size = answer.body().len();
        let room = visit.counted.and_then(|(project, counters)| {
            counters.went(size as u64);
            self.0.memory.answer(&project, size)
        });
        let headers = answer.headers_mut();
        if let Ok(id) = HeaderValue::from_str(&id) {
            headers.insert("x-amzn-requestid", id);
        }
        headers.insert(header::SERVER, HeaderValue::from_static("gust"));
        answer.map(|bytes| Going {
            bytes: Full::new(bytes),
            _room: room,
        })
    }
}

/// Which service is meant, before anything is known for sure: only its errors look different.
fn guess(headers: &HeaderMap) -> Service {
    let text = |name: &str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    if text("x-amz-target").starts_with("AWSEvents.") {
        return Service::Events;
    }
    match text("authorization").contains("/sns/aws4_request") {
        true => Service::Sns,
        false => Service::Sqs,
    }
}

// === impl Inner ===

impl Inner {
    async fn pass<B>(
        self: &Arc<Self>,
        request: Request<B>,
        visit: &mut Visit,
        id: &str,
    ) -> Result<Response<Bytes>>
    where
        B: HttpBody<Data = Bytes> + Unpin + Send + 'static,
    {
        let (head, body) = request.into_parts();
        let (signed, key) = self.head(&head)?;
        let what = (&head.method, &head.uri, &head.headers);
        let said = Signed::said(&head.headers)?;
        if let Some(hash) = said {
            signed.verify(&key.secret, what, hash)?;
        }
        let mut room = self.memory.body(&key.project);
        let coming = self.body(&head.headers, body, &mut room, said.is_some());
        let coming = tokio::time::timeout(WHOLE, coming).await;
        let body = coming.map_err(|_| paused())??;
        let hash = hex::encode(Sha256::digest(&body));
        match said {
            Some(said) => signature::same(said, &hash)?,
            None => signed.verify(&key.secret, what, &hash)?,
        }
        let counters = self.counts.of(&key.project);
        counters.came(body.len() as u64);
        visit.counted = Some((key.project.clone(), counters.clone()));
        let asked = visit.protocol.read(&head.headers, &body, &signed.service)?;
        visit.service = asked.service;
        meant(asked.service, &signed)?;
        let operation = operations::find(asked.service, &asked.action)?;
        counters.operation(operation.class);
        // Only those have large answers; they are told before anything is done.
        if operation.class != Class::Write && !self.memory.answers(&key.project) {
            return Err(Code::THROTTLED.says("too many large answers are under way"));
        }
        let call = Call {
            door: self,
            project: key.project,
            region: signed.region,
            origin: origin(&head.headers),
            path: head.uri.path().to_owned(),
            params: asked.params,
        };
        moves::resume(self, &call.project).await?;
        let value = (operation.run)(&call).await?;
        Ok(visit
            .protocol
            .answer((asked.service, &asked.action), &value, id))
    }

    /// Who asks, as far as the head tells.
    fn head(&self, head: &request::Parts) -> Result<(Signed, AccessKey)> {
        let sizes = head.headers.iter();
        let sizes = sizes.map(|(name, value)| name.as_str().len() + value.len() + 4);
        if sizes.sum::<usize>() > HEADERS {
            return Err(Code::TOO_LARGE.says(format!("A head has at most {HEADERS} bytes.")));
        }
        if head.method != Method::POST {
            return Err(Code::NO_ACTION.says("Requests to this endpoint are POSTs."));
        }
        let signed = Signed::read(&head.headers, &head.uri, clock::unix_micros())?;
        let key = self.parts.keys.find(&signed.key);
        let key = key.ok_or_else(|| {
            Code::NO_KEY.says("The security token included in the request is invalid.")
        })?;
        if ![Service::Sqs, Service::Sns, Service::Events]
            .into_iter()
            .any(|service| scope(service) == signed.service)
        {
            return Err(Code::SIGNATURE
                .says("Credential should be scoped to the service sqs, sns or events."));
        }
        let coded = head.headers.get(header::CONTENT_ENCODING);
        match coded.is_some_and(|coding| coding.as_bytes() != b"identity") {
            true => Err(Code::MALFORMED.says("Compressed requests are not served here.")),
            false => Ok((signed, key)),
        }
    }

    /// The whole of a body, bounded; room is taken as it comes.
    async fn body<B>(
        &self,
        headers: &HeaderMap,
        mut body: B,
        room: &mut Room,
        proven: bool,
    ) -> Result<Bytes>
    where
        B: HttpBody<Data = Bytes> + Unpin,
    {
        let large = || Code::TOO_LARGE.says(format!("A request has at most {BODY} bytes."));
        let said = headers.get(header::CONTENT_LENGTH);
        let said = said.and_then(|said| said.to_str().ok()?.parse::<usize>().ok());
        if said.is_some_and(|said| said > BODY) {
            return Err(large());
        }
        let mut whole = BytesMut::new();
        loop {
            let frame = tokio::time::timeout(PATIENCE, body.frame());
            let Some(frame) = frame.await.map_err(|_| paused())? else {
                return Ok(whole.freeze());
            };
            let broken = |_| Code::MALFORMED.says("The body broke off.");
            let Ok(data) = frame.map_err(broken)?.into_data() else {
                continue;
            };
            if whole.len() + data.len() > BODY {
                return Err(large());
            }
            if !room.grow(whole.len() + data.len(), proven) {
                return Err(Code::THROTTLED.says("too many large requests are under way"));
            }
            whole.extend_from_slice(&data);
        }
    }
}

fn paused() -> Fault {
    Code::TIMEOUT.says("The body did not go on in time.")
}

/// A signature for one service is none for another.
fn meant(service: Service, signed: &Signed) -> Result<()> {
    let wanted = scope(service);
    match signed.service == wanted {
        true => Ok(()),
        false => Err(Code::SIGNATURE.says(format!(
            "Credential should be scoped to the service {wanted}."
        ))),
    }
}

fn scope(service: Service) -> &'static str {
    match service {
        Service::Sqs => "sqs",
        Service::Sns => "sns",
        Service::Events => "events",
    }
}

/// Where the caller finds this door. A proxy in front says when it is spoken to over TLS.
fn origin(headers: &HeaderMap) -> String {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let scheme = match text("x-forwarded-proto") {
        Some("https") => "https",
        _ => "http",
    };
    format!("{scheme}://{}", text("host").unwrap_or("localhost"))
}

// === impl Call ===

impl Call<'_> {
    pub(crate) fn params(&self) -> Result<Params<'_>> {
        Params::of(&self.params)
    }
}

// === impl Going ===

impl HttpBody for Going {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.bytes).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.bytes.size_hint()
    }
}
