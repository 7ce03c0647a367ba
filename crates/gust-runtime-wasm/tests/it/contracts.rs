//! Every way to call a component answers.

use gust_types::{Blame, Error, Kind, Outcome};

use crate::kit::{Bench, broken, get, post, post_body, shared, small, written_command};

/// How a request's body may break off, and how the call then ends.
fn breaks() -> [(Error, Outcome); 3] {
    [
        (
            Error::invalid("the request body ended early"),
            Outcome::Cancelled,
        ),
        (
            Error::exhausted("the request body is larger than 9 bytes"),
            Outcome::BodyLimit,
        ),
        (
            Error::new(
                Kind::Timeout,
                Blame::Caller,
                "the request body did not go on in time",
            ),
            Outcome::Cancelled,
        ),
    ]
}

#[tokio::test]
async fn http_0_2_and_0_3_answer_in_one_process() {
    for (name, contract) in [
        ("hello-p2", "wasi:http/incoming-handler@0.2"),
        ("hello-p3", "wasi:http/handler@0.3"),
    ] {
        let bench = shared();
        let revision = bench.revision(name);
        let preparation = bench.prepare(&revision).await.unwrap();
        assert!(
            preparation.contract.starts_with(contract),
            "{}",
            preparation.contract
        );
        assert_eq!(preparation.warnings, Vec::<String>::new());
        assert!(preparation.size > 0);
        let answered = bench.load(revision).await.get("/").await;
        assert_eq!(answered.status, 200);
        assert_eq!(answered.text(), "Hello from Gust\n");
        assert_eq!(answered.finished.outcome, Outcome::Ok);
        assert!(answered.finished.used.cpu.as_micros() > 0);
        assert!(answered.finished.used.memory_peak >= 64 * 1024);
    }
}

#[tokio::test]
async fn spin_1_answers_by_value() {
    let function = shared().load(shared().revision("hello-spin")).await;
    let answered = function.get("/").await;
    assert_eq!(answered.status, 200);
    assert_eq!(answered.finished.outcome, Outcome::Ok);
    assert!(!answered.body.is_empty());
}

#[tokio::test]
async fn a_command_reads_the_body_and_its_output_is_the_answer() {
    let function = shared().load(shared().revision("command")).await;
    let answered = function.send(post("/", "a line\n")).await;
    assert_eq!(answered.status, 200);
    assert!(
        answered.headers["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/plain")
    );
    assert!(answered.text().contains("a line"), "{}", answered.text());
}

#[tokio::test]
async fn core_modules_are_made_components() {
    let command = shared().load(shared().revision("command-p1")).await;
    let answered = command.send(post("/", "a line\n")).await;
    assert!(answered.text().contains("a line"), "{}", answered.text());
    assert!(
        answered.text().contains("args: [\"command-p1\"]"),
        "{}",
        answered.text()
    );
    for name in ["spin1", "spin1-p1"] {
        let revision = shared().revision(name);
        let preparation = shared().prepare(&revision).await.unwrap();
        assert_eq!(preparation.contract, "fermyon:spin/inbound-http", "{name}");
        let answered = shared().load(revision).await.get("/").await;
        assert_eq!(answered.finished.outcome, Outcome::Ok, "{name}");
    }
}

#[tokio::test]
async fn a_command_of_wasi_0_3_reads_the_body_as_it_comes() {
    let function = shared()
        .load_with(shared().revision("command-p3"), |bindings| {
            bindings.environment = vec![("GREETING".to_owned(), "good day".to_owned())].into();
        })
        .await;
    let line = "a line\n".repeat(100_000);
    let answered = function.send(post("/", line.clone())).await;
    assert_eq!(answered.status, 200);
    let (greeting, rest) = answered.text().split_once('\n').unwrap();
    assert_eq!(greeting, "good day");
    assert!(rest == line, "{} bytes", rest.len());
    assert_eq!(answered.finished.outcome, Outcome::Ok);
    let preparation = shared().prepare(&shared().revision("command-p3")).await;
    assert_eq!(preparation.unwrap().contract, "wasi:cli/run@0.3.0");
}

