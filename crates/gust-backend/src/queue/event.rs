//! Events as queues and topics keep them: a CloudEvent in the binary mode, attributes beside the data.

use gust_types::event::{Event, Form, in_header};

use super::{Message, check::MEDIA_TYPE};

/// Before the name of an attribute, as headers have it. A message with such an attribute is an event.
pub const PREFIX: &str = "ce-";

/// An event as a queue keeps it. Events with the same `partitionkey` form a group, and keep their order.
pub fn of_event(event: &Event) -> Message {
    let mut message = Message::default();
    for (name, value) in event.attributes() {
        let (name, value) = match name {
            "datacontenttype" => (MEDIA_TYPE.to_owned(), value.text().into_owned()),
            name => (format!("{PREFIX}{name}"), in_header(&value.text())),
        };
        message.attributes.insert(name, value);
    }
    if let Some(data) = event.data() {
        message.body = data.bytes.clone();
        // Inside JSON this goes without saying; outside it does not.
        if data.form == Form::Json {
            let media = message.attributes.entry(MEDIA_TYPE.to_owned());
            media.or_insert_with(|| "application/json".to_owned());
        }
    }
    message.group = event.partitionkey().map(str::to_owned);
    message
}
