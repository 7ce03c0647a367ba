//! Against servers on loopback: what is refused, what is counted as late, what is kept.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use bytes::Bytes;
use gust_runtime::{PeerContext, Peers, suite};
use gust_types::{
    BoxFuture, Digest, FunctionKey, FunctionName, Reply,
    call::{CallId, Origin, Trace, full},
    outbound::{Blocked, Outbound},
};
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use parking_lot::Mutex;
use rustls::{RootCertStore, ServerConfig, pki_types::PrivateKeyDer};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::*;

/// What the server saw.
#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    requests: Mutex<Vec<http::request::Parts>>,
}

/// A server on loopback, with TLS or without.
async fn serve(tls: Option<ServerConfig>) -> (SocketAddr, Arc<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(Seen::default());
    let tls = tls.map(|config| tokio_rustls::TlsAcceptor::from(Arc::new(config)));
    let shared = seen.clone();
    gust_task::spawn("test server", async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            shared.connections.fetch_add(1, Relaxed);
            let (seen, tls) = (shared.clone(), tls.clone());
            gust_task::spawn("test connection", async move {
                let service = service_fn(move |request| answer(seen.clone(), request));
                let http = auto::Builder::new(TokioExecutor::new());
                let ended = match tls {
                    None => http.serve_connection(TokioIo::new(tcp), service).await,
                    Some(tls) => match tls.accept(tcp).await {
                        Ok(tls) => http.serve_connection(TokioIo::new(tls), service).await,
                        Err(_) => return,
                    },
                };
                drop(ended);
            });
        }
    });
    (address, seen)
}

async fn answer(
    seen: Arc<Seen>,
    request: Request<Incoming>,
) -> Result<Response<WasiBody>, Infallible> {
    let (head, body) = request.into_parts();
    let path = head.uri.path().to_owned();
    seen.requests.lock().push(head);
    let whole = |text: &str| {
        Full::new(Bytes::from(text.to_owned()))
            .map_err(|never| match never {})
            .boxed_unsync()
    };
    let mut response = Response::new(match path.as_str() {
        "/silent" => std::future::pending().await,
        "/stalls" => {
            let first = futures::stream::iter([Ok(Frame::data(Bytes::from_static(b"first")))]);
            let rest = futures::stream::pending();
            StreamBody::new(futures::StreamExt::chain(first, rest)).boxed_unsync()
        }
        "/echo" => match body.collect().await {
            Ok(body) => Full::new(body.to_bytes())
                .map_err(|never| match never {})
                .boxed_unsync(),
            Err(_) => whole("the body broke off"),
        },
        "/big" => whole(&"x".repeat(100_000)),
        _ => whole("hello"),
    });
    if path == "/moved" {
        *response.status_mut() = StatusCode::FOUND;
        let headers = response.headers_mut();
        headers.insert("location", "http://10.0.0.1/".parse().unwrap());
        headers.insert("keep-alive", "timeout=5".parse().unwrap());
    }
    Ok(response)
}

/// Peers that answer with what they were asked, or fail as their name says.
struct Echo;

impl Peers for Echo {
    fn call(
        &self,
        from: &Revision,
        function: Option<&FunctionName>,
        request: Request<gust_types::Body>,
        context: PeerContext,
    ) -> BoxFuture<'static, gust_types::Result<Reply>> {
        let function = function.map_or("-", FunctionName::as_str).to_owned();
        let from = from.key.function.clone();
        Box::pin(async move {
            match function.as_str() {
                "missing" => return Err(gust_types::Error::not_found("no such function")),
                "busy" => return Err(gust_types::Error::exhausted("queue is full")),
                "slow" => std::future::pending().await,
                _ => {}
            }
            let (head, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            let text = format!(
                "{from} -> {function} {} {} {} hops={} {body:?}",
                head.method,
                head.uri,
                head.headers["traceparent"].to_str().unwrap(),
                context.hops,
            );
            Ok(Response::new(full(text)))
        })
    }
}

fn sender(allowed: &[&str]) -> Sender {
    sender_without(allowed, &[])
}

