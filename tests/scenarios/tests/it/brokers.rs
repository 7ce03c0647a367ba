//! Events from brokers of others reach their function: through restarts of the broker, and with the node killed in between.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context as _, Result, ensure};
use gust_scenarios::{
    App, Node,
    broker::{Broker, Kind, PASSWORD, Page},
};
use serde_json::Value;

const ALL: [Kind; 4] = [Kind::Redis, Kind::Nats, Kind::Mqtt, Kind::Amqp];

fn app(kind: Kind, retry: &str) -> Result<App> {
    let source = match kind {
        Kind::Redis => r#"redis = { url = "{{ url }}", stream = "orders", group = "g" }"#,
        Kind::Nats => r#"nats = { url = "{{ url }}", stream = "ORDERS", ack_wait = "2s" }"#,
        Kind::Mqtt => r#"mqtt = { url = "{{ url }}", topic = "orders/#", version = 5 }"#,
        Kind::Amqp => {
            r#"amqp = { url = "{{ url }}", queue = "orders", exchange = "shop", exchange_type = "fanout" }"#
        }
        Kind::Postgres => {
            r#"postgres = { url = "{{ url }}", publication = "shop", every = "200ms" }"#
        }
    };
    let text = format!(
        "[variables]\nurl = {{ required = true, secret = true }}\n\n[[trigger]]\nfunction = \"sink\"\n{source}\n{retry}\n"
    );
    Ok(App::new("shop")?
        .function("sink", "sink", "route = false\n")?
        .text(&text))
}

fn set_url(node: &Node, broker: &Broker) -> Result<()> {
    node.gust(&["secret", "set", "url", &broker.url(), "--app", "shop"])?;
    Ok(())
}

fn until(what: &str, node: &Node, is: impl FnMut() -> Result<bool>) -> Result<()> {
    let done = gust_scenarios::until(what, is);
    done.or_else(|error| {
        anyhow::bail!(
            "{error}
{}
{}",
            trigger(node)?,
            node.log()
        )
    })
}

fn trigger(node: &Node) -> Result<Value> {
    Ok(node.json(&["trigger", "ls"])?["triggers"][0].clone())
}

fn connected(node: &Node) -> Result<()> {
    until("connected", node, || {
        Ok(trigger(node)?["feed"]["connected"] == true)
    })
}

/// The lines that the sink has printed.
fn lines(node: &Node) -> Result<Vec<String>> {
    let logs = node.json(&["logs", "shop", "--limit", "1000"])?;
    let entries = logs["entries"].as_array().into_iter().flatten();
    let texts = entries.filter_map(|line| line["text"].as_str());
    Ok(texts.map(str::to_owned).collect())
}

fn said(node: &Node, text: &str) -> Result<bool> {
    Ok(lines(node)?.iter().any(|line| line.contains(text)))
}

#[test]
fn messages_reach_their_function_and_the_broker_may_restart() -> Result<()> {
    for kind in ALL {
        let node = Node::start()?;
        let mut broker = Broker::start(kind)?;
        set_url(&node, &broker)?;
        node.deploy(&app(kind, "")?)?;
        connected(&node)?;
        broker.publish("订单-1")?;
        until("delivered", &node, || said(&node, "订单-1"))?;
        until("done", &node, || Ok(trigger(&node)?["done"] == 1))?;
        let line = lines(&node)?.pop().context("a line")?;
        ensure!(
            line.starts_with(&format!("gust.{}.message ", word(kind))),
            "{line}"
        );
        broker.down()?;
        until("it is noticed", &node, || {
            let feed = &trigger(&node)?["feed"];
            Ok(feed["connected"] == false && feed["error"].is_string())
        })?;
        let shown = node.gust(&["trigger", "ls"])?;
        ensure!(shown.contains("not connected"), "{shown}");
        broker.up()?;
        connected(&node)?;
        broker.publish("订单-2")?;
        until("delivered again", &node, || said(&node, "订单-2"))?;
        // What nobody else is to know is nowhere to be read.
        for text in [
            node.log(),
            node.gust(&["trigger", "ls", "--json"])?,
            node.gust(&["show", "shop", "--json"])?,
        ] {
            ensure!(!text.contains(PASSWORD), "{kind:?}: {text}");
        }
    }
    Ok(())
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Redis => "redis",
        Kind::Nats => "nats",
        Kind::Mqtt => "mqtt",
        Kind::Amqp => "amqp",
        Kind::Postgres => "postgres",
    }
}