/// WASI 0.3 has functions without async, so a component of 0.2 may import them and look as if it needed nothing else.
#[tokio::test]
async fn functions_of_0_3_are_there_for_a_component_of_0_2() {
    let text = written_command(
        r#"(import "wasi:random/random@0.3.0" (instance $random
               (export "get-random-u64" (func (result u64)))))
           (core func $get (canon lower (func $random "get-random-u64")))"#,
        r#"(import "random" "get" (func $get (result i64)))
           (func (export "run") (result i32) (i64.eq (call $get) (call $get)))"#,
        r#"(with "random" (instance (export "get" (func $get))))"#,
    );
    let revision = shared().written(&text, "mixed");
    let preparation = shared().prepare(&revision).await.unwrap();
    assert_eq!(preparation.warnings, Vec::<String>::new());
    let answered = shared().load(revision).await.get("/").await;
    assert_eq!(answered.finished.outcome, Outcome::Ok);
}

#[tokio::test]
async fn a_command_that_writes_without_asking_is_stopped() {
    for (stream, which) in [("stdout", "o"), ("stderr", "e")] {
        let function = shared().load(shared().revision("command-greedy")).await;
        let (error, finished) = function.fail(post("/", which)).await;
        assert_eq!(error.kind, Kind::Failed, "{stream}: {}", error.chain());
        assert_eq!(finished.outcome, Outcome::Failed, "{stream}");
        let log = function.logs.of(gust_runtime::logs::Stream::Platform);
        assert!(log.contains("check-write"), "{stream}: {log}");
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_not_the_functions_fault() {
    for name in ["command", "command-p1", "command-p3", "spin1", "spin1-p1"] {
        let function = shared().load(shared().revision(name)).await;
        for (error, outcome) in breaks() {
            let (kind, message) = (error.kind, error.message.clone());
            let (told, finished) = function.fail(post_body("/", broken(error))).await;
            assert_eq!((told.kind, told.blame), (kind, Blame::Caller), "{name}");
            assert_eq!(told.message, message, "{name}");
            assert_eq!(finished.outcome, outcome, "{name}");
        }
        assert_eq!(
            function.send(post("/", "whole")).await.status,
            200,
            "{name}"
        );
    }
}

#[tokio::test]
async fn methods_that_spin_1_has_no_word_for_are_not_allowed() {
    let function = shared().load(shared().revision("spin1")).await;
    let mut call = get("/info");
    *call.request.method_mut() = http::Method::from_bytes(b"PROPFIND").unwrap();
    let answered = function.send(call).await;
    assert_eq!(answered.status, 405);
    assert!(
        answered.headers["allow"]
            .to_str()
            .unwrap()
            .contains("PATCH")
    );
    assert!(answered.text().ends_with("no such method: PROPFIND\n"));
    assert_eq!(answered.finished.outcome, Outcome::Ok);
}

#[tokio::test]
async fn more_headers_than_fit_are_a_failure() {
    let function = shared().load(shared().revision("spin1")).await;
    let answered = function.get("/headers/1000").await;
    assert_eq!(answered.headers["x-999"], "999");
    let (error, finished) = function.fail(get("/headers/40000")).await;
    assert_eq!((error.kind, error.blame), (Kind::Failed, Blame::Function));
    assert!(
        error.message.contains("larger headers"),
        "{}",
        error.message
    );
    assert_eq!(finished.outcome, Outcome::Failed);
    assert_eq!(function.get("/").await.status, 200);
}

#[tokio::test]
async fn a_command_that_fails_is_a_failure() {
    let function = shared()
        .load_with(shared().revision("command"), |bindings| {
            bindings.environment = vec![("EXIT_CODE".to_owned(), "3".to_owned())].into();
        })
        .await;
    let (error, finished) = function.fail(get("/")).await;
    assert!(
        error.message.contains("exited with code"),
        "{}",
        error.message
    );
    assert_eq!(finished.outcome, Outcome::Failed);
}

#[tokio::test]
async fn a_second_prepare_finds_the_first() {
    let bench = Bench::new(small());
    let revision = bench.revision("hello-p2");
    assert!(!bench.prepare(&revision).await.unwrap().cached);
    assert!(bench.prepare(&revision).await.unwrap().cached);
}
