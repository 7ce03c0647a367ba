//! What `spin.toml` means.

use gust_types::app::{RouteTarget, Source};

use super::spin_fault;
use crate::parse_spin;

const FULL: &str = r#"
spin_manifest_version = 2

[application]
name = "My 应用_Shop"
version = "0.1.0"
description = "测试"
authors = ["Someone <someone@example.com>"]
targets = ["spin-up:3.3"]
[application.trigger.http]
base = "/"
[application.trigger.redis]
address = "redis://localhost"
[application.tool.anything]
x = { y = 1 }

[variables]
token = { required = true, secret = true }
site = { default = "spin.example" }

[[trigger.http]]
route = "/hello/:name"
component = "hello"
executor = { type = "spin" }

[[trigger.http]]
id = "second"
route = "/second/..."
component = "hello"

[[trigger.http]]
route = { private = true }
component = "inner"

[[trigger.http]]
route = "/fixed"
static_response = { status_code = 404, headers = { x-a = "b" }, body = "没有" }

[[trigger.http]]
id = "inline"
route = "/inline"
component = { source = "inline.wasm", key_value_stores = ["default"] }

[[trigger.http]]
route = "/inline2"
component = { source = "inline2.wasm" }

[component.hello]
source = "../target/hello.wasm"
description = "你好"
variables = { token = "{{ token }}" }
environment = { LANG = "zh_CN", MODE = "release" }
allowed_outbound_hosts = ["https://{{ site }}", "http://inner.spin.internal"]
allowed_http_hosts = ["old.example.com", "http://older.example.com:8080"]
key_value_stores = ["default", "my-store"]
sqlite_databases = ["default"]
ai_models = ["llama2-chat"]
targets = ["spin-up:3.3"]
dependencies_inherit_configuration = true
dependencies = {}
[component.hello.build]
command = "cargo build --target wasm32-wasip1 --release"
workdir = "hello"
watch = ["src/**/*.rs", "Cargo.toml"]
[component.hello.tool.anything]
x = 1
[component.hello.profile.debug]
source = "../target/debug/hello.wasm"
environment = { MODE = "debug", EXTRA = "1" }
build.command = ["cargo build"]

[component.inner]
source = "inner.wasm"

[component.unused]
source = "unused.wasm"
"#;

#[test]
fn every_key_arrives() {
    let (app, notes) = parse_spin(FULL, None).unwrap();
    assert_eq!(app.name.as_str(), "my-shop");
    assert_eq!(app.description, "测试");
    assert!(app.variables["token"].secret);
    let hello = &app.functions["hello"];
    assert_eq!(
        hello.source,
        Source::Path("../target/hello.wasm".to_owned())
    );
    assert_eq!(
        hello.outbound,
        [
            "https://{{ site }}",
            "http://inner.spin.internal",
            "http://old.example.com",
            "https://old.example.com",
            "http://older.example.com:8080"
        ]
    );
    assert_eq!(hello.kv[1].as_str(), "my-store");
    assert_eq!(hello.sql[0].as_str(), "default");
    assert_eq!(hello.environment["MODE"], "release");
    assert_eq!(
        hello.build.as_ref().unwrap().workdir.as_deref(),
        Some("hello")
    );
    let names: Vec<&str> = app.functions.keys().map(|n| n.as_str()).collect();
    assert_eq!(
        names,
        [
            "hello",
            "http-trigger6-component",
            "inline-component",
            "inner"
        ]
    );
    assert_eq!(
        notes,
        [
            "the application's name cannot be part of a host name; it is deployed as `my-shop`: \"My 应用_Shop\"",
            "function `hello` declares ai_models: no model is served yet, so its calls to one will fail",
            "function `hello`: allowed_http_hosts is deprecated, use allowed_outbound_hosts",
            "component is left out, since no trigger names it: `unused`",
        ]
    );
}

#[test]
fn triggers_become_routes() {
    let (app, _) = parse_spin(FULL, None).unwrap();
    let routes: Vec<(Option<&str>, String)> = app
        .routes
        .iter()
        .map(|r| {
            let target = match &r.target {
                RouteTarget::Function(name) => name.to_string(),
                RouteTarget::Response { status, body, .. } => format!("{status} {body}"),
                RouteTarget::Files { .. } => "files".to_owned(),
            };
            (r.path.as_deref(), target)
        })
        .collect();
    let expected = [
        (Some("/hello/:name"), "hello"),
        (Some("/second/..."), "hello"),
        (None, "inner"),
        (Some("/fixed"), "404 没有"),
        (Some("/inline"), "inline-component"),
        (Some("/inline2"), "http-trigger6-component"),
    ];
    let expected = expected.map(|(path, target)| (path, target.to_owned()));
    assert_eq!(routes, expected);
}

