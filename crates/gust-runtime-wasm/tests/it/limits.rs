//! Each limit is held, typed and billed, and the next call does well.

use std::time::Duration;

use gust_runtime::{Finished, logs::Stream, suite::done};
use gust_task::clock;
use gust_types::{ByteSize, Error, Kind, Outcome, Revision, Span, limits::ceiling};
use http_body_util::BodyExt as _;

use crate::{
    fakes::give,
    kit::{Function, begin, get, post, shared, spawn, within, written_command},
};

const BOTH: [&str; 2] = ["faults-p2", "faults-p3"];

async fn limited(name: &str, change: impl FnOnce(&mut Revision)) -> Function {
    let mut revision = shared().revision(name);
    change(&mut revision);
    shared().load(revision).await
}

fn check(name: &str, (error, finished): (Error, Finished), kind: Kind, outcome: Outcome) {
    assert_eq!(error.kind, kind, "{name}: {}", error.chain());
    assert_eq!(error.blame, gust_types::Blame::Function, "{name}");
    assert_eq!(finished.outcome, outcome, "{name}");
    assert!(finished.instance.is_none(), "{name}: the instance is lost");
}

#[tokio::test]
async fn a_busy_loop_ends_within_20_ms_of_its_cpu_limit() {
    for name in BOTH {
        let limit = Duration::from_millis(100);
        let function = limited(name, |r| r.spec.limits.cpu_time = Span(limit)).await;
        let failed = function.fail(get("/spin")).await;
        let cpu = failed.1.used.cpu;
        check(name, failed, Kind::Timeout, Outcome::CpuLimit);
        assert!(
            cpu >= limit && cpu < limit + Duration::from_millis(20),
            "{name}: {cpu:?}"
        );
        assert_eq!(function.get("/ok").await.status, 200);
    }
}

#[tokio::test]
async fn a_busy_call_within_its_limit_keeps_its_instance() {
    let function = limited("faults-p3", |_| {}).await;
    let answered = function.get("/spin-ms/60").await;
    assert_eq!(answered.finished.outcome, Outcome::Ok);
    assert!(answered.finished.instance.is_some(), "fit for the next");
    let cpu = answered.finished.used.cpu;
    assert!(cpu > Duration::from_millis(2), "{cpu:?}");
}

#[tokio::test]
async fn a_parked_guest_ends_at_its_deadline() {
    for name in BOTH {
        let function = limited(name, |_| {}).await;
        let begun = clock::now();
        let call = within(get("/sleep/20000"), Duration::from_millis(150));
        let failed = function.fail(call).await;
        assert!(begun.elapsed() < Duration::from_secs(3), "{name}");
        assert!(failed.1.used.cpu < Duration::from_millis(100), "{name}");
        check(name, failed, Kind::Timeout, Outcome::WallLimit);
    }
}

#[tokio::test]
async fn a_stream_that_nobody_reads_ends_at_its_deadline() {
    let function = shared().load(shared().revision("echo-p3")).await;
    let call = within(get("/sse"), Duration::from_millis(120));
    let (reply, ended) = begin(function.start().await, call).await;
    let finished = ended.get("the end of an unread stream").await;
    assert_eq!(finished.outcome, Outcome::WallLimit);
    let error = reply.into_body().collect().await.unwrap_err();
    assert_eq!(error.kind, Kind::Timeout);
}

#[tokio::test]
async fn memory_ends_at_its_limit() {
    for name in BOTH {
        let function = limited(name, |r| r.spec.limits.memory = ByteSize::mib(32)).await;
        let answered = function.get("/alloc-all").await;
        assert_eq!(answered.status, 200, "{name}: a guest may handle it");
        let got: u64 = answered.text().split(' ').next().unwrap().parse().unwrap();
        assert!((20..32).contains(&got), "{name}: {got} MiB");
        let peak = answered.finished.used.memory_peak;
        assert!(peak > 20 << 20 && peak <= 32 << 20, "{name}: {peak}");
        let failed = function.fail(get("/alloc")).await;
        check(name, failed, Kind::Exhausted, Outcome::MemoryLimit);
    }
}

