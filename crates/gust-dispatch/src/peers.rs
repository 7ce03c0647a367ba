//! Calls between functions of one app, in process: no socket, the same path.
//!
//! An in-process call is admitted, acquired, limited and billed like any other, with the trigger `internal`. It reaches
//! private functions; it cannot leave the app. Chains end at [`Origin::MAX_HOPS`], so a loop ends with its name.

use std::{
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use futures::stream;
use gust_runtime::{PeerContext, Peers, artifact::storage};
use gust_task::ids;
use gust_types::{
    Body, BoxFuture, Call, Error, FunctionKey, FunctionName, Reply, Result, Revision,
    call::{Origin, Trace, Trigger, full},
};
use http::{Request, header, request};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use tokio::{
    io::AsyncReadExt as _,
    runtime::Handle,
    sync::{mpsc, oneshot},
    task::AbortHandle,
};

use crate::{
    Core, FunctionEntry,
    path::walk,
    route::{FileSite, FixedResponse, Routed, Target, headers},
};

/// The way from a guest back into the engine.
pub(crate) struct Door {
    /// Weak: the engine owns the guests.
    core: Weak<Core>,
    /// The threads that serve: a guest that calls may be driven by others.
    threads: Option<Handle>,
}

/// The body of a reply that a task of its own reads.
struct Pumped {
    /// `None` is the end.
    frames: mpsc::Receiver<Option<Result<Frame<Bytes>>>>,
    over: bool,
    _task: Ends,
}

/// Ends a task when nobody wants what it does any more.
struct Ends(AbortHandle);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.abort();
    }
}

// === impl Door ===

impl Door {
    pub(crate) fn new(core: Weak<Core>) -> Self {
        Self {
            core,
            threads: Handle::try_current().ok(),
        }
    }
}

impl Peers for Door {
    fn call(
        &self,
        from: &Revision,
        function: Option<&FunctionName>,
        request: Request<Body>,
        context: PeerContext,
    ) -> BoxFuture<'static, Result<Reply>> {
        let found = find(&self.core, &from.key, function, request.uri().path());
        let (from, threads) = (from.key.clone(), self.threads.clone());
        Box::pin(async move {
            let (core, routed) = found?;
            let (mut head, body) = request.into_parts();
            match &routed.target {
                Target::Function(entry) => {
                    let hops = next_hop(&from, entry, context.hops)?;
                    headers::set(&routed, &head.uri, &mut head.headers, None);
                    headers::trace(&context.trace, &mut head.headers);
                    let request = Request::from_parts(head, body);
                    let call = inner(entry, hops, context, request);
                    aside(call, entry.clone(), threads).await
                }
                Target::Response(fixed) => Ok(fixed.reply()),
                Target::Files(site) => file(&core, site, &routed, &head).await,
                Target::Hook(hook) => Err(Error::denied(format!(
                    "a webhook is called from outside only: {}",
                    hook.spec.path
                ))
                .hint("to start the same function, publish to a queue that it has a trigger for")),
            }
        })
    }
}

/// Walks, and reads the reply, in a task of its own. Whoever waits here may be a guest in its event loop, and another guest
/// must not be driven from inside of that: wasmtime forbids it, and the one's CPU time is not the other's.
async fn aside(call: Call, entry: Arc<FunctionEntry>, threads: Option<Handle>) -> Result<Reply> {
    let (answer, answered) = oneshot::channel();
    let task = async move {
        let (parts, mut body) = match walk(call, &entry, None).await {
            Ok(reply) => reply.into_parts(),
            Err(error) => {
                let _ = answer.send(Err(error));
                return;
            }
        };
        // One frame ahead, so that a slow reader slows the guest down.
        let (pump, frames) = mpsc::channel(1);
        if answer.send(Ok((parts, frames))).is_err() {
            return;
        }
        loop {
            let frame = body.frame().await;
            let is_over = frame.is_none();
            if pump.send(frame).await.is_err() || is_over {
                return;
            }
        }
    };
    let task = {
        let _inside = threads.as_ref().map(Handle::enter);
        Ends(gust_task::spawn("internal call", task).abort_handle())
    };
    let (parts, frames) = answered
        .await
        .map_err(|_| Error::internal("an in-process call ended without an answer"))??;
    let body = Pumped {
        frames,
        over: false,
        _task: task,
    };
    Ok(Reply::from_parts(parts, body.boxed_unsync()))
}