#[test]
fn killed_at_any_moment_the_node_loses_nothing_that_a_broker_remembers() -> Result<()> {
    for kind in ALL {
        let data = tempfile::tempdir()?;
        let broker = Broker::start(kind)?;
        let mut node = Node::start_on(data.path())?;
        set_url(&node, &broker)?;
        // Each fails at first and is tried again when the killing is over: by then every line is written down.
        let retry = "retry = { delay = \"20s\", max_delay = \"20s\", jitter = 0, attempts = 20 }";
        node.deploy(&app(kind, retry)?)?;
        connected(&node)?;
        let mut published = BTreeSet::new();
        for round in 0..4 {
            for n in 0..25 {
                let id = format!("{round}-{n}");
                broker.publish_event(&id, "first:503")?;
                published.insert(id);
            }
            node.kill_9()?;
            // Nobody is there to hear of these; the broker remembers them.
            let id = format!("{round}-away");
            broker.publish_event(&id, "first:503")?;
            published.insert(id);
            node = Node::start_on(data.path())?;
            std::thread::sleep(Duration::from_millis(300 * round));
        }
        until("all of them", &node, || {
            let seen: BTreeSet<String> = lines(&node)?
                .iter()
                .filter_map(|line| line.strip_prefix("gust.order "))
                .filter(|line| !line.contains(" attempt 1 "))
                .filter_map(|line| line.split(' ').next().map(str::to_owned))
                .collect();
            Ok(published.is_subset(&seen))
        })?;
    }
    Ok(())
}

#[test]
fn a_new_value_and_new_words_take_effect_and_the_same_words_disturb_nothing() -> Result<()> {
    let node = Node::start()?;
    let (one, two) = (Broker::start(Kind::Redis)?, Broker::start(Kind::Redis)?);
    set_url(&node, &one)?;
    let channel = |retry: &str| -> Result<App> {
        let text = format!(
            "[variables]\nurl = {{ required = true, secret = true }}\n\n[[trigger]]\nfunction = \"sink\"\nredis = {{ url = \"{{{{ url }}}}\", channel = \"news\" }}\n{retry}"
        );
        Ok(App::new("shop")?
            .function("sink", "sink", "route = false\n")?
            .text(&text))
    };
    node.deploy(&channel("")?)?;
    connected(&node)?;
    one.publish_to_channel("eins")?;
    until("from the first", &node, || said(&node, "eins"))?;
    let since = trigger(&node)?["feed"]["since_us"].clone();
    // Another function of the app changes, the trigger does not.
    let more = channel("")?.function("other", "hello-p2", "route = \"/other\"\n")?;
    node.deploy(&more)?;
    assert_eq!(trigger(&node)?["feed"]["since_us"], since);
    set_url(&node, &two)?;
    until("connected to the second", &node, || {
        let feed = trigger(&node)?["feed"].clone();
        Ok(feed["connected"] == true && feed["since_us"] != since)
    })?;
    two.publish_to_channel("zwei")?;
    until("from the second", &node, || said(&node, "zwei"))?;
    Ok(())
}

#[test]
fn what_cannot_be_is_refused_and_shows_no_secret() -> Result<()> {
    let node = Node::start()?;
    for (trigger, wanted) in [
        (
            "redis = { url = \"redis://h\", chanel = \"c\" }",
            "did you mean `channel`",
        ),
        ("redis = { url = \"redis://h\" }", "exactly one of the keys"),
        (
            "redis = { url = \"http://h\", channel = \"c\" }",
            "has another scheme",
        ),
        (
            "nats = { url = \"nats://h\", stream = \"a.b\" }",
            "`stream` is no name",
        ),
        (
            "mqtt = { url = \"mqtt://h\", topic = \"a\", qos = 2 }",
            "`qos` of mqtt is 0 or 1",
        ),
        (
            "amqp = { url = \"amqp://h\", queue = \"q\", keys = [\"{{ geheim }}\"] }",
            "`keys` of amqp mean nothing",
        ),
        (
            "postgres = { url = \"postgres://h\", channel = \"{{ geheim }}\", slot = \"s\" }",
            "`slot` means nothing",
        ),
        (
            "http = { url = \"https://h\", headers = { a = \"{{ geheim }}\", host = \"x\" } }",
            "not for `headers` to say",
        ),
        (
            "kafka = { url = \"kafka://h\" }",
            "triggers of this kind are not built",
        ),
        (
            "redis = { url = \"{{ geheim }}\", channel = \"c\" }",
            "cannot be read",
        ),
    ] {
        let text = format!(
            "[variables]\ngeheim = {{ secret = true, default = \"s3cret-value\" }}\n\n[[trigger]]\nfunction = \"sink\"\n{trigger}\n"
        );
        let app = App::new("shop")?
            .function("sink", "sink", "route = false\n")?
            .text(&text);
        let folder = app.write()?;
        let failed = node.gust_fails(&["deploy", &folder.to_string_lossy()])?;
        let said = String::from_utf8_lossy(&failed.stderr).into_owned();
        ensure!(said.contains(wanted), "{trigger}\n{said}");
        ensure!(!said.contains("s3cret-value"), "{said}");
    }
    Ok(())
}