fn sender_without(allowed: &[&str], blocked: &[&str]) -> Sender {
    let owned = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
    let blocked = Blocked::parse(&owned(blocked)).unwrap();
    let outbound = Outbound::parse(&owned(allowed)).unwrap().without(&blocked);
    let artifact = Digest::of(b"");
    let key = FunctionKey {
        project: "default".parse().unwrap(),
        app: "app".parse().unwrap(),
        function: "caller".parse().unwrap(),
    };
    let mut bindings = suite::nothing();
    bindings.outbound = Arc::new(outbound);
    bindings.peers = Arc::new(Echo);
    Sender {
        revision: Arc::new(Revision {
            key,
            number: 1,
            artifact,
            spec: suite::plain(artifact),
            variables: Default::default(),
        }),
        bindings: Arc::new(bindings),
        call: CallContext {
            id: CallId(7),
            deadline: gust_task::clock::now() + Duration::from_secs(20),
            hops: 3,
            trace: Trace {
                trace_id: 0xabc,
                parent: 0xdef,
                sampled: true,
            },
            cause: None,
        },
        copy: Arc::default(),
        pool: Pool::for_internet(),
    }
}

fn get(uri: &str) -> Request<WasiBody> {
    post(uri, "")
}

fn post(uri: &str, body: impl Into<Bytes>) -> Request<WasiBody> {
    let body = Full::new(body.into()).map_err(|never| match never {});
    Request::get(uri).body(body.boxed_unsync()).unwrap()
}

async fn fetch(sender: &Sender, uri: &str) -> Result<String, Error> {
    let response = sender
        .clone()
        .send(get(uri), RequestOptions::default())
        .await?;
    text(response).await
}

async fn text(response: Response<WasiBody>) -> Result<String, Error> {
    let bytes = response.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8(bytes.into()).unwrap())
}

/// Errors are compared by what they print.
#[track_caller]
fn fails_with<T: std::fmt::Debug>(outcome: Result<T, Error>, expected: Error) {
    let found = outcome.expect_err("an error").to_string();
    assert_eq!(found, expected.to_string());
}

#[tokio::test]
async fn what_is_not_named_is_denied() {
    let (server, seen) = serve(None).await;
    let port = server.port();
    for (allowed, uri) in [
        (vec![], format!("http://127.0.0.1:{port}/")),
        (
            vec!["https://127.0.0.1:*"],
            format!("http://127.0.0.1:{port}/"),
        ),
        (
            vec!["http://127.0.0.1:1"],
            format!("http://127.0.0.1:{port}/"),
        ),
        (vec!["http://example.com"], "http://example.org/".to_owned()),
        (
            vec!["http://*.example.com"],
            "http://example.com/".to_owned(),
        ),
    ] {
        let outcome = fetch(&sender(&allowed), &uri).await;
        fails_with(outcome, Error::HttpRequestDenied);
    }
    assert_eq!(seen.connections.load(Relaxed), 0);
}

#[tokio::test]
async fn a_wildcard_does_not_open_private_networks() {
    let (server, seen) = serve(None).await;
    let port = server.port();
    let wildcard = sender(&["*://*:*"]);
    for host in ["localhost", "127.0.0.1", "[::ffff:127.0.0.1]"] {
        let outcome = fetch(&wildcard, &format!("http://{host}:{port}/")).await;
        fails_with(outcome, Error::DestinationIpProhibited);
    }
    assert_eq!(seen.connections.load(Relaxed), 0);
}

#[tokio::test]
async fn a_private_network_that_is_named_is_open() {
    let (server, _) = serve(None).await;
    let port = server.port();
    for (allowed, host) in [
        ("http://localhost:*", "localhost"),
        ("http://127.0.0.0/8:*", "127.0.0.1"),
        ("*://127.0.0.1:*", "127.0.0.1"),
    ] {
        let found = fetch(&sender(&[allowed]), &format!("http://{host}:{port}/")).await;
        assert_eq!(found.unwrap(), "hello", "{allowed}");
    }
    // A wildcard for names and a network for addresses: a name may point into that network.
    let both = sender(&["http://*:*", "http://127.0.0.0/8:*"]);
    let found = fetch(&both, &format!("http://localhost:{port}/")).await;
    assert_eq!(found.unwrap(), "hello");
}

