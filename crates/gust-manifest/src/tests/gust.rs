//! What `gust.toml` means.

use gust_types::{
    ByteSize, FunctionName, Limits, Span,
    app::{RouteTarget, Source},
};

use super::with;
use crate::parse_gust;

const FULL: &str = r#"
[app]
name = "shop"
version = "1.2.0"
description = "一个小店"
hosts = ["Shop.Example.com"]

[variables]
greeting = { default = "你好，世界" }
api_key = { required = true, secret = true, description = "for the API" }

[function.hello]
source = "target/hello.wasm"
description = "says hello"
route = ["/hello/:name", "/你好/..."]
kv = ["default", "default", "my_cache"]
sql = ["db"]
queues = ["orders", "mail"]
topics = ["news"]
blobs = ["photos", "thumbs"]
outbound = ["https://api.example.com", "https://{{ api_key }}.example.com"]
environment = { LANG = "zh_CN.UTF-8", EMPTY = "" }
variables = { greeting = "{{ greeting }}!" }
health = { path = "/healthz", timeout = "250ms" }

[function.hello.build]
command = ["cargo build", "echo 完成"]
workdir = "../hello"
watch = ["src/**/*.rs"]

[function.hello.limits]
memory = "64MiB"
cpu_time = "50ms"
wall_time = "2s"
concurrency = 7
queue = 0
queue_time = "1s"
rate = 5
request_body = 1024
response_body = "1MB"
table_elements = 10
core_instances = 3
log_bytes = "4KiB"

[function.hello.reuse]
calls = 10
concurrent = 2
idle = "5s"

[function.inner]
source = "inner.wasm"
route = false
health = "/ready"

[[route]]
path = "/greeting"
response = { status = 201, headers = { content-type = "text/plain; charset=utf-8" }, body = "你好\n" }

[[route]]
path = "/assets/*"
files = { dir = "static", fallback = "index.html" }

[[route]]
path = "/extra"
function = "hello"
"#;

#[test]
fn every_key_arrives() {
    let (app, notes) = parse_gust(FULL).unwrap();
    assert!(notes.is_empty(), "{notes:?}");
    assert_eq!(app.name.as_str(), "shop");
    assert_eq!(app.description, "一个小店");
    assert_eq!(app.hosts, ["shop.example.com"]);
    assert_eq!(
        app.variables["greeting"].default.as_deref(),
        Some("你好，世界")
    );
    assert!(app.variables["api_key"].required && app.variables["api_key"].secret);
    let hello = &app.functions["hello"];
    assert_eq!(hello.source, Source::Path("target/hello.wasm".to_owned()));
    assert_eq!(hello.kv.len(), 2, "a label counts once");
    assert_eq!(hello.sql[0].as_str(), "db");
    assert_eq!(hello.queues[1].as_str(), "mail");
    assert_eq!(hello.topics[0].as_str(), "news");
    assert_eq!(hello.blobs[1].as_str(), "thumbs");
    assert_eq!(hello.outbound[1], "https://{{ api_key }}.example.com");
    assert_eq!(hello.environment["LANG"], "zh_CN.UTF-8");
    assert_eq!(hello.variables["greeting"], "{{ greeting }}!");
    let build = hello.build.as_ref().unwrap();
    assert_eq!(build.command, ["cargo build", "echo 完成"]);
    assert_eq!(build.workdir.as_deref(), Some("../hello"));
    assert_eq!(hello.health.as_ref().unwrap().timeout, Span::millis(250));
    assert_eq!(
        app.functions["inner"].health.as_ref().unwrap().timeout,
        Span::secs(5)
    );
    assert_eq!(hello.reuse.calls, Some(10));
    assert_eq!(hello.reuse.idle, Some(Span::secs(5)));
}

#[test]
fn every_limit_arrives() {
    let (app, _) = parse_gust(FULL).unwrap();
    let expected = Limits {
        memory: ByteSize::mib(64),
        cpu_time: Span::millis(50),
        wall_time: Span::secs(2),
        concurrency: 7,
        queue: 0,
        queue_time: Span::secs(1),
        rate: 5,
        request_body: ByteSize(1024),
        response_body: ByteSize(1_000_000),
        table_elements: 10,
        core_instances: 3,
        log_bytes: ByteSize::kib(4),
    };
    assert_eq!(app.functions["hello"].limits, expected);
    assert_eq!(app.functions["inner"].limits, Limits::default());
}