#[test]
fn a_profile_replaces_parts() {
    let (app, _) = parse_spin(FULL, Some("debug")).unwrap();
    let hello = &app.functions["hello"];
    assert_eq!(
        hello.source,
        Source::Path("../target/debug/hello.wasm".to_owned())
    );
    assert_eq!(hello.environment["MODE"], "debug");
    assert_eq!(hello.environment["LANG"], "zh_CN");
    let build = hello.build.as_ref().unwrap();
    assert_eq!(build.command, ["cargo build"]);
    assert_eq!(build.workdir.as_deref(), Some("hello"));
    let error = parse_spin(FULL, Some("nope")).unwrap_err().to_string();
    assert!(
        error.contains("no component has the profile: `nope`"),
        "{error}"
    );
}

/// A whole manifest around a trigger's and a component's further keys.
fn around(trigger: &str, component: &str) -> String {
    format!(
        "spin_manifest_version = 2\n[application]\nname = \"a\"\n[[trigger.http]]\nroute = \"/\"\n{trigger}\n\
         [component.c]\nsource = \"c.wasm\"\n{component}"
    )
}

#[test]
fn programs_are_told_their_request_as_cgi() {
    for (executor, argv) in [
        ("{ type = \"wagi\" }", "${SCRIPT_NAME} ${ARGS}"),
        (
            "{ type = \"wagi\", argv = \"run ${ARGS}\", entrypoint = \"_start\" }",
            "run ${ARGS}",
        ),
    ] {
        let text = around(&format!("component = \"c\"\nexecutor = {executor}"), "");
        let (app, _) = parse_spin(&text, None).unwrap();
        let cgi = app.functions["c"].cgi.as_ref().unwrap();
        assert_eq!(cgi.argv, argv);
    }
    let (app, _) = parse_spin(&around("component = \"c\"", ""), None).unwrap();
    assert_eq!(app.functions["c"].cgi, None);
}

#[test]
fn what_cannot_be_done_is_refused_by_name() {
    for (trigger, component, expected) in [
        (
            "component = \"c\"",
            "source = { url = \"https://x\" }",
            "duplicate key",
        ),
        (
            "component = \"c\"\ndependencies = { middleware = [] }",
            "",
            "middleware is not built yet: `dependencies`",
        ),
        (
            "component = \"c\"\ncomponents = { x = \"c\" }",
            "",
            "an http trigger has no further components: `components`",
        ),
        (
            "component = \"c\"\nexecutor = { type = \"wagi\", entrypoint = \"run\" }",
            "",
            "`entrypoint` must be \"_start\": \"run\"",
        ),
        (
            "component = \"c\"\nexecutor = { type = \"wagi\" }\n[[trigger.http]]\nroute = \"/b\"\ncomponent = \"c\"",
            "",
            "component `c` is called by two executors",
        ),
        (
            "component = \"c\"\nexecutor = { type = \"w\" }",
            "",
            "unknown executor type: \"w\"",
        ),
        (
            "component = \"c\"\nexecutor = { type = \"http\", argv = \"\" }",
            "",
            "`argv` belongs to the wagi executor",
        ),
        ("component = \"d\"", "", "no such component: `d`"),
        (
            "",
            "",
            "an http trigger needs either `component` or `static_response`",
        ),
        (
            "component = \"c\"\nstatic_response = {}",
            "",
            "an http trigger needs either `component` or `static_response`",
        ),
        (
            "component = \"c\"\nrouted = 1",
            "",
            "unknown key in [[trigger.http]]: `routed`",
        ),
        (
            "component = \"c\"",
            "key_value_store = []",
            "unknown key in [component.c]: `key_value_store`",
        ),
        (
            "component = \"c\"",
            "allowed_outbound_hosts = [\"x.com\"]",
            "outbound host has no scheme: \"x.com\"",
        ),
        (
            "component = \"c\"\n[[trigger.http]]\nroute = \"/\"\ncomponent = \"c\"",
            "",
            "the same route is there twice: \"/\"",
        ),
        (
            "component = \"c\"\n[[trigger.http]]\nroute = { private = false }\ncomponent = \"c\"",
            "",
            "`private` must be true",
        ),
        (
            "component = \"c\"\n[[trigger.http]]\nroute = { private = true }\nstatic_response = {}",
            "",
            "a private route needs a component",
        ),
        (
            "component = \"c\"\n[[trigger.sqs]]\nqueue_url = \"x\"\ncomponent = \"c\"",
            "",
            "trigger type is not built yet: `sqs`",
        ),
        (
            "component = \"c\"\n[[trigger.redis]]\nchannel = \"x\"\ncomponent = \"c\"",
            "",
            "a redis trigger needs an address",
        ),
        (
            "component = \"c\"\n[[trigger.mqtt]]\ntopic = \"x\"\nqos = \"1\"\ncomponent = \"c\"",
            "",
            "an mqtt trigger needs an address",
        ),
        (
            "component = \"c\"\n[[trigger.cron]]\ncron = \"x\"\ncomponent = \"c\"",
            "",
            "unknown key in [[trigger.cron]]: `cron`",
        ),
        (
            "component = \"c\"\n[application.trigger.http]\nbase = \"/x\"",
            "",
            "`base` must be \"/\": \"/x\"",
        ),
    ] {
        let fault = spin_fault(&around(trigger, component));
        assert!(fault.contains(expected), "{expected}: {fault}");
    }
}