#[tokio::test]
async fn what_the_operator_blocks_is_closed() {
    let (server, seen) = serve(None).await;
    let port = server.port();
    for (allowed, uri) in [
        ("http://127.0.0.1:*", format!("http://127.0.0.1:{port}/")),
        (
            "http://127.0.0.1:*",
            format!("http://[::ffff:127.0.0.1]:{port}/"),
        ),
        ("http://localhost:*", format!("http://localhost:{port}/")),
        ("*://*:*", "http://192.0.9.1/".to_owned()),
    ] {
        let blocked = ["127.0.0.0/8", "::1", "192.0.9.0/24"];
        let outcome = fetch(&sender_without(&[allowed], &blocked), &uri).await;
        fails_with(outcome, Error::DestinationIpProhibited);
    }
    assert_eq!(seen.connections.load(Relaxed), 0);
}

#[tokio::test]
async fn redirects_are_the_guests_business() {
    let (server, seen) = serve(None).await;
    let sender = sender(&["http://127.0.0.1:*"]);
    let request = get(&format!("http://{server}/moved"));
    let response = sender
        .send(request, RequestOptions::default())
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::FOUND);
    assert_eq!(response.headers()["location"], "http://10.0.0.1/");
    assert!(!response.headers().contains_key("keep-alive"));
    assert_eq!(seen.requests.lock().len(), 1);
}

#[tokio::test]
async fn requests_carry_the_call_as_parent_and_the_right_host() {
    let (server, seen) = serve(None).await;
    let sender = sender(&["http://127.0.0.1:*"]);
    let mut request = get(&format!("http://user:pw@{server}/x?y=1"));
    request
        .headers_mut()
        .insert("connection", "x-hop".parse().unwrap());
    request.headers_mut().insert("x-hop", "1".parse().unwrap());
    request
        .headers_mut()
        .insert("host", "forged.example".parse().unwrap());
    let response = sender
        .clone()
        .send(request, RequestOptions::default())
        .await;
    text(response.unwrap()).await.unwrap();
    let mut request = get(&format!("http://{server}/"));
    let own = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    request
        .headers_mut()
        .insert("traceparent", own.parse().unwrap());
    let response = sender.send(request, RequestOptions::default()).await;
    text(response.unwrap()).await.unwrap();

    let seen = seen.requests.lock();
    assert_eq!(seen[0].uri, "/x?y=1");
    assert_eq!(seen[0].headers["host"], server.to_string());
    assert!(!seen[0].headers.contains_key("x-hop"));
    let parent = "00-00000000000000000000000000000abc-0000000000000def-01";
    assert_eq!(seen[0].headers["traceparent"], parent);
    assert_eq!(seen[1].headers["traceparent"], own);
}

#[tokio::test]
async fn a_connection_is_used_again_by_its_own_function_only() {
    let (server, seen) = serve(None).await;
    let mut first = sender(&["http://127.0.0.1:*"]);
    for _ in 0..3 {
        fetch(&first, &format!("http://{server}/")).await.unwrap();
        // The connection comes back once it has seen the end of the response.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(seen.connections.load(Relaxed), 1);
    let mut second = sender(&["http://127.0.0.1:*"]);
    second.pool = first.pool.clone();
    fetch(&second, &format!("http://{server}/")).await.unwrap();
    assert_eq!(seen.connections.load(Relaxed), 2);
    // The same pool, and a list that does not name the server: the kept connection does not help.
    first.bindings = sender(&["http://127.0.0.2:*"]).bindings;
    let outcome = fetch(&first, &format!("http://{server}/")).await;
    fails_with(outcome, Error::HttpRequestDenied);
}

#[tokio::test]
async fn idle_connections_make_room() {
    let sender = sender(&["http://127.0.0.1:*"]);
    // One more server than the function may have connections.
    for _ in 0..=256 {
        let (server, _) = serve(None).await;
        let found = fetch(&sender, &format!("http://{server}/")).await;
        assert_eq!(found.unwrap(), "hello");
        tokio::task::yield_now().await;
    }
}

/// Answers one request on each connection, reads a second and hangs up: as a server does that has waited long enough
/// just when the second was on its way.
async fn serve_once_each() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = listener.local_addr().unwrap();
    gust_task::spawn("test server", async move {
        loop {
            let (mut tcp, _) = listener.accept().await.unwrap();
            gust_task::spawn("test connection", async move {
                let mut head = [0; 4096];
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
                assert_ne!(tcp.read(&mut head).await.unwrap(), 0);
                tcp.write_all(answer).await.unwrap();
                drop(tcp.read(&mut head).await);
            });
        }
    });
    server
}

