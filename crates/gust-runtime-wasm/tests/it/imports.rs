//! Imports that nothing provides, and components that are no functions.

use gust_runtime::logs::Stream;
use gust_types::{Kind, Outcome};

use crate::kit::{get, shared};

#[tokio::test]
async fn an_unprovided_import_is_a_warning_and_traps_with_its_name() {
    let revision = shared().revision("missing-import");
    let preparation = shared().prepare(&revision).await.unwrap();
    let [warning] = &preparation.warnings[..] else {
        panic!("one warning: {:?}", preparation.warnings);
    };
    assert!(warning.contains("acme:nothing/here@1.0.0"), "{warning}");

    let function = shared().load(revision).await;
    let answered = function.get("/").await;
    assert_eq!(
        answered.status, 200,
        "a guest that does not call it answers"
    );
    let (error, finished) = function.fail(get("/call")).await;
    assert_eq!(finished.outcome, Outcome::Failed);
    let name = "acme:nothing/here@1.0.0#shout";
    assert!(error.message.contains(name), "{}", error.message);
    assert!(function.logs.of(Stream::Platform).contains(name));
}

#[tokio::test]
async fn an_unknown_world_is_refused_with_its_exports() {
    let error = shared()
        .prepare(&shared().revision("unknown-world"))
        .await
        .unwrap_err();
    assert_eq!(error.kind, Kind::Invalid);
    assert!(
        error.message.contains("acme:calc/add@1.0.0"),
        "{}",
        error.message
    );
    assert!(error.hint.unwrap().contains("wasi:http/handler@0.3.0"));
}

#[tokio::test]
async fn a_release_candidate_is_refused_by_name() {
    let revision = shared().revision("hello-p3rc");
    let error = shared().prepare(&revision).await.unwrap_err();
    assert_eq!(error.kind, Kind::Invalid);
    let name = "wasi:http/handler@0.3.0-rc-2026-03-15";
    assert!(error.message.contains(name), "{}", error.message);
}

#[tokio::test]
async fn what_is_not_wasm_is_refused() {
    for (bytes, expected) in [
        (&b"#!/bin/sh\n"[..], "a script"),
        (b"", "an empty file"),
        (b"\0asm\x0d\0\x01\0\xff\xff", "cut off or damaged"),
        (b"\0asm\x01\0\0\0", "core module"),
    ] {
        let artifact = shared().artifacts.put(bytes).unwrap();
        let revision = crate::kit::revision(artifact, "nonsense");
        let error = shared().prepare(&revision).await.unwrap_err();
        assert_eq!(error.kind, Kind::Invalid, "{}", error.chain());
        assert!(error.message.contains(expected), "{}", error.message);
    }
}

#[tokio::test]
async fn every_cut_of_a_component_is_refused() {
    let whole = crate::kit::guest("hello-p2");
    for part in [9, 100, whole.len() / 3, whole.len() / 2, whole.len() - 1] {
        let artifact = shared().artifacts.put(&whole[..part]).unwrap();
        let revision = crate::kit::revision(artifact, "cut");
        let error = shared().prepare(&revision).await.unwrap_err();
        assert_eq!(error.kind, Kind::Invalid, "{part}: {}", error.chain());
    }
}

#[tokio::test]
async fn guests_of_language_runtimes_answer() {
    for name in ["js-hello", "js-hello-p2", "py-hello"] {
        let revision = shared().revision(name);
        shared().prepare(&revision).await.unwrap();
        let function = shared().load(revision).await;
        let mut idle = None;
        for _ in 0..3 {
            let instance = match idle.take() {
                Some(instance) => instance,
                None => function.start().await,
            };
            let answered = crate::kit::finish(instance, get("/")).await;
            assert_eq!(answered.status, 200, "{name}");
            assert!(!answered.body.is_empty(), "{name}");
            idle = answered.finished.instance;
        }
    }
}
