//! A node that starts again.

use std::{collections::BTreeMap, time::Instant};

use gust_control::Settings;
use gust_types::{AppSpec, app::VariableSpec};

use crate::harness::{
    all_bytes, app, app_name, assemble, function, function_name, open, project, route,
};

#[tokio::test]
async fn what_served_serves_again_without_being_prepared() {
    let folder = tempfile::tempdir().unwrap();
    {
        let node = open(folder.path(), Settings::default()).await;
        node.upload("one").await;
        node.upload("two").await;
        node.deploy(app("shop", "one")).await.unwrap();
        node.deploy(app("shop", "two")).await.unwrap();
        node.deploy(app("gone", "one")).await.unwrap();
        node.client
            .remove_app(&project(), &app_name("gone"))
            .await
            .unwrap();
    }
    let node = open(folder.path(), Settings::default()).await;
    node.upload("two").await;
    assert_eq!(node.call("shop").await.unwrap().1, "two");
    assert_eq!(
        node.runtime
            .counts
            .prepares
            .load(std::sync::atomic::Ordering::Relaxed),
        0
    );
    assert_eq!(node.client.apps(&project()).await.unwrap().apps.len(), 1);
    assert_eq!(
        node.client
            .deployments(&project(), &app_name("shop"))
            .await
            .unwrap()
            .deployments
            .len(),
        2
    );
}

#[tokio::test]
async fn a_node_is_ready_once_it_has_restored() {
    let folder = tempfile::tempdir().unwrap();
    let node = assemble(folder.path(), Settings::default()).await;
    let ask = "GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let answer = node.raw(ask).await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    let error = node.client.apps(&project()).await.unwrap_err();
    assert_eq!(
        error.kind,
        gust_types::Kind::Unavailable,
        "changes wait for the restore"
    );
    assert!(!node.client.status().await.unwrap().ready);
    node.control.restore().await.unwrap();
    assert!(node.raw(ask).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_lost_key_stops_one_app_and_not_the_node() {
    let folder = tempfile::tempdir().unwrap();
    {
        let node = open(folder.path(), Settings::default()).await;
        node.upload("one").await;
        node.deploy(app("plain", "one")).await.unwrap();
        let mut sealed = app("sealed", "one");
        sealed.variables = BTreeMap::from([("v".to_owned(), VariableSpec::default())]);
        let main = sealed.functions.get_mut("main").unwrap();
        main.variables = BTreeMap::from([("v".to_owned(), "{{ v }}".to_owned())]);
        node.deploy_with(sealed, &[("v", "value")]).await.unwrap();
    }
    std::fs::remove_file(folder.path().join("key")).unwrap();
    let node = open(folder.path(), Settings::default()).await;
    node.upload("one").await;
    assert_eq!(node.call("plain").await.unwrap().1, "one");
    assert!(node.call("sealed").await.is_err());
    let warnings = node.client.status().await.unwrap().warnings;
    assert!(
        warnings.iter().any(|w| w.contains("default/sealed")),
        "{warnings:?}"
    );
}

/// 100 functions with routes, limits and variables as real ones have.
fn large(i: usize) -> AppSpec {
    let mut spec = app(&format!("app{i}"), "code");
    spec.functions.clear();
    spec.routes.clear();
    for f in 0..100 {
        let name = format!("function-{f}");
        let mut one = function("code");
        one.environment = BTreeMap::from([
            ("LANG".into(), "C.UTF-8".into()),
            ("N".into(), f.to_string()),
        ]);
        one.outbound = vec!["https://api.example.com".into()];
        one.kv = vec![gust_types::Label::new("default").unwrap()];
        spec.functions.insert(function_name(&name), one);
        spec.routes.push(route(&format!("/{name}/..."), &name));
    }
    spec
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_functions_restore_quickly() {
    let folder = tempfile::tempdir().unwrap();
    {
        let node = open(folder.path(), Settings::default()).await;
        node.upload("code").await;
        let began = Instant::now();
        for i in 0..100 {
            node.deploy(large(i)).await.unwrap();
        }
        eprintln!("deployed 10,000 functions in {:?}", began.elapsed());
    }
    let size: usize = all_bytes(folder.path())
        .iter()
        .filter(|(file, _)| {
            file.file_name()
                .unwrap()
                .to_string_lossy()
                .starts_with("control.db")
        })
        .map(|(_, bytes)| bytes.len())
        .sum();
    let node = assemble(folder.path(), Settings::default()).await;
    let began = Instant::now();
    let functions = node.control.restore().await.unwrap();
    let took = began.elapsed();
    eprintln!(
        "restored {functions} functions in {took:?} from {} MB",
        size >> 20
    );
    assert_eq!(functions, 10_000);
    // Unoptimised and on a shared machine; the promise itself is measured on release builds by the bench.
    assert!(took.as_secs() < 15, "{took:?}");
    node.upload("code").await;
    assert_eq!(
        node.call_function("app99", "function-99").await.unwrap().1,
        "code"
    );
}
