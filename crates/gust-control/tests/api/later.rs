//! Calls that are made later: what was accepted is made, what became of it can be asked for, and others are told.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};

use gust_api::later::{AcceptedCall, CallsQuery, LaterCall, LaterState};
use gust_types::{
    AppSpec, Error, Kind, Label, Result, Span,
    call::{CallId, full},
    later::{Destination, LaterSpec},
};
use http::{Request, Response};
use http_body_util::BodyExt as _;

use crate::harness::{Node, app, app_name, eventually, function, function_name, node, project};

/// Three attempts at once, one after the other.
fn quick() -> LaterSpec {
    let mut spec = LaterSpec::default();
    spec.retry.delay = Span::millis(10);
    spec.retry.max_delay = Span::millis(10);
    spec
}

/// An app whose `main` has this code and is called later so.
fn later(code: &str, spec: LaterSpec) -> AppSpec {
    let mut app = app("shop", code);
    for function in app.functions.values_mut() {
        function.later = Some(spec.clone());
    }
    app
}

async fn ask(node: &Node, body: &str, key: Option<&str>) -> Result<AcceptedCall> {
    let request = Request::post("/do?x=1").header("x-colour", "red");
    let request = request.body(full(body.to_owned())).unwrap();
    let (app, main) = (app_name("shop"), function_name("main"));
    node.client
        .invoke_later(&project(), &app, &main, request, key, None)
        .await
}

