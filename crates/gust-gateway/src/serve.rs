//! One request, from its head to its answer: `accept` and `route` here, the other four stages in dispatch.

use std::{sync::Arc, time::Instant};

use gust_dispatch::Target;
use gust_task::{clock, ids};
use gust_telemetry::{CallSpan, Stage, Traces, traces::Ended};
use gust_types::{
    Call, FunctionKey,
    call::{self, CallId, Origin, Trigger},
};
use http::{Method, Request, Response, header, request};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};

use crate::{
    accept,
    body::{ReplyBody, RequestBody},
    connection::Client,
    hook, later,
    refuse::Refuse,
    respond,
};

/// Answers a request, whatever happens.
pub(crate) async fn serve(client: &Client, request: Request<Incoming>) -> Response<ReplyBody> {
    let mut arrival = Arrival {
        started: clock::now(),
        id: ids::call_id(),
        ending: None,
    };
    let busy = client.pulse.busy();
    let (head, body) = request.into_parts();
    let is_head = head.method == Method::HEAD;
    let wanted = head.headers.get(header::ACCEPT).cloned();
    let mut answer = match walk(client, &mut arrival, head, body).await {
        Ok(answer) => answer,
        Err(refuse) => {
            if let Some(why) = refuse.reason {
                client.door.metrics.refused(why);
            }
            refuse.answer(arrival.id, wanted.as_ref())
        }
    };
    respond::finish(&mut answer, is_head);
    if let Some(ending) = &mut arrival.ending {
        ending.status = answer.status().as_u16();
    }
    let body = answer.body_mut();
    body.busy = Some(busy);
    body.ending = arrival.ending;
    answer
}

/// What is known of a request when it arrives, and what is to be said of it at its end.
struct Arrival {
    started: Instant,
    id: CallId,
    ending: Option<Box<Ending>>,
}

/// The way through the door. Accept comes before route, since a host that is written twice leads nowhere safe; route
/// before the body is touched, since what answers decides how much of it may come.
async fn walk(
    client: &Client,
    arrival: &mut Arrival,
    mut head: request::Parts,
    body: Incoming,
) -> Result<Response<ReplyBody>, Refuse> {
    let (door, metrics) = (&client.door, &client.door.metrics);
    accept::check(&mut head, &client.pulse, &door.settings)?;
    accept::scheme(&mut head, door.tls.is_some());
    let (trace, span) = accept::trace(&mut head, metrics.traces(), arrival.started);
    arrival.ending = span.map(|span| Ending::new(metrics.traces(), span, &head));
    let accepted = clock::now();
    metrics.stage(Stage::Accept, &trace, arrival.started, accepted);

    let routed = door.dispatcher.route(&head).map_err(Refuse::no_route)?;
    metrics.stage(Stage::Route, &trace, accepted, clock::now());

    let function = match &routed.target {
        Target::Function(function) => function,
        Target::Response(fixed) => {
            return Ok(respond::with_id(respond::fixed(fixed), arrival.id));
        }
        Target::Files(site) => {
            let rest = routed.rest(head.uri.path());
            let answer = door.files.serve(site, rest, &head).await?;
            return Ok(respond::with_id(answer, arrival.id));
        }
        Target::Hook(called) => {
            let visit = hook::Visit {
                started: arrival.started,
                id: arrival.id,
                trace,
            };
            return hook::serve(door, called, head, body, visit).await;
        }
    };
    if let Some(ending) = &mut arrival.ending {
        ending.function = Some(function.key().clone());
    }
    let body = match body.is_end_stream() {
        true => call::empty(),
        false => RequestBody::new(body, door.settings.body_time.0).boxed_unsync(),
    };
    let call = Call {
        id: arrival.id,
        function: function.key().clone(),
        origin: Origin {
            trigger: Trigger::Http,
            peer: Some(client.peer),
            hops: 0,
            cause: None,
        },
        deadline: arrival.started + door.settings.call_time.0,
        trace,
        request: Request::from_parts(head, body),
    };
    if later::is_wanted(&call.request, function)
        && let Some(later) = &door.later
    {
        door.dispatcher.may_come_later(&call, function)?;
        return later::accept(&**later, call, function).await;
    }
    let reply = door.dispatcher.dispatch(call, &routed).await?;
    respond::of_function(reply, arrival.id)
}

/// Sends a recorded call's span when the last byte of its answer is gone, or the caller is.
pub(crate) struct Ending {
    traces: Traces,
    span: CallSpan,
    function: Option<Arc<FunctionKey>>,
    method: Method,
    path: String,
    /// 0 when there was no answer.
    status: u16,
}

// === impl Ending ===

impl Ending {
    fn new(traces: &Traces, span: CallSpan, head: &request::Parts) -> Box<Self> {
        Box::new(Self {
            traces: traces.clone(),
            span,
            function: None,
            method: head.method.clone(),
            path: head.uri.path().to_owned(),
            status: 0,
        })
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        let ended = Ended {
            function: self.function.as_deref(),
            method: self.method.as_str(),
            path: &self.path,
            status: self.status,
        };
        self.traces.end(&self.span, ended);
    }
}
