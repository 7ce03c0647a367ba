use super::*;
use crate::Kind;

fn event() -> Event {
    Event::new("1", "/shop/orders", "com.example.order.placed").unwrap()
}

/// What is wrong with this attribute.
fn fault(name: &str, value: impl Into<Value>) -> String {
    let error = event().with(name, value).unwrap_err();
    assert_eq!(error.kind, Kind::Invalid);
    error.message
}

#[test]
fn an_event_has_its_attributes_by_name() {
    let event = event()
        .with("subject", "订单 42")
        .unwrap()
        .with("time", "2026-04-05T17:31:00Z")
        .unwrap()
        .with("datacontenttype", "text/plain; charset=utf-8")
        .unwrap()
        .with("dataschema", "https://example.com/order.json")
        .unwrap()
        .with("partitionkey", "customer-7")
        .unwrap()
        .with("urgent", true)
        .unwrap()
        .with("weight", -7)
        .unwrap()
        .with("digest", Bytes::from_static(b"\x00\xff"))
        .unwrap()
        .with_data(Data::text("你好"));

    for (name, text) in [
        ("specversion", "1.0"),
        ("id", "1"),
        ("source", "/shop/orders"),
        ("type", "com.example.order.placed"),
        ("subject", "订单 42"),
        ("time", "2026-04-05T17:31:00Z"),
        ("datacontenttype", "text/plain; charset=utf-8"),
        ("dataschema", "https://example.com/order.json"),
        ("partitionkey", "customer-7"),
        ("urgent", "true"),
        ("weight", "-7"),
        ("digest", "AP8="),
    ] {
        assert_eq!(event.attribute(name).unwrap().text(), text, "{name}");
    }
    assert_eq!(event.attributes().count(), 12);
    let extensions: Vec<_> = event.extensions().map(|(name, _)| name).collect();
    assert_eq!(extensions, ["digest", "partitionkey", "urgent", "weight"]);

    assert_eq!(
        (event.id(), event.kind()),
        ("1", "com.example.order.placed")
    );
    assert_eq!(event.source(), "/shop/orders");
    assert_eq!(event.subject(), Some("订单 42"));
    assert_eq!(event.partitionkey(), Some("customer-7"));
    assert_eq!(event.data().unwrap().form, Form::Text);
    assert_eq!(event.size(), event.attribute_bytes() + "你好".len());
    assert_eq!(event.attribute("nothing"), None);
}

#[test]
fn attributes_have_the_types_of_the_specification() {
    let event = event().with("time", "2026-04-05T17:31:00Z").unwrap();
    let event = event.with("dataschema", "urn:x:y").unwrap();
    assert!(matches!(event.attribute("source"), Some(Value::UriRef(_))));
    assert!(matches!(event.attribute("time"), Some(Value::Timestamp(_))));
    assert!(matches!(event.attribute("dataschema"), Some(Value::Uri(_))));
    assert_eq!(fault("subject", 5), "subject is text and not an integer: 5");
    assert_eq!(fault("id", true), "id is text and not a boolean: true");
    assert_eq!(
        fault("source", Bytes::from_static(b"a")),
        "source is text and not binary: YQ=="
    );
}

#[test]
fn what_is_required_is_there_and_stays() {
    for (id, source, kind, missing) in [
        ("", "/a", "b", "id"),
        ("1", "", "b", "source"),
        ("1", "/a", "", "type"),
    ] {
        let error = Event::new(id, source, kind).unwrap_err();
        assert_eq!(error.message, format!("an attribute is empty: {missing}"));
    }
    let whole = [
        ("specversion", "1.0"),
        ("id", "1"),
        ("source", "/a"),
        ("type", "b"),
    ];
    for missing in Event::REQUIRED {
        let rest = whole.iter().filter(|(name, _)| *name != missing);
        let rest = rest.map(|(name, text)| (*name, Value::from(*text)));
        let error = Event::from_attributes(rest, None).unwrap_err();
        assert_eq!(
            error.message,
            format!("a required attribute is missing: {missing}")
        );
    }
    for twice in ["id", "specversion"] {
        let again = whole.iter().filter(|(name, _)| *name == twice);
        let all = whole.iter().chain(again);
        let all = all.map(|(name, text)| (*name, Value::from(*text)));
        let error = Event::from_attributes(all, None).unwrap_err();
        assert_eq!(
            error.message,
            format!("an attribute is there twice: {twice}")
        );
    }
    let mut event = event().with("subject", "x").unwrap();
    assert_eq!(event.remove("id"), None);
    assert_eq!(event.id(), "1");
    assert_eq!(event.remove("subject"), Some(Value::from("x")));
    assert_eq!(event.subject(), None);
    assert_eq!(event.remove("subject"), None);
}