#[tokio::test]
async fn components_that_start_too_large_are_refused_at_deploy() {
    for (name, expected) in [("big-memory", "memory"), ("big-table", "table")] {
        let error = shared().prepare(&shared().revision(name)).await;
        let error = error.expect_err(name);
        assert_eq!(error.kind, Kind::Invalid, "{name}: {}", error.chain());
        assert!(error.chain().contains(expected), "{}", error.chain());
    }
    let mut revision = shared().revision("hello-p2");
    revision.spec.limits.memory = ByteSize(8 << 30);
    let error = shared().prepare(&revision).await.unwrap_err();
    assert!(error.message.contains("above the node's"));
}

#[tokio::test]
async fn a_component_of_too_many_instances_is_refused_at_deploy() {
    let more =
        |n: usize| "(core module $n) ".to_owned() + &"(core instance (instantiate $n)) ".repeat(n);
    let run = r#"(func (export "run") (result i32) (i32.const 0))"#;
    let hundred = shared().written(&written_command(&more(99), run, ""), "hundred");
    assert_eq!(shared().load(hundred).await.get("/").await.status, 200);
    let mut one_more = shared().written(&written_command(&more(100), run, ""), "one-more");
    let error = shared().prepare(&one_more).await.unwrap_err();
    assert_eq!(error.kind, Kind::Invalid);
    assert!(
        error.message.ends_with("its limit of 100: 101"),
        "{}",
        error.message
    );
    one_more.spec.limits.core_instances = ceiling::CORE_INSTANCES;
    shared().prepare(&one_more).await.unwrap();
    assert_eq!(shared().load(one_more).await.get("/").await.status, 200);
    let text = written_command(&more(ceiling::CORE_INSTANCES as usize), run, "");
    let error = shared().prepare(&shared().written(&text, "too-many")).await;
    let error = error.unwrap_err();
    assert_eq!(error.kind, Kind::Invalid, "{}", error.chain());
}

/// The limit holds for all tables together, and up to it there is room for each.
#[tokio::test]
async fn tables_grow_to_their_limit_and_no_further() {
    for limit in [1000, ceiling::TABLE_ELEMENTS] {
        let module = format!(
            r#"(table $a 1 funcref) (table $b 1 funcref)
            (func (export "run") (result i32)
                (i32.ne (table.grow $a (ref.null func) (i32.const {})) (i32.const 1))
                (i32.ne (table.grow $a (ref.null func) (i32.const 1)) (i32.const -1))
                (i32.ne (table.grow $b (ref.null func) (i32.const 1)) (i32.const -1))
                i32.or
                i32.or)"#,
            limit - 2
        );
        let mut revision = shared().written(&written_command("", &module, ""), "tables");
        revision.spec.limits.table_elements = limit;
        let answered = shared().load(revision).await.get("/").await;
        assert_eq!(answered.finished.outcome, Outcome::Ok, "{limit}");
    }
}

/// What one call of the host may move at a stretch.
#[tokio::test]
async fn what_is_handed_over_in_one_call_is_bounded() {
    for (name, most) in [("host-wasi", false), ("host-p3", true)] {
        let function = limited(name, |_| {}).await;
        assert_eq!(function.get("/random/262144").await.status, 200, "{name}");
        // WASI 0.3 lets the host give less than was asked for.
        if most {
            let answered = function.get("/random/1000000").await;
            assert!(answered.text().contains("262144"), "{name}");
        } else {
            let failed = function.fail(get("/random/1000000")).await;
            check(name, failed, Kind::Failed, Outcome::Failed);
        }
    }
    let bench = shared();
    let mut revision = bench.revision("host-wasi");
    revision.spec.limits.memory = ByteSize::mib(512);
    let function = bench.load_with(revision, give).await;
    let put = |mib: usize| {
        let mut call = post("/kv/default/k", vec![b'x'; mib << 20]);
        *call.request.method_mut() = http::Method::PUT;
        call
    };
    // Too large for a value, which the interface says; then too large to be looked at.
    assert_eq!(function.send(put(16)).await.status, 200);
    let failed = function.fail(put(40)).await;
    check("host-wasi", failed, Kind::Failed, Outcome::Failed);
}

