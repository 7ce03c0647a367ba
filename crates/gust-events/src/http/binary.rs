//! The binary mode: attributes in headers, the data as the body.

use bytes::Bytes;
use gust_types::{
    Error, Event, Result,
    event::{Data, Form, Value},
};
use http::{HeaderMap, HeaderName, HeaderValue, header::CONTENT_TYPE};

use super::{Limits, fits, header, media, too_many_extensions};

const PREFIX: &str = "ce-";

/// One header that every event has is enough: a request that lacks the others is a bad event and not a plain one.
pub(super) fn is_event(headers: &HeaderMap) -> bool {
    let required = ["ce-specversion", "ce-id", "ce-source", "ce-type"];
    required.iter().any(|name| headers.contains_key(*name))
}

pub(super) fn decode(headers: &HeaderMap, body: &Bytes, limits: &Limits) -> Result<Event> {
    let mut attributes = Vec::new();
    for (name, value) in headers {
        let Some(name) = name.as_str().strip_prefix(PREFIX) else {
            continue;
        };
        if name == "datacontenttype" {
            return Err(Error::invalid(
                "the type of the data is no header of its own: ce-datacontenttype",
            )
            .hint("send it as content-type"));
        }
        if attributes.len() >= limits.attributes() {
            return Err(too_many_extensions(limits));
        }
        attributes.push((name, Value::String(header::decode(name, value)?)));
    }
    let media = media::content_type(headers)?;
    let form = media::form(media);
    if let Some(media) = media {
        attributes.push(("datacontenttype", Value::from(media)));
    }
    // Nothing and an empty text look the same here.
    let data = (!body.is_empty()).then(|| Data {
        bytes: body.clone(),
        form,
    });
    fits(Event::from_attributes(attributes, data)?, limits)
}

pub(super) fn encode(event: &Event) -> (HeaderMap, Bytes) {
    let mut headers = HeaderMap::new();
    for (name, value) in event.attributes() {
        let (header, value) = match name {
            "datacontenttype" => (
                Ok(CONTENT_TYPE),
                HeaderValue::from_bytes(value.text().as_bytes()),
            ),
            name => (
                HeaderName::try_from(format!("{PREFIX}{name}")),
                HeaderValue::try_from(header::encode(&value.text())),
            ),
        };
        // Both always are: an attribute's name is letters and digits, and what a header cannot have is percent-encoded.
        if let (Ok(header), Ok(value)) = (header, value) {
            headers.insert(header, value);
        }
    }
    let Some(data) = event.data() else {
        return (headers, Bytes::new());
    };
    // Inside JSON this went without saying; outside it does not.
    if data.form == Form::Json && event.datacontenttype().is_none() {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    (headers, data.bytes.clone())
}
