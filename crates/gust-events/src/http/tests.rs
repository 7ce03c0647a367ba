use gust_types::{
    Kind,
    event::{Data, Form, Value},
};

use super::*;

const NAMES: [(&str, &str); 4] = [
    ("ce-specversion", "1.0"),
    ("ce-id", "1"),
    ("ce-source", "/shop"),
    ("ce-type", "order.placed"),
];

fn headers<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let name: http::HeaderName = name.parse().unwrap();
        headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    headers
}

fn read(headers: &HeaderMap, body: &str) -> Result<Option<Decoded>> {
    decode(headers, &Bytes::from(body.to_owned()), &Limits::default())
}

fn binary(more: &[(&str, &str)], body: &str) -> Result<Event> {
    let headers = headers(NAMES.iter().chain(more).copied());
    read(&headers, body).map(|decoded| {
        let decoded = decoded.unwrap();
        assert_eq!(decoded.mode, Mode::Binary);
        decoded.events.into_iter().next().unwrap()
    })
}

fn structured(body: &str) -> Result<Event> {
    let headers = headers([("content-type", "application/cloudevents+json")]);
    read(&headers, body).map(|decoded| {
        let decoded = decoded.unwrap();
        assert_eq!(decoded.mode, Mode::Structured);
        decoded.events.into_iter().next().unwrap()
    })
}

/// An event in JSON with these members besides what it needs.
fn json(members: &str) -> Result<Event> {
    structured(&document(members))
}

