//! Prepared files: found again, and never run when they are not what was written.

use std::{fs, io::Write as _, os::unix::fs::FileExt as _, sync::Arc, time::Duration};

use gust_backend::kv::{KvExt as _, memory::MemoryKv};
use gust_runtime::suite;
use serde_json::Value as Json;

use crate::{
    fakes::give,
    kit::{Bench, small},
};

async fn prepared(name: &str) -> (Bench, gust_types::Revision) {
    let bench = Bench::new(small());
    let revision = bench.revision(name);
    bench.prepare(&revision).await.unwrap();
    (bench, revision)
}

async fn answers(bench: &Bench, revision: &gust_types::Revision) {
    let function = bench.load(revision.clone()).await;
    assert_eq!(function.get("/").await.text(), "Hello from Gust\n");
    drop(function);
    bench.unmapped().await;
}

#[tokio::test]
async fn a_prepared_file_survives_a_restart() {
    let (mut bench, revision) = prepared("hello-p2").await;
    let before = fs::metadata(bench.only("cwasm"))
        .unwrap()
        .modified()
        .unwrap();
    bench.restart();
    answers(&bench, &revision).await;
    assert!(bench.prepare(&revision).await.unwrap().cached);
    let after = fs::metadata(bench.only("cwasm"))
        .unwrap()
        .modified()
        .unwrap();
    assert_eq!(before, after, "it was not compiled again");
}

#[tokio::test]
async fn every_cut_of_a_prepared_file_is_compiled_again() {
    let (bench, revision) = prepared("hello-p2").await;
    let whole = fs::read(bench.only("cwasm")).unwrap();
    for part in [0, 1, 4096, whole.len() / 2, whole.len() - 1] {
        fs::write(bench.only("cwasm"), &whole[..part]).unwrap();
        answers(&bench, &revision).await;
        let again = fs::read(bench.only("cwasm")).unwrap();
        assert_eq!(again.len(), whole.len(), "cut at {part}");
    }
}

#[tokio::test]
async fn a_damaged_prepared_file_is_compiled_again() {
    let (mut bench, revision) = prepared("hello-p3").await;
    let whole = fs::read(bench.only("cwasm")).unwrap();
    for round in 0..20 {
        let at = (whole.len() * (2 * round + 1) / 40) as u64;
        let file = fs::OpenOptions::new().write(true).open(bench.only("cwasm"));
        let byte = [whole[at as usize] ^ 0x55];
        file.unwrap().write_all_at(&byte, at).unwrap();
        if round % 5 == 0 {
            bench.restart();
        }
        answers(&bench, &revision).await;
        assert!(
            fs::read(bench.only("cwasm")).unwrap() == whole,
            "byte {at} is whole again"
        );
    }
}

#[tokio::test]
async fn a_restored_file_is_taken_when_its_bytes_are_right() {
    let (mut bench, revision) = prepared("hello-p2").await;
    let (code, record) = (bench.only("cwasm"), bench.only("json"));
    let bytes = fs::read(&code).unwrap();
    fs::remove_file(&code).unwrap();
    fs::write(&code, &bytes).unwrap();
    let before = fs::metadata(&code).unwrap().modified().unwrap();
    bench.restart();
    answers(&bench, &revision).await;
    assert_eq!(fs::metadata(&code).unwrap().modified().unwrap(), before);

    fs::write(&record, "{\"not\": \"a record\"}").unwrap();
    bench.restart();
    answers(&bench, &revision).await;
    fs::remove_file(&record).unwrap();
    bench.restart();
    answers(&bench, &revision).await;
    assert!(record.is_file());
}

#[tokio::test]
async fn leftovers_and_foreign_files_are_swept_at_start() {
    let (mut bench, revision) = prepared("hello-p2").await;
    let code = bench.only("cwasm");
    let foreign = bench.prepared().join("abc-0000000000000000.cwasm");
    let half = code.with_added_extension("17.new");
    for path in [&foreign, &half] {
        fs::File::create(path).unwrap().write_all(b"half").unwrap();
    }
    bench.restart();
    assert!(!foreign.exists() && !half.exists());
    assert!(code.exists());
    answers(&bench, &revision).await;
}

#[tokio::test]
async fn without_address_space_for_a_pool_instances_are_mapped_one_by_one() {
    let settings = gust_runtime_wasm::Settings {
        max_instances: 1_000_000,
        ..small()
    };
    let bench = Bench::new(settings);
    for name in ["hello-p2", "hello-p3"] {
        answers(&bench, &bench.revision(name)).await;
    }
}

#[tokio::test]
async fn code_that_changes_under_a_resident_function_is_replaced() {
    for name in ["hello-p2", "hello-p3"] {
        let (bench, revision) = prepared(name).await;
        let whole = fs::read(bench.only("cwasm")).unwrap();
        let function = bench.load(revision).await;
        let mut idle = function.get("/").await.finished.instance;
        for damage in [Damage::Cut, Damage::Overwrite] {
            damage.to(&bench.only("cwasm"), whole.len());
            // The kernel tells of it within microseconds, but on a busy machine the watch has to wait for its turn.
            tokio::time::sleep(Duration::from_millis(500)).await;
            let instance = match idle.take() {
                Some(instance) => instance,
                None => function.start().await,
            };
            let answered = crate::kit::finish(instance, crate::kit::get("/")).await;
            assert_eq!(answered.text(), "Hello from Gust\n");
            assert!(
                fs::read(bench.only("cwasm")).unwrap() == whole,
                "whole again"
            );
            idle = answered.finished.instance;
        }
    }
}

#[tokio::test]
async fn an_instance_keeps_the_stores_that_it_was_given_when_its_code_is_replaced() {
    let (bench, revision) = prepared("host-wasi").await;
    let whole = fs::read(bench.only("cwasm")).unwrap();
    let function = bench.load_with(revision, give).await;
    for damaged in [false, true] {
        let own = MemoryKv::default();
        let mut bindings = suite::nothing();
        let label = gust_types::Label::new("default").unwrap();
        bindings.kv.insert(label, Arc::new(own.clone()));
        let deadline = gust_task::clock::now() + Duration::from_secs(60);
        let given = || Some(bindings.clone());
        let counts = function.prepared.start(deadline, given()).await.unwrap();
        let tells = function.prepared.start(deadline, given()).await.unwrap();
        if damaged {
            Damage::Overwrite.to(&bench.only("cwasm"), whole.len());
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        let call = crate::kit::post("/kv/default/n/increment?by=7", "");
        let answered = crate::kit::finish(counts, call).await;
        assert_eq!(answered.text(), r#"{"value":7}"#);
        assert!(own.exists("n").await.unwrap());
        assert_eq!(function.ask("/kv/default/n").await["value"], Json::Null);
        // All else is what it was loaded with.
        let answered = crate::kit::finish(tells, crate::kit::get("/env")).await;
        assert!(answered.text().contains("MODE"), "{}", answered.text());
    }
}

enum Damage {
    Cut,
    Overwrite,
}

impl Damage {
    fn to(&self, file: &std::path::Path, len: usize) {
        let open = fs::OpenOptions::new().write(true).open(file).unwrap();
        match self {
            Self::Cut => open.set_len(4096).unwrap(),
            Self::Overwrite => open.write_all_at(&vec![0xcc; len], 0).unwrap(),
        }
    }
}