#[test]
fn remote_sources_are_a_url_and_a_digest() {
    let digest = format!("sha256:{}", "0a".repeat(32));
    let with = |source: &str| around("component = \"c\"", "").replace("\"c.wasm\"", source);
    let text = with(&format!(
        "{{ url = \"https://x.example/y.wasm?z=1\", digest = \"{digest}\" }}"
    ));
    let (spec, _) = parse_spin(&text, None).unwrap();
    let source = Source::Remote {
        url: "https://x.example/y.wasm?z=1".to_owned(),
        digest: digest.parse().unwrap(),
    };
    assert_eq!(spec.functions["c"].source, source);
    let of = |url: &str| format!("{{ url = \"{url}\", digest = \"{digest}\" }}");
    for (source, expected) in [
        (
            "{ url = \"https://x/y.wasm\", digest = \"sha256:00\" }",
            "not a digest: \"sha256:00\"",
        ),
        ("{ url = \"https://x/y.wasm\" }", "needs the key `digest`"),
        ("{ digest = \"sha256:00\" }", "needs the key `url`"),
        (&of("ftp://x/y.wasm"), "by http or https"),
        (&of("y.wasm"), "by http or https"),
        (&of("https://me:secret@x/y"), "names a host, and no user"),
        (&of("https://a b"), "not a URL"),
        (
            "{ registry = \"r.example\", package = \"a:b\", version = \"1.0.0\" }",
            "registries of packages are not built yet: `registry`",
        ),
        (
            "{ package = \"a:b\", version = \"1.0.0\" }",
            "registries of packages are not built yet: `package`",
        ),
        ("{ uri = \"https://x\" }", "uri"),
        ("\"https://x/y.wasm\"", "a source is a path"),
        ("3", "`source` must be a path or a table"),
    ] {
        let fault = spin_fault(&with(source));
        assert!(fault.contains("8:"), "{fault}");
        assert!(fault.contains(expected), "{expected}: {fault}");
    }
}

#[test]
fn names_are_fitted_to_host_names() {
    for (name, fitted) in [
        ("hello", "hello"),
        ("Hello World", "hello-world"),
        ("spin_test", "spin-test"),
        ("1-first", "first"),
        ("--x--", "x"),
        ("你好", "app-86938da3"),
    ] {
        let text = around("component = \"c\"", "").replace("\"a\"", &format!("{name:?}"));
        let (app, notes) = parse_spin(&text, None).unwrap();
        assert_eq!(app.name.as_str(), fitted, "{name}");
        assert_eq!(notes.len(), usize::from(name != fitted));
    }
}

#[test]
fn upper_case_components_are_lower_cased() {
    let text = around("component = \"Big-One\"", "").replace("component.c]", "component.Big-One]");
    let (app, notes) = parse_spin(&text, None).unwrap();
    assert!(app.functions.contains_key("big-one"));
    assert_eq!(notes, ["component `Big-One` is deployed as `big-one`"]);
}

