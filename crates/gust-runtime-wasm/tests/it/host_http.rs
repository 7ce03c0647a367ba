//! Outbound HTTP through every interface that offers it. What is decided below them has its tests beside the code.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::stream;
use gust_runtime::{Bindings, PeerContext, Peers};
use gust_runtime_wasm::Settings;
use gust_types::{
    Body, BoxFuture, Call, FunctionName, Reply, Revision,
    call::full,
    outbound::{Blocked, Outbound},
};
use http_body::Frame;
use http_body_util::{BodyExt as _, Collected, StreamBody};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use crate::{
    fakes::serve,
    kit::{Bench, Function, get, shared, small, spawn, within},
};

const GUESTS: [&str; 5] = ["host-wasi", "host-p3", "host-spin2", "host-spin3", "spin1"];

async fn load(name: &str, allowed: &str) -> Function {
    let bench = shared();
    let outbound = Outbound::parse(&[allowed.to_owned()]).unwrap();
    let change = |bindings: &mut Bindings| {
        bindings.outbound = Arc::new(outbound);
        bindings.peers = Arc::new(Names);
    };
    bench.load_with(bench.revision(name), change).await
}

/// Answers with who called whom.
struct Names;

impl Peers for Names {
    fn call(
        &self,
        from: &Revision,
        function: Option<&FunctionName>,
        request: http::Request<Body>,
        _: PeerContext,
    ) -> BoxFuture<'static, gust_types::Result<Reply>> {
        let to = function.map_or("-", FunctionName::as_str);
        let text = format!("{} calls {to} {}", from.key.function, request.uri());
        Box::pin(async move { Ok(http::Response::new(full(text))) })
    }
}

