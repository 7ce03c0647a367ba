//! Any headers and body as events: never a panic, and what is read stays the same however it is sent on.
#![no_main]

use bytes::Bytes;
use gust_events::http::{
    Decoded, Limits, Mode, decode, encode_batch, encode_binary, encode_structured, mode,
};
use gust_types::{ByteSize, Event, event::Form};
use http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let (headers, body) = message(bytes);
    let read = match decode(&headers, &body, &Limits::default()) {
        Ok(Some(read)) => read,
        Ok(None) => return assert_eq!(mode(&headers), None),
        Err(error) => return assert!(!error.message.is_empty()),
    };
    assert_eq!(mode(&headers), Some(read.mode));
    assert!(read.mode == Mode::Batched || read.events.len() == 1);
    for event in &read.events {
        valid(event);
        sent(encode_binary(event), Mode::Binary, event);
        sent(
            encode_structured(event).expect("written"),
            Mode::Structured,
            event,
        );
    }
    let batch = again(encode_batch(&read.events).expect("written"));
    assert_eq!(
        (batch.mode, batch.events.len()),
        (Mode::Batched, read.events.len())
    );
    for (again, event) in batch.events.iter().zip(&read.events) {
        same(again, event);
    }
});

/// Lines of headers, an empty line, and the body.
fn message(bytes: &[u8]) -> (HeaderMap, Bytes) {
    let mut headers = HeaderMap::new();
    let mut rest = bytes;
    while let Some(end) = rest.iter().position(|b| *b == b'\n') {
        let line = &rest[..end];
        rest = &rest[end + 1..];
        let Some(colon) = line.iter().position(|b| *b == b':') else {
            break;
        };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    (headers, Bytes::copy_from_slice(rest))
}

fn valid(event: &Event) {
    assert!(!event.id().is_empty() && !event.source().is_empty() && !event.kind().is_empty());
    assert!(event.extensions().count() <= Event::MAX_EXTENSIONS);
    assert!(event.attribute_bytes() <= Event::MAX_ATTRIBUTE_BYTES);
    for (name, value) in event.attributes() {
        assert!(Event::is_name(name));
        assert!(!value.text().chars().any(char::is_control));
    }
}

fn sent(message: (HeaderMap, Bytes), mode: Mode, event: &Event) {
    assert!(message.0.len() <= Event::CORE.len() + Event::MAX_EXTENSIONS);
    let again = again(message);
    assert_eq!((again.mode, again.events.len()), (mode, 1));
    same(&again.events[0], event);
}

fn again((headers, body): (HeaderMap, Bytes)) -> Decoded {
    // Escapes and Base64 make it longer.
    let limits = Limits {
        event_bytes: ByteSize::mib(64),
        batch_bytes: ByteSize::mib(64),
        ..Limits::default()
    };
    let read = decode(&headers, &body, &limits).expect("what is written can be read");
    read.expect("and is an event")
}

/// Headers do not tell a number from its text, nothing from an empty body, nor that JSON needs no type.
fn same(again: &Event, event: &Event) {
    let implied = event.data().is_some_and(|data| data.form == Form::Json);
    let implied = implied && event.datacontenttype().is_none();
    for (name, value) in again.attributes() {
        match event.attribute(name) {
            Some(old) => assert_eq!(value.text(), old.text(), "{name}"),
            None => assert!(implied && name == "datacontenttype", "{name}"),
        }
    }
    assert!(again.attributes().count() >= event.attributes().count());
    let bytes = |event: &Event| match event.data() {
        Some(data) => data.bytes.trim_ascii().to_vec(),
        None => Vec::new(),
    };
    assert_eq!(bytes(again), bytes(event));
}