#[test]
fn one_version_is_known() {
    event().with("specversion", "1.0").unwrap();
    let error = event().with("specversion", "0.3").unwrap_err();
    assert_eq!(error.message, "unknown specversion: \"0.3\"");
    assert!(error.hint.unwrap().contains("1.0"));
}

#[test]
fn names_are_of_small_letters_and_digits() {
    let longest = "x".repeat(Event::MAX_NAME);
    for name in ["a", "5g", "comexampleextension1", &longest] {
        event().with(name, "v").unwrap();
        assert!(Event::is_name(name));
    }
    for name in ["", "A", "a-b", "a_b", "é", "a b", "data", &(longest + "x")] {
        let fault = fault(name, "v");
        assert!(!Event::is_name(name));
        assert!(fault.starts_with("an attribute"), "{name}: {fault}");
        assert!(fault.contains(name), "{name}: {fault}");
    }
}

#[test]
fn text_has_no_control_characters() {
    for text in [
        "tab\t",
        "nul\0",
        "\u{7f}",
        "\u{85}",
        "\u{fdd0}",
        "\u{1fffe}",
    ] {
        for name in ["subject", "note"] {
            let fault = fault(name, text);
            assert!(fault.starts_with(name), "{fault}");
        }
    }
    event().with("note", "").unwrap();
    event().with("note", "𝄞 emoji 😀 中文").unwrap();
    assert_eq!(fault("subject", ""), "an attribute is empty: subject");
    assert_eq!(
        fault("partitionkey", ""),
        "an attribute is empty: partitionkey"
    );
}

#[test]
fn times_are_those_of_rfc_3339() {
    for good in [
        "2026-04-05T17:31:00Z",
        "2026-04-05t17:31:00z",
        "2026-04-05T17:31:00.123456789+08:00",
        "2024-02-29T23:59:60-00:00",
        "2000-02-29T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "9999-12-31T23:59:59.9-23:59",
    ] {
        event().with("time", good).unwrap();
    }
    for bad in [
        "yesterday",
        "2026-04-05",
        "2026-04-05T17:31Z",
        "2026-04-05 17:31:00Z",
        "2026-04-05T17:31:00",
        "2026-04-05T17:31:00.Z",
        "2026-04-05T17:31:00+0800",
        "2026-04-05T17:31:00+24:00",
        "2026-04-05T17:31:00+08:00x",
        "2026-04-05T24:00:00Z",
        "2026-04-05T17:60:00Z",
        "2026-04-05T17:31:61Z",
        "2026-13-05T17:31:00Z",
        "2026-04-31T17:31:00Z",
        "2023-02-29T17:31:00Z",
        "1900-02-29T17:31:00Z",
        "2026-00-05T17:31:00Z",
        "2026-04-00T17:31:00Z",
        "26-04-05T17:31:00Z",
        "+026-04-05T17:31:00Z",
        "２026-04-05T17:31:00Z",
    ] {
        assert_eq!(
            fault("time", bad),
            format!("time is not a time: {bad:?}"),
            "{bad}"
        );
    }
    let typed = Value::Timestamp("soon".to_owned());
    assert_eq!(fault("expires", typed), "expires is not a time: \"soon\"");
}

#[test]
fn uris_have_a_sane_form() {
    for good in [
        "/a/b?c=d#e",
        "https://example.com:8080/%E4%B8%AD",
        "urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66",
        "mailto:a@b.example",
        "1-555-123-4567",
        "http://[::1]/x",
        "/商店",
    ] {
        Event::new("1", good, "t").unwrap();
    }
    for bad in [
        "a b",
        "/%4",
        "/%zz",
        "<x>",
        "a\\b",
        "\"",
        "a\u{3000}b",
        "{x}",
    ] {
        let error = Event::new("1", bad, "t").unwrap_err();
        assert_eq!(
            error.message,
            format!("source is not a URI reference: {bad:?}")
        );
    }
    event().with("dataschema", "a+b.c-1:x").unwrap();
    for bad in ["/relative", "x", "1a:b", ":b", "a/b:c"] {
        assert_eq!(
            fault("dataschema", bad),
            format!("dataschema is not an absolute URI: {bad:?}")
        );
    }
}