#[tokio::test]
async fn a_kept_connection_that_dies_does_not_fail_a_harmless_request() {
    let server = serve_once_each().await;
    let sender = sender(&["http://127.0.0.1:*"]);
    for _ in 0..4 {
        let found = fetch(&sender, &format!("http://{server}/")).await;
        assert_eq!(found.unwrap(), "hello");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // What may not be done twice is not done twice.
    let mut request = get(&format!("http://{server}/"));
    *request.method_mut() = Method::POST;
    let outcome = sender.send(request, RequestOptions::default()).await;
    fails_with(outcome, Error::ConnectionTerminated);
}

#[tokio::test]
async fn waiting_ends_when_the_guest_said() {
    let (server, _) = serve(None).await;
    let sender = sender(&["http://127.0.0.1:*"]);
    let short = RequestOptions {
        first_byte_timeout: Some(Duration::from_millis(50)),
        between_bytes_timeout: Some(Duration::from_millis(50)),
        ..RequestOptions::default()
    };
    let begun = gust_task::clock::now();
    let request = get(&format!("http://{server}/silent"));
    fails_with(
        sender.clone().send(request, short).await,
        Error::ConnectionReadTimeout,
    );
    let request = get(&format!("http://{server}/stalls"));
    let response = sender.send(request, short).await.unwrap();
    fails_with(text(response).await, Error::ConnectionReadTimeout);
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn nothing_outlives_the_call() {
    let (server, _) = serve(None).await;
    let mut sender = sender(&["http://127.0.0.1:*", "http://slow.spin.internal"]);
    sender.call.deadline = gust_task::clock::now() + Duration::from_millis(100);
    let long = RequestOptions {
        connect_timeout: Some(Duration::from_secs(600)),
        first_byte_timeout: Some(Duration::from_secs(600)),
        between_bytes_timeout: Some(Duration::MAX),
    };
    let request = get(&format!("http://{server}/silent"));
    fails_with(
        sender.clone().send(request, long).await,
        Error::ConnectionReadTimeout,
    );
    let request = get("http://slow.spin.internal/");
    fails_with(sender.send(request, long).await, Error::HttpResponseTimeout);
}

#[tokio::test]
async fn failures_have_names() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let refused = closed.local_addr().unwrap();
    drop(closed);
    let sender = sender(&["*://127.0.0.1:*", "http://no-such-host.invalid"]);
    let outcome = fetch(&sender, &format!("http://{refused}/")).await;
    fails_with(outcome, Error::ConnectionRefused);
    let outcome = fetch(&sender, "http://no-such-host.invalid/").await;
    assert!(
        matches!(outcome, Err(Error::DnsError { .. })),
        "{outcome:?}"
    );
    let mut connect = get(&format!("http://{refused}/"));
    *connect.method_mut() = Method::CONNECT;
    let outcome = sender
        .clone()
        .send(connect, RequestOptions::default())
        .await;
    fails_with(outcome, Error::HttpRequestMethodInvalid);
    // A server that speaks no TLS.
    let (plain, _) = serve(None).await;
    let outcome = fetch(&sender, &format!("https://{plain}/")).await;
    fails_with(outcome, Error::TlsProtocolError);
}

#[tokio::test]
async fn bodies_have_a_limit() {
    let (server, _) = serve(None).await;
    let mut sender = sender(&["http://127.0.0.1:*"]);
    let revision = Arc::make_mut(&mut sender.revision);
    revision.spec.limits.response_body = gust_types::ByteSize(50_000);
    let outcome = fetch(&sender, &format!("http://{server}/big")).await;
    fails_with(outcome, Error::HttpResponseBodySize(Some(50_000)));
    let request = post(&format!("http://{server}/echo"), "x".repeat(50_001));
    let outcome = sender
        .clone()
        .send(request, RequestOptions::default())
        .await;
    fails_with(outcome, Error::HttpRequestBodySize(Some(50_000)));
    let request = post(&format!("http://{server}/echo"), "x".repeat(50_000));
    let response = sender.send(request, RequestOptions::default()).await;
    assert_eq!(text(response.unwrap()).await.unwrap().len(), 50_000);
}

#[tokio::test]
async fn tls_speaks_http_2_and_knows_whom_to_trust() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let provider = rustls::crypto::ring::default_provider().into();
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let (server, seen) = serve(Some(config)).await;
    let uri = format!("https://localhost:{}/x", server.port());

    let mut sender = sender(&["https://localhost:*"]);
    fails_with(fetch(&sender, &uri).await, Error::TlsCertificateError);
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    sender.pool = Pool::trusting(roots);
    let both = futures::future::join(fetch(&sender, &uri), fetch(&sender, &uri)).await;
    assert_eq!(
        (both.0.unwrap(), both.1.unwrap()),
        ("hello".into(), "hello".into())
    );
    let before = seen.connections.load(Relaxed);
    let both = futures::future::join(fetch(&sender, &uri), fetch(&sender, &uri)).await;
    assert_eq!(
        (both.0.unwrap(), both.1.unwrap()),
        ("hello".into(), "hello".into())
    );
    assert_eq!(
        seen.connections.load(Relaxed),
        before,
        "one connection serves all"
    );
    let seen = seen.requests.lock();
    assert!(
        seen.iter()
            .all(|head| head.version == http::Version::HTTP_2)
    );
    assert_eq!(seen[0].uri, *uri);
}