fn find(
    core: &Weak<Core>,
    from: &FunctionKey,
    function: Option<&FunctionName>,
    path: &str,
) -> Result<(Arc<Core>, Routed)> {
    let core = core
        .upgrade()
        .ok_or_else(|| Error::unavailable("the node is stopping"))?;
    let table = core.published.table();
    let site = table
        .app(&from.project, &from.app)
        .ok_or_else(|| Error::not_found(format!("the app was removed: {}", from.app)))?;
    let routed = match function {
        Some(name) => site
            .function(name)
            .map(|entry| Routed::whole(Target::Function(entry.clone())))
            .ok_or_else(|| no_such(from, name))?,
        None => site
            .route(path)
            .ok_or_else(|| Error::not_found(format!("no route matches in app: {}", from.app)))?,
    };
    drop(table);
    Ok((core, routed))
}

fn no_such(from: &FunctionKey, name: &FunctionName) -> Error {
    Error::not_found(format!("the app {} has no function: {name}", from.app))
        .hint("in-process calls reach functions of the same app only")
}

/// A call that is one hop deeper, unless that is too deep.
fn next_hop(from: &FunctionKey, to: &FunctionEntry, hops: u8) -> Result<u8> {
    let next = hops.saturating_add(1);
    if next <= Origin::MAX_HOPS {
        return Ok(next);
    }
    Err(Error::failed(format!(
        "in-process calls are nested deeper than {}, the last from {} to: {}",
        Origin::MAX_HOPS,
        from.function,
        to.key().function
    ))
    .hint(format!(
        "a loop through {} calls itself without end: give it a case in which it answers without calling",
        to.key().function
    )))
}

fn inner(entry: &FunctionEntry, hops: u8, context: PeerContext, request: Request<Body>) -> Call {
    Call {
        id: ids::call_id(),
        function: entry.key().clone(),
        origin: Origin {
            trigger: Trigger::Internal,
            peer: None,
            hops,
            cause: context.cause,
        },
        deadline: context.deadline,
        // A guest that keeps spans of its own has said which of them this call belongs to.
        trace: Trace::of(request.headers()).unwrap_or(context.trace),
        request,
    }
}

// === impl Pumped ===

impl http_body::Body for Pumped {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>>>> {
        if self.over {
            return Poll::Ready(None);
        }
        let Poll::Ready(frame) = self.frames.poll_recv(cx) else {
            return Poll::Pending;
        };
        let broken = || Some(Err(Error::internal("an in-process call broke off")));
        let frame = frame.unwrap_or_else(broken);
        self.over = !matches!(frame, Some(Ok(_)));
        Poll::Ready(frame)
    }
}

impl FixedResponse {
    /// The whole answer, for callers that are not a door.
    pub(crate) fn reply(&self) -> Reply {
        let mut reply = Reply::new(full(self.body.clone()));
        *reply.status_mut() = self.status;
        *reply.headers_mut() = self.headers.clone();
        reply
    }
}

/// Bytes read from a file at a time.
const CHUNK: usize = 64 * 1024;

async fn file(
    core: &Core,
    site: &FileSite,
    routed: &Routed,
    head: &request::Parts,
) -> Result<Reply> {
    let found = site
        .find(routed.rest(head.uri.path()))
        .ok_or_else(|| Error::not_found(format!("no such file: {}", head.uri.path())))?;
    let path = core.engine.parts.artifacts.path(&found.digest)?;
    let fault = |e| storage(&path, "read", e);
    let opened = tokio::fs::File::open(&path).await.map_err(fault)?;
    let chunks = stream::try_unfold(opened, |mut opened| async move {
        let mut chunk = BytesMut::with_capacity(CHUNK);
        let read = opened.read_buf(&mut chunk).await;
        let read = read.map_err(|e| Error::internal("cannot read a served file").because(e))?;
        Ok((read > 0).then(|| (Frame::data(Bytes::from(chunk)), opened)))
    });
    let mut reply = Reply::new(StreamBody::new(chunks).boxed_unsync());
    let kind = mime_guess::from_path(found.path.as_ref()).first_or_octet_stream();
    if let Ok(kind) = kind.as_ref().parse() {
        reply.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    reply
        .headers_mut()
        .insert(header::CONTENT_LENGTH, found.size.into());
    Ok(reply)
}
