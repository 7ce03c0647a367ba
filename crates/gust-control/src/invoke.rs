//! Calling a function on behalf of an operator, a private one too.

use gust_api::client::invoke::{self as wire, InvokeQuery};
use gust_task::{clock, ids};
use gust_types::{
    Body, Call, Error, FunctionKey, Reply, Result,
    call::{CallId, Origin, Trace, Trigger},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, header};

use crate::control::Control;

/// Headers that belong to a connection, which this call does not share.
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::CONTENT_LENGTH,
];

impl Control {
    /// Calls a function through dispatch, so it is admitted, limited and billed as any call.
    pub(crate) async fn invoke(
        &self,
        key: FunctionKey,
        query: InvokeQuery,
        outer: &HeaderMap,
        body: Body,
    ) -> Result<Response<Body>> {
        let call = self.call_of(&key, &query, outer, body)?;
        let id = call.id;
        wrap(id, self.0.parts.dispatcher.invoke(call).await?)
    }

    /// The call that is asked for.
    pub(crate) fn call_of(
        &self,
        key: &FunctionKey,
        query: &InvokeQuery,
        outer: &HeaderMap,
        body: Body,
    ) -> Result<Call> {
        let dispatcher = &self.0.parts.dispatcher;
        let entry = dispatcher.function(key).ok_or_else(|| {
            Error::not_found(format!("no such function: {key}")).hint("list the apps with: gust ls")
        })?;
        let host = dispatcher.host(&key.project, &key.app);
        let request = request(query, &host, outer, body)?;
        Ok(Call {
            id: ids::call_id(),
            function: entry.key().clone(),
            origin: Origin {
                trigger: Trigger::Invoke,
                peer: None,
                hops: 0,
                cause: None,
            },
            deadline: clock::now() + entry.limits().wall_time.0 + entry.limits().queue_time.0,
            // What the function's request says goes before what the API's own says.
            trace: Trace::of(request.headers())
                .or_else(|| Trace::of(outer))
                .unwrap_or_else(untraced),
            request,
        })
    }
}

/// A new trace.
fn untraced() -> Trace {
    Trace {
        trace_id: ids::call_id().0,
        parent: 0,
        sampled: false,
    }
}

/// The request as the function gets to see it.
fn request(
    query: &InvokeQuery,
    host: &str,
    outer: &HeaderMap,
    body: Body,
) -> Result<Request<Body>> {
    let method = query.method.as_deref().unwrap_or("GET");
    let method: Method = method
        .parse()
        .map_err(|_| Error::invalid(format!("not a method: {method:?}")))?;
    let path = query.path.as_deref().unwrap_or("/");
    let fault =
        || Error::invalid(format!("not a path: {path:?}")).hint("write it like /users/7?full=1");
    if !path.starts_with('/') {
        return Err(fault());
    }
    let mut inner = Request::builder()
        .method(method)
        .uri(format!("http://{host}{path}"))
        .body(body)
        .map_err(|_| fault())?;
    let headers = inner.headers_mut();
    *headers = wire::unwrap_headers(outer);
    HOP_BY_HOP.iter().for_each(|name| {
        headers.remove(name);
    });
    let host = HeaderValue::from_str(host).map_err(|_| fault())?;
    headers.entry(header::HOST).or_insert(host);
    Ok(inner)
}

/// The function's answer under other names.
pub(crate) fn wrap(id: CallId, reply: Reply) -> Result<Response<Body>> {
    let (mut head, body) = reply.into_parts();
    HOP_BY_HOP.iter().for_each(|name| {
        head.headers.remove(name);
    });
    let mut outer = Response::new(body);
    let headers = outer.headers_mut();
    wire::wrap(&head.headers, headers)?;
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    headers.insert(wire::STATUS, HeaderValue::from(head.status.as_u16()));
    let id = HeaderValue::from_str(&id.to_string())
        .map_err(|e| Error::internal("a call's id is no header").because(e))?;
    headers.insert(wire::CALL_ID, id);
    Ok(outer)
}
