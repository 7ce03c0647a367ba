use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use gust_task::clock;
use gust_types::{AppName, Digest, Kind, ProjectName};

use super::kit::{App, World, get, key, reply, runtime, slow};

fn numbered(world: &World, number: u64, time: Duration) -> App {
    let name = Digest::of(format!("f {number}").as_bytes()).to_string();
    world.runtime.insert(
        &name,
        Arc::new(move |_| {
            Box::pin(async move {
                tokio::time::sleep(time).await;
                Ok(reply(number.to_string()))
            })
        }),
    );
    App::new("app").revision(number).function_with("f", |spec| {
        spec.limits.concurrency = 8;
    })
}

#[tokio::test]
async fn calls_in_flight_finish_on_the_old_revision() {
    let world = World::new(runtime(10));
    world.deploy(&numbered(&world, 1, Duration::from_millis(50)));
    let old = world.spawn("http://app.test/f");
    world
        .until("served", |w| w.state("app", "f").busy == 1)
        .await;
    world.deploy(&numbered(&world, 2, Duration::ZERO));
    assert_eq!(world.text("http://app.test/f").await.unwrap(), "2");
    assert_eq!(old.await.unwrap().unwrap().unwrap(), "1");
    assert_eq!(
        world
            .records()
            .iter()
            .map(|u| u.revision)
            .collect::<Vec<_>>(),
        [2, 1]
    );
    world
        .until("the old one is gone", |w| {
            w.runtime.counts.resident.load(Relaxed) == 1
        })
        .await;
    assert_eq!(
        world.runtime.counts.alive.load(Relaxed),
        1,
        "the new one's idle instance"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_while_revisions_are_replaced() {
    let world = World::new(runtime(10));
    world.deploy(&numbered(&world, 1, Duration::from_micros(300)));
    let stop = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..30)
        .map(|_| {
            let (world, stop) = (world.clone(), stop.clone());
            gust_task::spawn("caller", async move {
                let mut last = 0;
                while !stop.load(Relaxed) {
                    let answer = world.text("http://app.test/f").await;
                    let number: u64 = answer
                        .unwrap_or_else(|e| panic!("{}", e.chain()))
                        .parse()
                        .unwrap();
                    assert!(number >= last, "{number} after {last}");
                    last = number;
                }
                last
            })
        })
        .collect();
    for number in 2..60 {
        tokio::time::sleep(Duration::from_millis(8)).await;
        world.deploy(&numbered(&world, number, Duration::from_micros(300)));
        assert_eq!(
            world.text("http://app.test/f").await.unwrap(),
            number.to_string()
        );
    }
    stop.store(true, Relaxed);
    for caller in callers {
        caller.await.unwrap().expect("no failed request");
    }
    let (entered, refused, left, settled) = world.tally("app", "f");
    assert_eq!((refused, left, settled), (0, 0, entered));
    world
        .until("old code is gone", |w| {
            w.runtime.counts.resident.load(Relaxed) == 1
        })
        .await;
}

#[tokio::test]
async fn what_did_not_change_stays_warm() {
    let runtime = runtime(10)
        .with("a", slow(Duration::ZERO))
        .with("b", slow(Duration::ZERO));
    let world = World::new(runtime);
    world.deploy(&App::new("app").function("a").function("b"));
    world.text("http://app.test/a").await.unwrap();
    world.text("http://app.test/b").await.unwrap();
    world.deploy(&App::new("app").function("a").revision(2).function("b"));
    assert_eq!(world.state("app", "a").idle, 1);
    assert_eq!(
        (
            world.state("app", "b").idle,
            world.state("app", "b").revision
        ),
        (0, 2)
    );
}

#[tokio::test]
async fn who_waits_while_an_app_is_removed_is_told_so() {
    let world = World::new(runtime(10).with("f", slow(Duration::from_millis(50))));
    world.deploy(&App::new("app").function_with("f", |spec| spec.limits.concurrency = 1));
    let first = world.spawn("http://app.test/f");
    world
        .until("served", |w| w.state("app", "f").busy == 1)
        .await;
    let second = world.spawn("http://app.test/f");
    world
        .until("queued", |w| w.state("app", "f").queued == 1)
        .await;
    let (project, app) = (ProjectName::default_project(), AppName::new("app").unwrap());
    assert!(world.dispatcher.remove(&project, &app));
    assert!(!world.dispatcher.remove(&project, &app));
    assert_eq!(first.await.unwrap().unwrap().unwrap(), "done");
    assert_eq!(
        second.await.unwrap().unwrap().unwrap_err().kind,
        Kind::NotFound
    );
    assert_eq!(
        world.text("http://app.test/f").await.unwrap_err().kind,
        Kind::NotFound
    );
}

#[tokio::test]
async fn a_refused_deploy_changes_nothing() {
    let world = World::new(runtime(10).with("f", slow(Duration::ZERO)));
    world.deploy(&App::new("app").function("f").host("www.example.com"));
    let bad = |app: App| world.dispatcher.deploy(app.deployment()).unwrap_err();
    let twice = App::new("app")
        .revision(2)
        .function("f")
        .function("g")
        .route(Some("/f/*"), "g");
    assert_eq!(bad(twice).kind, Kind::Conflict);
    let taken = App::new("other").function("f").host("WWW.example.com");
    assert_eq!(bad(taken).kind, Kind::Conflict);
    let unset = App::new("app").revision(2).function_with("f", |spec| {
        spec.outbound = vec!["https://{{ host }}".to_owned()];
    });
    assert_eq!(bad(unset).kind, Kind::Invalid);
    assert_eq!(world.state("app", "f").revision, 1);
    assert_eq!(
        world.text("http://www.example.com/f").await.unwrap(),
        "done"
    );
}

#[tokio::test]
async fn a_probe_calls_what_is_not_routed() {
    let runtime = runtime(10)
        .with("good", slow(Duration::ZERO))
        .with("slow", slow(Duration::from_secs(5)))
        .with("bad", |_| async { Err(gust_types::Error::failed("trap")) });
    let world = World::new(runtime);
    let app = App::new("app")
        .function("good")
        .function("slow")
        .function("bad")
        .deployment();
    let time = Duration::from_millis(100);
    let probe = |i: usize| {
        world
            .dispatcher
            .probe(app.functions[i].clone(), "/health", time)
    };
    probe(0).await.unwrap();
    assert!(
        probe(1)
            .await
            .unwrap_err()
            .to_string()
            .contains("probe of slow")
    );
    let error = probe(2).await.unwrap_err();
    assert!(error.chain().contains("trap"), "{}", error.chain());
    assert_eq!(world.records().len(), 3);
    assert!(
        world
            .records()
            .iter()
            .all(|u| u.trigger == gust_types::call::Trigger::Health)
    );
    assert!(world.dispatcher.function(&key("app", "good")).is_none());
    world
        .until("nothing stays", |w| {
            w.runtime.counts.resident.load(Relaxed) == 0
        })
        .await;
}

#[tokio::test]
async fn ten_thousand_functions_publish_quickly() {
    let world = World::new(runtime(10).with("f", slow(Duration::ZERO)));
    let all: Vec<_> = (0..10_000)
        .map(|n| App::new(&format!("app{n}")).function("f").deployment())
        .collect();
    let begun = clock::now();
    assert!(world.dispatcher.replace_all(all.clone()).is_empty());
    let whole = clock::now() - begun;
    let begun = clock::now();
    for n in 0..10 {
        world.deploy(&App::new(&format!("app{n}")).revision(2).function("f"));
    }
    let each = (clock::now() - begun) / 10;
    // Generous, for unoptimised builds on busy machines: optimised they take a tenth.
    assert!(whole < Duration::from_secs(3), "{whole:?}");
    assert!(each < Duration::from_millis(50), "{each:?}");
    assert_eq!(world.text("http://app9999.test/f").await.unwrap(), "done");

    let mut fewer = all;
    fewer.truncate(2);
    fewer.push(
        App::new("bad")
            .function("f")
            .route(Some("no-slash"), "f")
            .deployment(),
    );
    let rejected = world.dispatcher.replace_all(fewer);
    assert_eq!(rejected.len(), 1);
    assert_eq!(rejected[0].app.as_str(), "bad");
    assert_eq!(world.dispatcher.functions().len(), 2);
    let (head, ()) = get("http://app9999.test/f").map(drop).into_parts();
    assert_eq!(
        world.dispatcher.route(&head).err().unwrap().kind,
        Kind::NotFound
    );
}
