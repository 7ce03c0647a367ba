//! Functions built for the two release candidates of 2023: what is read as WASI 0.2 works as it does there.

use std::sync::Arc;

use futures::stream;
use gust_runtime::{Bindings, logs::Stream};
use gust_types::{Body, Outcome, outbound::Outbound};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use serde_json::json;
use wasm_encoder::{
    ComponentBuilder, ComponentExportKind, ComponentExportSection, ComponentInstanceSection,
    ComponentSection as _, ComponentValType, ExportKind,
};

use crate::{
    fakes::{give, serve},
    kit::{Function, get, post, post_body, shared},
};

const OCTOBER: &str = "hello-rc1018";
const NOVEMBER: &str = "hello-rc1110";
const BOTH: [&str; 2] = [OCTOBER, NOVEMBER];

async fn load(name: &str) -> Function {
    shared().load(shared().revision(name)).await
}

async fn load_with(name: &str, change: impl FnOnce(&mut Bindings)) -> Function {
    shared().load_with(shared().revision(name), change).await
}

#[tokio::test]
async fn they_answer_under_the_name_that_their_author_wrote() {
    for (name, contract) in [
        (OCTOBER, "wasi:http/incoming-handler@0.2.0-rc-2023-10-18"),
        (NOVEMBER, "wasi:http/incoming-handler@0.2.0-rc-2023-11-10"),
    ] {
        let revision = shared().revision(name);
        let preparation = shared().prepare(&revision).await.unwrap();
        assert_eq!(preparation.contract, contract);
        assert_eq!(preparation.warnings, Vec::<String>::new(), "{name}");
        let answered = shared().load(revision).await.get("/").await;
        assert_eq!(answered.status, 200, "{name}");
        assert_eq!(answered.text(), "Hello from Gust\n", "{name}");
        assert_eq!(answered.headers["content-type"], "text/plain", "{name}");
        assert_eq!(answered.finished.outcome, Outcome::Ok, "{name}");
    }
}

#[tokio::test]
async fn a_request_is_told_whole() {
    for name in BOTH {
        let mut call = post("/info?a=b", "body");
        let value = http::HeaderValue::from_static("first");
        call.request.headers_mut().insert("x-told", value);
        let told = load(name).await.send(call).await.json();
        assert_eq!(told["method"], "Method::Post", "{name}: {told}");
        assert_eq!(told["path"], "/info?a=b", "{name}: {told}");
        assert_eq!(told["authority"], "tests.gust.localhost", "{name}: {told}");
        assert!(told["scheme"].as_str().unwrap().contains("Http"), "{told}");
        let headers = told["headers"].as_array().unwrap();
        let header = json!(["x-told", "first"]);
        assert!(headers.contains(&header), "{name}: {told}");
    }
}

#[tokio::test]
async fn bodies_stream_in_every_way_that_they_were_moved() {
    let large = "0123456789abcdef".repeat(40_000);
    for (name, how) in [
        (OCTOBER, "read"),
        (OCTOBER, "forward"),
        (NOVEMBER, "read"),
        (NOVEMBER, "blocking-splice"),
    ] {
        let call = post(&format!("/echo/{how}"), large.clone());
        let answered = load(name).await.send(call).await;
        assert!(answered.body == large, "{name} {how}");
    }
    // A source that is given away is gone: what was asked for once is what there is.
    for how in ["splice", "blocking-splice"] {
        let call = post(&format!("/echo/{how}"), "one piece");
        let answered = load(OCTOBER).await.send(call).await;
        assert_eq!(answered.text(), "one piece", "{how}");
    }
}

#[tokio::test]
async fn trailers_arrive_in_the_shape_of_the_day() {
    for name in BOTH {
        let function = load(name).await;
        let answer = function.send(post_body("/trailers", with_trailers())).await;
        assert_eq!(answer.json(), json!([["x-sum", "42"]]), "{name}");
        let answer = function.post("/trailers", "no trailers").await;
        assert_eq!(answer, json!([]), "{name}");
    }
}

fn with_trailers() -> Body {
    let trailers = [(
        http::HeaderName::from_static("x-sum"),
        http::HeaderValue::from_static("42"),
    )];
    let frames = [
        Frame::data("data".into()),
        Frame::trailers(trailers.into_iter().collect()),
    ];
    StreamBody::new(stream::iter(frames.map(Ok))).boxed_unsync()
}

#[tokio::test]
async fn what_they_print_is_logged_and_variables_are_their_environment() {
    for (name, line) in [
        (OCTOBER, "printed in October\n"),
        (NOVEMBER, "printed in November\n"),
    ] {
        let function = load_with(name, give).await;
        let answer = function.ask("/print").await;
        assert_eq!(answer, json!({"printed": true}), "{name}");
        assert_eq!(function.logs.of(Stream::Stdout), line);
        let answer = function.ask("/env").await;
        assert_eq!(answer, json!([["MODE", "test é"]]), "{name}");
    }
}

#[tokio::test]
async fn files_are_read_and_nothing_about_them_changes() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.txt"), "content").unwrap();
    for name in BOTH {
        let function = load_with(name, |bindings| {
            bindings.files = Some(folder.path().to_owned());
        })
        .await;
        let answer = function.ask("/files/a.txt").await;
        assert_eq!(answer["content"], "content", "{name}: {answer}");
        if name == OCTOBER {
            for (question, expected) in [
                ("exists", "ok"),
                ("readable", "ok"),
                ("writable", "not-permitted"),
                ("changed", "not-permitted"),
                ("locked", "unsupported"),
                ("unlocked", "unsupported"),
            ] {
                assert_eq!(answer[question], expected, "{question}");
            }
        }
        let answer = function.ask("/files/b.txt").await;
        assert_eq!(answer["error"], "no-entry", "{name}: {answer}");
        let answer = load(name).await.ask("/files/a.txt").await;
        assert_eq!(answer["error"], "NoFolder", "{name}: {answer}");
    }
}

