//! Calls whose end is posted to an address: signed, tried again, and not forgotten by a node that is killed.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpListener,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use gust_scenarios::{App, Node, NodeOptions, until};
use hmac::{Hmac, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

const KEY: &[u8] = b"0123456789abcdef0123456789abcdef";

/// A request as it came.
#[derive(Debug, Clone)]
struct Came {
    line: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Came {
    fn header(&self, name: &str) -> Result<&str> {
        let found = self.headers.iter().find(|(n, _)| n == name);
        let found = found.with_context(|| format!("no {name} in {self:?}"))?;
        Ok(&found.1)
    }

    /// As a receiver checks it that was given the secret.
    fn is_signed(&self) -> Result<bool> {
        let mut hmac = Hmac::<Sha256>::new_from_slice(KEY)?;
        let (id, time) = (
            self.header("webhook-id")?,
            self.header("webhook-timestamp")?,
        );
        hmac.update(format!("{id}.{time}.").as_bytes());
        hmac.update(&self.body);
        let text = self.header("webhook-signature")?;
        let signature = BASE64.decode(text.strip_prefix("v1,").context("no v1")?)?;
        Ok(hmac.verify_slice(&signature).is_ok())
    }
}

/// Answers 503 to the first two, and 200 from then on.
fn receiver() -> Result<(u16, Arc<Mutex<Vec<Came>>>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    let all = Arc::new(Mutex::new(Vec::new()));
    let seen = all.clone();
    std::thread::spawn(move || {
        for tcp in listener.incoming().flatten() {
            let _ = receive(tcp, &seen);
        }
    });
    Ok((port, all))
}

fn receive(mut tcp: std::net::TcpStream, seen: &Mutex<Vec<Came>>) -> Result<()> {
    tcp.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut from = BufReader::new(tcp.try_clone()?);
    let mut line = String::new();
    from.read_line(&mut line)?;
    let mut headers = Vec::new();
    loop {
        let mut text = String::new();
        from.read_line(&mut text)?;
        let Some((name, value)) = text.trim_end().split_once(": ") else {
            break;
        };
        headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let mut body = vec![0; length.context("no length")?.1.parse()?];
    from.read_exact(&mut body)?;
    let mut seen = seen.lock().unwrap_or_else(|e| e.into_inner());
    seen.push(Came {
        line,
        headers,
        body,
    });
    let answer = match seen.len() {
        1 | 2 => "503 x",
        _ => "200 OK",
    };
    tcp.write_all(format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n").as_bytes())?;
    Ok(())
}

fn app() -> Result<App> {
    let app = App::new("shop")?.text("[variables]\nhush = { required = true, secret = true }\n");
    app.function(
        "echo",
        "echo-p2",
        "route = \"/echo\"\n[function.echo.async]\npublic = true\ncallback_secret = \"{{ hush }}\"\n",
    )?
    .function("plain", "echo-p2", "route = \"/plain\"\n")
}

fn node(data: &std::path::Path) -> Result<Node> {
    Node::start_with(NodeOptions {
        data: Some(data.into()),
        config: "callback_hosts = [\"http://127.0.0.1:*\"]\n".to_owned(),
        ..NodeOptions::default()
    })
}

#[test]
fn a_callback_outlives_a_node_that_is_killed_and_a_receiver_that_fails() -> Result<()> {
    let (port, came) = receiver()?;
    let count = || came.lock().map_or(0, |came| came.len());
    let data = tempfile::tempdir()?;
    let mut first = node(data.path())?;
    let folder = app()?;
    let path = folder.write()?;
    let secret = format!("hush=whsec_{}", BASE64.encode(KEY));
    first.gust(&["deploy", &path.to_string_lossy(), "--variable", &secret])?;
    let url = format!("http://127.0.0.1:{port}/done?token=t0p");
    let ask = [
        "invoke",
        "shop/echo",
        "--async",
        "-p",
        "/echo",
        "-d",
        "你好",
        "--callback",
        &url,
    ];
    let id = first.gust(&ask)?.trim().to_owned();
    until("the first attempt", || Ok(count() >= 1))?;
    first.kill_9()?;
    let second = node(data.path())?;
    until("it is taken", || {
        let call = second.json(&["call", "show", &id])?;
        Ok(call["callback"]["state"] == "delivered")
    })?;
    let call: Value = second.json(&["call", "show", &id])?;
    assert_eq!(call["callback"]["status"], 200, "{call}");
    assert_eq!(
        call["callback"]["url"],
        format!("http://127.0.0.1:{port}/done")
    );
    let shown = second.gust(&["call", "show", &id])?;
    assert!(
        shown.contains("delivered") && !shown.contains("t0p"),
        "{shown}"
    );
    let all = came
        .lock()
        .map_err(|_| anyhow::anyhow!("poisoned"))?
        .clone();
    assert!(all.len() >= 3, "{}", all.len());
    for one in &all {
        assert!(
            one.line.starts_with("POST /done?token=t0p "),
            "{}",
            one.line
        );
        assert!(one.is_signed()?, "{one:?}");
        assert_eq!(String::from_utf8_lossy(&one.body), "你好");
        assert_eq!(
            json!([
                one.header("webhook-id")?,
                one.header("ce-id")?,
                one.header("ce-type")?,
                one.header("ce-gustcallstate")?,
                one.header("ce-gustcallstatus")?,
            ]),
            json!([id, id, "gust.call.succeeded", "done", "200"])
        );
    }
    let log = second.log();
    ensure!(!log.contains("t0p"), "the log shows a token:\n{log}");
    Ok(())
}

#[test]
fn an_address_that_nobody_may_reach_is_refused() -> Result<()> {
    let node = Node::start()?;
    let folder = app()?;
    let path = folder.write()?;
    node.gust(&[
        "deploy",
        &path.to_string_lossy(),
        "--variable",
        "hush=s3cret",
    ])?;
    let refused = |function: &str, url: &str| -> Result<String> {
        let ask = ["invoke", function, "--async", "--callback", url];
        let output = node.gust_fails(&ask)?;
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    };
    for url in [
        "https://127.0.0.1/",
        "https://169.254.169.254/latest",
        "https://[::1]/",
        "http://example.com/",
    ] {
        let said = refused("shop/echo", url)?;
        assert!(said.contains("may not be called back"), "{url}: {said}");
    }
    let said = refused("shop/plain", "https://example.com/")?;
    assert!(said.contains("no secret to sign"), "{said}");
    // A name is looked up when it is posted to, and leads nowhere that is private.
    let ask = ["invoke", "shop/echo", "--async", "-p", "/echo", "-d", "x"];
    let asked = [&ask[..], &["--callback", "https://localhost:1/"]].concat();
    let id = node.gust(&asked)?.trim().to_owned();
    until("given up", || {
        let call = node.json(&["call", "show", &id])?;
        Ok(call["callback"]["state"] == "failed")
    })?;
    let call = node.json(&["call", "show", &id])?;
    let cause = call["callback"]["cause"].as_str().context("cause")?;
    assert!(cause.contains("may not be reached"), "{cause}");
    assert_eq!(call["state"], "done");
    Ok(())
}
