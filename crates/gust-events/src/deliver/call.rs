//! One call: a request out of events, and what the function answered.

use std::{sync::Arc, time::Duration};

use gust_backend::unit::Unit;
use gust_dispatch::{Dispatcher, Refusal, Refused};
use gust_task::{clock, ids};
use gust_types::{
    Call, FunctionKey,
    call::{self, Origin, Trace, Trigger},
    event::{Cause, Event},
    trigger::ContentMode,
};
use http::{Method, Request, header::HOST};
use http_body_util::BodyExt as _;

use super::outcome::{Answered, Ended};
use crate::{http as binding, message};

/// Bytes of an answer that are looked at; the rest is read and forgotten.
const LOOKED_AT: usize = 256 << 10;
/// And of one that is an event or several: what a topic takes at once.
pub(crate) const REPLY_MOST: usize = 8 << 20;
/// After a refusal that does not say when to come back.
const SOON: Duration = Duration::from_secs(1);

/// What a trigger calls.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) function: Arc<FunctionKey>,
    pub(crate) path: String,
    /// The trigger that calls, as it stands in trails.
    pub(crate) name: String,
    pub(crate) trigger: Trigger,
    /// How one event is laid into the request.
    pub(crate) mode: ContentMode,
}

/// How long a call may take altogether; `None` when the function is not deployed.
pub(crate) fn patience(dispatcher: &Dispatcher, function: &FunctionKey) -> Option<Duration> {
    let entry = dispatcher.function(function)?;
    Some(entry.limits().wall_time.0 + entry.limits().queue_time.0)
}

impl Target {
    /// How long a call may take altogether; `None` when the function is not deployed.
    pub(crate) fn patience(&self, dispatcher: &Dispatcher) -> Option<Duration> {
        patience(dispatcher, &self.function)
    }

    /// Calls the function with these events: one in the trigger's mode, several as a batch.
    /// With `unit` what the function writes belongs to that.
    pub(crate) async fn call(
        &self,
        dispatcher: &Dispatcher,
        events: &[Event],
        unit: Option<&Arc<Unit>>,
    ) -> Ended {
        let laid = match (events, self.mode) {
            ([event], ContentMode::Binary) => Ok(message::request(event)),
            ([event], ContentMode::Structured) => binding::encode_structured(event),
            (events, _) => binding::encode_batch(events),
        };
        let (headers, body) = match laid {
            Ok(laid) => laid,
            Err(error) => return Ended::Silent(error.chain()),
        };
        let Some(patience) = self.patience(dispatcher) else {
            return Ended::Silent(format!("no such function: {}", self.function));
        };
        let host = dispatcher.host(&self.function.project, &self.function.app);
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("http://{host}{}", self.path))
            .header(HOST, &host)
            .body(call::full(body));
        let mut request = match request {
            Ok(request) => request,
            Err(error) => return Ended::Silent(error.to_string()),
        };
        request.headers_mut().extend(headers);
        let trace = events
            .first()
            .and_then(Event::trace)
            .unwrap_or_else(|| Trace {
                trace_id: ids::call_id().0,
                ..Trace::default()
            });
        let call = Call {
            id: ids::call_id(),
            function: self.function.clone(),
            origin: Origin {
                trigger: self.trigger,
                peer: None,
                hops: 0,
                cause: Some(Arc::new(Cause::new(events, &self.name))),
            },
            deadline: clock::now() + patience,
            trace,
            request,
        };
        self.finish(dispatcher, call, unit).await
    }

    async fn finish(&self, dispatcher: &Dispatcher, call: Call, unit: Option<&Arc<Unit>>) -> Ended {
        let reply = match dispatcher.invoke_in(call, unit).await {
            Ok(reply) => reply,
            Err(error) => {
                return match Refused::of(&error) {
                    Some(refused) if refused.kind == Refusal::BodyTooLarge => Ended::TooLarge,
                    Some(refused) => Ended::Refused(refused.retry_after.unwrap_or(SOON)),
                    None => Ended::Silent(error.chain()),
                };
            }
        };
        let (head, mut rest) = reply.into_parts();
        let most = match binding::mode(&head.headers) {
            Some(_) => REPLY_MOST,
            None => LOOKED_AT,
        };
        let (mut body, mut cut) = (Vec::new(), false);
        // To its end, so that the call is settled; an answer that breaks off is none.
        while let Some(frame) = rest.frame().await {
            match frame.map(http_body::Frame::into_data) {
                Ok(Ok(data)) => {
                    let room = most.saturating_sub(body.len());
                    cut |= data.len() > room;
                    body.extend(data.iter().take(room));
                }
                Ok(Err(_)) => {}
                Err(error) => return Ended::Silent(error.chain()),
            }
        }
        Ended::Answered(Answered {
            status: head.status,
            headers: head.headers,
            body,
            cut,
        })
    }
}
