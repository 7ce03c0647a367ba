//! Telling a destination what became of a call: an event with the request and the answer, as far as they are short.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;
use gust_backend::desk::{LaterState, Wishes};
use gust_task::{clock, ids};
use gust_types::{
    Call, Error, FunctionKey, Result,
    call::{self, Origin, Trace, Trigger},
    event::{Data, Event},
    later::Destination,
};
use http::{Method, Request, header::HOST};
use serde_json::{Value, json};

use super::{Calls, kept::Kept, records::Record};
use crate::{message, topics::Topics};

/// Bytes of the request's and of the answer's body in an event; with both an event fits into any queue.
const PAYLOAD: usize = 128 << 10;
/// Bytes of the answer's headers in an event.
const HEADERS: usize = 16 << 10;

/// What a destination is sent.
pub(super) fn event(
    function: &FunctionKey,
    record: &Record,
    kept: &Kept,
    answer: &Bytes,
) -> Result<Event> {
    let kind = match record.state {
        LaterState::Done => "gust.call.succeeded",
        _ => "gust.call.failed",
    };
    let source = format!("/apps/{}/functions/{}", function.app, function.function);
    let mut headers = serde_json::Map::new();
    let mut room = HEADERS;
    for (name, value) in &record.headers {
        room = room.saturating_sub(name.len() + value.len());
        if room == 0 {
            break;
        }
        headers.insert(name.clone(), value.clone().into());
    }
    let response = record.status.map(|status| {
        let mut payload = payload(answer);
        if record.truncated
            && let Some(payload) = payload.as_object_mut()
        {
            payload.insert("truncated".to_owned(), true.into());
        }
        json!({ "status": status, "headers": headers, "body": payload })
    });
    let data = json!({
        "call": record.id,
        "project": function.project,
        "app": function.app,
        "function": function.function,
        "attempts": record.attempts,
        "accepted": message::rfc3339(record.accepted_us),
        "finished": record.finished_us.map(message::rfc3339),
        "cause": record.cause,
        "request": {
            "method": record.method,
            "path": record.path,
            "body": payload(&kept.body),
        },
        "response": response,
    });
    let mut event = Event::new(record.id.to_string(), source, kind)?
        .with("subject", function.function.as_str())?
        .with("datacontenttype", "application/json")?
        .with_data(Data::json(data.to_string()));
    if let Some(finished) = record.finished_us {
        event.set("time", message::rfc3339(finished))?;
    }
    event.set(Event::HOPS, i32::from(kept.head.hops) + 1)?;
    Ok(event)
}

/// A body, or the beginning of it: as text where that is no longer than it is.
fn payload(body: &Bytes) -> Value {
    let truncated = body.len() > PAYLOAD;
    let shown = body.get(..PAYLOAD).unwrap_or(body);
    let odd = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    let mut value = match std::str::from_utf8(shown) {
        Ok(text) if !text.contains(odd) => json!({ "text": text }),
        _ => json!({ "base64": BASE64.encode(shown) }),
    };
    if truncated && let Some(value) = value.as_object_mut() {
        value.insert("truncated".to_owned(), true.into());
    }
    value
}

/// Hands the event over; durable when this answers. A repetition within a day is not kept again.
pub(super) async fn tell(
    calls: &Calls,
    function: &FunctionKey,
    destination: &Destination,
    event: &Event,
) -> Result<()> {
    match destination {
        Destination::Queue(name) => {
            let message = message::of_event(event).with_key(event.id());
            let queue = calls.0.queues.open(&function.project, name)?;
            queue.publish(vec![message]).await.map(drop)
        }
        Destination::Topic(name) => {
            let topics = Topics(calls.0.parts.clone());
            let events = std::slice::from_ref(event);
            let appended = topics.publish(&function.project, name, events, true);
            appended.await.map(drop)
        }
        Destination::Function(name) => {
            let key = FunctionKey {
                function: name.clone(),
                ..function.clone()
            };
            let hops = u8::try_from(event.hops()).unwrap_or(u8::MAX);
            if hops > Origin::MAX_HOPS {
                let most = Origin::MAX_HOPS;
                let text = format!(
                    "more than {most} calls were each the destination of the one before; the last is of: {key}"
                );
                return Err(Error::conflict(text)
                    .hint("the functions' destinations lead in a circle; take one of them out"));
            }
            let key = Arc::new(key);
            let call = calls.call_with(key, event, hops)?;
            let repeat = format!("gust.destination/{}", event.id());
            let wishes = Wishes {
                key: Some(repeat),
                callback: None,
            };
            calls.keep(call, wishes).await.map(drop)
        }
    }
}

impl Calls {
    /// A call that brings an event.
    fn call_with(&self, function: Arc<FunctionKey>, event: &Event, hops: u8) -> Result<Call> {
        let host = self
            .0
            .parts
            .dispatcher
            .host(&function.project, &function.app);
        let (headers, body) = message::request(event);
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("http://{host}/"))
            .header(HOST, &host)
            .body(call::full(body));
        let mut request =
            request.map_err(|e| Error::internal("an event cannot be sent").because(e))?;
        request.headers_mut().extend(headers);
        Ok(Call {
            id: ids::call_id(),
            function,
            origin: Origin {
                trigger: Trigger::Async,
                peer: None,
                hops,
                cause: None,
            },
            deadline: clock::now(),
            trace: Trace::default(),
            request,
        })
    }
}
