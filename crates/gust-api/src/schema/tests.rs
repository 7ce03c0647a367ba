//! What the description says must be what `serde` writes, key by key.

use std::{collections::BTreeSet, sync::Arc};

use gust_types as real;
use serde_json::{Value, json};
use utoipa::{PartialSchema, ToSchema};

use super::*;

/// The property names that the description of `T` has.
fn described<T: PartialSchema>() -> BTreeSet<String> {
    keys(&serde_json::to_value(T::schema()).unwrap()["properties"])
}

fn keys(value: &Value) -> BTreeSet<String> {
    value.as_object().unwrap().keys().cloned().collect()
}

/// Compares the description of `T` with a value in which every field is present.
fn check<T: ToSchema>(full: &Value) {
    assert_eq!(described::<T>(), keys(full), "{}", T::name());
}

fn app() -> Value {
    json!({
        "name": "shop", "version": "1", "description": "d", "hosts": ["shop.example"],
        "variables": {"v": {"description": "", "required": true, "default": "x", "secret": true}},
        "functions": {"front": {
            "description": "", "source": {"artifact": {"digest": real::Digest::of(b"x"), "size": 1}},
            "build": {"command": [], "workdir": "w", "watch": []},
            "environment": {}, "variables": {},
            "files": [{"path": "/a", "source": {"artifact": {"digest": real::Digest::of(b"y"), "size": 1}}}],
            "kv": ["default"], "sql": [], "queues": ["jobs"], "topics": ["news"], "blobs": ["pictures"], "outbound": [],
            "limits": real::Limits::default(),
            "reuse": {"calls": 1, "concurrent": 1, "idle": "1s"},
            "health": {"path": "/h", "timeout": "1s"},
            "async": {
                "retry": real::trigger::RetrySpec::default(), "keep": "1d", "concurrency": 1,
                "on_success": "queue:q", "on_failure": "function:front", "public": true,
                "callback": "https://example.com/done", "callback_secrets": ["{{ hush }}"], "callback_public": true
            },
            "cgi": {"argv": "run"}
        }},
        "routes": [
            {"path": "/...", "target": {"function": "front"}},
            {"path": "/r", "target": {"response": {"status": 200, "headers": {}, "body": ""}}},
            {"path": "/f/...", "target": {"files": {"files": [], "index": "i", "fallback": "f"}}}
        ],
        "events": {
            "triggers": [{
                "name": "t", "function": "front", "path": "/", "concurrency": 1,
                "source": {"schedule": {
                    "cron": "* * * * *", "rate": "1s", "at": "2026-01-01T00:00:00Z", "timezone": "UTC",
                    "overlap": "skip", "missed": "all", "missed_within": "1h", "jitter": "1s"
                }},
                "retry": real::trigger::RetrySpec::default(), "exactly_once": true,
                "mode": "structured"
            }],
            "queues": {"orders": real::trigger::QueueSettings::default()},
            "topics": {"orders": real::trigger::TopicSettings::default()}
        }
    })
}

#[test]
fn an_app_is_described_as_it_is_written() {
    let read: real::AppSpec = serde_json::from_value(app()).unwrap();
    let full = serde_json::to_value(read).unwrap();
    assert_eq!(full, app(), "every field is present in the sample");
    check::<AppSpec>(&full);
    check::<VariableSpec>(&full["variables"]["v"]);
    check::<EventsSpec>(&full["events"]);
    let trigger = &full["events"]["triggers"][0];
    check::<TriggerSpec>(trigger);
    check::<ScheduleSpec>(&trigger["source"]["schedule"]);
    check::<RetrySpec>(&trigger["retry"]);
    check::<QueueSettings>(&full["events"]["queues"]["orders"]);
    check::<TopicSettings>(&full["events"]["topics"]["orders"]);
    let function = &full["functions"]["front"];
    check::<FunctionSpec>(function);
    check::<BuildSpec>(&function["build"]);
    check::<FileSpec>(&function["files"][0]);
    check::<Limits>(&function["limits"]);
    check::<Reuse>(&function["reuse"]);
    check::<HealthSpec>(&function["health"]);
    check::<LaterSpec>(&function["async"]);
    check::<CgiSpec>(&function["cgi"]);
    check::<RouteSpec>(&full["routes"][0]);
}

#[test]
fn a_usage_record_is_described_as_it_is_written() {
    let usage = real::Usage {
        call: real::call::CallId(1),
        function: Arc::new(real::FunctionKey {
            project: real::ProjectName::default_project(),
            app: real::AppName::new("a").unwrap(),
            function: real::FunctionName::new("f").unwrap(),
        }),
        revision: 1,
        trigger: real::call::Trigger::Http,
        start_us: 0,
        wall_us: 0,
        cpu_us: 0,
        memory_peak: 0,
        memory_mb_ms: 0,
        bytes_in: 0,
        bytes_out: 0,
        host: Default::default(),
        start: Default::default(),
        outcome: real::Outcome::Ok,
        status: 200,
        phases: Default::default(),
    };
    let full = serde_json::to_value(usage).unwrap();
    check::<Usage>(&full);
    check::<FunctionKey>(&full["function"]);
    check::<HostCalls>(&full["host"]);
    check::<Phases>(&full["phases"]);
}

#[test]
fn outcomes_are_described_by_their_names() {
    let names: Vec<&str> = real::Outcome::ALL.iter().map(|o| o.as_str()).collect();
    let schema = serde_json::to_value(Outcome::schema()).unwrap();
    let described: Vec<String> = match schema.get("enum") {
        Some(list) => serde_json::from_value(list.clone()).unwrap(),
        None => schema["oneOf"]
            .as_array()
            .unwrap()
            .iter()
            .map(|v| {
                v["const"]
                    .as_str()
                    .or_else(|| v["enum"][0].as_str())
                    .unwrap()
                    .to_owned()
            })
            .collect(),
    };
    assert_eq!(described, names);
}