#[tokio::test]
async fn a_stack_that_overflows_is_the_functions_fault() {
    for name in BOTH {
        let function = limited(name, |_| {}).await;
        let failed = function.fail(get("/recurse")).await;
        assert!(failed.0.message.contains("stack"), "{}", failed.0.message);
        check(name, failed, Kind::Failed, Outcome::Failed);
        let log = function.logs.of(Stream::Platform);
        assert!(log.contains("backtrace"), "{name}: {log}");
        assert_eq!(function.get("/ok").await.status, 200);
    }
}

#[tokio::test]
async fn exits_and_silence_are_failures() {
    for name in BOTH {
        let function = limited(name, |_| {}).await;
        for path in ["/exit", "/exit/ok", "/no-response", "/trap"] {
            let failed = function.fail(get(path)).await;
            check(path, failed, Kind::Failed, Outcome::Failed);
        }
        // Its first response may be out before the second is refused.
        let (done, ended) = done();
        let reply = function.start().await.call(get("/two-responses"), done);
        drop(reply.await.map(|reply| reply.into_body().collect()));
        let finished = ended.get("the end of two responses").await;
        assert_ne!(finished.outcome, Outcome::Ok, "{name}");
        assert_eq!(function.get("/ok").await.status, 200);
    }
}

#[tokio::test]
async fn a_crash_says_nothing_of_the_inside_to_the_caller() {
    let function = limited("faults-p2", |_| {}).await;
    let (error, _) = function.fail(get("/trap")).await;
    assert_eq!(error.chain(), "the function crashed");
    let log = function.logs.of(Stream::Platform);
    assert!(log.contains("unreachable"), "{log}");
}

#[tokio::test]
async fn a_trap_after_the_first_byte_breaks_the_body_off() {
    let function = limited("faults-p3", |_| {}).await;
    let call = get("/trap-after-first-byte");
    let (reply, ended) = begin(function.start().await, call).await;
    let mut body = reply.into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(&first[..], b"half of ");
    let error = body.frame().await.unwrap().unwrap_err();
    assert_eq!(error.kind, Kind::Failed);
    assert!(body.frame().await.is_none());
    assert_eq!(
        ended.get("the end of a trap").await.outcome,
        Outcome::Failed
    );
}

/// A body whose guest is gone looks as if it had ended well. Whoever reads it on another thread than the guest's must hear
/// of the trap first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trap_after_the_first_byte_is_never_a_good_end() {
    for name in BOTH {
        let function = limited(name, |_| {}).await;
        for _ in 0..30 {
            // It computes for so long that the threads for that have it.
            let call = get("/trap-after-first-byte/30");
            let (reply, ended) = begin(function.start().await, call).await;
            let read = spawn(reply.into_body().collect()).await.unwrap();
            let error = read.expect_err("an answer that breaks off");
            assert_eq!(error.kind, Kind::Failed, "{name}");
            let finished = ended.get("the end of a trap").await;
            assert_eq!(finished.outcome, Outcome::Failed, "{name}");
        }
    }
}

#[tokio::test]
async fn handles_are_bounded() {
    for name in BOTH {
        let function = limited(name, |_| {}).await;
        assert_eq!(function.get("/table/1000").await.status, 200, "{name}");
        let failed = function.fail(get("/table/1000000")).await;
        check(name, failed, Kind::Failed, Outcome::Failed);
    }
}

#[tokio::test]
async fn an_endless_answer_ends_with_its_reader() {
    for name in ["echo-p2", "echo-p3"] {
        let function = shared().load(shared().revision(name)).await;
        let call = get("/size/4000000000");
        let (reply, ended) = begin(function.start().await, call).await;
        let mut body = reply.into_body();
        for _ in 0..10 {
            body.frame().await.unwrap().unwrap();
        }
        drop(body);
        let finished = ended.get("the end of an endless answer").await;
        assert_eq!(finished.outcome, Outcome::Cancelled, "{name}");
        assert!(finished.used.cpu > Duration::ZERO, "{name}: is billed");
        assert!(finished.used.memory_peak > 0, "{name}: is billed");
    }
}

