//! Events as a queue keeps them: a CloudEvent in the binary mode, attributes beside the data.
//!
//! A message may also be no event at all (somebody put bytes into a queue): then it becomes one on its way out, of the
//! type `gust.queue.message`, and its attributes become extensions.

use bytes::Bytes;
use gust_backend::queue::{Message, Taken, event::PREFIX};
pub use gust_backend::queue::{
    check::{MEDIA_TYPE, attributes as check},
    event::of_event,
};
use gust_types::{
    Error, Label, Result,
    event::{Data, Event},
};
use http::{HeaderMap, HeaderName, HeaderValue, header::CONTENT_TYPE};

use crate::http as binding;

/// The type of what is no event of its own.
pub const MESSAGE_TYPE: &str = "gust.queue.message";

/// The event that a taken message is.
pub(crate) fn read(queue: &Label, taken: &Taken) -> Result<Event> {
    let message = &taken.message;
    if message
        .attributes
        .keys()
        .any(|name| name.starts_with(PREFIX))
    {
        return event(message);
    }
    let (id, source) = (taken.receipt.id.0.to_string(), format!("/queues/{queue}"));
    let mut event = Event::new(id, source, MESSAGE_TYPE)?;
    event.set("time", rfc3339(taken.published_us))?;
    for (name, value) in &message.attributes {
        match name.as_str() {
            MEDIA_TYPE => event.set("datacontenttype", value.clone())?,
            name => event.set(name, value.clone())?,
        }
    }
    if message.body.is_empty() {
        return Ok(event);
    }
    let bytes = message.body.clone();
    let form = binding::form(event.datacontenttype());
    Ok(event.with_data(Data { bytes, form }))
}

/// The event that a message is which was one when it was published.
pub(crate) fn event(message: &Message) -> Result<Event> {
    let mut headers = HeaderMap::with_capacity(message.attributes.len());
    for (name, value) in &message.attributes {
        let pair = (
            HeaderName::from_bytes(name.as_bytes()),
            HeaderValue::from_str(value),
        );
        if let (Ok(name), Ok(value)) = pair {
            headers.insert(name, value);
        }
    }
    let decoded = binding::decode(&headers, &message.body, &binding::Limits::default())?;
    let event = decoded.and_then(|decoded| decoded.events.into_iter().next());
    event.ok_or_else(|| Error::internal("a kept event is none"))
}

/// What is sent for one event: headers and body.
pub(crate) fn request(event: &Event) -> (HeaderMap, Bytes) {
    let (mut headers, body) = binding::encode_binary(event);
    headers
        .entry(CONTENT_TYPE)
        .or_insert(HeaderValue::from_static("application/octet-stream"));
    (headers, body)
}

/// A time as people and CloudEvents write it, in UTC.
pub(crate) fn rfc3339(unix_us: u64) -> String {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_micros(unix_us);
    humantime::format_rfc3339_micros(time).to_string()
}

#[cfg(test)]
mod tests {
    use gust_backend::queue::{MessageId, Receipt};

    use super::*;

    fn taken(message: Message) -> Taken {
        Taken {
            receipt: Receipt {
                id: MessageId(7),
                attempt: 1,
                until_us: 0,
                priority: 0,
            },
            published_us: 1_700_000_000_000_000,
            ready_us: 1_700_000_000_000_000,
            message,
        }
    }

    #[test]
    fn events_come_out_as_they_went_in() {
        let queue = Label::new("q").unwrap();
        let event = Event::new("1", "/shop", "order.made").unwrap();
        let event = event.with("subject", "订单 7").unwrap();
        let event = event.with(Event::PARTITION_KEY, "k").unwrap();
        let event = event.with("datacontenttype", "application/json").unwrap();
        let event = event.with_data(Data::json("{\"n\":1}"));
        let message = of_event(&event);
        assert_eq!(message.group.as_deref(), Some("k"));
        assert_eq!(read(&queue, &taken(message)).unwrap(), event);
    }

    #[test]
    fn plain_messages_become_events() {
        let queue = Label::new("q").unwrap();
        let mut message = Message::new("正文");
        message
            .attributes
            .insert("content-type".into(), "text/plain".into());
        message.attributes.insert("colour".into(), "红".into());
        check(&message).unwrap();
        let event = read(&queue, &taken(message)).unwrap();
        assert_eq!((event.id(), event.source()), ("7", "/queues/q"));
        assert_eq!(event.kind(), MESSAGE_TYPE);
        assert_eq!(event.time(), Some("2023-11-14T22:13:20.000000Z"));
        assert_eq!(event.datacontenttype(), Some("text/plain"));
        let (headers, body) = request(&event);
        assert_eq!(headers["ce-colour"], "%E7%BA%A2");
        assert_eq!(&body[..], "正文".as_bytes());
        let mut bad = Message::new("x");
        bad.attributes.insert("Bad Name".into(), String::new());
        assert!(check(&bad).unwrap_err().message.contains("Bad Name"));
    }
}