async fn over(node: &Node, id: CallId) -> LaterCall {
    let call = node.client.call(&project(), id, Some(Span::secs(20))).await;
    let call = call.unwrap();
    assert!(call.state.is_over(), "{call:?}");
    call
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_kept_as_the_function_gave_it() {
    let node = node().await;
    node.teach("echo", |request| async move {
        let (head, body) = request.into_parts();
        let header = |name: &str| head.headers[name].to_str().unwrap_or_default().to_owned();
        let said = format!(
            "{} {} {} {}",
            head.method,
            head.uri.path_and_query().unwrap(),
            header("x-colour"),
            header("x-gust-attempt")
        );
        let reply = Response::builder()
            .status(404)
            .header("x-said", said)
            .header(
                "x-bytes",
                http::HeaderValue::from_bytes(b"\xff\x20\xe9").unwrap(),
            )
            .header("x-call", header("x-gust-call-id"));
        Ok(reply.body(body).unwrap())
    });
    node.send("echo").await;
    // Every function can be called later, whatever its manifest says of it.
    node.deploy(app("shop", "echo")).await.unwrap();
    let accepted = ask(&node, "正文", None).await.unwrap();
    assert!(!accepted.duplicate);
    let call = over(&node, accepted.id).await;
    assert_eq!((call.state, call.attempts), (LaterState::Done, 1));
    assert_eq!(
        (call.status, call.bytes, call.truncated),
        (Some(404), 6, false)
    );
    assert_eq!(call.attempt_id, Some(accepted.id));
    assert_eq!(
        (call.method.as_str(), call.path.as_str()),
        ("POST", "/do?x=1")
    );
    assert!(call.expires_us > call.finished_us);
    let result = node
        .client
        .call_result(&project(), accepted.id, None)
        .await
        .unwrap();
    assert_eq!(result.response.status(), 404);
    let headers = result.response.headers().clone();
    assert_eq!(headers["x-said"], "POST /do?x=1 red 1");
    assert_eq!(headers["x-call"], accepted.id.to_string().as_str());
    assert_eq!(headers["x-bytes"].as_bytes(), b"\xff\x20\xe9");
    let body = result.response.into_body().collect().await.unwrap();
    assert_eq!(&body.to_bytes()[..], "正文".as_bytes());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_wish_is_granted_in_the_words_of_the_standard() {
    let node = node().await;
    node.upload("hello").await;
    node.deploy(app("shop", "hello")).await.unwrap();
    let path = "/v1/projects/default/apps/shop/functions/main/invoke?path=/x";
    let answer = node
        .authorized("POST", path, "prefer: Respond-Async, wait=5\r\n", "")
        .await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let head = head.to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 202"), "{head}");
    assert!(head.contains("preference-applied: respond-async"), "{head}");
    let accepted: AcceptedCall = serde_json::from_str(body).unwrap();
    let location = format!("location: /v1/projects/default/calls/{}", accepted.id);
    assert!(head.contains(&location), "{head}");
    assert_eq!(over(&node, accepted.id).await.method, "GET");
    // Without the wish nothing is different from before.
    assert_eq!(node.call("shop").await.unwrap(), (200, "hello".to_owned()));
    let listed = node.client.calls(&project(), &CallsQuery::default()).await;
    assert_eq!(listed.unwrap().calls.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fails_is_tried_again_and_then_given_up() {
    let node = node().await;
    let tries = Arc::new(AtomicU32::new(0));
    let counted = tries.clone();
    node.teach("weak", move |request| {
        let nth = counted.fetch_add(1, SeqCst) + 1;
        async move {
            let attempt = request.headers()["x-gust-attempt"].clone();
            assert_eq!(attempt, nth.to_string().as_str());
            match nth {
                1 => Err(Error::failed("the guest trapped")),
                _ => Ok(Response::builder().status(503).body(full("busy")).unwrap()),
            }
        }
    });
    node.send("weak").await;
    let failed = Label::new("failed").unwrap();
    let spec = LaterSpec {
        on_failure: Some(Destination::Queue(failed.clone())),
        ..quick()
    };
    node.deploy(later("weak", spec)).await.unwrap();
    let accepted = ask(&node, "x", None).await.unwrap();
    let call = over(&node, accepted.id).await;
    assert_eq!((call.state, call.attempts), (LaterState::Failed, 3));
    assert_eq!(tries.load(SeqCst), 3);
    let cause = call.cause.unwrap();
    assert!(
        cause.contains("last try failed") && cause.contains("503"),
        "{cause}"
    );
    assert_ne!(
        call.attempt_id,
        Some(accepted.id),
        "the ledger takes no id twice"
    );
    let result = node
        .client
        .call_result(&project(), accepted.id, None)
        .await
        .unwrap();
    assert_eq!(result.response.status(), 503);
    eventually("the destination is told", async || {
        node.client
            .queue(&project(), &failed)
            .await
            .unwrap()
            .messages
            == 1
    })
    .await;
    let look = gust_api::queue::LookQuery::default();
    let told = node.client.peek(&project(), &failed, &look).await.unwrap();
    let message = &told.messages[0].message;
    assert_eq!(message.attributes["ce-type"], "gust.call.failed");
    assert_eq!(message.attributes["ce-id"], accepted.id.to_string());
    let data: serde_json::Value = serde_json::from_str(message.text.as_ref().unwrap()).unwrap();
    assert_eq!(data["attempts"], 3);
    assert_eq!(data["request"]["body"]["text"], "x");
    assert_eq!(data["response"]["status"], 503);
    assert_eq!(data["response"]["body"]["text"], "busy");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_was_cancelled_is_not_made_and_one_under_way_is_ended() {
    let node = node().await;
    let begun = Arc::new(AtomicU32::new(0));
    let counted = begun.clone();
    node.teach("slow", move |request| {
        counted.fetch_add(1, SeqCst);
        async move {
            if request.headers().contains_key("x-colour") {
                tokio::time::sleep(Duration::from_secs(25)).await;
            }
            Ok(Response::new(full("done")))
        }
    });
    node.send("slow").await;
    let spec = LaterSpec {
        concurrency: 1,
        ..quick()
    };
    node.deploy(later("slow", spec)).await.unwrap();
    let running = ask(&node, "1", None).await.unwrap().id;
    let waiting = ask(&node, "2", None).await.unwrap().id;
    let state = async |id| node.client.call(&project(), id, None).await.unwrap().state;
    eventually("the first runs", async || {
        state(running).await == LaterState::Running
    })
    .await;
    assert_eq!(state(waiting).await, LaterState::Waiting);
    let early = node.client.call_result(&project(), running, None).await;
    assert_eq!(early.err().unwrap().kind, Kind::Conflict);
    // Somebody waits for it meanwhile, and hears.
    let client = node.client.clone();
    let heard =
        tokio::spawn(async move { client.call(&project(), running, Some(Span::secs(20))).await });
    for id in [waiting, running, running] {
        let cancelled = node.client.cancel_call(&project(), id).await.unwrap();
        assert_eq!(cancelled.state, LaterState::Cancelled);
    }
    assert_eq!(heard.await.unwrap().unwrap().state, LaterState::Cancelled);
    // Its place is free: another call gets it long before the first would have ended.
    let request = Request::get("/").body(gust_types::call::empty()).unwrap();
    let (app, main) = (app_name("shop"), function_name("main"));
    let next = node
        .client
        .invoke_later(&project(), &app, &main, request, None, None)
        .await;
    let next = next.unwrap().id;
    assert_eq!(over(&node, next).await.state, LaterState::Done);
    assert_eq!(begun.load(SeqCst), 2, "the one that waited was never made");
    let late = node.client.cancel_call(&project(), next).await.unwrap_err();
    assert_eq!(late.kind, Kind::Conflict, "{late}");
    let nobody = node
        .client
        .call(&project(), CallId(7), None)
        .await
        .unwrap_err();
    assert_eq!(nobody.kind, Kind::NotFound, "{nobody}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_key_is_one_call() {
    let node = node().await;
    node.upload("hello").await;
    node.deploy(app("shop", "hello")).await.unwrap();
    let first = ask(&node, "x", Some("order 7")).await.unwrap();
    let again = ask(&node, "x", Some("order 7")).await.unwrap();
    assert_eq!((again.id, again.duplicate), (first.id, true));
    let other = ask(&node, "y", Some("order 7")).await.unwrap_err();
    assert_eq!(other.kind, Kind::Conflict, "{other}");
    assert_ne!(ask(&node, "y", Some("order 8")).await.unwrap().id, first.id);
    over(&node, first.id).await;
    // A repetition of a call that is over is that call.
    assert_eq!(ask(&node, "x", Some("order 7")).await.unwrap().id, first.id);
    for bad in ["", &"k".repeat(256)] {
        let error = ask(&node, "x", Some(bad)).await.unwrap_err();
        assert_eq!(error.kind, Kind::Invalid, "{error}");
    }
    let query = CallsQuery {
        limit: Some(1),
        after: None,
    };
    let page = node.client.calls(&project(), &query).await.unwrap();
    assert_eq!(page.calls.len(), 1);
    assert_ne!(page.calls[0].id, first.id, "the newest first");
    let query = CallsQuery {
        limit: Some(5),
        after: page.next,
    };
    let page = node.client.calls(&project(), &query).await.unwrap();
    let ids: Vec<_> = page.calls.iter().map(|call| call.id).collect();
    assert_eq!((ids, page.next), (vec![first.id], None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_function_is_told_and_a_circle_is_cut() {
    let node = node().await;
    let told = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let heard = told.clone();
    node.teach("turn", move |request| {
        let kind = request.headers().get("ce-type").cloned();
        heard
            .lock()
            .push(kind.map(|kind| kind.to_str().unwrap().to_owned()));
        async { Ok(Response::new(full("ok"))) }
    });
    node.send("turn").await;
    let circle = LaterSpec {
        on_success: Some(Destination::Function(function_name("main"))),
        ..quick()
    };
    node.deploy(later("turn", circle)).await.unwrap();
    let first = ask(&node, "x", None).await.unwrap().id;
    over(&node, first).await;
    let calls = async || {
        let listed = node.client.calls(&project(), &CallsQuery::default()).await;
        listed.unwrap().calls
    };
    eventually("the last is not told", async || {
        calls().await[0].undelivered.is_some()
    })
    .await;
    let all = calls().await;
    assert_eq!(all.len(), 17, "the first, and sixteen that it led to");
    let said = all[0].undelivered.as_ref().unwrap();
    assert!(said.contains("destination of the one before"), "{said}");
    let told = told.lock();
    assert_eq!(told[0], None);
    assert!(
        told[1..]
            .iter()
            .all(|kind| kind.as_deref() == Some("gust.call.succeeded"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_is_refused_before_it_is_kept() {
    let node = node().await;
    node.upload("hello").await;
    let mut small = app("shop", "hello");
    for function in small.functions.values_mut() {
        function.limits.request_body = gust_types::ByteSize(10);
    }
    node.deploy(small).await.unwrap();
    let path = "/v1/projects/default/apps/shop/functions/main/invoke";
    let wish = "prefer: respond-async\r\n";
    let large = node.authorized("POST", path, wish, &"x".repeat(11)).await;
    assert!(large.starts_with("HTTP/1.1 413"), "{large}");
    let unknown = path.replace("main", "nobody");
    let unknown = node.authorized("POST", &unknown, wish, "").await;
    assert!(unknown.starts_with("HTTP/1.1 404"), "{unknown}");
    let twice = format!("{wish}idempotency-key: a\r\nidempotency-key: b\r\n");
    let twice = node.authorized("POST", path, &twice, "").await;
    assert!(twice.starts_with("HTTP/1.1 400"), "{twice}");
    let query = "/v1/projects/default/calls/019a3c5e7b21d4f08c6e5a9b3f7d1e42?wait=31s";
    let wait = node.authorized("GET", query, "", "").await;
    assert!(wait.starts_with("HTTP/1.1 400"), "{wait}");
    // More than a queue takes in one message, whatever the function takes.
    node.deploy(app("shop", "hello")).await.unwrap();
    let error = ask(&node, &"x".repeat(1 << 20), None).await.unwrap_err();
    assert!(error.message.contains("made later"), "{error}");
    let listed = node.client.calls(&project(), &CallsQuery::default()).await;
    assert!(listed.unwrap().calls.is_empty());
    for bad in [
        LaterSpec {
            on_failure: Some(Destination::Function(function_name("nobody"))),
            ..quick()
        },
        LaterSpec {
            keep: Span::secs(1),
            ..quick()
        },
    ] {
        let error = node.deploy(later("hello", bad)).await.unwrap_err();
        assert_eq!(error.kind, Kind::Invalid, "{error}");
    }
    let unnamed = serde_json::to_value(function("hello")).unwrap();
    assert!(unnamed.get("async").is_none(), "{unnamed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_project_takes_its_calls_with_it() {
    let node = node().await;
    node.upload("hello").await;
    let team = gust_types::ProjectName::new("team").unwrap();
    node.client.create_project(&team).await.unwrap();
    let request = gust_api::deploy::DeployRequest {
        app: app("shop", "hello"),
        variables: Default::default(),
    };
    let deployed = node.client.deploy(&team, &request, &mut |_| {}).await;
    deployed.unwrap();
    let (shop, main) = (app_name("shop"), function_name("main"));
    let request = Request::get("/").body(gust_types::call::empty()).unwrap();
    let accepted = node
        .client
        .invoke_later(&team, &shop, &main, request, None, None)
        .await
        .unwrap();
    let done = node
        .client
        .call(&team, accepted.id, Some(Span::secs(20)))
        .await;
    assert_eq!(done.unwrap().state, LaterState::Done);
    // Of another project, it is nobody's.
    let other = node.client.call(&project(), accepted.id, None).await;
    assert_eq!(other.unwrap_err().kind, Kind::NotFound);
    node.client.remove_app(&team, &shop).await.unwrap();
    node.client.remove_project(&team).await.unwrap();
    node.client.create_project(&team).await.unwrap();
    let listed = node.client.calls(&team, &CallsQuery::default()).await;
    assert!(listed.unwrap().calls.is_empty());
}

/// Whether a project's function is marked as one that may have calls, which a start looks for.
async fn is_marked(node: &Node, project: &gust_types::ProjectName) -> bool {
    let records = node
        .backends
        .kv(project, &Label::reserved("calls"))
        .unwrap();
    records.get("f/shop/main").await.unwrap().is_some()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_a_project_that_was_made_again_are_found_by_the_next_start() {
    let node = node().await;
    node.upload("hello").await;
    let team = gust_types::ProjectName::new("team").unwrap();
    let request = gust_api::deploy::DeployRequest {
        app: app("shop", "hello"),
        variables: Default::default(),
    };
    let (shop, main) = (app_name("shop"), function_name("main"));
    for _ in 0..2 {
        node.client.create_project(&team).await.unwrap();
        let deployed = node.client.deploy(&team, &request, &mut |_| {}).await;
        deployed.unwrap();
        let call = Request::get("/").body(gust_types::call::empty()).unwrap();
        let asked = node
            .client
            .invoke_later(&team, &shop, &main, call, None, None);
        asked.await.unwrap();
        assert!(is_marked(&node, &team).await);
        node.control.remove_app(&team, &shop).await.unwrap();
        node.client.remove_project(&team).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_the_calls_of_a_function_that_is_gone() {
    let node = node().await;
    node.upload("hello").await;
    node.deploy(app("shop", "hello")).await.unwrap();
    let accepted = ask(&node, "一", None).await.unwrap();
    assert_eq!(over(&node, accepted.id).await.state, LaterState::Done);
    assert!(is_marked(&node, &project()).await);
    let shop = app_name("shop");
    // Its message is done a moment after its call is over.
    eventually("the mark goes with the function", async || {
        node.client.remove_app(&project(), &shop).await.ok();
        tokio::time::sleep(Duration::from_millis(50)).await;
        if !is_marked(&node, &project()).await {
            return true;
        }
        node.deploy(app("shop", "hello")).await.unwrap();
        false
    })
    .await;
    let before = node.events.counts();
    assert_eq!(before.done, 1, "what it did is still counted");
    node.deploy(app("shop", "hello")).await.unwrap();
    let again = ask(&node, "二", None).await.unwrap();
    assert_eq!(over(&node, again.id).await.state, LaterState::Done);
    assert!(is_marked(&node, &project()).await);
}