#[tokio::test]
async fn a_call_dropped_before_it_ran_is_told() {
    let function = limited("faults-p2", |_| {}).await;
    let (done, ended) = done();
    drop(function.start().await.call(get("/ok"), done));
    let finished = ended.get("the end of a call that never ran").await;
    assert_eq!(finished.outcome, Outcome::Cancelled);
}

#[tokio::test]
async fn what_computes_for_long_is_billed_as_the_kernel_counts_it() {
    for name in BOTH {
        let function = limited(name, |_| {}).await;
        let answered = function.get("/spin-ms/300").await;
        assert_eq!(answered.status, 200);
        let used = answered.finished.used;
        // The guest spins by the wall clock; on a machine that does other things it gets less than that.
        let cpu = used.cpu;
        assert!(cpu > Duration::from_millis(6), "{name}: {cpu:?}");
        assert!(cpu < Duration::from_millis(315), "{name}: {cpu:?}");
        assert!(used.memory_peak > 0, "{name}");
    }
}

#[tokio::test]
async fn one_that_computes_does_not_keep_others_waiting() {
    let spinning = limited("faults-p2", |_| {}).await;
    let hello = shared().load(shared().revision("hello-p2")).await;
    hello.get("/").await;
    let mut spins = Vec::new();
    for _ in 0..20 {
        let (done, ended) = done();
        let call = spinning.start().await.call(get("/spin"), done);
        spins.push((spawn(call), ended));
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut times = Vec::new();
    for _ in 0..50 {
        let begun = clock::now();
        hello.get("/").await;
        times.push(begun.elapsed());
    }
    times.sort();
    // This test's thread would have to wait for twenty turns of a millisecond each, at every step of a call.
    assert!(times[25] < Duration::from_millis(15), "{times:?}");
    for (call, ended) in spins {
        call.abort();
        let finished = ended.get("a spinning call").await;
        assert_eq!(finished.outcome, Outcome::Cancelled);
        assert!(finished.used.memory_peak > 0, "its counts are known");
    }
}

#[tokio::test]
async fn a_guest_that_fails_while_it_is_made_is_stopped_and_what_it_took_is_known() {
    for (start, kind, outcome) in [
        ("spin", Kind::Timeout, Outcome::CpuLimit),
        ("sleep", Kind::Timeout, Outcome::WallLimit),
        ("trap", Kind::Failed, Outcome::Failed),
        ("alloc", Kind::Exhausted, Outcome::MemoryLimit),
    ] {
        let mut revision = shared().revision("start-faults");
        revision.spec.limits.cpu_time = Span::millis(if start == "spin" { 100 } else { 5000 });
        revision.spec.limits.memory = ByteSize::mib(32);
        let environment = |bindings: &mut gust_runtime::Bindings| {
            bindings.environment = vec![("START".to_owned(), start.to_owned())].into();
        };
        let function = shared().load_with(revision, environment).await;
        let deadline = clock::now() + Duration::from_millis(1500);
        let error = function.prepared.start(deadline, None).await.err();
        let error = error.unwrap_or_else(|| panic!("{start}: it started"));
        assert_eq!(error.kind, kind, "{start}: {}", error.chain());
        assert_eq!(error.blame, gust_types::Blame::Function, "{start}");
        let ended = error.caused_by::<gust_runtime::Ended>().expect(start);
        assert_eq!(ended.outcome, outcome, "{start}");
        let cpu = ended.used.cpu;
        assert!(cpu > Duration::ZERO, "{start}");
        if start == "spin" {
            let limit = Duration::from_millis(100);
            assert!(cpu >= limit && cpu < limit * 2, "{cpu:?}");
        }
        if start == "alloc" {
            assert!(ended.used.memory_peak > 20 << 20, "{:?}", ended.used);
        }
    }
    let well = shared().load(shared().revision("start-faults")).await;
    assert_eq!(well.get("/").await.text(), "started\n");
}