#[tokio::test]
async fn a_server_that_is_named_answers() {
    let server = serve().await;
    for name in GUESTS {
        let function = load(name, "http://127.0.0.1:*").await;
        let path = format!("/fetch?url=http://{server}/x&method=POST&body=data");
        let mut call = get(&path);
        call.trace.trace_id = 1;
        call.trace.parent = 2;
        let answered = function.send(call).await;
        let answer = answered.json();
        // The guest of Spin 1 sends no bodies.
        let expected = match name {
            "spin1" => "GET /x b\"\"",
            _ => "POST /x b\"data\"",
        };
        assert_eq!(answer["body"], expected, "{name}: {answer}");
        assert_eq!(answer["status"], 200, "{name}: {answer}");
        let traced = r#"["x-traced","true"]"#;
        assert!(answer.to_string().contains(traced), "{name}: {answer}");
        let host = answered.finished.used.host;
        assert_eq!((host.kv, host.sql, host.http_out), (0, 0, 1), "{name}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_named_is_denied_in_the_response() {
    let server = serve().await;
    for name in GUESTS {
        let function = load(name, "http://127.0.0.2:*").await;
        let answer = function.ask(&format!("/fetch?url=http://{server}/")).await;
        if name == "spin1" {
            assert_eq!(answer["error"], "destination-not-allowed", "{answer}");
        } else {
            assert_eq!(answer["error"], "HttpRequestDenied", "{name}: {answer}");
            assert_eq!(answer["at"], "response", "{name}: {answer}");
        }
    }
}

#[tokio::test]
async fn a_name_in_a_private_network_is_denied_to_a_wildcard() {
    let server = serve().await;
    for name in ["host-wasi", "host-p3"] {
        let function = load(name, "http://*:*").await;
        let url = format!("http://localhost:{}/", server.port());
        let answer = function.ask(&format!("/fetch?url={url}")).await;
        assert_eq!(
            answer["error"], "DestinationIpProhibited",
            "{name}: {answer}"
        );
    }
}

/// Whatever the function's own list says, by address or by name, of a request or of a socket.
#[tokio::test]
async fn what_the_operator_blocks_is_out_of_reach() {
    let server = serve().await;
    let bench = Bench::new(Settings {
        block_networks: Blocked::parse(&["127.0.0.0/8".to_owned(), "::1".to_owned()]).unwrap(),
        ..small()
    });
    let outbound = Outbound::parse(&["*://127.0.0.1:*".to_owned(), "*://localhost:*".to_owned()]);
    let outbound = Arc::new(outbound.unwrap());
    let change = |bindings: &mut Bindings| bindings.outbound = outbound;
    let function = bench.load_with(bench.revision("host-wasi"), change).await;
    let port = server.port();
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"] {
        let path = format!("/fetch?url=http://{host}:{port}/");
        let answer = function.ask(&path).await;
        assert_eq!(
            answer["error"], "DestinationIpProhibited",
            "{host}: {answer}"
        );
    }
    let answer = function
        .ask(&format!("/connect?addr=127.0.0.1:{port}"))
        .await;
    assert_eq!(answer["error"], "PermissionDenied", "{answer}");
}

#[tokio::test]
async fn functions_of_the_app_answer_in_process() {
    for name in GUESTS {
        let function = load(name, "http://*.spin.internal").await;
        let answer = function.ask("/fetch?url=http://b.spin.internal/x").await;
        let expected = format!("{name} calls b http://b.spin.internal/x");
        assert_eq!(answer["body"], expected, "{answer}");
        let function = load(name, "self").await;
        let answer = function.ask("/fetch?url=http://self.alt/x").await;
        assert!(
            answer["body"]
                .as_str()
                .unwrap_or_default()
                .starts_with(&format!("{name} calls - ")),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn waiting_ends_with_the_guests_patience_or_the_call() {
    let server = serve().await;
    for name in ["host-wasi", "host-p3"] {
        let function = load(name, "http://127.0.0.1:*").await;
        let path = format!("/fetch?url=http://{server}/silent&timeout_ms=50");
        let answer = function.ask(&path).await;
        assert_eq!(answer["error"], "ConnectionReadTimeout", "{name}: {answer}");
        let path = format!("/fetch?url=http://{server}/silent");
        let call = within(get(&path), Duration::from_millis(200));
        let begun = gust_task::clock::now();
        // Cut off, or told in the last moment: either way it is over.
        let (done, ended) = gust_runtime::suite::done();
        let _ = function.start().await.call(call, done).await;
        assert!(begun.elapsed() < Duration::from_secs(5), "{name}");
        drop(ended);
    }
}

/// The start of an upload by a guest that traps half-way.
fn half(url: &str) -> Call {
    get(&format!("/half?url={url}"))
}

/// A server that takes one upload, answering it early or never; tells that it has begun, and everything that came.
async fn take_upload(early: bool) -> (SocketAddr, oneshot::Receiver<()>, JoinHandle<String>) {
    let (begins, begun) = oneshot::channel();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let taken = spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let mut bytes = Vec::new();
        while !String::from_utf8_lossy(&bytes).contains("half of ") {
            assert!(tcp.read_buf(&mut bytes).await.unwrap() > 0);
        }
        if early {
            let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
            tcp.write_all(head).await.unwrap();
        }
        drop(begins);
        while matches!(tcp.read_buf(&mut bytes).await, Ok(n) if n > 0) {}
        String::from_utf8(bytes).unwrap()
    });
    (address, begun, taken)
}

/// A body whose guest is gone looks as if it had ended well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_is_cut_short_never_looks_whole() {
    for name in ["host-wasi", "host-p3"] {
        let function = load(name, "http://127.0.0.1:*").await;
        for (early, hangs_up) in [(false, false), (true, false), (true, true)].repeat(5) {
            let (server, begun, taken) = take_upload(early).await;
            let upload = function.fail(half(&format!("http://{server}/")));
            tokio::select! {
                _ = upload => {}
                // By its trap, or by a caller who does not wait for it.
                _ = begun, if hangs_up => {}
            }
            let taken = tokio::time::timeout(Duration::from_secs(5), taken).await;
            let taken = taken.expect("the connection is closed").unwrap();
            assert!(taken.ends_with("8\r\nhalf of \r\n"), "{name}: {taken}");
        }
    }
}

/// Answers early and tells how the request's body ended.
struct Uploads(mpsc::Sender<gust_types::Result<Bytes>>);

impl Peers for Uploads {
    fn call(
        &self,
        _: &Revision,
        _: Option<&FunctionName>,
        request: http::Request<Body>,
        _: PeerContext,
    ) -> BoxFuture<'static, gust_types::Result<Reply>> {
        let told = self.0.clone();
        Box::pin(async move {
            spawn(async move {
                let body = request.into_body().collect().await;
                told.send(body.map(Collected::to_bytes)).await.unwrap();
            });
            let never = stream::pending::<gust_types::Result<Frame<Bytes>>>();
            Ok(http::Response::new(StreamBody::new(never).boxed_unsync()))
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_function_of_the_app_is_told_that_its_caller_trapped() {
    for name in ["host-wasi", "host-p3"] {
        let (tell, mut told) = mpsc::channel(1);
        let bench = shared();
        let outbound = Outbound::parse(&["http://*.spin.internal".to_owned()]).unwrap();
        let change = |bindings: &mut Bindings| {
            bindings.outbound = Arc::new(outbound);
            bindings.peers = Arc::new(Uploads(tell));
        };
        let function = bench.load_with(bench.revision(name), change).await;
        for _ in 0..5 {
            function.fail(half("http://b.spin.internal/x")).await;
            let body = told.recv().await.expect("an upload");
            let error = body.expect_err("an upload that breaks off");
            assert!(error.message.contains("broke off"), "{}", error.chain());
        }
    }
}