#[test]
fn triggers_of_events_become_triggers_and_hide_what_is_secret() {
    let text = r#"
spin_manifest_version = 2
[application]
name = "a"
[application.trigger.redis]
address = "redis://:geheim@localhost:6379"
[application.trigger.mqtt]
address = "mqtt://localhost:1883"
username = "me"
password = "geheim2"
keep_alive_interval = "20"

[variables]
channel = { default = "orders" }

[[trigger.redis]]
channel = "{{ channel }}"
component = "c"

[[trigger.redis]]
id = "other"
channel = "x"
address = "redis://elsewhere"
component = "d"

[[trigger.mqtt]]
topic = "a/+"
qos = "2"
component = "c"

[[trigger.cron]]
cron_expression = "*/2 * * * * *"
component = { source = "cron.wasm" }

[[trigger.http]]
route = "/..."
component = "d"

[component.c]
source = "c.wasm"
[component.d]
source = "d.wasm"
"#;
    let (app, notes) = parse_spin(text, None).unwrap();
    let triggers: Vec<_> = app.events.triggers.iter().collect();
    let names: Vec<_> = triggers
        .iter()
        .map(|t| (t.name.as_str(), t.function.as_str()))
        .collect();
    let expected = [
        ("c-redis-channel-e6dc50f6", "c"),
        ("other", "d"),
        ("c-mqtt-a-6a9176f9", "c"),
        (
            "cron-trigger1-component-cron-2-50a456ce",
            "cron-trigger1-component",
        ),
    ];
    assert_eq!(names, expected);
    let json =
        serde_json::to_value(triggers.iter().map(|t| &t.source).collect::<Vec<_>>()).unwrap();
    assert_eq!(
        json[0],
        serde_json::json!({"external": {"kind": "redis", "settings": {
            "url": "{{ trigger_secret_1 }}", "channel": "{{ channel }}",
        }}})
    );
    assert_eq!(json[1]["external"]["settings"]["url"], "redis://elsewhere");
    assert_eq!(
        json[2],
        serde_json::json!({"external": {"kind": "mqtt", "settings": {
            "url": "mqtt://localhost:1883", "topic": "a/+", "qos": 1, "user": "me",
            "password": "{{ trigger_secret_2 }}", "keep_alive": "20s",
        }}})
    );
    assert_eq!(json[3]["schedule"]["cron"], "*/2 * * * * *");
    let secret = &app.variables["trigger_secret_1"];
    assert_eq!(
        secret.default.as_deref(),
        Some("redis://:geheim@localhost:6379")
    );
    assert!(secret.secret);
    assert_eq!(notes.len(), 3, "{notes:?}");
    // Reached by events alone, it has no address.
    let private: Vec<_> = app.routes.iter().filter(|r| r.path.is_none()).collect();
    assert_eq!(private.len(), 2, "{:?}", app.routes);
}

#[test]
fn what_a_trigger_is_called_hangs_on_what_it_takes_from() {
    let trigger = |channel: &str, more: &str| {
        format!("[[trigger.redis]]\nchannel = \"{channel}\"\ncomponent = \"c\"\n{more}\n")
    };
    let names = |triggers: &[String]| {
        let text = format!(
            "spin_manifest_version = 2\n[application]\nname = \"a\"\n[application.trigger.redis]\n\
             address = \"redis://h\"\n{}[component.c]\nsource = \"c.wasm\"\n",
            triggers.concat()
        );
        let (app, _) = parse_spin(&text, None).unwrap();
        let triggers = app.events.triggers.iter();
        triggers.map(|t| t.name.to_string()).collect::<Vec<_>>()
    };
    let (orders, news) = (trigger("orders", ""), trigger("新闻.*", ""));
    let elsewhere = |who: &str| trigger("orders", &format!("address = \"redis://{who}elsewhere\""));
    let all = [orders.clone(), news.clone(), elsewhere("")];
    let of_all = names(&all);
    assert_eq!(of_all[0], "c-redis-orders");
    assert!(of_all[1].starts_with("c-redis-") && of_all[2].starts_with("c-redis-orders-"));
    // Alone, and the other way round, they have the same names.
    for (name, trigger) in of_all.iter().zip(&all) {
        assert_eq!(
            names(std::slice::from_ref(trigger)),
            std::slice::from_ref(name)
        );
    }
    let turned: Vec<_> = all.iter().rev().cloned().collect();
    let mut of_turned = names(&turned);
    of_turned.reverse();
    assert_eq!(of_turned, of_all);
    // Who is logged in there is nobody's to guess.
    assert_eq!(names(&[elsewhere("a:geheim@")]), names(&[elsewhere("")]));
    let long = names(&[trigger(&"x".repeat(200), ""), trigger(&"x".repeat(201), "")]);
    assert!(long.iter().all(|name| name.len() == 63) && long[0] != long[1]);
}