#[test]
fn rows_that_change_while_the_node_is_away_reach_their_function() -> Result<()> {
    let data = tempfile::tempdir()?;
    let broker = Broker::start(Kind::Postgres)?;
    let mut node = Node::start_on(data.path())?;
    set_url(&node, &broker)?;
    node.deploy(&app(Kind::Postgres, "")?)?;
    connected(&node)?;
    broker.publish("订单-1")?;
    until("delivered", &node, || said(&node, "订单-1"))?;
    let line = lines(&node)?.pop().context("a line")?;
    ensure!(line.starts_with("gust.postgres.insert "), "{line}");
    node.kill_9()?;
    broker.sql(
        "INSERT INTO orders (data) SELECT 'away-' || n || '.' FROM generate_series(1, 200) n",
    )?;
    broker.sql("UPDATE orders SET data = '改了' WHERE id = 1; DELETE FROM orders WHERE id = 1")?;
    node = Node::start_on(data.path())?;
    until("all of them", &node, || {
        let lines = lines(&node)?;
        let has = |text: &str| lines.iter().any(|line| line.contains(text));
        let all = (1..=200).all(|n| has(&format!("\"away-{n}.\"")));
        Ok(all && has("改了") && has("gust.postgres.delete"))
    })?;
    let lines = lines(&node)?;
    let place = |text: &str| lines.iter().position(|line| line.contains(text));
    ensure!(place("改了") < place("gust.postgres.delete"), "{lines:?}");
    Ok(())
}

#[test]
fn a_page_that_changes_is_an_event_over_a_restart_too() -> Result<()> {
    let data = tempfile::tempdir()?;
    let page = Page::start()?;
    page.show("一");
    let mut node = Node::start_on(data.path())?;
    let url = format!("http://127.0.0.1:{}/page", page.port);
    node.gust(&["secret", "set", "url", &url, "--app", "shop"])?;
    node.gust(&["secret", "set", "key", PASSWORD, "--app", "shop"])?;
    let text = r#"
[variables]
url = { required = true, secret = true }
key = { required = true, secret = true }

[[trigger]]
function = "sink"
http = { url = "{{ url }}", every = "1s", headers = { X-Api-Key = "{{ key }}" } }
"#;
    let app = App::new("shop")?
        .function("sink", "sink", "route = false\n")?
        .text(text);
    node.deploy(&app)?;
    connected(&node)?;
    page.show("二");
    until("the change", &node, || said(&node, "二"))?;
    node.kill_9()?;
    node = Node::start_on(data.path())?;
    connected(&node)?;
    let asked = page.asked();
    until("asked again", &node, || Ok(page.asked() > asked + 2))?;
    ensure!(!said(&node, "attempt 1 一")?, "what was there is no change");
    ensure!(
        lines(&node)?
            .iter()
            .filter(|line| line.contains("二"))
            .count()
            == 1,
        "what was seen before is no change"
    );
    node.kill_9()?;
    page.show("三");
    node = Node::start_on(data.path())?;
    until("what changed meanwhile", &node, || said(&node, "三"))?;
    ensure!(
        page.has_heard(&format!("x-api-key: {PASSWORD}")),
        "the header"
    );
    for text in [
        node.log(),
        node.gust(&["trigger", "ls", "--json"])?,
        node.gust(&["show", "shop", "--json"])?,
    ] {
        ensure!(!text.contains(PASSWORD), "{text}");
    }
    Ok(())
}

#[test]
fn a_spin_app_hears_a_real_redis() -> Result<()> {
    let (node, broker) = (Node::start()?, Broker::start(Kind::Redis)?);
    let folder = tempfile::tempdir()?;
    std::fs::copy(
        gust_scenarios::guest("spin-redis"),
        folder.path().join("handler.wasm"),
    )?;
    let manifest = format!(
        r#"
spin_manifest_version = 2
[application]
name = "shop"
[application.trigger.redis]
address = "{}"
[[trigger.redis]]
channel = "news"
component = "handler"
[component.handler]
source = "handler.wasm"
"#,
        broker.url()
    );
    std::fs::write(folder.path().join("spin.toml"), manifest)?;
    node.gust(&["deploy", &folder.path().to_string_lossy()])?;
    connected(&node)?;
    broker.publish_to_channel("你好")?;
    until("heard", &node, || said(&node, "redis 你好"))?;
    // Spin drops what a handler fails on; here it comes again.
    broker.publish_to_channel("fail")?;
    until("tried again", &node, || {
        let lines = lines(&node)?;
        Ok(lines
            .iter()
            .filter(|line| line.contains("redis fail"))
            .count()
            > 1)
    })?;
    for text in [node.log(), node.gust(&["show", "shop", "--json"])?] {
        ensure!(!text.contains(PASSWORD), "{text}");
    }
    Ok(())
}
