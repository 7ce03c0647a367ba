//! What counts as a reply, what it is published as, and where a loop ends.

use gust_types::event::Value;
use http::{HeaderMap, StatusCode};

use super::*;

fn answered(headers: &[(&'static str, &str)], body: &str) -> Answered {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(*name, value.parse().unwrap());
    }
    Answered {
        status: StatusCode::OK,
        headers: map,
        body: body.as_bytes().to_vec(),
        cut: false,
    }
}

const BINARY: [(&str, &str); 4] = [
    ("ce-specversion", "1.0"),
    ("ce-id", "1"),
    ("ce-source", "/f"),
    ("ce-type", "t"),
];

#[test]
fn only_events_are_replies() {
    let plain = answered(&[("content-type", "application/json")], "{}");
    assert_eq!(read(&plain), Ok(Vec::new()));
    assert_eq!(read(&answered(&[], "")), Ok(Vec::new()));
    let one = read(&answered(&BINARY, "data")).unwrap();
    assert_eq!((one.len(), one[0].id()), (1, "1"));
    let event = r#"{"specversion":"1.0","id":"2","source":"/f","type":"t"}"#;
    let structured = [("content-type", "application/cloudevents+json")];
    assert_eq!(read(&answered(&structured, event)).unwrap()[0].id(), "2");
    let batch = [("content-type", "application/cloudevents-batch+json")];
    let two = read(&answered(&batch, &format!("[{event},{event}]"))).unwrap();
    assert_eq!(two.len(), 2);
    assert_eq!(read(&answered(&batch, "[]")), Ok(Vec::new()));
}

#[test]
fn what_is_meant_as_an_event_and_is_none_fails() {
    for (headers, body, wanted) in [
        (&BINARY[..3], "", "a required attribute is missing: type"),
        (
            &[("content-type", "application/cloudevents+json")][..],
            "{",
            "not an event in JSON",
        ),
    ] {
        let Err(Fate::Failed(why)) = read(&answered(headers, body)) else {
            panic!("{body} is no event");
        };
        assert!(why.contains(wanted), "{why}");
    }
    let mut cut = answered(&BINARY, "");
    cut.cut = true;
    assert!(matches!(read(&cut), Err(Fate::Failed(why)) if why.contains("larger")));
    // What is no event may be as long as it likes.
    cut.headers.clear();
    assert_eq!(read(&cut), Ok(Vec::new()));
}

#[test]
fn replies_say_where_they_come_from() {
    let reply = || {
        let event = Event::new("1", "/f", "t").unwrap();
        // Whatever a function claims.
        let event = event.with(Event::HOPS, 0).unwrap();
        event.with(ATTEMPT, 3).unwrap()
    };
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let cause = Cause {
        hops: 2,
        trail: "shop/a,shop/b".into(),
    };
    let made = led_to(reply(), &cause, Some(parent)).unwrap();
    assert_eq!(made.attribute(Event::HOPS), Some(&Value::Integer(2)));
    let trail = made.attribute(Event::TRAIL).map(|trail| trail.text());
    assert_eq!(trail.as_deref(), Some("shop/a,shop/b"));
    assert_eq!(made.attribute(ATTEMPT), None);
    assert_eq!(made.traceparent(), Some(parent));
    let own = "00-00000000000000000000000000000001-0000000000000002-00";
    let traced = reply().with(Event::TRACE_PARENT, own.to_owned()).unwrap();
    let made = led_to(traced, &cause, Some(parent)).unwrap();
    assert_eq!(made.traceparent(), Some(own));
}
