//! Others' programs tell of something: signed or refused, kept before they are answered, delivered once.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Result, ensure};
use bytes::Bytes;
use gust_scenarios::{Answer, App, Client, Node, until};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

const SECRETS: &str = r#"
[variables]
github_secret = { required = true, secret = true }
stripe_secret = { required = true, secret = true }
slack_secret = { required = true, secret = true }
next_secret = { default = "", secret = true }

[[trigger]]
name = "github"
function = "take"
webhook = { path = "/hooks/github", scheme = "github", secret = "{{ github_secret }}" }
path = "/take"

[[trigger]]
name = "stripe"
function = "take"
webhook = { path = "/hooks/stripe", scheme = "stripe", secret = "{{ stripe_secret }}", tolerance = "30s" }
path = "/take"

[[trigger]]
name = "slack"
function = "take"
webhook = { path = "/hooks/slack", scheme = "slack", secret = ["{{ slack_secret }}"] }
path = "/take"
"#;

const SET: [&str; 3] = [
    "github_secret=g-hush",
    "stripe_secret=s-hush",
    "slack_secret=l-hush",
];

fn app() -> Result<App> {
    let app = App::new("shop")?.function("take", "publish-p2", "")?;
    Ok(app.text(&SECRETS.replace("next_secret = { default = \"\", secret = true }\n", "")))
}

fn deploy(node: &Node, app: &App) -> Result<String> {
    let folder = app.write()?;
    let folder = folder.to_string_lossy();
    let mut args = vec!["deploy", &folder];
    for value in SET {
        args.extend(["--variable", value]);
    }
    node.gust(&args)
}

async fn client(node: &Node) -> Result<Client> {
    Client::connect(node.functions, "shop.gust.localhost").await
}

fn sign(secret: &str, text: &str) -> Result<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes())?;
    mac.update(text.as_bytes());
    Ok(hex::encode(mac.finalize().into_bytes()))
}

fn now() -> u64 {
    gust_task::clock::unix_micros() / 1_000_000
}

async fn github(client: &mut Client, secret: &str, id: &str, body: &str) -> Result<Answer> {
    let signature = format!("sha256={}", sign(secret, body)?);
    let request = http::Request::post("/hooks/github")
        .header("x-hub-signature-256", signature)
        .header("x-github-delivery", id)
        .header("x-github-event", "issues")
        .header("content-type", "application/json");
    client
        .send(request, Bytes::copy_from_slice(body.as_bytes()))
        .await
}

async fn stripe(client: &mut Client, time: u64, body: &str) -> Result<Answer> {
    let good = sign("s-hush", &format!("{time}.{body}"))?;
    let old = sign("another", &format!("{time}.{body}"))?;
    let request = http::Request::post("/hooks/stripe")
        .header("stripe-signature", format!("t={time},v1={old},v1={good}"));
    client
        .send(request, Bytes::copy_from_slice(body.as_bytes()))
        .await
}

async fn slack(client: &mut Client, time: u64, body: &str) -> Result<Answer> {
    let good = sign("l-hush", &format!("v0:{time}:{body}"))?;
    let request = http::Request::post("/hooks/slack")
        .header("x-slack-signature", format!("v0={good}"))
        .header("x-slack-request-timestamp", time.to_string());
    client
        .send(request, Bytes::copy_from_slice(body.as_bytes()))
        .await
}

