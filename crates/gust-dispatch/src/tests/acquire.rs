use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use gust_runtime::{
    ReusePlan,
    memory::{MemoryRuntime, Pace},
};
use gust_types::{Span, usage::Start};

use super::kit::{App, World, refusal, reply, runtime, slow};
use crate::Refusal;

fn starts(world: &World) -> u64 {
    world.runtime.counts.starts.load(Relaxed)
}

fn alive(world: &World) -> u64 {
    world.runtime.counts.alive.load(Relaxed)
}

fn resident(world: &World) -> u64 {
    world.runtime.counts.resident.load(Relaxed)
}

#[tokio::test]
async fn cold_warm_and_reused_are_told_apart() {
    let runtime = MemoryRuntime::new(Pace {
        load: Duration::from_millis(5),
        start: Duration::from_millis(3),
        ..Pace::default()
    });
    let world = World::new(runtime.with("f", slow(Duration::from_millis(2))));
    world.deploy(&App::new("app").function_with("f", |spec| {
        spec.reuse.idle = Some(Span::millis(100));
    }));
    world.text("http://app.test/f").await.unwrap();
    world.text("http://app.test/f").await.unwrap();
    world.until("asleep", |w| alive(w) == 0).await;
    world.text("http://app.test/f").await.unwrap();
    let records = world.records();
    let kinds: Vec<_> = records.iter().map(|usage| usage.start).collect();
    assert_eq!(kinds, [Start::Cold, Start::Reused, Start::Warm]);
    assert!(records[0].phases.map_us >= 5_000);
    assert!(records[0].phases.instantiate_us >= 3_000);
    assert!(records[0].phases.first_byte_us >= 2_000);
    assert_eq!(records[1].phases.map_us, 0);
    assert_eq!(records[1].phases.instantiate_us, 0);
    assert!(records[2].phases.instantiate_us >= 3_000);
    assert_eq!(records[2].phases.map_us, 0);
}

#[tokio::test]
async fn a_load_is_shared_by_those_who_wait_and_outlives_who_asked() {
    let runtime = MemoryRuntime::new(Pace {
        load: Duration::from_millis(50),
        ..Pace::default()
    });
    let world = World::new(runtime.with("f", slow(Duration::ZERO)));
    world.deploy(&App::new("app").function("f"));
    let first = world.spawn("http://app.test/f");
    tokio::time::sleep(Duration::from_millis(10)).await;
    first.abort();
    let calls: Vec<_> = (0..20).map(|_| world.spawn("http://app.test/f")).collect();
    for call in calls {
        call.await.unwrap().unwrap().unwrap();
    }
    assert_eq!(world.runtime.counts.loads.load(Relaxed), 1);
    assert_eq!(
        world.records().len(),
        21,
        "who left during the load was admitted"
    );
}

#[tokio::test]
async fn a_load_that_fails_is_the_functions_fault_and_not_repeated_at_once() {
    let world = World::new(runtime(10));
    world.deploy(&App::new("app").function("f"));
    for _ in 0..5 {
        let error = world.text("http://app.test/f").await.unwrap_err();
        assert_eq!(error.blame, gust_types::Blame::Function, "{error}");
    }
    assert_eq!(world.runtime.counts.loads.load(Relaxed), 1);
    assert_eq!(world.records().len(), 5);
    assert!(
        world
            .records()
            .iter()
            .all(|usage| usage.start == Start::None && usage.status == 502)
    );
}

