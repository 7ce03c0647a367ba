use std::{sync::Arc, time::Duration};

use gust_runtime::{PeerContext, Peers};
use gust_task::clock;
use gust_types::{
    Body, FunctionName, Outcome, Reply, Result, Revision,
    app::RouteTarget,
    call::{Trace, Trigger},
};
use http::Request;
use http_body_util::BodyExt as _;
use parking_lot::Mutex;

use super::kit::{App, World, get, reply, runtime};

/// What a guest's in-process call is made with.
struct Line {
    peers: Arc<dyn Peers>,
    from: Arc<Revision>,
}

impl Line {
    fn new(world: &World, app: &App) -> Self {
        Self {
            peers: world.dispatcher.core.engine.peers.clone(),
            from: app.deployment().functions[0].clone(),
        }
    }

    async fn call(&self, function: Option<&str>, path: &str, hops: u8) -> Result<Reply> {
        let name = function.map(|name| FunctionName::new(name).unwrap());
        let context = PeerContext {
            hops,
            deadline: clock::now() + Duration::from_secs(5),
            trace: Trace::default(),
            cause: None,
        };
        let request = get(&format!("http://f.spin.internal{path}"));
        self.peers
            .call(&self.from, name.as_ref(), request, context)
            .await
    }
}

async fn text(reply: Result<Reply>) -> String {
    let body = reply.unwrap().into_body().collect().await.unwrap();
    String::from_utf8(body.to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn a_private_function_is_reached_in_process_only() {
    let runtime = runtime(10)
        .with("front", |_| async { Ok(reply("front")) })
        .with("back", |request: Request<Body>| async move {
            Ok(reply(
                request.headers()["spin-path-info"]
                    .to_str()
                    .unwrap()
                    .to_owned(),
            ))
        });
    let world = World::new(runtime);
    let app = App::new("app")
        .function("front")
        .function("back")
        .route(None, "back")
        .target(
            Some("/fixed"),
            RouteTarget::Response {
                status: 201,
                headers: [("x-a".to_owned(), "b".to_owned())].into(),
                body: "fixed".to_owned(),
            },
        );
    // Only the private route of `back` is kept.
    let mut deployment = app.deployment();
    deployment
        .routes
        .retain(|route| route.path.as_deref() != Some("/back/..."));
    world.dispatcher.deploy(deployment).unwrap();

    assert!(world.text("http://back.app.test/").await.is_err());
    assert!(world.text("http://app.test/back").await.is_err());
    let line = Line::new(&world, &app);
    assert_eq!(text(line.call(Some("back"), "/x/y", 0).await).await, "/x/y");
    assert_eq!(text(line.call(None, "/front", 0).await).await, "front");
    let fixed = line.call(None, "/fixed", 0).await.unwrap();
    assert_eq!(
        (
            fixed.status().as_u16(),
            fixed.headers()["x-a"].to_str().unwrap()
        ),
        (201, "b")
    );
    assert_eq!(text(Ok(fixed)).await, "fixed");
    let missing = line.call(Some("nobody"), "/", 0).await.err().unwrap();
    assert!(
        missing.to_string().contains("no function: nobody"),
        "{missing}"
    );
    let records = world.records();
    assert_eq!(records.len(), 2);
    assert!(
        records
            .iter()
            .all(|u| u.trigger == Trigger::Internal && u.outcome == Outcome::Ok)
    );
}

#[tokio::test]
async fn a_loop_ends_with_its_name() {
    let slot: Arc<Mutex<Option<Arc<Line>>>> = Arc::default();
    let line = slot.clone();
    // Calls itself; the memory runtime has no guests, so the hops travel in the path.
    let runtime = runtime(100).with("f", move |request: Request<Body>| {
        let line = line.lock().clone().unwrap();
        async move {
            let hops: u8 = request.uri().path()[1..].parse().unwrap_or(0);
            line.call(Some("f"), &format!("/{}", hops + 1), hops).await
        }
    });
    let world = World::new(runtime);
    let app = App::new("app").function("f");
    world.deploy(&app);
    *slot.lock() = Some(Arc::new(Line::new(&world, &app)));
    let error = world.text("http://f.app.test/0").await.unwrap_err();
    assert!(error.to_string().contains("deeper than 16"), "{error}");
    assert!(error.to_string().contains("from f to: f"), "{error}");
    assert_eq!(world.records().len(), 17);
    slot.lock().take();
}

#[tokio::test]
async fn callers_never_take_the_last_places_from_those_they_call() {
    let slot: Arc<Mutex<Option<Arc<Line>>>> = Arc::default();
    let (first, second) = (slot.clone(), slot.clone());
    let pause = || tokio::time::sleep(Duration::from_millis(2));
    let runtime = runtime(16)
        .with("front", move |_| {
            let line = first.lock().clone().unwrap();
            async move {
                pause().await;
                line.call(Some("middle"), "/", 0).await
            }
        })
        .with("middle", move |_| {
            let line = second.lock().clone().unwrap();
            async move {
                pause().await;
                line.call(Some("back"), "/", 1).await
            }
        })
        .with("back", move |_| async move {
            pause().await;
            Ok(reply("end"))
        });
    let world = World::new(runtime);
    let app = App::new("app")
        .function("front")
        .function("middle")
        .function("back");
    world.deploy(&app);
    *slot.lock() = Some(Arc::new(Line::new(&world, &app)));
    let calls: Vec<_> = (0..100)
        .map(|_| world.spawn("http://app.test/front"))
        .collect();
    for call in calls {
        let answer = tokio::time::timeout(Duration::from_secs(8), call).await;
        assert_eq!(answer.unwrap().unwrap().unwrap().unwrap(), "end");
    }
    assert_eq!(world.records().len(), 300);
    assert!(
        world
            .runtime
            .counts
            .alive
            .load(std::sync::atomic::Ordering::Relaxed)
            <= 16
    );
    slot.lock().take();
}

#[tokio::test]
async fn a_guest_that_keeps_spans_of_its_own_names_the_parent() {
    let traced = |request: Request<Body>| async move {
        let header = request.headers().get("traceparent");
        Ok(reply(header.map_or(Vec::new(), |h| h.as_bytes().to_vec())))
    };
    let world = World::new(runtime(10).with("f", traced));
    let app = App::new("app").function("f");
    world.deploy(&app);
    let line = Line::new(&world, &app);
    let own = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let name = FunctionName::new("f").unwrap();
    let outer = Trace {
        trace_id: 7,
        parent: 8,
        sampled: false,
    };
    for (sent, expected) in [(Some(own), own.to_owned()), (None, outer.header(8))] {
        let mut request = get("http://f.spin.internal/");
        if let Some(sent) = sent {
            let value = http::HeaderValue::from_static(sent);
            request.headers_mut().insert("traceparent", value);
        }
        let context = PeerContext {
            hops: 0,
            deadline: clock::now() + Duration::from_secs(5),
            trace: outer,
            cause: None,
        };
        let answer = line
            .peers
            .call(&line.from, Some(&name), request, context)
            .await;
        assert_eq!(text(answer).await, expected);
    }
}