#[tokio::test]
async fn functions_of_the_app_are_called_in_process() {
    let parent = "00-00000000000000000000000000000abc-0000000000000def-01";
    for (allowed, uri, told) in [
        ("http://b.spin.internal", "http://b.spin.internal/x", "b"),
        ("http://*.spin.internal", "http://b.spin.internal/x", "b"),
        ("http://*.gust.internal", "https://B.spin.internal/x", "b"),
        ("http://b.spin.internal", "http://b.gust.internal/x", "b"),
        ("self", "http://self.alt/x", "-"),
        ("http://self", "/x", "-"),
    ] {
        let found = fetch(&sender(&[allowed]), uri).await.unwrap();
        let expected = format!("caller -> {told} GET {uri} {parent} hops=3 b\"\"");
        assert_eq!(found, expected, "{allowed}");
    }
}

#[tokio::test]
async fn functions_of_the_app_need_to_be_named() {
    for (allowed, uri) in [
        (&[][..], "http://b.spin.internal/"),
        (&["*://*:*"], "http://b.spin.internal/"),
        (&["self"], "http://b.spin.internal/"),
        (&["http://c.spin.internal"], "http://b.spin.internal/"),
        (&["http://*.spin.internal"], "http://self.alt/"),
        (&["*://*:*"], "/"),
    ] {
        fails_with(fetch(&sender(allowed), uri).await, Error::HttpRequestDenied);
    }
}

#[tokio::test]
async fn failures_of_functions_have_names() {
    let all = sender(&["http://*.spin.internal"]);
    let outcome = fetch(&all, "http://missing.spin.internal/").await;
    fails_with(outcome, Error::DestinationNotFound);
    let outcome = fetch(&all, "http://busy.spin.internal/").await;
    fails_with(outcome, Error::ConnectionLimitReached);
    let outcome = fetch(&all, "http://not_a_name.spin.internal/").await;
    fails_with(outcome, Error::DestinationNotFound);
    let mut deep = all.clone();
    deep.call.hops = Origin::MAX_HOPS;
    let outcome = fetch(&deep, "http://b.spin.internal/").await;
    fails_with(outcome, Error::LoopDetected);
}