#[tokio::test]
async fn clocks_run_and_dice_roll() {
    for name in BOTH {
        let function = load(name).await;
        let clocks = function.ask("/clocks").await;
        let now = gust_task::clock::unix_micros() / 1_000_000;
        let told = clocks["unix_seconds"].as_u64().unwrap();
        assert!(now.abs_diff(told) < 60, "{name}: {clocks}");
        let slept = clocks["slept_ns"].as_u64().unwrap();
        assert!(slept >= 5_000_000, "{name}: {clocks}");
        if name == OCTOBER {
            assert_eq!(clocks["ready"], json!([1]), "{clocks}");
            assert_eq!(clocks["zone"], "UTC", "{clocks}");
            assert_eq!(clocks["offset"], 0, "{clocks}");
        }
        let first = function.ask("/random/16").await;
        let second = function.ask("/random/16").await;
        assert_ne!(first, second, "{name}");
    }
}

#[tokio::test]
async fn requests_go_where_they_are_allowed_to() {
    let server = serve().await;
    let url = format!("http://{server}/x");
    for (name, denied, late) in [
        (
            OCTOBER,
            "Error::UnexpectedError(\"HttpRequestDenied\")",
            "Error::TimeoutError(\"ConnectionReadTimeout\")",
        ),
        (
            NOVEMBER,
            "ErrorCode::HttpRequestDenied",
            "ErrorCode::ConnectionReadTimeout",
        ),
    ] {
        let allowing = |pattern: &str| {
            let outbound = Outbound::parse(&[pattern.to_owned()]).unwrap();
            move |bindings: &mut Bindings| bindings.outbound = Arc::new(outbound)
        };
        let function = load_with(name, allowing("http://127.0.0.1:*")).await;
        let answered = function
            .send(get(&format!("/fetch?url={url}&body=data")))
            .await;
        let answer = answered.json();
        assert_eq!(answer["status"], 200, "{name}: {answer}");
        assert_eq!(answer["body"], "POST /x b\"data\"", "{name}: {answer}");
        assert_eq!(answered.finished.used.host.http_out, 1, "{name}");

        let path = format!("/fetch?url=http://{server}/silent&timeout_ms=50");
        let answer = function.ask(&path).await;
        assert_eq!(answer["error"], late, "{name}: {answer}");

        let function = load_with(name, allowing("http://127.0.0.2:*")).await;
        let answer = function.ask(&format!("/fetch?url={url}")).await;
        assert_eq!(answer["error"], denied, "{name}: {answer}");
        assert_eq!(answer["at"], "response", "{name}: {answer}");
    }
}

#[tokio::test]
async fn timeouts_of_november_are_in_milliseconds() {
    let answer = load(NOVEMBER).await.ask("/timeouts").await;
    assert_eq!(answer, json!([1, 1500, null]));
}

#[tokio::test]
async fn an_error_for_an_answer_is_a_failure() {
    for name in BOTH {
        let (error, finished) = load(name).await.fail(get("/refuse")).await;
        assert_eq!(finished.outcome, Outcome::Failed, "{name}");
        assert!(error.message.contains("error"), "{}", error.message);
    }
}

#[tokio::test]
async fn commands_run_too() {
    for date in ["2023-10-18", "2023-11-10"] {
        let name = format!("wasi:cli/run@0.2.0-rc-{date}");
        let artifact = shared().artifacts.put(&command(&name)).unwrap();
        let revision = crate::kit::revision(artifact, "command");
        let preparation = shared().prepare(&revision).await.unwrap();
        assert_eq!(preparation.contract, name);
        let answered = shared().load(revision).await.get("/").await;
        assert_eq!(answered.status, 200, "{name}");
        assert_eq!(answered.finished.outcome, Outcome::Ok, "{name}");
    }
}

/// A component that exports `run` under this name and does nothing but succeed.
fn command(name: &str) -> Vec<u8> {
    // A module that exports a function `run`, which returns 0.
    const RUN: &[u8] = b"\0asm\x01\0\0\0\x01\x05\x01\x60\0\x01\x7f\x03\x02\x01\0\
        \x07\x07\x01\x03run\0\0\x0a\x06\x01\x04\0\x41\0\x0b";
    let mut component = ComponentBuilder::default();
    let module = component.core_module_raw(None, RUN);
    let instance = component.core_instantiate(None, module, []);
    let run = component.core_alias_export(None, instance, "run", ExportKind::Func);
    let (result, ty) = component.type_defined(None);
    ty.result(None, None);
    let (function, mut ty) = component.type_function(None);
    ty.params::<[(&str, ComponentValType); 0], _>([])
        .result(Some(ComponentValType::Type(result)));
    let run = component.lift_func(None, run, function, []);
    let mut bytes = component.finish();
    let mut instances = ComponentInstanceSection::new();
    instances.export_items([("run", ComponentExportKind::Func, run)]);
    instances.append_to_component(&mut bytes);
    let mut exports = ComponentExportSection::new();
    exports.export(name, ComponentExportKind::Instance, 0, None);
    exports.append_to_component(&mut bytes);
    bytes
}
