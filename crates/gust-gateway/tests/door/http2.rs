//! HTTP/2 without TLS, by a real client.

use gust_types::{
    Body, Reply,
    call::{empty, full},
};
use http::{HeaderMap, HeaderValue, Request};
use http_body::Frame;
use http_body_util::BodyExt as _;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use crate::{
    bodies::fed,
    kit::{World, behind, echo, echoing},
};

pub(crate) async fn client(world: &World) -> http2::SendRequest<Body> {
    let stream = TcpStream::connect(world.address).await.unwrap();
    let (client, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .unwrap();
    gust_task::spawn("client", connection);
    client
}

async fn text(body: impl http_body::Body<Data = bytes::Bytes, Error = hyper::Error>) -> String {
    let bytes = body.collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn many_streams_share_a_connection() {
    let world = echoing().await;
    let client = client(&world).await;
    let calls = (0..50).map(|n| {
        let mut client = client.clone();
        async move {
            let request = Request::post(format!("http://app.gust.localhost/{n}"));
            let request = request.body(full(format!("body {n}"))).unwrap();
            let response = client.send_request(request).await.unwrap();
            assert_eq!(response.status(), 200);
            let text = text(response.into_body()).await;
            assert!(text.ends_with(&format!("body {n}")), "{text}");
            assert!(
                text.contains("\nhost: app.gust.localhost\n"),
                "guests know a host header: {text}"
            );
        }
    });
    futures::future::join_all(calls).await;
}

#[tokio::test]
async fn cookies_are_joined() {
    let world = echoing().await;
    let mut request = Request::get("http://app.gust.localhost/")
        .body(empty())
        .unwrap();
    for cookie in ["a=1", "b=2", "c=3"] {
        request
            .headers_mut()
            .append("cookie", HeaderValue::from_static(cookie));
    }
    let response = client(&world).await.send_request(request).await.unwrap();
    let text = text(response.into_body()).await;
    assert!(text.contains("\ncookie: a=1; b=2; c=3\n"), "{text}");
}

#[tokio::test]
async fn head_has_a_length_and_no_body() {
    let world = behind()
        .function("/...", |_| async { Ok(Reply::new(full("hello"))) })
        .open()
        .await;
    let request = Request::head("http://app.gust.localhost/")
        .body(empty())
        .unwrap();
    let response = client(&world).await.send_request(request).await.unwrap();
    assert_eq!(response.headers()["content-length"], "5");
    assert_eq!(text(response.into_body()).await, "");
}

#[tokio::test]
async fn trailers_go_both_ways() {
    let world = behind()
        .function("/in", echo)
        .function("/out", |_| async {
            let (to, body) = fed();
            gust_task::spawn("trailers", async move {
                let _ = to.send(Frame::data("body".into())).await;
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", HeaderValue::from_static("0"));
                let _ = to.send(Frame::trailers(trailers)).await;
            });
            Ok(Reply::new(body))
        })
        .open()
        .await;
    let mut client = client(&world).await;
    let (to, body) = fed();
    gust_task::spawn("trailers", async move {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", HeaderValue::from_static("7"));
        let _ = to.send(Frame::data("up".into())).await;
        let _ = to.send(Frame::trailers(trailers)).await;
    });
    let request = Request::post("http://app.gust.localhost/in")
        .body(body)
        .unwrap();
    let response = client.send_request(request).await.unwrap();
    let text = text(response.into_body()).await;
    assert!(text.contains("trailer x-sum: 7\n\nup"), "{text}");

    let request = Request::get("http://app.gust.localhost/out")
        .body(empty())
        .unwrap();
    let collected = client
        .send_request(request)
        .await
        .unwrap()
        .into_body()
        .collect()
        .await
        .unwrap();
    assert_eq!(collected.trailers().unwrap()["grpc-status"], "0");
}

#[tokio::test]
async fn refusals_are_answers_and_the_connection_goes_on() {
    let world = behind().function("/here", echo).open().await;
    let mut client = client(&world).await;
    for (path, status) in [("/nowhere", 404), ("/here", 200)] {
        let request = Request::get(format!("http://app.gust.localhost{path}"));
        let response = client
            .send_request(request.body(empty()).unwrap())
            .await
            .unwrap();
        assert_eq!(response.status(), status);
    }
    let long = format!("http://app.gust.localhost/{}", "x".repeat(9000));
    let response = client
        .send_request(Request::get(long).body(empty()).unwrap())
        .await
        .unwrap();
    assert_eq!(response.status(), 414);
    let mut two_hosts = Request::get("http://app.gust.localhost/here")
        .body(empty())
        .unwrap();
    two_hosts
        .headers_mut()
        .insert("host", HeaderValue::from_static("other"));
    let response = client.send_request(two_hosts).await.unwrap();
    assert_eq!(response.status(), 400);
    let mut big = Request::get("http://app.gust.localhost/here")
        .body(empty())
        .unwrap();
    let value = HeaderValue::from_str(&"x".repeat(40_000)).unwrap();
    big.headers_mut().insert("x-big", value);
    let response = client.send_request(big).await;
    assert!(response.is_err() || response.unwrap().status() == 431);
}

/// Opens streams and resets them at once, as fast as it goes: the connection is ended, and others are served meanwhile.
#[tokio::test]
async fn rapid_resets_end_the_connection() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let world = behind()
        .function("/...", |_| async {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            Ok(Reply::new(full("x")))
        })
        .open()
        .await;
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await
        .unwrap();
    // :method GET, :scheme http, :path / from the static table, :authority a as a literal.
    let block = [0x82, 0x86, 0x84, 0x41, 0x01, b'a'];
    let mut flood = Vec::new();
    for n in 0..2000u32 {
        let id = (n * 2 + 1).to_be_bytes();
        flood.extend([0, 0, block.len() as u8, 0x01, 0x05]);
        flood.extend(id);
        flood.extend(block);
        flood.extend([0, 0, 4, 0x03, 0]);
        flood.extend(id);
        flood.extend([0, 0, 0, 8]);
    }
    let _ = stream.write_all(&flood).await;
    let mut got = Vec::new();
    let read = tokio::time::timeout(crate::kit::SOON, stream.read_to_end(&mut got)).await;
    assert!(read.is_ok(), "the connection is ended");
    // A GOAWAY frame with ENHANCE_YOUR_CALM (11).
    assert!(got.windows(4).any(|w| w == [0, 0, 0, 11]), "{got:?}");
    let (status, _) = world.status("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(status, 200);
}
