//! Spans really leave: a small collector takes them over HTTP.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests may"
)]

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpListener,
    sync::mpsc,
    time::{Duration, Instant},
};

use gust_telemetry::{PathMetrics, Stage, Traces, init::Otlp, traces::Ended};
use gust_types::{AppName, FunctionKey, FunctionName, ProjectName, call::Trace};

struct Posted {
    path: String,
    content_type: String,
    key: String,
    body: Vec<u8>,
}

/// Takes one export after the other and hands them over.
fn collector() -> (String, mpsc::Receiver<Posted>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1/traces", listener.local_addr().unwrap());
    let (to, from) = mpsc::sync_channel(16);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let mut head = Vec::new();
            loop {
                let mut line = String::new();
                if stream.read_line(&mut line).unwrap() == 0 {
                    break;
                }
                if line != "\r\n" {
                    head.push(line);
                    continue;
                }
                let field = |name: &str| {
                    let found = head.iter().find(|l| l.to_lowercase().starts_with(name));
                    found.map(|l| l.split_once(": ").unwrap().1.trim().to_owned())
                };
                let mut body = vec![0; field("content-length").unwrap().parse().unwrap()];
                stream.read_exact(&mut body).unwrap();
                let posted = Posted {
                    path: head[0].split(' ').nth(1).unwrap().to_owned(),
                    content_type: field("content-type").unwrap(),
                    key: field("api-key").unwrap_or_default(),
                    body,
                };
                let _ = to.send(posted);
                let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                stream.get_mut().write_all(answer.as_bytes()).unwrap();
                head.clear();
            }
        }
    });
    (url, from)
}

fn settings(traces_endpoint: String) -> Otlp {
    Otlp {
        traces_endpoint,
        metrics_endpoint: None,
        metrics_interval: Duration::from_secs(60),
        headers: vec![("api-key".to_owned(), "sesame".to_owned())],
        timeout: Duration::from_secs(5),
        delay: Duration::from_millis(50),
        service_name: "gust-under-test".to_owned(),
        attributes: Vec::new(),
        sample_ratio: 1.0,
    }
}

fn key() -> FunctionKey {
    FunctionKey {
        project: ProjectName::default_project(),
        app: AppName::new("shop").unwrap(),
        function: FunctionName::new("cart").unwrap(),
    }
}

fn make_a_call(metrics: &PathMetrics, caller: Trace) -> Trace {
    let now = Instant::now();
    let traces = metrics.traces();
    let span = traces.begin(caller, now).unwrap();
    for stage in Stage::ALL {
        metrics.stage(stage, &span.trace, now, now + Duration::from_micros(5));
    }
    traces.end(
        &span,
        Ended {
            function: Some(&key()),
            method: "GET",
            path: "/cart",
            status: 200,
        },
    );
    span.trace
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle)
}

#[test]
fn a_call_leaves_its_span_and_one_for_each_stage() {
    let (url, posts) = collector();
    let guard = gust_telemetry::Guard::open(Some(&settings(url))).unwrap();
    let metrics = PathMetrics::new(guard.traces());
    let caller = Trace {
        trace_id: 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736,
        parent: 0x00f0_67aa_0ba9_02b7,
        sampled: true,
    };
    let trace = make_a_call(&metrics, caller);
    assert_eq!(
        trace.trace_id, caller.trace_id,
        "the caller's trace goes on"
    );
    assert_ne!(trace.parent, caller.parent, "with a span of ours");

    let posted = posts.recv_timeout(Duration::from_secs(10)).unwrap();
    assert_eq!(posted.path, "/v1/traces");
    assert_eq!(posted.content_type, "application/x-protobuf");
    assert_eq!(posted.key, "sesame");
    let body = posted.body;
    for name in ["accept", "route", "admit", "acquire", "call", "settle"] {
        let field = [&[0x2a, name.len() as u8], name.as_bytes()].concat();
        assert!(contains(&body, &field), "a span is named {name}");
    }
    assert!(contains(&body, b"GET default/shop/cart"));
    assert!(contains(&body, b"gust-under-test"));
    assert!(contains(&body, &caller.trace_id.to_be_bytes()));
    assert!(
        contains(&body, &caller.parent.to_be_bytes()),
        "the caller's span is the parent"
    );
    guard.shutdown(Duration::from_secs(5));
}

#[test]
fn ending_sends_what_is_queued() {
    let (url, posts) = collector();
    let slow = Otlp {
        delay: Duration::from_secs(3600),
        ..settings(url)
    };
    let guard = gust_telemetry::Guard::open(Some(&slow)).unwrap();
    make_a_call(&PathMetrics::new(guard.traces()), Trace::default());
    assert!(posts.try_recv().is_err());
    guard.shutdown(Duration::from_secs(5));
    assert!(contains(
        &posts.recv_timeout(Duration::from_secs(1)).unwrap().body,
        b"settle"
    ));
}

#[test]
fn a_caller_who_does_not_record_is_followed_and_a_dead_collector_stops_nobody() {
    let dead = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let guard = gust_telemetry::Guard::open(Some(&settings(format!("http://{dead}/")))).unwrap();
    let traces = guard.traces();
    let silent = Trace {
        trace_id: 1,
        parent: 2,
        sampled: false,
    };
    assert!(traces.begin(silent, Instant::now()).is_none());
    let began = Instant::now();
    for _ in 0..20_000 {
        make_a_call(&PathMetrics::new(traces.clone()), Trace::default());
    }
    assert!(began.elapsed() < Duration::from_secs(10));
    guard.shutdown(Duration::from_secs(1));
    assert!(
        Traces::off()
            .begin(Trace::default(), Instant::now())
            .is_none()
    );
}

#[test]
fn metrics_are_sent_too_when_there_is_somewhere_to() {
    let (url, posts) = collector();
    let otlp = Otlp {
        metrics_endpoint: Some(url.replace("traces", "metrics")),
        ..settings(url)
    };
    let mut guard = gust_telemetry::Guard::open(Some(&otlp)).unwrap();
    let metrics = PathMetrics::new(guard.traces());
    guard.observe(&metrics).unwrap();
    metrics
        .function(&key())
        .refused(gust_telemetry::Refusal::Rate);
    guard.shutdown(Duration::from_secs(5));
    let posted = posts.recv_timeout(Duration::from_secs(10)).unwrap();
    assert_eq!(posted.path, "/v1/metrics");
    assert_eq!(posted.content_type, "application/x-protobuf");
    for name in [&b"gust.calls.refused"[..], b"rate", b"gust.calls_in_flight"] {
        assert!(
            contains(&posted.body, name),
            "{}",
            String::from_utf8_lossy(name)
        );
    }
}
