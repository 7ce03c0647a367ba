//! Calling a function through the control API, a private one too.
//!
//! A function's status and headers travel under other names (`x-gust-status`, `x-gust-header-<name>`), so that an
//! answer of a guest is never taken for an answer of the control API, nor rendered as a page of its origin.

use gust_types::{AppName, Body, Error, FunctionName, ProjectName, Result, call::CallId};
use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Client, apps::at, wire};

/// The function's status.
pub const STATUS: &str = "x-gust-status";
/// The call's id, for logs and records.
pub const CALL_ID: &str = "x-gust-call-id";
/// Before the name of each of the function's headers, in both directions.
pub const HEADER_PREFIX: &str = "x-gust-header-";

/// What to ask the function.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct InvokeQuery {
    /// The request's method. Default `POST` with a body, `GET` without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The request's path and query. Default `/`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// What a function answered.
pub struct Invoked {
    /// The call's id, for logs and records.
    pub call: Option<CallId>,
    /// The answer as the function gave it.
    pub response: Response<Body>,
}

impl Client {
    /// Calls a function. Of the request's URI the path and query are used.
    pub async fn invoke(
        &self,
        project: &ProjectName,
        app: &AppName,
        function: &FunctionName,
        request: Request<Body>,
    ) -> Result<Invoked> {
        let outer = self.invocation(project, app, function, request)?;
        // The function's own wall time bounds the wait.
        let response = self.exchange(outer, None).await?;
        unwrap(response)
    }

    /// The request that asks for a call.
    pub(super) fn invocation(
        &self,
        project: &ProjectName,
        app: &AppName,
        function: &FunctionName,
        request: Request<Body>,
    ) -> Result<Request<Body>> {
        let (head, body) = request.into_parts();
        let query = InvokeQuery {
            method: Some(head.method.to_string()),
            path: head.uri.path_and_query().map(ToString::to_string),
        };
        let path = wire::with_query(
            &at(project, app, &format!("/functions/{function}/invoke")),
            &query,
        )?;
        let mut outer = self.request(Method::POST, &path, body)?;
        wrap(&head.headers, outer.headers_mut())?;
        Ok(outer)
    }
}

/// Adds `inner` to `outer` under the prefix.
pub fn wrap(inner: &HeaderMap, outer: &mut HeaderMap) -> Result<()> {
    for (name, value) in inner {
        let name = HeaderName::try_from(format!("{HEADER_PREFIX}{name}"))
            .map_err(|e| Error::invalid(format!("header name is too long: {name:?}")).because(e))?;
        outer.append(name, value.clone());
    }
    Ok(())
}

/// The headers of `outer` that have the prefix, without it.
pub fn unwrap_headers(outer: &HeaderMap) -> HeaderMap {
    let mut inner = HeaderMap::new();
    for (name, value) in outer {
        if let Some(name) = name.as_str().strip_prefix(HEADER_PREFIX)
            && let Ok(name) = HeaderName::try_from(name)
        {
            inner.append(name, value.clone());
        }
    }
    inner
}

pub(super) fn unwrap(outer: Response<hyper::body::Incoming>) -> Result<Invoked> {
    let text = |name: &str| outer.headers().get(name).and_then(|v| v.to_str().ok());
    let status = text(STATUS)
        .and_then(|s| s.parse::<StatusCode>().ok())
        .ok_or_else(|| Error::unavailable(format!("the node's answer has no header {STATUS:?}")))?;
    let call = text(CALL_ID).and_then(|id| id.parse().ok());
    let headers = unwrap_headers(outer.headers());
    let body = outer
        .into_body()
        .map_err(|e| Error::unavailable("the function's answer broke off").because(e))
        .boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(Invoked { call, response })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_survive_the_way_there_and_back() {
        let mut inner = HeaderMap::new();
        inner.append("set-cookie", "a=1".parse().unwrap());
        inner.append("set-cookie", "b=2".parse().unwrap());
        inner.insert("content-type", "text/html".parse().unwrap());
        let mut outer = HeaderMap::new();
        outer.insert("content-type", "application/octet-stream".parse().unwrap());
        wrap(&inner, &mut outer).unwrap();
        assert_eq!(outer["content-type"], "application/octet-stream");
        assert_eq!(unwrap_headers(&outer), inner);
    }
}
