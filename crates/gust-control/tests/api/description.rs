//! The OpenAPI document: valid, whole, and true.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::harness::node;

fn document() -> Value {
    serde_json::to_value(gust_control::openapi()).unwrap()
}

/// Every `$ref` in the document.
fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(reference)) = map.get("$ref") {
                found.insert(reference.clone());
            }
            map.values().for_each(|v| references(v, found));
        }
        Value::Array(list) => list.iter().for_each(|v| references(v, found)),
        _ => {}
    }
}

#[test]
fn it_is_openapi_3_1_and_whole() {
    let document = document();
    assert_eq!(document["openapi"], "3.1.0");
    for field in ["title", "version", "description"] {
        assert!(document["info"][field].is_string(), "info.{field}");
    }
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(found.len() > 20);
    for reference in found {
        let pointer = reference.strip_prefix('#').expect("a local reference");
        assert!(document.pointer(pointer).is_some(), "dangling: {reference}");
    }
    assert_eq!(
        document["components"]["securitySchemes"]["token"]["scheme"],
        "bearer"
    );
}

#[test]
fn every_operation_is_described() {
    let document = document();
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let named: BTreeSet<&str> = path
            .split('/')
            .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
            .collect();
        for (method, operation) in item.as_object().unwrap() {
            let at = format!("{method} {path}");
            let id = operation["operationId"].as_str().expect("an id");
            assert!(ids.insert(id.to_owned()), "two operations are called {id}");
            assert!(
                operation["summary"].is_string() || operation["description"].is_string(),
                "{at}"
            );
            let parameters = operation["parameters"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            let described: BTreeSet<&str> = parameters
                .iter()
                .filter(|p| p["in"] == "path")
                .map(|p| p["name"].as_str().unwrap())
                .collect();
            assert_eq!(described, named, "{at}");
            let responses = operation["responses"].as_object().unwrap();
            assert!(responses.keys().any(|s| s.starts_with('2')), "{at}");
            for (status, response) in responses {
                let described = response["description"]
                    .as_str()
                    .is_some_and(|d| !d.is_empty());
                assert!(
                    described,
                    "{at} {status} has a description, which the standard requires"
                );
            }
        }
    }
}

#[tokio::test]
async fn what_is_described_is_served() {
    let node = node().await;
    for (path, item) in document()["paths"].as_object().unwrap() {
        let digest = gust_types::Digest::of(b"").to_string();
        let path = path.replace("{digest}", &digest).replace(['{', '}'], "");
        for method in item.as_object().unwrap().keys() {
            let answer = node.authorized(&method.to_uppercase(), &path, "", "").await;
            let line = answer.lines().next().unwrap_or_default().to_owned();
            assert!(
                !answer.contains("the api has no such path"),
                "{method} {path}: {line}"
            );
            assert!(!line.contains(" 405"), "{method} {path}: {line}");
        }
    }
}