#[test]
fn routes_keep_the_order_of_the_file() {
    let (app, _) = parse_gust(FULL).unwrap();
    let paths: Vec<Option<&str>> = app.routes.iter().map(|r| r.path.as_deref()).collect();
    assert_eq!(
        paths,
        [
            Some("/hello/:name"),
            Some("/你好/..."),
            None,
            Some("/greeting"),
            Some("/assets/*"),
            Some("/extra")
        ]
    );
    let inner = RouteTarget::Function(FunctionName::new("inner").unwrap());
    assert_eq!(app.routes[2].target, inner, "private");
    let RouteTarget::Response { status, body, .. } = &app.routes[3].target else {
        panic!("{:?}", app.routes[3]);
    };
    assert_eq!((*status, body.as_str()), (201, "你好\n"));
}

#[test]
fn what_it_gives_survives_the_wire() {
    let (app, _) = parse_gust(FULL).unwrap();
    let json = serde_json::to_string(&app).unwrap();
    assert_eq!(
        serde_json::from_str::<gust_types::AppSpec>(&json).unwrap(),
        app
    );
}

#[test]
fn the_only_function_answers_everything() {
    let (app, _) = parse_gust(&with("")).unwrap();
    assert_eq!(app.routes[0].path.as_deref(), Some("/..."));
    let (app, _) = parse_gust(&with("route = \"private\"")).unwrap();
    assert_eq!(app.routes.len(), 1);
    assert_eq!(app.routes[0].path, None);
    let (app, _) = parse_gust(&with("[function.other]\nsource = \"o.wasm\"")).unwrap();
    assert!(app.routes.is_empty(), "two functions: nobody can guess");
}

#[test]
fn a_site_needs_no_function() {
    let text = "[app]\nname = \"site\"\n[[route]]\npath = \"/...\"\nfiles = { dir = \"public\" }\n";
    let (app, _) = parse_gust(text).unwrap();
    assert!(app.functions.is_empty());
    assert_eq!(app.routes.len(), 1);
}

#[test]
fn windows_line_ends_and_a_byte_order_mark_are_fine() {
    let text = format!("\u{feff}{}", with("").replace('\n', "\r\n"));
    assert!(parse_gust(&text).is_ok());
}

#[test]
fn calls_made_later_have_a_table_of_their_own() {
    use gust_types::later::LaterSpec;
    let table = |more: &str| format!("[function.hello.async]\n{more}");
    let (app, _) = parse_gust(&with(&table(
        "retry = { attempts = 5, max_age = \"1h\" }\nkeep = \"2d\"\nconcurrency = 7\npublic = true\n\
         on_success = \"function:hello\"\non_failure = \"queue:failed\"\n",
    )))
    .unwrap();
    let later = app.functions["hello"].later.as_ref().unwrap();
    assert_eq!(later.retry.attempts, 5);
    assert_eq!(later.retry.max_age, Span::secs(3600));
    assert_eq!(
        later.retry.delay,
        LaterSpec::retry().delay,
        "its own defaults"
    );
    assert_eq!(later.keep, Span::secs(2 * 86_400));
    assert_eq!((later.concurrency, later.public), (7, true));
    let told: Vec<_> = later.destinations().map(ToString::to_string).collect();
    assert_eq!(told, ["function:hello", "queue:failed"]);
    let (app, _) = parse_gust(&with(&table(""))).unwrap();
    assert_eq!(app.functions["hello"].later, Some(LaterSpec::default()));
    for (bad, why) in [
        ("on_success = \"bucket:orders\"", "not a destination"),
        ("on_failure = \"function:helo\"", "did you mean `hello`"),
        ("on_failure = \"failed\"", "not a destination"),
        (
            "callback = \"https://example.com\"",
            "`callback` needs a `callback_secret`",
        ),
        (
            "callback = \"ftp://example.com\"\ncallback_secret = \"{{ s }}\"",
            "is no https address",
        ),
        ("callback_secret = \"hush\"", "not written down"),
        ("retry = { max_age = \"8d\" }", "7d at most"),
        ("keep = \"1s\"", "keep"),
        ("concurrency = 0", "concurrency"),
        ("max_age = \"1h\"", "max_age"),
    ] {
        let said = super::gust_fault(&with(&table(bad)));
        assert!(said.contains(why), "{bad}: {said}");
    }
}

