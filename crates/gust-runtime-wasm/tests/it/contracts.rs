//! Every way to call a component answers.

use gust_types::Outcome;

use crate::kit::{Bench, get, post, shared, small};

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