#[test]
fn content_types_have_two_parts() {
    for good in [
        "application/json",
        "TEXT/Plain; CharSet=utf-8",
        "a/b+c;d=\"e;f\"",
    ] {
        event().with("datacontenttype", good).unwrap();
    }
    for bad in ["json", "a/", "/b", "a/b/c", "a b/c", ";"] {
        assert_eq!(
            fault("datacontenttype", bad),
            format!("datacontenttype is not a media type: {bad:?}")
        );
    }
    for event in [
        "application/cloudevents+json",
        "Application/CloudEvents-Batch+x; a=b",
    ] {
        assert_eq!(
            fault("datacontenttype", event),
            format!("datacontenttype is that of an event: {event:?}")
        );
    }
}

#[test]
fn attributes_have_limits() {
    let mut event = event();
    for n in 0..Event::MAX_EXTENSIONS {
        event.set(&format!("x{n}"), "v").unwrap();
    }
    let error = event.set("onemore", "v").unwrap_err();
    assert_eq!(error.message, "more than 64 extensions, with: onemore");
    event.set("x0", "another").unwrap();
    event.set("subject", "core ones do not count").unwrap();

    let large = "x".repeat(Event::MAX_ATTRIBUTE_BYTES);
    let before = event.attribute_bytes();
    let error = event.set("x1", large.as_str()).unwrap_err();
    assert_eq!(
        error.message,
        "the attributes are over 65536 bytes together, with: x1"
    );
    assert_eq!(event.attribute_bytes(), before);
    let room = Event::MAX_ATTRIBUTE_BYTES - before + "v".len();
    event.set("x1", "y".repeat(room)).unwrap();
    assert_eq!(event.attribute_bytes(), Event::MAX_ATTRIBUTE_BYTES);
    event.remove("x1");
    assert_eq!(event.attribute_bytes(), before - "x1v".len());
}

#[test]
fn an_error_shows_the_start_of_a_long_value() {
    let fault = fault("time", "很".repeat(5000));
    assert!(fault.len() < 400, "{fault}");
}

#[test]
fn hops_are_counted() {
    let mut event = event();
    assert_eq!(event.hops(), 0);
    event.set(Event::HOPS, 2).unwrap();
    assert_eq!(event.hops(), 2);
    assert_eq!(event.attribute(Event::HOPS), Some(&Value::Integer(2)));
    event.set(Event::HOPS, "7").unwrap();
    assert_eq!(event.hops(), 7);
    for bad in ["-1", "x", "", "99999999999"] {
        assert_eq!(
            fault(Event::HOPS, bad),
            format!("gusthops is not a number of hops: {bad:?}")
        );
    }
    event.set(Event::HOPS, i32::MAX).unwrap();
    assert_eq!(event.hops(), i32::MAX as u32);
}

#[test]
fn an_event_may_be_part_of_a_trace() {
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let event = event().with("traceparent", parent).unwrap();
    let event = event.with("tracestate", "a=b").unwrap();
    assert_eq!(event.traceparent(), Some(parent));
    assert_eq!(event.tracestate(), Some("a=b"));
    assert!(event.trace().unwrap().sampled);
    assert_eq!(event.with("traceparent", "x").unwrap().trace(), None);
}

#[test]
fn what_the_platform_says_finds_room_in_an_event_that_is_full() {
    let mut event = Event::new("1", "/s", "t").unwrap();
    for n in 0..Event::MAX_EXTENSIONS {
        event.set(&format!("x{n}"), "值").unwrap();
    }
    assert!(event.set("more", "v").is_err());
    let large = Event::MAX_ATTRIBUTE_BYTES - event.attribute_bytes() + "值".len();
    event.set("x0", "x".repeat(large)).unwrap();
    assert_eq!(event.counted().1, Event::MAX_ATTRIBUTE_BYTES);
    let full = event.counted();
    // Larger than ours would be, it is anybody's: and there is no room for it.
    assert!(event.set("gusttrail", "x".repeat(4097)).is_err());
    event.set("gustattempt", 3).unwrap();
    event.set(Event::HOPS, 16).unwrap();
    event.set(Event::TRAIL, "x".repeat(4096)).unwrap();
    event.set(Event::TRACE_PARENT, "00-1-2-01").unwrap();
    event.set(Event::TRAIL, "short").unwrap();
    assert!(event.set(Event::TRAIL, "x".repeat(4097)).is_err());
    assert_eq!(event.counted(), full);
    assert!(event.set("more", "v").is_err());
    for name in [
        "gustattempt",
        Event::HOPS,
        Event::TRAIL,
        Event::TRACE_PARENT,
    ] {
        event.remove(name).unwrap();
    }
    assert_eq!(event.attribute_bytes(), Event::MAX_ATTRIBUTE_BYTES);
}