#[test]
fn what_a_function_publishes_to_has_one_name() {
    let text = "name = \"shop\"\n\n[function.f]\nsource = \"f.wasm\"\nqueues = [\"a\", \"b\"]\ntopics = [\"c\", \"b\"]\n";
    let said = super::gust_fault(text);
    assert!(
        said.contains("`topics` and `queues` have the same name: b"),
        "{said}"
    );
}

#[test]
fn sources_outside_become_triggers() {
    let text = r#"
[variables]
redis_url = { secret = true, required = true }

[[trigger]]
function = "hello"
redis = { url = "{{ redis_url }}", stream = "orders", claim_after = "90s" }

[[trigger]]
name = "readings"
function = "hello"
mqtt = { url = "mqtt://broker", topic = "a/#", qos = 0 }

[[trigger]]
name = "jobs"
function = "hello"
amqp = { url = "{{ redis_url }}", queue = "q", exchange = "e", keys = ["a.*", "订单"], prefetch = 7 }

[[trigger]]
name = "items"
function = "hello"
http = { url = "https://h/items", every = "5m", items = "", headers = { Authorization = "Bearer {{ redis_url }}" } }
"#;
    let (spec, _) = parse_gust(&with(text)).unwrap();
    let sources: Vec<_> = spec.events.triggers.iter().map(|t| &t.source).collect();
    let json = serde_json::to_value(&sources).unwrap();
    assert_eq!(
        json,
        serde_json::json!([
            {"external": {"kind": "redis", "settings": {
                "url": "{{ redis_url }}", "stream": "orders", "claim_after": "90s",
            }}},
            {"external": {"kind": "mqtt", "settings": {
                "url": "mqtt://broker", "topic": "a/#", "qos": 0,
            }}},
            {"external": {"kind": "amqp", "settings": {
                "url": "{{ redis_url }}", "queue": "q", "exchange": "e", "keys": ["a.*", "订单"], "prefetch": 7,
            }}},
            {"external": {"kind": "http", "settings": {
                "url": "https://h/items", "every": "5m", "items": "",
                "headers": {"Authorization": "Bearer {{ redis_url }}"},
            }}},
        ])
    );
}

#[test]
fn what_a_trigger_is_called_does_not_hang_on_the_order_of_triggers() {
    let trigger = |name: &str, queue: &str| {
        let name = match name {
            "" => String::new(),
            name => format!("name = \"{name}\"\n"),
        };
        format!("[[trigger]]\n{name}function = \"hello\"\nqueue = \"{queue}\"\n")
    };
    let read = |triggers: &[String]| {
        let read = parse_gust(&with(&triggers.concat()));
        let names = |(spec, _): (gust_types::AppSpec, _)| {
            let triggers = spec.events.triggers.iter();
            triggers.map(|t| t.name.to_string()).collect::<Vec<_>>()
        };
        read.map(names).map_err(|error| error.to_string())
    };
    assert_eq!(read(&[trigger("", "a")]).unwrap(), ["hello"]);
    let named = [trigger("", "a"), trigger("b", "b")];
    assert_eq!(read(&named).unwrap(), ["hello", "b"]);
    assert_eq!(read(&named[1..]).unwrap(), ["b"]);
    for twice in [
        [trigger("", "a"), trigger("", "b")],
        [trigger("hello", "a"), trigger("", "b")],
        [trigger("", "a"), trigger("hello", "b")],
    ] {
        let error = read(&twice).unwrap_err();
        assert!(error.contains("name"), "{error}");
    }
    let first = with("").lines().count() + 1;
    let error = read(&[trigger("", "a"), trigger("", "b")]).unwrap_err();
    let both = format!("this trigger of `hello` needs a name: the one on line {first} has none");
    assert!(error.contains(&both), "{error}");
    assert!(error.contains("name = \"hello-2\""), "{error}");
}
