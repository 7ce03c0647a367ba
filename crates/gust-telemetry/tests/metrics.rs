//! What a scrape shows.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests may"
)]

use std::{sync::Arc, time::Duration};

use gust_telemetry::{
    FunctionMetrics, Gauge, PathMetrics, Refusal, Registry, Stage, registry::Shape,
};
use gust_types::{
    AppName, FunctionKey, FunctionName, Outcome, ProjectName, Usage,
    call::{CallId, Trigger},
    usage::{HostCalls, Phases, Start},
};

fn key(function: &str) -> FunctionKey {
    FunctionKey {
        project: ProjectName::default_project(),
        app: AppName::new("shop").unwrap(),
        function: FunctionName::new(function).unwrap(),
    }
}

fn usage(function: &str, outcome: Outcome, start: Start) -> Usage {
    Usage {
        call: CallId(1),
        function: Arc::new(key(function)),
        revision: 1,
        trigger: Trigger::Http,
        start_us: 0,
        wall_us: 1_500_000,
        cpu_us: 250_000,
        memory_peak: 1 << 20,
        memory_mb_ms: 7,
        bytes_in: 10,
        bytes_out: 20,
        host: HostCalls::default(),
        start,
        outcome,
        status: 200,
        phases: Phases::default(),
    }
}

/// The value of the only line that starts with `line`.
fn value(text: &str, line: &str) -> f64 {
    let mut found = text
        .lines()
        .filter_map(|l| l.strip_prefix(line)?.strip_prefix(' '));
    let value = found
        .next()
        .unwrap_or_else(|| panic!("no {line} in\n{text}"));
    assert_eq!(found.next(), None, "{line} twice");
    value.parse().unwrap()
}

#[test]
fn a_scrape_shows_calls_stages_refusals_and_the_process() {
    let metrics = PathMetrics::default();
    let cart = metrics.function(&key("cart"));
    cart.settled(&usage("cart", Outcome::Ok, Start::Cold));
    cart.settled(&usage("cart", Outcome::Ok, Start::Reused));
    cart.settled(&usage("cart", Outcome::Ok, Start::Reused));
    // A deploy makes a new entry; its handle counts on.
    metrics
        .function(&key("cart"))
        .settled(&usage("cart", Outcome::CpuLimit, Start::Warm));
    cart.refused(Refusal::QueueFull);
    metrics.refused(Refusal::NoRoute);
    metrics.observe(Stage::Acquire, Duration::from_micros(40));
    metrics.add(Gauge::InFlight, 3);
    metrics.add(Gauge::InFlight, -1);
    let mut registry = Registry::new(metrics);
    registry.add(
        "log_dropped_bytes",
        "Dropped",
        Shape::Counter,
        Box::new(|| 42.0),
    );

    let text = registry.encode();
    let function = r#"project="default",app="shop",function="cart""#;
    let call = |rest: &str| format!("gust_calls_total{{{function},{rest}}}");
    let http = |outcome: &str, start: &str| {
        call(&format!(
            r#"outcome="{outcome}",start="{start}",trigger="http""#
        ))
    };
    assert_eq!(value(&text, &http("ok", "cold")), 1.0);
    assert_eq!(value(&text, &http("ok", "reused")), 2.0);
    assert_eq!(value(&text, &http("cpu_limit", "warm")), 1.0);
    assert_eq!(
        value(&text, &format!("gust_call_cpu_seconds_total{{{function}}}")),
        1.0
    );
    assert_eq!(
        value(
            &text,
            &format!("gust_call_wall_seconds_total{{{function}}}")
        ),
        6.0
    );
    assert_eq!(
        value(&text, &format!("gust_call_bytes_out_total{{{function}}}")),
        80.0
    );
    let refused = format!(r#"gust_calls_refused_total{{{function},reason="queue_full"}}"#);
    assert_eq!(value(&text, &refused), 1.0);
    assert_eq!(
        value(&text, r#"gust_calls_refused_total{reason="no_route"}"#),
        1.0
    );
    assert_eq!(
        value(&text, r#"gust_stage_seconds_count{stage="acquire"}"#),
        1.0
    );
    assert_eq!(
        value(
            &text,
            r#"gust_stage_seconds_bucket{le="0.000025",stage="acquire"}"#
        ),
        0.0
    );
    assert_eq!(
        value(
            &text,
            r#"gust_stage_seconds_bucket{le="0.00005",stage="acquire"}"#
        ),
        1.0
    );
    assert_eq!(
        value(
            &text,
            r#"gust_stage_seconds_bucket{le="+Inf",stage="acquire"}"#
        ),
        1.0
    );
    assert_eq!(value(&text, "gust_calls_in_flight"), 2.0);
    assert_eq!(value(&text, "gust_log_dropped_bytes_total"), 42.0);
    assert!(value(&text, "gust_process_resident_memory_bytes") > 1e5);
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn numbers_with_labels_are_valid_text_whatever_the_labels_say() {
    use gust_telemetry::families::{Family, Group, Row};
    let registry = Registry::new(PathMetrics::default());
    let families = registry.families();
    assert!(!registry.encode().contains("left_out"));
    let row = |name: &str| Row {
        labels: vec!["default".into(), name.into()],
        values: vec![Some(3.0), Some(1.5)],
    };
    let group = |rows| Group {
        kind: "queue",
        labels: &["project", "queue"],
        families: &[
            Family {
                name: "queue_ready",
                help: "Ready",
                shape: Shape::Gauge,
            },
            Family {
                name: "queue_done",
                help: "Done",
                shape: Shape::Counter,
            },
        ],
        rows,
        unseen: 0,
    };
    families.show(vec![group(vec![
        row("订单"),
        row("a\"b\\c\nd"),
        row("订单"),
    ])]);
    let text = registry.encode();
    let queue = r#"{project="default",queue="订单"}"#;
    assert_eq!(value(&text, &format!("gust_queue_ready{queue}")), 3.0);
    assert_eq!(value(&text, &format!("gust_queue_done_total{queue}")), 1.5);
    let escaped = r#"gust_queue_ready{project="default",queue="a\"b\\c\nd"}"#;
    assert_eq!(value(&text, escaped), 3.0);
    assert_eq!(text.matches("# TYPE gust_queue_ready gauge").count(), 1);
    assert_eq!(text.matches("gust_queue_ready{").count(), 2, "one each");
    let many = (0..6000).map(|n| row(&format!("q{n:05}"))).collect();
    families.show(vec![group(many)]);
    let text = registry.encode();
    assert_eq!(text.matches("gust_queue_ready{").count(), 5000);
    assert_eq!(value(&text, r#"gust_left_out{kind="queue"}"#), 1000.0);
    assert!(!text.contains("订单") && text.ends_with("# EOF\n"));
}

#[test]
fn ten_thousand_silent_functions_do_not_appear() {
    let metrics = PathMetrics::default();
    let handles: Vec<FunctionMetrics> = (0..10_000)
        .map(|n| metrics.function(&key(&format!("f{n}"))))
        .collect();
    handles[77].settled(&usage("f77", Outcome::Ok, Start::Warm));
    let text = Registry::new(metrics.clone()).encode();
    assert!(text.contains(r#"function="f77""#) && !text.contains(r#"function="f78""#));
    assert!(text.len() < 40_000, "{}", text.len());
    metrics.forget(&key("f77"));
    assert!(!Registry::new(metrics).encode().contains("f77"));
}
