//! Databases through every interface that offers them.

use serde_json::json;

use crate::{
    fakes::give,
    kit::{Function, post, shared},
};

/// Guests and the path below which their database is.
const GUESTS: [(&str, &str); 5] = [
    ("host-spin2", "/sql"),
    ("host-spin3", "/sql"),
    ("host-spin3", "/sql-sync"),
    ("host-spin32", "/sql"),
    ("spin1", "/sql"),
];

async fn load(name: &str) -> Function {
    let bench = shared();
    bench.load_with(bench.revision(name), give).await
}

#[tokio::test]
async fn values_of_every_type_pass_both_ways() {
    for (name, at) in GUESTS {
        let function = load(name).await;
        let path = format!("{at}/default?i=-9223372036854775808&r=1.5&t=%C3%A9&b=6279746573&n");
        let answer = function.post(&path, "echo").await;
        assert_eq!(answer["columns"], json!(["first", "second"]), "{name}{at}");
        let row = json!([i64::MIN, 1.5, "é", {"blob": "bytes"}, null]);
        assert_eq!(answer["rows"], json!([row]), "{name}{at}");
    }
}

#[tokio::test]
async fn rows_come_whole_or_as_a_stream() {
    for (name, at) in GUESTS {
        let function = load(name).await;
        let answer = function
            .post(&format!("{at}/default?i=3000"), "count")
            .await;
        let rows = answer["rows"].as_array().unwrap();
        assert_eq!(rows.len(), 3000, "{name}{at}");
        assert_eq!(rows[2999], json!([2999, "row 2999"]), "{name}{at}");
        let answer = function.post(&format!("{at}/default"), "nothing").await;
        assert_eq!(
            (&answer["columns"], &answer["rows"]),
            (&json!([]), &json!([]))
        );
    }
}

#[tokio::test]
async fn errors_are_the_interfaces_own() {
    for (name, at) in GUESTS {
        let function = load(name).await;
        let ask = async |database: &str, statement: &'static str| {
            let answer = function.post(&format!("{at}/{database}"), statement).await;
            answer["error"].as_str().unwrap_or("none").to_owned()
        };
        assert_eq!(ask("other", "nothing").await, "access-denied", "{name}{at}");
        assert_eq!(
            ask("default", "fill up").await,
            "database-full",
            "{name}{at}"
        );
        assert_eq!(
            ask("default", "vanish").await,
            "no-such-database",
            "{name}{at}"
        );
        assert_eq!(ask("default", "SELEKT").await, "io", "{name}{at}");
        assert_eq!(ask("default", "breaks off").await, "io", "{name}{at}");
    }
}

#[tokio::test]
async fn statements_are_counted() {
    for (name, at) in GUESTS {
        let function = load(name).await;
        let answered = function
            .send(post(&format!("{at}/default"), "nothing"))
            .await;
        let host = answered.finished.used.host;
        assert_eq!((host.kv, host.sql, host.http_out), (0, 1, 0), "{name}{at}");
    }
}
