use std::collections::BTreeMap;

use gust_types::{AppSpec, Kind};
use serde_json::{Value, json};

use crate::settings::ceilings;

fn source() -> Value {
    json!({"artifact": {"digest": gust_types::Digest::of(b"x"), "size": 1}})
}

/// An app that is fine.
fn good() -> Value {
    json!({
        "name": "shop", "version": "1", "hosts": ["shop.example.com"],
        "variables": {"token": {"secret": true, "required": true}, "host": {"default": "api.example.com"}},
        "functions": {"front": {
            "source": source(),
            "environment": {"A": "b"},
            "variables": {"t": "{{ token }}"},
            "outbound": ["https://{{ host }}"],
            "files": [{"path": "/a/b.txt", "source": source()}],
            "kv": ["default"], "sql": ["default"],
            "health": {"path": "/healthz"},
        }},
        "routes": [
            {"path": "/...", "target": {"function": "front"}},
            {"path": "/fixed", "target": {"response": {"status": 204, "headers": {"x-a": "b"}}}},
            {"path": "/static/...", "target": {"files": {"files": [{"path": "/i.html", "source": source()}]}}},
        ],
    })
}

fn check(app: Value) -> gust_types::Result<()> {
    let spec: AppSpec = serde_json::from_value(app).expect("well-formed");
    let values = BTreeMap::from([("token".to_owned(), "t".to_owned())]);
    super::app(&spec, &values, &ceilings())?;
    super::artifacts(&spec).map(|_| ())
}

/// The good app with one thing changed.
fn with(pointer: &str, value: Value) -> Value {
    let mut app = good();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match app.pointer_mut(parent).expect("the parent is there") {
        Value::Object(map) => {
            map.insert(key.to_owned(), value);
        }
        Value::Array(list) if key == "-" => list.push(value),
        Value::Array(list) => list[key.parse::<usize>().unwrap()] = value,
        _ => panic!("not a container: {parent}"),
    }
    app
}

#[test]
fn triggers_have_the_bounds_of_the_manifest() {
    let trigger = |more: Value| {
        let mut trigger = json!({
            "name": "t", "function": "front", "path": "/", "concurrency": 16,
            "source": {"queue": {"queue": "q", "batch": 1}},
        });
        let fields = trigger.as_object_mut().unwrap();
        fields.extend(more.as_object().unwrap().clone());
        trigger
    };
    let said = |triggers: Vec<Value>| {
        let checked = check(with("/events", json!({ "triggers": triggers })));
        checked.err().map(|e| e.message).unwrap_or_default()
    };
    assert_eq!(said(vec![trigger(json!({}))]), "");
    for (more, fault) in [
        (json!({"concurrency": 0}), "concurrency is not 1 to 10000"),
        (json!({"concurrency": u32::MAX}), "concurrency is not"),
        (
            json!({"source": {"queue": {"queue": "q", "batch": 0}}}),
            "batch is not 1 to 1000",
        ),
        (json!({"function": "back"}), "no such function: back"),
        (json!({"path": "a"}), "its path"),
        (
            json!({"retry": {"attempts": 1001}}),
            "retry.attempts is not 1 to 1000: 1001",
        ),
        (json!({"retry": {"jitter": 101}}), "retry.jitter is not"),
        (json!({"retry": {"delay": "0s"}}), "retry.delay is not"),
        (json!({"retry": {"max_age": "15d"}}), "retry.max_age is not"),
    ] {
        let said = said(vec![trigger(more)]);
        assert!(said.contains(fault), "{said}");
    }
    let twice = said(vec![trigger(json!({})); 2]);
    assert!(twice.contains("two triggers have this name"), "{twice}");
    let names = (0..1001).map(|n| trigger(json!({"name": format!("t{n}")})));
    assert!(said(names.collect()).contains("triggers"));
}

#[test]
fn a_good_app_passes() {
    check(good()).unwrap();
}