fn document(members: &str) -> String {
    format!(r#"{{"specversion":"1.0","id":"1","source":"/shop","type":"order.placed"{members}}}"#)
}

fn batch(body: &str) -> Result<Vec<Event>> {
    let headers = headers([("content-type", BATCHED)]);
    read(&headers, body).map(|decoded| {
        let decoded = decoded.unwrap();
        assert_eq!(decoded.mode, Mode::Batched);
        decoded.events
    })
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T>, message: &str) {
    let error = result.unwrap_err();
    assert_eq!(error.kind, Kind::Invalid);
    assert_eq!(error.message, message);
}

/// An event that has something of everything, except what headers cannot tell apart.
fn everything() -> Event {
    Event::new("id %41\"x\"", "https://例.example/a%20b", "t")
        .unwrap()
        .with("subject", "订单 № 42 😀")
        .unwrap()
        .with("time", "2026-04-05T17:31:00.5+08:00")
        .unwrap()
        .with("dataschema", "urn:example:order")
        .unwrap()
        .with("partitionkey", "客户-7")
        .unwrap()
        .with("empty", "")
        .unwrap()
}

#[test]
fn headers_alone_tell_what_it_is() {
    for (pairs, expected) in [
        (&[][..], None),
        (&[("content-type", "application/json")], None),
        (&[("ce-other", "x")], None),
        (&[("ce-id", "1")], Some(Mode::Binary)),
        (&[("ce-specversion", "1.0")], Some(Mode::Binary)),
        (
            &[("content-type", "application/cloudevents+json")],
            Some(Mode::Structured),
        ),
        (
            &[("content-type", "Application/CloudEvents+avro; x=y")],
            Some(Mode::Structured),
        ),
        (
            &[("content-type", "APPLICATION/cloudevents-batch+json")],
            Some(Mode::Batched),
        ),
        (
            &[("ce-id", "1"), ("content-type", STRUCTURED)],
            Some(Mode::Structured),
        ),
    ] {
        assert_eq!(mode(&headers(pairs.iter().copied())), expected, "{pairs:?}");
    }
    let plain = headers([("content-type", "text/plain")]);
    assert_eq!(read(&plain, "hello").unwrap(), None);
}

#[test]
fn a_binary_event_is_read() {
    let event = binary(
        &[
            ("ce-subject", "%E8%AE%A2%E5%8D%95%2042"),
            ("ce-time", "2026-04-05T17:31:00Z"),
            ("CE-Urgent", "true"),
            ("content-type", "application/json; charset=utf-8"),
            ("x-other", "not of the event"),
        ],
        "{\"a\": 1}",
    )
    .unwrap();
    assert_eq!(event.subject(), Some("订单 42"));
    assert_eq!(event.attribute("urgent"), Some(&Value::from("true")));
    assert_eq!(
        event.datacontenttype(),
        Some("application/json; charset=utf-8")
    );
    assert_eq!(event.data(), Some(&Data::json("{\"a\": 1}")));
    assert_eq!(event.attributes().count(), 8);
}

#[test]
fn data_is_meant_as_its_type_says() {
    for (media, form) in [
        (Some("application/json"), Form::Json),
        (Some("application/vnd.x+JSON; a=b"), Form::Json),
        (Some("text/json"), Form::Json),
        (Some("text/plain"), Form::Text),
        (Some("Text/CSV; charset=\"UTF-8\""), Form::Text),
        (Some("application/xml"), Form::Text),
        (Some("image/svg+xml"), Form::Text),
        (Some("text/plain; charset=gb18030"), Form::Binary),
        (Some("application/octet-stream"), Form::Binary),
        (Some("json"), Form::Binary),
        (None, Form::Binary),
    ] {
        assert_eq!(super::form(media), form, "{media:?}");
    }
    assert_eq!(binary(&[], "x").unwrap().data(), Some(&Data::binary("x")));
    let none = binary(&[("content-type", "text/plain")], "").unwrap();
    assert_eq!(none.data(), None);
}

#[test]
fn header_values_are_unquoted_and_unescaped_once() {
    for (written, read) in [
        ("plain", "plain"),
        ("Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀"),
        ("%e4%b8%ad", "中"),
        ("%41%2541", "A%41"),
        ("\"a b\"", "a b"),
        ("\"a \\\"b\\\" \\\\ %20c\"", "a \"b\" \\  c"),
        ("a \"b\" c", "a \"b\" c"),
        ("中文 as typed", "中文 as typed"),
    ] {
        let event = binary(&[("ce-note", written)], "").unwrap();
        assert_eq!(event.attribute("note").unwrap().text(), read, "{written}");
    }
    for (written, fault) in [
        ("%C0%A0", "not UTF-8: ce-note"),
        ("%ff", "not UTF-8: ce-note"),
        ("%ED%A0%80", "not UTF-8: ce-note"),
        ("100%", "a percent sign starts no escape: ce-note"),
        ("%4", "a percent sign starts no escape: ce-note"),
        ("%zz", "a percent sign starts no escape: ce-note"),
        ("\"open", "a quote is not closed: ce-note"),
        ("\"a\"b", "a quote is not closed: ce-note"),
        ("\"a\\", "a quote is not closed: ce-note"),
        (
            "a%0D%0Ab",
            "note has a control character or one that is none: \"a\\r\\nb\"",
        ),
    ] {
        refused(binary(&[("ce-note", written)], ""), fault);
    }
    let mut raw = headers(NAMES);
    raw.insert("ce-note", HeaderValue::from_bytes(b"\xff\xfe").unwrap());
    refused(read(&raw, ""), "not UTF-8: ce-note");
}

#[test]
fn a_bad_binary_event_names_what_is_bad() {
    for missing in Event::REQUIRED {
        let rest = NAMES.into_iter().filter(|(name, _)| &name[3..] != missing);
        refused(
            read(&headers(rest), ""),
            &format!("a required attribute is missing: {missing}"),
        );
    }
    for (more, fault) in [
        (("ce-id", "2"), "an attribute is there twice: id"),
        (
            ("ce-specversion", "1.0"),
            "an attribute is there twice: specversion",
        ),
        (
            ("ce-datacontenttype", "text/plain"),
            "the type of the data is no header of its own: ce-datacontenttype",
        ),
        (
            ("ce-data", "x"),
            "an attribute may not have the name of the data: \"data\"",
        ),
        (
            ("ce-my-thing", "x"),
            "an attribute's name is of lower-case letters and digits: \"my-thing\"",
        ),
        (
            ("ce-", "x"),
            "an attribute's name is of lower-case letters and digits: \"\"",
        ),
        (("ce-subject", ""), "an attribute is empty: subject"),
        (("ce-time", "now"), "time is not a time: \"now\""),
        (
            ("ce-gusthops", "many"),
            "gusthops is not a number of hops: \"many\"",
        ),
        (
            ("content-type", "nonsense"),
            "datacontenttype is not a media type: \"nonsense\"",
        ),
    ] {
        refused(binary(&[more], ""), fault);
    }
    refused(
        binary(&[("content-type", "a/b"), ("content-type", "c/d")], ""),
        "a header is there twice: content-type",
    );
    let old = NAMES.map(|(name, value)| match name {
        "ce-specversion" => (name, "0.3"),
        _ => (name, value),
    });
    refused(read(&headers(old), ""), "unknown specversion: \"0.3\"");
}

#[test]
fn a_structured_event_is_read() {
    let event = json(
        r#","subject":null,"urgent":true,"weight":-7,"note":"\u4e2d","unset":null,"datacontenttype":"application/json",
           "data" : {"n": 12345678901234567890.10, "文": [1, 2]} "#,
    )
    .unwrap();
    assert_eq!(event.subject(), None);
    assert_eq!(event.attribute("urgent"), Some(&Value::Boolean(true)));
    assert_eq!(event.attribute("weight"), Some(&Value::Integer(-7)));
    assert_eq!(event.attribute("note"), Some(&Value::from("中")));
    assert_eq!(event.attribute("unset"), None);
    assert_eq!(
        event.data(),
        Some(&Data::json(
            r#"{"n": 12345678901234567890.10, "文": [1, 2]}"#
        )),
        "as it was written"
    );
}

#[test]
fn data_in_json_has_three_forms() {
    for (members, data) in [
        ("", None),
        (r#","data":"text""#, Some(Data::json("\"text\""))),
        (r#","data":null"#, Some(Data::json("null"))),
        (r#","data":1.5"#, Some(Data::json("1.5"))),
        (
            r#","datacontenttype":"text/xml","data":"<a b=\"c\"/>""#,
            Some(Data::text("<a b=\"c\"/>")),
        ),
        (
            r#","datacontenttype":"application/json","data":"{}""#,
            Some(Data::json("\"{}\"")),
        ),
        (
            r#","data_base64":"AP8=""#,
            Some(Data::binary(&b"\x00\xff"[..])),
        ),
        (
            r#","datacontenttype":"application/json","data_base64":"e30=""#,
            Some(Data::binary("{}")),
        ),
        (r#","data_base64":null"#, None),
    ] {
        assert_eq!(json(members).unwrap().data(), data.as_ref(), "{members}");
    }
}

#[test]
fn a_bad_structured_event_names_what_is_bad() {
    for (members, fault) in [
        (
            r#","note":1.5"#,
            "an attribute cannot be a number outside the integers of 32 bits: note",
        ),
        (
            r#","note":2147483648"#,
            "an attribute cannot be a number outside the integers of 32 bits: note",
        ),
        (
            r#","note":1e3"#,
            "an attribute cannot be a number outside the integers of 32 bits: note",
        ),
        (r#","note":{}"#, "an attribute cannot be an object: note"),
        (r#","note":[1]"#, "an attribute cannot be a list: note"),
        (r#","subject":5"#, "subject is text and not an integer: 5"),
        (r#","time":true"#, "time is text and not a boolean: true"),
        (r#","id":"2""#, "an attribute is there twice: id"),
        (r#","i\u0064":"2""#, "an attribute is there twice: id"),
        (r#","data":1,"data":2"#, "a member is there twice: data"),
        (
            r#","data":1,"data_base64":"AA==""#,
            "data is there in two forms: data and data_base64",
        ),
        (r#","data_base64":"?""#, "not Base64: data_base64"),
        (
            r#","data_base64":5"#,
            "what should be Base64 is not a string: data_base64",
        ),
        (
            r#","datacontenttype":"text/plain","data":{}"#,
            "data of this type is a string in JSON: \"text/plain\"",
        ),
        (
            r#","Note":"x""#,
            "an attribute's name is of lower-case letters and digits: \"Note\"",
        ),
        (
            r#","note":"\ud800""#,
            "an attribute cannot be a string of whole characters: note",
        ),
    ] {
        refused(json(members), fault);
    }
    for body in ["", "[]", "5", "{", "{}x", "null", "\u{feff}{}", "{\"a\":}"] {
        refused(
            structured(body),
            match body {
                "{}x" => "a required attribute is missing: specversion",
                _ => "not an event in JSON",
            },
        );
    }
    refused(
        structured(r#"{"specversion":"1.0"}"#),
        "a required attribute is missing: id",
    );
    refused(structured(&(document("") + "x")), "not an event in JSON");
    refused(
        structured(r#"{"specversion":1}"#),
        "specversion is text and not an integer: 1",
    );
    let utf8 = headers([("content-type", STRUCTURED)]);
    let body = Bytes::from_static(b"{\"id\":\"\xff\"}");
    refused(
        decode(&utf8, &body, &Limits::default()),
        "not an event in JSON",
    );
}

#[test]
fn formats_that_nobody_reads_are_refused_by_name() {
    for (media, fault) in [
        (
            "application/cloudevents+avro",
            "events cannot be read from: \"application/cloudevents+avro\"",
        ),
        (
            "application/cloudevents",
            "events cannot be read from: \"application/cloudevents\"",
        ),
        (
            "application/cloudevents-batch+xml",
            "events cannot be read from: \"application/cloudevents-batch+xml\"",
        ),
        (
            "application/cloudevents+json; charset=utf-16",
            "events are in UTF-8 and not: \"application/cloudevents+json; charset=utf-16\"",
        ),
    ] {
        refused(read(&headers([("content-type", media)]), "{}"), fault);
    }
    let twice = headers([("content-type", STRUCTURED), ("content-type", "text/plain")]);
    refused(read(&twice, "{}"), "a header is there twice: content-type");
    let said = headers([(
        "content-type",
        "application/cloudevents+json; Charset=\"utf-8\"",
    )]);
    assert!(read(&said, &document("")).unwrap().is_some());
}

#[test]
fn a_batch_is_read_in_its_order() {
    let body = format!("[{}, {}]", document(r#","n":1"#), document(r#","n":2"#));
    let events = batch(&body).unwrap();
    let numbers: Vec<_> = events
        .iter()
        .map(|e| e.attribute("n").unwrap().text())
        .collect();
    assert_eq!(numbers, ["1", "2"]);
    assert_eq!(batch("[]").unwrap(), []);

    let bad = format!("[{}, {}]", document(""), document(r#","time":"x""#));
    refused(
        batch(&bad),
        "event 2 of the batch: time is not a time: \"x\"",
    );
    for body in ["{}", "[5]", "[", "[]]", ""] {
        refused(batch(body), "not a batch of events in JSON");
    }
}

#[test]
fn sizes_are_looked_at_first() {
    let limits = Limits {
        event_bytes: ByteSize(200),
        batch_bytes: ByteSize(400),
        batch_events: 3,
        extensions: 2,
        attribute_bytes: ByteSize(100),
    };
    let check = |media: &str, body: &str| {
        let headers = headers([("content-type", media)]);
        decode(&headers, &Bytes::from(body.to_owned()), &limits)
    };
    // Not JSON at all, and nobody found out.
    refused(
        check(STRUCTURED, &"x".repeat(201)),
        "an event may have 200B at most: 201 bytes",
    );
    refused(
        check(BATCHED, &"x".repeat(401)),
        "a batch may have 400B at most: 401 bytes",
    );
    refused(
        decode(&headers(NAMES), &Bytes::from("x".repeat(201)), &limits),
        "an event may have 200B at most: 201 bytes",
    );
    // With its attributes it is too large.
    refused(
        decode(&headers(NAMES), &Bytes::from("x".repeat(190)), &limits),
        "an event may have 200B at most: 220 bytes",
    );
    let one = document("");
    refused(
        check(BATCHED, &format!("[{one},{one},{one},{one}]")),
        "a batch has too many events: more than 3",
    );
    assert!(check(BATCHED, &format!("[{one},{one},{one}]")).is_ok());
    refused(
        check(STRUCTURED, &document(r#","a":1,"b":2,"c":3"#)),
        "an event has too many extensions: more than 2",
    );
    let long = format!(r#","a":"{}""#, "x".repeat(80));
    refused(
        check(STRUCTURED, &document(&long)),
        "the attributes of an event may have 100B at most: 111 bytes",
    );
}

#[test]
fn a_thousand_extensions_are_too_many() {
    let names: Vec<_> = (0..1000).map(|n| format!("ce-x{n}")).collect();
    let pairs = names.iter().map(|name| (name.as_str(), "v"));
    let fault = "an event has too many extensions: more than 64";
    refused(read(&headers(NAMES.into_iter().chain(pairs)), ""), fault);

    let members: String = (0..1000).map(|n| format!(r#","x{n}":1"#)).collect();
    refused(json(&members), fault);
    refused(
        batch(&format!("[{}]", document(&members))),
        "event 1 of the batch: an event has too many extensions: more than 64",
    );
    let members: String = (0..64).map(|n| format!(r#","x{n}":1"#)).collect();
    assert_eq!(json(&members).unwrap().extensions().count(), 64);
}

#[test]
fn how_deep_data_is_nested_does_not_matter() {
    let deep = "[".repeat(200_000) + &"]".repeat(200_000);
    let event = json(&format!(r#","data":{deep}"#)).unwrap();
    assert_eq!(event.data().unwrap().bytes, deep);
    let (_, body) = encode_structured(&event).unwrap();
    assert_eq!(
        structured(std::str::from_utf8(&body).unwrap()).unwrap(),
        event
    );
    refused(
        json(&format!(r#","note":{deep}"#)),
        "an attribute cannot be a list: note",
    );
}

#[test]
fn what_is_written_is_read_again() {
    for (media, data) in [
        (None, None),
        (Some("text/plain"), Some(Data::text("你好"))),
        (
            Some("application/json"),
            Some(Data::json("{\"键\": [1.0]}")),
        ),
        (Some("image/png"), Some(Data::binary(&b"\x89PNG"[..]))),
        (None, Some(Data::binary("x"))),
    ] {
        let mut event = everything();
        if let Some(media) = media {
            event.set("datacontenttype", media).unwrap();
        }
        if let Some(data) = data {
            event = event.with_data(data);
        }
        for (headers, body) in [encode_binary(&event), encode_structured(&event).unwrap()] {
            let decoded = decode(&headers, &body, &Limits::default())
                .unwrap()
                .unwrap();
            assert_eq!(decoded.events, [event.clone()], "{:?}", decoded.mode);
        }
        let (headers, body) = encode_batch([&event, &event]).unwrap();
        let decoded = decode(&headers, &body, &Limits::default())
            .unwrap()
            .unwrap();
        assert_eq!(decoded.events, [event.clone(), event]);
    }
}

#[test]
fn a_binary_event_is_written_in_ascii() {
    let event = everything()
        .with("urgent", true)
        .unwrap()
        .with("weight", -7)
        .unwrap();
    let (headers, body) = encode_binary(&event);
    assert!(body.is_empty());
    for (name, value) in [
        ("ce-specversion", "1.0"),
        ("ce-id", "id%20%2541%22x%22"),
        ("ce-source", "https://%E4%BE%8B.example/a%2520b"),
        (
            "ce-subject",
            "%E8%AE%A2%E5%8D%95%20%E2%84%96%2042%20%F0%9F%98%80",
        ),
        ("ce-urgent", "true"),
        ("ce-weight", "-7"),
        ("ce-empty", ""),
    ] {
        assert_eq!(headers[name], value, "{name}");
    }
    assert!(!headers.contains_key("ce-datacontenttype"));
    assert!(!headers.contains_key(CONTENT_TYPE));
}

#[test]
fn json_without_a_type_has_one_outside_json() {
    let event = json(r#","data":"I'm just a string""#).unwrap();
    let (headers, body) = encode_binary(&event);
    assert_eq!(headers[CONTENT_TYPE], "application/json");
    assert_eq!(body, "\"I'm just a string\"");
    let bytes = json(r#","data_base64":"e30=""#).unwrap();
    assert!(!encode_binary(&bytes).0.contains_key(CONTENT_TYPE));
}

#[test]
fn what_is_not_what_it_says_is_written_as_bytes() {
    let base = Event::new("1", "/shop", "order.placed").unwrap();
    for (media, data, member) in [
        (Some("application/json"), Data::json("{}"), r#""data":{}"#),
        (
            Some("application/json"),
            Data::json("{"),
            r#""data_base64":"ew==""#,
        ),
        (Some("application/json"), Data::text("1"), r#""data":1"#),
        (
            Some("application/json"),
            Data::binary("1"),
            r#""data_base64":"MQ==""#,
        ),
        (Some("text/plain"), Data::json("{}"), r#""data":"{}""#),
        (
            Some("text/plain"),
            Data {
                bytes: Bytes::from_static(b"\xff"),
                form: Form::Text,
            },
            r#""data_base64":"/w==""#,
        ),
        (None, Data::json("{}"), r#""data":{}"#),
        (None, Data::text("{}"), r#""data_base64":"e30=""#),
    ] {
        let mut event = base.clone().with_data(data);
        if let Some(media) = media {
            event.set("datacontenttype", media).unwrap();
        }
        let (headers, body) = encode_structured(&event).unwrap();
        assert_eq!(headers[CONTENT_TYPE], STRUCTURED);
        let body = std::str::from_utf8(&body).unwrap();
        assert!(body.ends_with(&format!("{member}}}")), "{body}");
    }
}

#[test]
fn an_event_at_its_limits_is_read_again_with_what_the_platform_said() {
    let mut event = Event::new("1", "/s", "t").unwrap();
    for n in 0..Event::MAX_EXTENSIONS {
        event.set(&format!("x{n}"), "v").unwrap();
    }
    event.set("gustattempt", 2).unwrap();
    event.set(Event::HOPS, 1).unwrap();
    let (headers, body) = encode_binary(&event);
    let decoded = decode(&headers, &body, &Limits::default()).unwrap();
    assert_eq!(decoded.unwrap().events[0].extensions().count(), 66);
    let (headers, body) = encode_structured(&event).unwrap();
    let decoded = decode(&headers, &body, &Limits::default()).unwrap();
    assert_eq!(decoded.unwrap().events[0].extensions().count(), 66);
    let (mut headers, body) = encode_binary(&event);
    headers.insert("ce-more", HeaderValue::from_static("v"));
    assert!(decode(&headers, &body, &Limits::default()).is_err());
}
