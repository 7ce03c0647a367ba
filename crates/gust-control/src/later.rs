//! Calls that are made later, as the API speaks of them.

use std::time::Duration;

use gust_api::{
    client::invoke::InvokeQuery,
    later::{
        AcceptedCall, Callback, CallbackState, CallsQuery, IDEMPOTENCY_KEY, LaterCall, LaterCalls,
        LaterState, WaitQuery,
    },
};
use gust_backend::desk;
use gust_types::{
    Body, Error, FunctionKey, ProjectName, Result,
    call::{CallId, full},
};
use http::{HeaderMap, Response};

use crate::{control::Control, invoke};

/// Calls listed, unless the caller says.
const LIST: u32 = 100;
/// And at most.
const LIST_MOST: u32 = 1000;
/// The longest wait for a call's end: below what clients wait for the head of an answer.
const WAIT: Duration = Duration::from_secs(30);

impl Control {
    /// Has a function called later, whatever becomes of who asked.
    pub(crate) async fn invoke_later(
        &self,
        key: FunctionKey,
        query: InvokeQuery,
        outer: &HeaderMap,
        body: Body,
    ) -> Result<AcceptedCall> {
        let call = self.call_of(&key, &query, outer, body)?;
        let wishes = desk::Wishes {
            key: idempotency_key(outer)?,
            callback: gust_api::later::callback(outer)?,
        };
        let accepted = self.0.parts.later.accept(call, wishes);
        let accepted = accepted.await?;
        Ok(AcceptedCall {
            id: accepted.id,
            duplicate: accepted.duplicate,
        })
    }

    /// The calls of a project.
    pub(crate) async fn calls(
        &self,
        project: &ProjectName,
        query: CallsQuery,
    ) -> Result<LaterCalls> {
        self.must_have(project).await?;
        let limit = query.limit.unwrap_or(LIST);
        if !(1..=LIST_MOST).contains(&limit) {
            return Err(Error::invalid(format!(
                "limit is not 1 to {LIST_MOST}: {limit}"
            )));
        }
        let calls = self
            .0
            .parts
            .later
            .calls(project, query.after, limit as usize);
        let calls: Vec<_> = calls.await?.into_iter().map(shown).collect();
        let full = calls.len() == limit as usize;
        let next = calls.last().filter(|_| full).map(|call| call.id);
        Ok(LaterCalls { calls, next })
    }

    /// One call.
    pub(crate) async fn call(
        &self,
        project: &ProjectName,
        id: CallId,
        query: WaitQuery,
    ) -> Result<LaterCall> {
        self.must_have(project).await?;
        let call = self.0.parts.later.call(project, id, wait(query)?);
        Ok(shown(call.await?))
    }

    /// What the function answered, under other names as in [`Control::invoke`].
    pub(crate) async fn call_result(
        &self,
        project: &ProjectName,
        id: CallId,
        query: WaitQuery,
    ) -> Result<Response<Body>> {
        let call = self.call(project, id, query).await?;
        if let Some(reply) = self.0.parts.later.reply(project, id).await? {
            return invoke::wrap(id, reply.map(full));
        }
        let cause = call.cause.unwrap_or_default();
        Err(match call.state {
            LaterState::Failed => Error::failed(format!("the call was given up: {cause}")),
            LaterState::Cancelled => Error::conflict("the call was cancelled, and has no result"),
            state => Error::conflict(format!("the call is not over yet: {}", state.as_str()))
                .hint("ask again, and wait for it with: ?wait=30s"),
        })
    }

    /// Does not make a call, or ends it.
    pub(crate) async fn cancel_call(&self, project: &ProjectName, id: CallId) -> Result<LaterCall> {
        self.must_have(project).await?;
        let call = self.0.parts.later.cancel(project, id).await?;
        tracing::info!(%project, call = %id, "a call was cancelled");
        Ok(shown(call))
    }
}

fn wait(query: WaitQuery) -> Result<Duration> {
    let wait = query.wait.map(|wait| wait.0).unwrap_or_default();
    if wait > WAIT {
        let most = gust_types::Span(WAIT);
        return Err(
            Error::invalid(format!("`wait` is {most} at most")).hint("ask again when it is over")
        );
    }
    Ok(wait)
}

fn idempotency_key(outer: &HeaderMap) -> Result<Option<String>> {
    let mut keys = outer.get_all(IDEMPOTENCY_KEY).iter();
    let (key, another) = (keys.next(), keys.next());
    if another.is_some() {
        return Err(Error::invalid("there is more than one idempotency-key"));
    }
    let text = key.map(|key| {
        let text = key.to_str().map(str::to_owned);
        text.map_err(|e| Error::invalid("the idempotency-key is not plain text").because(e))
    });
    text.transpose()
}

fn shown(call: desk::LaterCall) -> LaterCall {
    LaterCall {
        id: call.id,
        app: call.function.app,
        function: call.function.function,
        method: call.method,
        path: call.path,
        state: match call.state {
            desk::LaterState::Waiting => LaterState::Waiting,
            desk::LaterState::Running => LaterState::Running,
            desk::LaterState::Done => LaterState::Done,
            desk::LaterState::Failed => LaterState::Failed,
            desk::LaterState::Cancelled => LaterState::Cancelled,
        },
        attempts: call.attempts,
        attempt_id: call.attempt_id,
        accepted_us: call.accepted_us,
        next_us: call.next_us,
        finished_us: call.finished_us,
        expires_us: call.expires_us,
        status: call.status,
        bytes: call.bytes,
        truncated: call.truncated,
        cause: call.cause,
        undelivered: call.undelivered,
        callback: call.callback.map(|callback| Callback {
            url: callback.url,
            state: match callback.state {
                desk::CallbackState::Waiting => CallbackState::Waiting,
                desk::CallbackState::Delivered => CallbackState::Delivered,
                desk::CallbackState::Failed => CallbackState::Failed,
            },
            attempts: callback.attempts,
            status: callback.status,
            cause: callback.cause,
            next_us: callback.next_us,
        }),
    }
}