#[test]
fn bad_apps_are_refused_by_name() {
    let function = "/functions/front";
    let at = |rest: &str| format!("{function}{rest}");
    let cases: Vec<(String, Value, &str)> = vec![
        ("/functions".into(), json!({}), "does not have"),
        ("/hosts".into(), json!(["*"]), "not a host name"),
        ("/hosts".into(), json!(["Shop.example"]), "not a host name"),
        ("/hosts".into(), json!(["a:80"]), "not a host name"),
        (
            "/variables/BAD".into(),
            json!({}),
            "not the name of a variable",
        ),
        (
            "/variables/more".into(),
            json!({"required": true}),
            "not set: more",
        ),
        ("/routes/0/path".into(), json!("no-slash"), "start with"),
        ("/routes/0/path".into(), json!("/a/../b"), "'..'"),
        (
            "/routes/0/target".into(),
            json!({"function": "gone"}),
            "does not have: gone",
        ),
        (
            "/routes/-".into(),
            json!({"path": "/*", "target": {"function": "front"}}),
            "match the same paths",
        ),
        ("/routes/1/path".into(), json!(null), "can be private"),
        (
            "/routes/1/target".into(),
            json!({"response": {"status": 99}}),
            "status",
        ),
        (
            "/routes/1/target".into(),
            json!({"response": {"headers": {"a b": "c"}}}),
            "not a header",
        ),
        (
            "/routes/1/target".into(),
            json!({"response": {"headers": {"a": "c\r\nd"}}}),
            "not a header",
        ),
        ("/routes/2/path".into(), json!("/static"), "must end in"),
        (at("/source"), json!({"path": "/etc/passwd"}), "not paths"),
        (at("/files/0/source"), json!({"path": "x"}), "not paths"),
        (at("/files/0/path"), json!("a"), "start with"),
        (at("/files/0/path"), json!("/../a"), "'..'"),
        (at("/files/0/path"), json!("/a//b"), "empty part"),
        (at("/files/0/path"), json!("/a\u{0}"), "no path has"),
        (
            at("/files/-"),
            json!({"path": "/a/b.txt", "source": source()}),
            "one path",
        ),
        (
            at("/files/-"),
            json!({"path": "/a/b.txt/c", "source": source()}),
            "below another",
        ),
        (
            at("/environment"),
            json!({"A=B": "c"}),
            "environment variable",
        ),
        (
            at("/environment"),
            json!({"A": "x".repeat(70_000)}),
            "environment",
        ),
        (at("/variables"), json!({"t": "{{ nope }}"}), "nope"),
        (at("/outbound"), json!(["example.com"]), "no scheme"),
        (
            at("/outbound"),
            json!(["https://{{ token }}:x"]),
            "outbound host is malformed",
        ),
        (at("/kv"), json!(["a", "a"]), "twice"),
        (at("/limits"), json!({"memory": "2TiB"}), "ceiling"),
        (at("/limits"), json!({"wall_time": "30d"}), "ceiling"),
        (at("/limits"), json!({"concurrency": 0}), "limit of 0"),
        (at("/reuse"), json!({"calls": 0}), "reuse.calls"),
        (at("/health"), json!({"path": "healthz"}), "not a path"),
        (
            at("/health"),
            json!({"path": "/", "timeout": "1h"}),
            "timeout",
        ),
        (
            "/description".into(),
            json!("x".repeat(5000)),
            "description",
        ),
    ];
    for (pointer, value, why) in cases {
        let error = check(with(&pointer, value.clone())).expect_err(&pointer);
        assert!(
            error.chain().contains(why),
            "{pointer} = {value}: {} does not say {why:?}",
            error.chain()
        );
        assert!(
            matches!(error.kind, Kind::Invalid | Kind::Denied),
            "{pointer}"
        );
    }
}

#[test]
fn a_database_and_exactly_once_take_one_event_at_a_time() {
    let with = |once: bool, batch: u32, sql: Value| {
        let mut app = good();
        app["functions"]["front"]["sql"] = sql;
        app["events"] = json!({"triggers": [{
            "name": "t", "function": "front", "exactly_once": once,
            "source": {"queue": {"queue": "q", "batch": batch}},
        }]});
        check(app)
    };
    for (once, batch, sql) in [
        (true, 1, json!(["default"])),
        (true, 10, json!([])),
        (false, 10, json!(["default"])),
    ] {
        with(once, batch, sql).unwrap();
    }
    let error = with(true, 10, json!(["default"])).unwrap_err();
    assert!(
        error.message.contains("not a batch of 10"),
        "{}",
        error.message
    );
}

#[test]
fn errors_name_the_function() {
    let error = check(with("/functions/front/kv", json!(["a", "a"]))).unwrap_err();
    assert!(error.message.starts_with("front: "), "{}", error.message);
}

#[test]
fn too_many_functions_are_refused() {
    let mut app = good();
    let one = app["functions"]["front"].clone();
    for i in 0..super::MAX_FUNCTIONS {
        app["functions"][format!("f{i}")] = one.clone();
    }
    assert!(check(app).unwrap_err().message.contains("functions"));
}
