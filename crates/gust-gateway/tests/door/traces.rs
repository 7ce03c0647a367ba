//! A call's place in a distributed trace.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    sync::mpsc,
    time::Duration,
};

use gust_telemetry::{Guard, init::Otlp};

use crate::kit::{behind, echo, echoing};

const HOST: &str = "Host: app.gust.localhost\r\n";
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn header<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

#[tokio::test]
async fn without_a_collector_the_callers_context_goes_on_untouched() {
    let world = echoing().await;
    let mut caller = world.connect().await;
    caller
        .send(format!(
            "GET / HTTP/1.1\r\n{HOST}traceparent: {PARENT}\r\ntracestate: a=b\r\n\r\n"
        ))
        .await;
    let answer = caller.answer().await;
    assert_eq!(header(answer.text(), "traceparent"), Some(PARENT));
    assert_eq!(header(answer.text(), "tracestate"), Some("a=b"));
    caller.send(format!("GET / HTTP/1.1\r\n{HOST}\r\n")).await;
    assert_eq!(header(caller.answer().await.text(), "traceparent"), None);
}

/// Takes OTLP posts and hands over their bodies.
fn collector() -> (String, mpsc::Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1/traces", listener.local_addr().unwrap());
    let (to, from) = mpsc::sync_channel(16);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut bytes = Vec::new();
            let mut block = [0; 65536];
            stream
                .set_read_timeout(Some(Duration::from_millis(300)))
                .unwrap();
            while let Ok(n @ 1..) = stream.read(&mut block) {
                bytes.extend_from_slice(&block[..n]);
            }
            let _ = to.send(bytes);
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            let _ = stream.write_all(answer);
        }
    });
    (url, from)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorded_call_is_a_span_of_the_callers_trace_and_the_guests_parent() {
    let (traces_endpoint, posts) = collector();
    let guard = Guard::open(Some(&Otlp {
        traces_endpoint,
        metrics_endpoint: None,
        metrics_interval: Duration::from_secs(60),
        headers: Vec::new(),
        timeout: Duration::from_secs(5),
        delay: Duration::from_secs(60),
        service_name: "gust".to_owned(),
        attributes: Vec::new(),
        sample_ratio: 1.0,
    }))
    .unwrap();
    let world = behind()
        .function("/...", echo)
        .traced(guard.traces())
        .open()
        .await;
    let mut caller = world.connect().await;
    caller
        .send(format!(
            "GET /cart?x HTTP/1.1\r\n{HOST}traceparent: {PARENT}\r\ntracestate: a=b\r\n\r\n"
        ))
        .await;
    let answer = caller.answer().await;
    let given = header(answer.text(), "traceparent").unwrap();
    assert!(given.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-") && given.ends_with("-01"));
    assert_ne!(given, PARENT, "our span is the parent now");
    assert_eq!(header(answer.text(), "tracestate"), Some("a=b"));

    caller
        .send(format!("GET / HTTP/1.1\r\n{HOST}tracestate: a=b\r\n\r\n"))
        .await;
    let answer = caller.answer().await;
    assert!(
        header(answer.text(), "traceparent").is_some(),
        "a trace starts here"
    );
    assert_eq!(
        header(answer.text(), "tracestate"),
        None,
        "and has no state yet"
    );

    world.stop.stop();
    world.running.await.unwrap();
    tokio::task::spawn_blocking(move || guard.shutdown(Duration::from_secs(10)))
        .await
        .unwrap();
    let body = posts.recv_timeout(Duration::from_secs(10)).unwrap();
    let contains = |needle: &[u8]| body.windows(needle.len()).any(|w| w == needle);
    for stage in ["accept", "route", "admit", "acquire", "call", "settle"] {
        assert!(
            contains(&[&[0x2a, stage.len() as u8], stage.as_bytes()].concat()),
            "{stage}"
        );
    }
    assert!(contains(b"GET default/app/f0") && contains(b"/cart"));
    assert!(!contains(b"/cart?x"), "queries may hold secrets");
}
