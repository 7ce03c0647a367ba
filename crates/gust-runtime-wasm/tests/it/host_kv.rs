//! Key-value stores through every interface that offers them.

use std::sync::Arc;

use gust_backend::kv::{KvExt as _, memory::MemoryKv};
use gust_types::Label;
use serde_json::json;

use crate::{
    fakes::give,
    kit::{Function, get, shared},
};

/// Guests, and whether a missing key is an error to them.
const GUESTS: [(&str, bool); 5] = [
    ("host-wasi", false),
    ("host-spin2", false),
    ("host-spin3", false),
    ("spin1", true),
    ("spin1-p1", true),
];

async fn load(name: &str) -> Function {
    let bench = shared();
    bench.load_with(bench.revision(name), give).await
}

#[tokio::test]
async fn values_are_kept_between_instances() {
    for (name, missing_is_error) in GUESTS {
        let function = load(name).await;
        let missing = function.ask("/kv/default/k").await;
        if missing_is_error {
            assert_eq!(missing["error"], "no-such-key", "{name}");
        } else {
            assert_eq!(missing, json!({"value": null}), "{name}");
        }
        assert_eq!(
            function.put("/kv/default/k", "v1").await,
            json!({"ok": true}),
            "{name}"
        );
        function.put("/kv/default/k", "v2").await;
        function.put("/kv/default/other", "").await;
        assert_eq!(
            function.ask("/kv/default/k").await,
            json!({"value": "v2"}),
            "{name}"
        );
        assert_eq!(
            function.ask("/kv/default/k/exists").await,
            json!({"exists": true})
        );
        let keys = function.ask("/kv/default").await;
        assert_eq!(keys["keys"], json!(["k", "other"]), "{name}");
        assert_eq!(function.delete("/kv/default/k").await, json!({"ok": true}));
        assert_eq!(function.delete("/kv/default/k").await, json!({"ok": true}));
        assert_eq!(
            function.ask("/kv/default/k/exists").await,
            json!({"exists": false})
        );
    }
}

#[tokio::test]
async fn a_store_that_is_not_given_is_denied() {
    for (name, _) in GUESTS {
        let function = load(name).await;
        let answer = function.ask("/kv/other/k").await;
        assert_eq!(answer["error"], "access-denied", "{name}");
    }
}

#[tokio::test]
async fn sizes_over_a_limit_are_the_guests_error() {
    for (name, _) in GUESTS {
        let function = load(name).await;
        let error = if name.starts_with("spin1") {
            "io"
        } else {
            "other"
        };
        let long = function
            .put(&format!("/kv/default/{}", "k".repeat(1025)), "v")
            .await;
        assert_eq!(long["error"], error, "{name}");
        let large = function.put("/kv/default/k", vec![0; (1 << 20) + 1]).await;
        assert_eq!(large["error"], error, "{name}: {large}");
    }
}

#[tokio::test]
async fn the_257th_open_store_is_refused() {
    for name in ["host-spin2", "host-spin3"] {
        let function = load(name).await;
        // The guest holds one store already.
        assert_eq!(
            function.ask("/kv/default/-/open/255").await,
            json!({"open": 255})
        );
        let answer = function.ask("/kv/default/-/open/256").await;
        assert_eq!(answer["error"], "store-table-full", "{name}");
    }
}

#[tokio::test]
async fn a_closed_store_of_spin_1_is_invalid() {
    let function = load("spin1").await;
    let answer = function.ask("/kv/default/-/closed").await;
    assert_eq!(answer["error"], "invalid-store");
}

#[tokio::test]
async fn operations_are_counted() {
    for (name, _) in GUESTS {
        let function = load(name).await;
        let answered = function.send(get("/kv/default/k/exists")).await;
        let host = answered.finished.used.host;
        assert_eq!((host.kv, host.sql, host.http_out), (1, 0, 0), "{name}");
    }
}

#[tokio::test]
async fn numbers_add_up() {
    let function = load("host-wasi").await;
    let increment = async |by: i64| {
        let path = format!("/kv/default/n/increment?by={by}");
        function.post(&path, "").await
    };
    assert_eq!(increment(5).await, json!({"value": 5}));
    assert_eq!(increment(-7).await, json!({"value": -2}));
    assert_eq!(function.ask("/kv/default/n").await, json!({"value": "-2"}));
    assert_eq!(increment(i64::MIN).await["error"], "other");
    function.put("/kv/default/n", "text").await;
    assert_eq!(increment(1).await["error"], "other");
}

#[tokio::test]
async fn a_swap_fails_when_somebody_meddled() {
    let function = load("host-wasi").await;
    let cas = async |query: &str| {
        function
            .post(&format!("/kv/default/k/cas?{query}"), "")
            .await
    };
    function.put("/kv/default/k", "a").await;
    assert_eq!(cas("from=a&to=b").await, json!({"swapped": true}));
    assert_eq!(function.ask("/kv/default/k").await, json!({"value": "b"}));
    let failed = cas("from=b&to=c&meddle=d").await;
    assert_eq!(failed, json!({"error": "cas-failed", "current": "d"}));
    // The same bytes written in between are a change too.
    let failed = cas("from=d&to=c&meddle=d").await;
    assert_eq!(failed["error"], "cas-failed");
}

#[tokio::test]
async fn many_go_at_once() {
    let function = load("host-wasi").await;
    let many = "/kv/default/-/many?a=1&b=2&c=%C3%A9";
    assert_eq!(function.put(many, "").await, json!({"ok": true}));
    let found = function.ask("/kv/default/-/many?a&b&c&d").await;
    assert_eq!(found, json!({"a": "1", "b": "2", "c": "é", "d": null}));
    assert_eq!(
        function.delete("/kv/default/-/many?a&d").await,
        json!({"ok": true})
    );
    let found = function.ask("/kv/default/-/many?a&b").await;
    assert_eq!(found, json!({"a": null, "b": "2"}));
    let answered = function.send(get("/kv/default/-/many?a&b&c")).await;
    assert_eq!(answered.finished.used.host.kv, 3);
}

/// The proposal's shape of `get-many`, where the guest above has Spin's.
#[tokio::test]
async fn many_go_at_once_in_the_proposals_shape() {
    let function = load("host-batch").await;
    let answered = function.get("/kv/default/k").await;
    assert_eq!(answered.json(), json!([["k", "one of many"], null]));
    assert_eq!(answered.finished.used.host.kv, 4);
    let denied = function.ask("/kv/other/k").await;
    assert_eq!(denied["error"], "access-denied");
}

#[tokio::test]
async fn long_lists_come_in_pages() {
    let store = MemoryKv::default();
    for n in 0..2500 {
        let key = format!("key-{n:04}");
        store.put(&key, "v".into()).await.unwrap();
    }
    let bench = shared();
    for name in ["host-wasi", "host-spin2", "host-spin3", "spin1"] {
        let store = Arc::new(store.clone());
        let function = bench.load_with(bench.revision(name), |bindings| {
            bindings.kv.insert(Label::new("default").unwrap(), store);
        });
        let keys = function.await.ask("/kv/default").await;
        assert_eq!(keys["keys"].as_array().unwrap().len(), 2500, "{name}");
        assert_eq!(keys["keys"][2499], "key-2499", "{name}");
        if name == "host-wasi" {
            assert_eq!(keys["pages"], 3);
        }
    }
}