#[tokio::test]
async fn never_more_instances_live_than_there_are_places() {
    let world = World::new(runtime(4).with("f", slow(Duration::from_millis(5))));
    world.deploy(&App::new("app").function("f"));
    let calls: Vec<_> = (0..200).map(|_| world.spawn("http://app.test/f")).collect();
    while !calls.iter().all(|call| call.is_finished()) {
        assert!(alive(&world) <= 4);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for call in calls {
        call.await.unwrap().unwrap().unwrap();
    }
    // Instances were handed from call to call; each serves 128.
    assert!(starts(&world) <= 8, "{} starts", starts(&world));
    let waited = |usage: &&gust_types::Usage| usage.phases.queue_us > 1000;
    assert!(world.records().iter().filter(waited).count() > 100);
}

#[tokio::test]
async fn an_idle_instance_of_another_function_makes_room() {
    let runtime = runtime(2)
        .with("a", slow(Duration::ZERO))
        .with("b", slow(Duration::ZERO))
        .with("c", slow(Duration::ZERO));
    let world = World::new(runtime);
    world.deploy(&App::new("app").function("a").function("b").function("c"));
    for name in ["a", "b", "c"] {
        world
            .text(&format!("http://app.test/{name}"))
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert!(alive(&world) <= 2);
    assert_eq!(world.state("app", "a").idle, 0, "idle longest");
    assert_eq!(world.state("app", "c").idle, 1);
    assert_eq!(starts(&world), 3);
}

#[tokio::test]
async fn waiting_for_a_place_has_an_end_and_leaves_no_record() {
    let runtime = runtime(1)
        .with("a", slow(Duration::from_millis(300)))
        .with("b", slow(Duration::ZERO));
    let world = World::new(runtime);
    world.deploy(&App::new("app").function("a").function_with("b", |spec| {
        spec.limits.queue_time = Span::millis(30);
    }));
    let first = world.spawn("http://app.test/a");
    world
        .until("served", |w| w.state("app", "a").busy == 1)
        .await;
    let refused = world.text("http://app.test/b").await;
    assert_eq!(refusal(&refused), Refusal::NoPlace);
    assert_eq!(world.tally("app", "b"), (1, 1, 0, 0));
    first.await.unwrap().unwrap().unwrap();
    assert_eq!(world.records().len(), 1);
    assert_eq!(
        world.text("http://app.test/b").await.unwrap(),
        "done",
        "the place came back"
    );
}

#[tokio::test]
async fn places_go_to_functions_in_order() {
    let runtime = runtime(1)
        .with("a", slow(Duration::from_millis(50)))
        .with("b", slow(Duration::from_millis(1)))
        .with("c", slow(Duration::from_millis(1)));
    let world = World::new(runtime);
    world.deploy(&App::new("app").function("a").function("b").function("c"));
    let mut calls = vec![world.spawn("http://app.test/a")];
    world
        .until("served", |w| w.state("app", "a").busy == 1)
        .await;
    for name in ["b", "a", "c", "b"] {
        calls.push(world.spawn(&format!("http://app.test/{name}")));
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    for call in calls {
        call.await.unwrap().unwrap().unwrap();
    }
    let order: Vec<_> = world
        .records()
        .iter()
        .map(|usage| usage.function.function.as_str().to_owned())
        .collect();
    assert_eq!(order, ["a", "b", "a", "c", "b"]);
}

#[tokio::test]
async fn a_bounded_number_waits_for_places() {
    let world = World::with(
        runtime(1).with("f", slow(Duration::from_millis(100))),
        |settings| {
            settings.max_waiting = 2;
        },
    );
    world.deploy(&App::new("app").function("f"));
    let calls: Vec<_> = (0..6).map(|_| world.spawn("http://app.test/f")).collect();
    let mut refused = 0;
    for call in calls {
        let answer = call.await.unwrap().unwrap();
        if answer.is_err() {
            assert_eq!(refusal(&answer), Refusal::NoPlace);
            refused += 1;
        }
    }
    assert_eq!(refused, 3);
}

#[tokio::test]
async fn ten_times_the_capacity_ends_in_answers_and_refusals_only() {
    let world = World::new(runtime(10).with("f", slow(Duration::from_millis(10))));
    world.deploy(&App::new("app").function_with("f", |spec| {
        spec.limits.concurrency = 50;
        spec.limits.queue = 20;
        spec.limits.queue_time = Span::millis(60);
    }));
    let mut callers = Vec::new();
    for _ in 0..100 {
        let world = world.clone();
        callers.push(gust_task::spawn("caller", async move {
            let (mut good, mut refused) = (0, 0);
            for _ in 0..30 {
                match world.text("http://app.test/f").await {
                    Ok(text) => {
                        assert_eq!(text, "done");
                        good += 1;
                    }
                    answer => {
                        refusal(&answer);
                        refused += 1;
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                }
            }
            (good, refused)
        }));
    }
    let (mut good, mut refused) = (0, 0);
    for caller in callers {
        let (g, r) = caller.await.unwrap().unwrap();
        (good, refused) = (good + g, refused + r);
    }
    assert_eq!(good + refused, 3000);
    assert!(refused > 0 && good > 300, "{good} good, {refused} refused");
    assert_eq!(
        world.tally("app", "f"),
        (3000, refused as u64, 0, good as u64)
    );
    assert_eq!(world.records().len(), good);
}

#[tokio::test]
async fn idle_instances_and_their_code_go_to_sleep() {
    let world = World::with(runtime(10).with("f", slow(Duration::ZERO)), |settings| {
        settings.resident_idle = Duration::from_millis(500);
    });
    world.deploy(&App::new("app").function_with("f", |spec| {
        spec.reuse.idle = Some(Span::millis(50));
    }));
    world.text("http://app.test/f").await.unwrap();
    assert_eq!((world.state("app", "f").idle, alive(&world)), (1, 1));
    world
        .until("asleep", |w| w.state("app", "f").idle == 0 && alive(w) == 0)
        .await;
    assert!(world.state("app", "f").resident, "the code stays longer");
    world
        .until("unmapped", |w| {
            !w.state("app", "f").resident && resident(w) == 0
        })
        .await;
    assert_eq!(world.text("http://app.test/f").await.unwrap(), "done");
    assert_eq!(world.records()[1].start, Start::Cold);
}

#[tokio::test]
async fn a_full_shelf_gives_up_what_was_used_longest_ago() {
    let mut runtime = runtime(100);
    let mut app = App::new("app");
    for n in 0..20 {
        let name = format!("f{n}");
        runtime = runtime.with(&name, slow(Duration::ZERO));
        app = app.function_with(&name, |spec| spec.reuse.calls = Some(1));
    }
    let world = World::with(runtime, |settings| settings.max_resident = 8);
    world.deploy(&app);
    for n in 0..20 {
        world.text(&format!("http://app.test/f{n}")).await.unwrap();
        world.text("http://app.test/f0").await.unwrap();
        tokio::time::sleep(Duration::from_millis(2)).await;
        let mapped = world
            .dispatcher
            .functions()
            .iter()
            .filter(|f| f.resident)
            .count();
        assert!(mapped <= 8, "{mapped}");
    }
    assert!(world.state("app", "f0").resident, "called all the time");
    assert!(world.state("app", "f19").resident);
    assert!(!world.state("app", "f1").resident);
    world
        .until("unmapped elsewhere", |w| resident(w) <= 8)
        .await;
    let loads = world.runtime.counts.loads.load(Relaxed);
    assert_eq!(loads, 20, "nothing was mapped twice");
}

#[tokio::test]
async fn the_bytes_of_code_are_bounded_too() {
    let mut runtime = MemoryRuntime::new(Pace {
        resident_bytes: 1 << 20,
        ..Pace::default()
    });
    let mut app = App::new("app");
    for n in 0..10 {
        let name = format!("f{n}");
        runtime = runtime.with(&name, slow(Duration::ZERO));
        app = app.function(&name);
    }
    let world = World::with(runtime, |settings| settings.max_resident_bytes = 4 << 20);
    world.deploy(&app);
    for n in 0..10 {
        world.text(&format!("http://app.test/f{n}")).await.unwrap();
    }
    let mapped = world
        .dispatcher
        .functions()
        .iter()
        .filter(|f| f.resident)
        .count();
    assert!(mapped <= 4, "{mapped}");
}

#[tokio::test]
async fn calls_share_a_copy_up_to_its_limit() {
    let runtime = MemoryRuntime::new(Pace {
        reuse: ReusePlan {
            calls: 1000,
            concurrent: 4,
            idle: Duration::from_secs(1),
        },
        capacity: 3,
        ..Pace::default()
    });
    let world = World::new(runtime.with("f", slow(Duration::from_millis(20))));
    world.deploy(&App::new("app").function("f"));
    for round in 0..20 {
        let calls: Vec<_> = (0..30).map(|_| world.spawn("http://app.test/f")).collect();
        for call in calls {
            call.await
                .unwrap()
                .unwrap()
                .unwrap_or_else(|e| panic!("round {round}: {}", e.chain()));
        }
        assert!(alive(&world) <= 3);
    }
    assert!(starts(&world) <= 10, "{} starts", starts(&world));
    assert_eq!(world.tally("app", "f"), (600, 0, 0, 600));
    assert_eq!(world.state("app", "f").busy, 0);
}

#[tokio::test]
async fn a_worn_out_or_failed_instance_is_not_used_again() {
    let runtime = runtime(10)
        .with("worn", slow(Duration::ZERO))
        .with("bad", |_| async { Err(gust_types::Error::failed("trap")) })
        .with("fresh", |_| async { Ok(reply("fresh")) });
    let world = World::new(runtime);
    let app = App::new("app")
        .function_with("worn", |spec| spec.reuse.calls = Some(3))
        .function("bad")
        .function_with("fresh", |spec| spec.reuse.calls = Some(1));
    world.deploy(&app);
    for _ in 0..6 {
        world.text("http://app.test/worn").await.unwrap();
    }
    assert_eq!(starts(&world), 2);
    for _ in 0..3 {
        world.text("http://app.test/bad").await.unwrap_err();
        world.text("http://app.test/fresh").await.unwrap();
    }
    assert_eq!(starts(&world), 2 + 6);
    assert_eq!(alive(&world), 0);
}
