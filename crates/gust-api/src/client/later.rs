//! Calls that are made later.

use gust_types::{
    AppName, Body, Error, FunctionName, ProjectName, Result, Span, call::CallId, later::CallbackUrl,
};
use http::{HeaderValue, Method, Request};

use super::{
    Client,
    invoke::{self, Invoked},
    wire,
};
use crate::later::{
    AcceptedCall, CALLBACK, CallsQuery, IDEMPOTENCY_KEY, LaterCall, LaterCalls, PREFER,
    RESPOND_ASYNC, WaitQuery,
};

impl Client {
    /// Has a function called later; the call is durable when this answers. Of two with the same `key` within a day the
    /// second is the first. What comes of it is posted to `callback`.
    pub async fn invoke_later(
        &self,
        project: &ProjectName,
        app: &AppName,
        function: &FunctionName,
        request: Request<Body>,
        key: Option<&str>,
        callback: Option<&CallbackUrl>,
    ) -> Result<AcceptedCall> {
        let mut outer = self.invocation(project, app, function, request)?;
        let headers = outer.headers_mut();
        headers.insert(PREFER, RESPOND_ASYNC);
        if let Some(key) = key {
            let value = HeaderValue::try_from(key)
                .map_err(|e| Error::invalid("the idempotency key is no header").because(e))?;
            headers.insert(IDEMPOTENCY_KEY, value);
        }
        if let Some(callback) = callback {
            let value = HeaderValue::try_from(callback.as_str())
                .map_err(|e| Error::invalid("the callback is no header").because(e))?;
            outer.headers_mut().insert(CALLBACK, value);
        }
        self.document(outer).await
    }

    /// The calls of a project that are made later, the newest first.
    pub async fn calls(&self, project: &ProjectName, query: &CallsQuery) -> Result<LaterCalls> {
        self.get(&format!("/projects/{project}/calls"), query).await
    }

    /// One of them. With `wait`, waits that long at most for its end.
    pub async fn call(
        &self,
        project: &ProjectName,
        id: CallId,
        wait: Option<Span>,
    ) -> Result<LaterCall> {
        self.get(&of(project, id, ""), &WaitQuery { wait }).await
    }

    /// What the function answered.
    pub async fn call_result(
        &self,
        project: &ProjectName,
        id: CallId,
        wait: Option<Span>,
    ) -> Result<Invoked> {
        let path = wire::with_query(&of(project, id, "/result"), &WaitQuery { wait })?;
        let request = self.request(Method::GET, &path, gust_types::call::empty())?;
        let response = self.exchange(request, Some(self.timeouts.head)).await?;
        invoke::unwrap(response)
    }

    /// Does not make a call that waits, and ends one that is under way.
    pub async fn cancel_call(&self, project: &ProjectName, id: CallId) -> Result<LaterCall> {
        let path = of(project, id, "");
        let request = self.request(Method::DELETE, &path, gust_types::call::empty())?;
        self.document(request).await
    }
}

fn of(project: &ProjectName, id: CallId, what: &str) -> String {
    format!("/projects/{project}/calls/{id}{what}")
}
