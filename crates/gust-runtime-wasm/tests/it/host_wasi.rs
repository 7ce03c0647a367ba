//! WASI itself, in both versions, and the function's variables.

use std::sync::Arc;

use gust_runtime::Bindings;
use gust_types::outbound::Outbound;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::{
    fakes::give,
    kit::{Function, shared},
};

const BOTH: [&str; 2] = ["host-wasi", "host-p3"];

async fn load_with(name: &str, change: impl FnOnce(&mut Bindings)) -> Function {
    let bench = shared();
    bench.load_with(bench.revision(name), change).await
}

#[tokio::test]
async fn the_environment_is_the_functions_alone() {
    for name in BOTH {
        let function = load_with(name, give).await;
        assert_eq!(
            function.ask("/env").await,
            json!([["MODE", "test é"]]),
            "{name}"
        );
    }
}

#[tokio::test]
async fn files_are_there_to_read() {
    let folder = tempfile::tempdir().unwrap();
    let outside = tempfile::NamedTempFile::new().unwrap();
    std::fs::create_dir(folder.path().join("sub")).unwrap();
    std::fs::write(folder.path().join("sub/a.txt"), "content").unwrap();
    std::os::unix::fs::symlink(outside.path(), folder.path().join("link")).unwrap();
    for name in BOTH {
        let files = folder.path().to_owned();
        let function = load_with(name, |bindings| bindings.files = Some(files)).await;
        let read = function.ask("/files/sub/a.txt").await;
        assert_eq!(read["content"], "content", "{name}: {read}");
        let listed = function.ask("/list/sub").await;
        assert!(listed.to_string().contains("a.txt"), "{name}: {listed}");
        // The second is WASI's `not-permitted`, as Rust's standard library has it.
        let [missing, not_permitted] = match name {
            "host-p3" => ["NoEntry", "NotPermitted"],
            _ => ["NotFound", "PermissionDenied"],
        };
        for (path, error) in [
            ("/files/none", missing),
            ("/files/link", not_permitted),
            ("/files/sub/../../etc/passwd", not_permitted),
            ("/write/new", not_permitted),
            ("/write/sub/a.txt", not_permitted),
        ] {
            let refused = function.ask(path).await;
            assert_eq!(refused["error"], error, "{name} {path}: {refused}");
        }
        let without = load_with(name, |_| {}).await;
        let refused = without.ask("/files/sub/a.txt").await;
        assert_eq!(refused["error"], missing, "{name}: {refused}");
    }
    let left = std::fs::read_to_string(folder.path().join("sub/a.txt"));
    assert_eq!(left.unwrap(), "content");
    assert!(!folder.path().join("new").exists());
}

#[tokio::test]
async fn sockets_follow_the_list() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = listener.local_addr().unwrap();
    gust_task::spawn("test server", async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            let mut line = [0; 64];
            let read = tcp.read(&mut line).await.unwrap();
            tcp.write_all(&line[..read]).await.unwrap();
        }
    });
    let allowing = |pattern: &str| {
        let outbound = Outbound::parse(&[pattern.to_owned()]).unwrap();
        move |bindings: &mut Bindings| bindings.outbound = Arc::new(outbound)
    };
    for name in BOTH {
        let path = format!("/connect?addr={server}");
        // WASI's `access-denied`, as Rust's standard library has it and as it is.
        let denied = match name {
            "host-p3" => "AccessDenied",
            _ => "PermissionDenied",
        };
        let function = load_with(name, allowing("tcp://127.0.0.1:*")).await;
        let answer = function.ask(&path).await;
        assert_eq!(answer["received"], "hello\n", "{name}: {answer}");
        for pattern in ["tcp://127.0.0.1:1", "*://*:*", "http://127.0.0.1:*"] {
            let function = load_with(name, allowing(pattern)).await;
            let answer = function.ask(&path).await;
            assert_eq!(answer["error"], denied, "{name} {pattern}: {answer}");
        }
        let function = load_with(name, |_| {}).await;
        let answer = function.ask(&path).await;
        assert_eq!(answer["error"], denied, "{name}: {answer}");
    }
    // A socket gets an address; the list may name the host.
    let function = load_with("host-wasi", allowing("*://localhost:*")).await;
    let path = format!("/connect?addr=localhost:{}", server.port());
    let answer = function.ask(&path).await;
    assert_eq!(answer["received"], "hello\n", "{answer}");
    // A function without sockets looks nothing up: a name can carry a secret to whoever serves it.
    let function = load_with("host-wasi", allowing("https://localhost:*")).await;
    let answer = function.ask(&path).await;
    let detail = answer["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("Non-recoverable"), "{answer}");
}

#[tokio::test]
async fn clocks_run_and_dice_roll() {
    for name in BOTH {
        let function = load_with(name, |_| {}).await;
        let clocks = function.ask("/clocks").await;
        let now = gust_task::clock::unix_micros() / 1_000_000;
        let told = clocks["unix_seconds"].as_u64().unwrap();
        assert!(now.abs_diff(told) < 60, "{name}: {clocks}");
        assert!(
            clocks["slept_ns"].as_u64().unwrap() >= 5_000_000,
            "{clocks}"
        );
        let first = function.ask("/random/16").await;
        let second = function.ask("/random/16").await;
        assert_eq!(first["length"], 16);
        assert_ne!(first["bytes"], second["bytes"], "{name}");
        assert_ne!(first["insecure"], second["insecure"], "{name}");
    }
}

#[tokio::test]
async fn variables_are_the_functions_own() {
    for (name, at) in [
        ("host-spin2", "/var"),
        ("host-spin3", "/var"),
        ("spin1", "/config"),
    ] {
        let function = load_with(name, give).await;
        let found = function.ask(&format!("{at}/api_key")).await;
        assert_eq!(found, json!({"value": "s3cret"}), "{name}");
        let empty = function.ask(&format!("{at}/empty")).await;
        assert_eq!(empty, json!({"value": ""}), "{name}");
        let [undefined, invalid] = match name {
            "spin1" => ["invalid-key", "invalid-key"],
            _ => ["undefined", "invalid-name"],
        };
        let answer = function.ask(&format!("{at}/unknown")).await;
        assert_eq!(answer["error"], undefined, "{name}");
        let answer = function.ask(&format!("{at}/Not-A-Name")).await;
        assert_eq!(answer["error"], invalid, "{name}");
    }
}

#[tokio::test]
async fn wasi_config_has_no_word_for_missing() {
    let function = load_with("host-wasi", give).await;
    assert_eq!(
        function.ask("/config/api_key").await,
        json!({"value": "s3cret"})
    );
    assert_eq!(
        function.ask("/config/unknown").await,
        json!({"value": null})
    );
    assert_eq!(
        function.ask("/config/Not-A-Name").await,
        json!({"value": null})
    );
    let all = function.ask("/config").await;
    assert_eq!(all, json!({"api_key": "s3cret", "empty": ""}));
}