/// What the function printed: type, source, trace, data.
fn taken(node: &Node) -> Result<Vec<[String; 4]>> {
    let logs = node.json(&["logs", "shop"])?;
    let mut lines = Vec::new();
    for line in logs["entries"].as_array().into_iter().flatten() {
        let text = line["text"].as_str().unwrap_or_default();
        let parts: Vec<_> = text.splitn(4, ' ').map(str::to_owned).collect();
        lines.extend(<[String; 4]>::try_from(parts).ok());
    }
    Ok(lines)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_signed_is_delivered_once() -> Result<()> {
    let node = Node::start()?;
    let said = deploy(&node, &app()?)?;
    ensure!(said.contains("/hooks/github"), "{said}");
    let mut client = client(&node).await?;
    let time = now();
    for _ in 0..2 {
        let issue = github(&mut client, "g-hush", "72d3162e", r#"{"action":"打开"}"#).await?;
        let charge = stripe(&mut client, time, r#"{"id":"evt_1","type":"charge"}"#).await?;
        let event = r#"{"type":"event_callback","event_id":"Ev1","event":{"type":"message"}}"#;
        let message = slack(&mut client, time, event).await?;
        for answer in [issue, charge, message] {
            ensure!(
                answer.status.is_success(),
                "{} {}",
                answer.status,
                answer.text()
            );
        }
    }
    until("taken", || Ok(taken(&node)?.len() >= 3))?;
    std::thread::sleep(Duration::from_millis(500));
    let lines = taken(&node)?;
    let sources: BTreeSet<_> = lines.iter().map(|line| line[1].clone()).collect();
    let wanted = ["github", "slack", "stripe"].map(|name| format!("/apps/shop/triggers/{name}"));
    assert_eq!(sources, BTreeSet::from(wanted));
    assert_eq!(lines.len(), 3, "each once: {lines:?}");
    ensure!(lines.iter().all(|line| line[0] == "gust.webhook.received"));
    ensure!(lines.iter().any(|line| line[3] == r#"{"action":"打开"}"#));
    let triggers = node.json(&["trigger", "ls"])?;
    assert_eq!(triggers["triggers"][0]["done"], 1, "{triggers}");
    ensure!(!triggers.to_string().contains("hush"));
    // Slack asks whether this is the right address.
    let asks = r#"{"type":"url_verification","challenge":"3eZbrw1a"}"#;
    let answer = slack(&mut client, now(), asks).await?;
    assert_eq!(
        (answer.status.as_u16(), answer.text()),
        (200, "3eZbrw1a".to_owned())
    );
    assert_eq!(taken(&node)?.len(), 3);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_signed_as_agreed_is_refused_and_says_why() -> Result<()> {
    let node = Node::start()?;
    deploy(&node, &app()?)?;
    let mut client = client(&node).await?;
    let forged = github(&mut client, "guessed", "1", "{}").await?;
    assert_eq!(forged.status, 401);
    ensure!(forged.text().contains("signature"), "{}", forged.text());
    let bare = client.post("/hooks/github", "{}").await?;
    assert_eq!(bare.status, 401);
    ensure!(
        bare.text().contains("x-hub-signature-256"),
        "{}",
        bare.text()
    );
    let late = stripe(&mut client, now() - 31, r#"{"id":"evt_1"}"#).await?;
    assert_eq!(late.status, 401);
    ensure!(late.text().contains("tolerance of 30s"), "{}", late.text());
    for said in [forged.text(), bare.text(), late.text()] {
        ensure!(!said.contains("hush"), "{said}");
    }
    let get = client.get("/hooks/github").await?;
    assert_eq!(
        (get.status.as_u16(), &get.headers["allow"]),
        (405, &"POST".parse()?)
    );
    let large = github(&mut client, "g-hush", "2", &"x".repeat(1 << 20)).await?;
    assert_eq!(large.status, 413);
    // The function is reached in no other way.
    let mut client = self::client(&node).await?;
    for (host, path) in [
        ("shop.gust.localhost", "/take"),
        ("take.shop.gust.localhost", "/take"),
    ] {
        assert_eq!(client.get_from(host, path).await?.status, 404, "{host}");
    }
    assert_eq!(client.get("/hooks/other").await?.status, 404);
    ensure!(taken(&node)?.is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_changed_without_a_gap() -> Result<()> {
    let node = Node::start()?;
    let both = SECRETS.replace(
        "secret = \"{{ github_secret }}\"",
        "secret = [\"{{ github_secret }}\", \"{{ next_secret }}\"]",
    );
    let app = App::new("shop")?.function("take", "publish-p2", "")?;
    let app = app.text(&both.replace("default = \"\"", "required = true"));
    let folder = app.write()?;
    let folder = folder.to_string_lossy();
    let mut args = vec!["deploy", &folder, "--variable", "next_secret=n-hush"];
    for value in SET {
        args.extend(["--variable", value]);
    }
    node.gust(&args)?;
    let mut client = client(&node).await?;
    for (n, secret) in ["g-hush", "n-hush"].into_iter().enumerate() {
        let answer = github(&mut client, secret, &n.to_string(), "{}").await?;
        assert_eq!(answer.status, 202, "{}", answer.text());
    }
    node.gust(&["secret", "set", "github_secret", "n-hush", "--app", "shop"])?;
    let answer = github(&mut client, "g-hush", "3", "{}").await?;
    assert_eq!(answer.status, 401, "the old secret is good no longer");
    let answer = github(&mut client, "n-hush", "4", "{}").await?;
    assert_eq!(answer.status, 202, "{}", answer.text());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_outlives_a_kill() -> Result<()> {
    let data = tempfile::tempdir()?;
    let mut told = BTreeSet::new();
    // As long as nodes are killed nothing is taken: lines of the last second before a kill may be missing from the log.
    let patient = "retry = { attempts = 1000, delay = \"1s\", backoff = \"none\" }";
    let away = format!("path = \"/nowhere\"\n{patient}");
    let there = format!("path = \"/take\"\n{patient}");
    let app = |at: &str| -> Result<App> {
        let text = SECRETS.replace("path = \"/take\"", at);
        let text = text.replace("next_secret = { default = \"\", secret = true }\n", "");
        let app = App::new("shop")?.function("take", "publish-p2", "")?;
        Ok(app.text(&text))
    };
    for round in 0..4 {
        let mut node = Node::start_on(data.path())?;
        if round == 0 {
            deploy(&node, &app(&away)?)?;
        }
        let mut client = client(&node).await?;
        for n in 0..10 {
            let body = format!("{round}-{n}");
            let answer = github(&mut client, "g-hush", &body, &body).await?;
            assert_eq!(answer.status, 202, "{}", answer.text());
            told.insert(body);
        }
        node.kill_9()?;
    }
    let node = Node::start_on(data.path())?;
    // What came before the kills is known after them.
    let mut client = client(&node).await?;
    let answer = github(&mut client, "g-hush", "0-0", "0-0").await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    deploy(&node, &app(&there)?)?;
    until("all are taken", || {
        let lines = taken(&node)?;
        let seen: BTreeSet<_> = lines.iter().map(|line| line[3].clone()).collect();
        ensure!(seen.is_subset(&told), "{seen:?}");
        Ok(seen == told)
    })?;
    assert_eq!(taken(&node)?.len(), told.len(), "each once");
    Ok(())
}

#[test]
fn what_cannot_be_is_refused_at_deploy() -> Result<()> {
    let node = Node::start()?;
    for (from, to, wanted) in [
        (
            "\"{{ github_secret }}\"",
            "\"g-hush\"",
            "the value of a variable",
        ),
        (
            "required = true, secret = true",
            "required = true",
            "is not secret",
        ),
        (
            "scheme = \"github\"",
            "scheme = \"gitlab\"",
            "\"github\", \"stripe\"",
        ),
        ("/hooks/stripe", "/hooks/github", "the same route"),
        ("/hooks/github", "/hooks/...", "one path"),
        (", secret = \"{{ github_secret }}\"", "", "secret"),
        (
            "scheme = \"github\"",
            "scheme = \"github\", tolerance = \"1m\"",
            "means nothing",
        ),
        ("scheme = \"github\"", "scheme = \"hmac\"", "header"),
    ] {
        let text = SECRETS.replacen(from, to, 1);
        let text = text.replace("next_secret = { default = \"\", secret = true }\n", "");
        let app = App::new("shop")?
            .function("take", "publish-p2", "")?
            .text(&text);
        let folder = app.write()?;
        let folder = folder.to_string_lossy();
        let mut args = vec!["deploy", &folder];
        for value in SET {
            args.extend(["--variable", value]);
        }
        let failed = node.gust_fails(&args)?;
        let said = String::from_utf8_lossy(&failed.stderr).into_owned();
        ensure!(said.contains(wanted), "{to}\n{said}");
    }
    let unset = app()?;
    let folder = unset.write()?;
    let failed = node.gust_fails(&["deploy", &folder.to_string_lossy()])?;
    let said = String::from_utf8_lossy(&failed.stderr).into_owned();
    ensure!(said.contains("github_secret"), "{said}");
    Ok(())
}
