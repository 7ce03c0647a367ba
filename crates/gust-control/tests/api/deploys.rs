//! Deploys: all or nothing, one after the other, and the way back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use gust_api::deploy::{Change, DeployRequest};
use gust_types::{
    AppSpec, Error, Kind, Span,
    app::{FileSpec, HealthSpec, RouteSpec, RouteTarget},
    call::full,
};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use crate::harness::{
    Node, app, app_name, eventually, function, function_name, node, project, route, source,
};

async fn serving(node: &Node, name: &str) -> u64 {
    node.client
        .app(&project(), &app_name(name))
        .await
        .unwrap()
        .summary
        .deployment
}

#[tokio::test]
async fn a_failed_deploy_leaves_the_old_one_serving() {
    let node = node().await;
    node.upload("good").await;
    node.deploy(app("shop", "good")).await.unwrap();
    node.upload("other").await;
    node.send("not runnable").await;
    node.teach("sick", |_| async {
        Ok(http::Response::builder()
            .status(500)
            .body(full("no"))
            .unwrap())
    });
    node.send("sick").await;
    let sick = {
        let mut sick = app("shop", "sick");
        let function = sick.functions.get_mut("main").unwrap();
        function.health = Some(HealthSpec {
            path: "/".into(),
            timeout: Span::secs(1),
        });
        sick
    };
    let mut taken = app("shop", "other");
    taken.hosts = vec!["other.gust.localhost".into()];
    let mut lying = app("shop", "good");
    lying.functions.get_mut("main").unwrap().source = gust_types::app::Source::Artifact {
        digest: gust_types::Digest::of(b"good"),
        size: 5,
    };
    let cases: Vec<(&str, AppSpec, &str)> = vec![
        (
            "an artifact is missing",
            app("shop", "never uploaded"),
            "not uploaded",
        ),
        (
            "the runtime refuses it",
            app("shop", "not runnable"),
            "no such function in memory",
        ),
        ("the probe fails", sick, "not healthy"),
        (
            "dispatch refuses it",
            taken,
            "the host is one that the node gives out",
        ),
        ("the size is wrong", lying, "has 4 bytes"),
    ];
    let files = node.artifacts.list().unwrap().len();
    for (case, spec, why) in cases {
        let error = node.deploy(spec).await.expect_err(case);
        assert!(error.chain().contains(why), "{case}: {}", error.chain());
        assert_eq!(node.call("shop").await.unwrap().1, "good", "{case}");
        assert_eq!(serving(&node, "shop").await, 1, "{case}");
        assert_eq!(node.artifacts.list().unwrap().len(), files, "{case}");
    }
    let deployed = node.deploy(app("shop", "other")).await.unwrap();
    assert_eq!(
        (deployed.deployment, deployed.functions[0].revision),
        (2, 2),
        "no number was used up"
    );
    assert_eq!(node.call("shop").await.unwrap().1, "other");
}

#[tokio::test]
async fn the_same_deploy_again_changes_nothing() {
    let node = node().await;
    node.upload("one").await;
    node.upload("two").await;
    let mut spec = app("shop", "one");
    spec.functions
        .insert(function_name("side"), function("two"));
    node.deploy(spec.clone()).await.unwrap();
    let prepares = || node.runtime.counts.prepares.load(Ordering::Relaxed);
    let before = prepares();
    let again = node.deploy(spec.clone()).await.unwrap();
    assert!(!again.changed);
    assert_eq!(
        (again.deployment, prepares()),
        (1, before),
        "nothing was prepared again"
    );

    // Only what changed gets a new revision.
    let mut changed = spec.clone();
    changed
        .functions
        .get_mut("side")
        .unwrap()
        .limits
        .concurrency = 7;
    let deployed = node.deploy(changed).await.unwrap();
    let revisions: Vec<(String, u64, bool)> = deployed
        .functions
        .iter()
        .map(|f| (f.function.to_string(), f.revision, f.changed))
        .collect();
    assert_eq!(
        revisions,
        [("main".into(), 1, false), ("side".into(), 2, true)]
    );

    // A changed route is a new deployment without a new revision.
    let mut routed = spec;
    routed.functions.get_mut("side").unwrap().limits.concurrency = 7;
    routed.routes.push(route("/side", "side"));
    let deployed = node.deploy(routed).await.unwrap();
    assert!(deployed.changed && deployed.functions.iter().all(|f| !f.changed));
    assert_eq!(deployed.deployment, 3);
}

#[tokio::test]
async fn rollback_goes_back_and_further_back() {
    let node = node().await;
    for code in ["one", "two", "three"] {
        node.upload(code).await;
        node.deploy(app("shop", code)).await.unwrap();
    }
    let name = app_name("shop");
    let began = std::time::Instant::now();
    let back = node.client.rollback(&project(), &name, None).await.unwrap();
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "{:?}",
        began.elapsed()
    );
    assert_eq!((back.deployment, back.functions[0].revision), (4, 2));
    assert_eq!(node.call("shop").await.unwrap().1, "two");
    node.client.rollback(&project(), &name, None).await.unwrap();
    assert_eq!(node.call("shop").await.unwrap().1, "one");
    let error = node
        .client
        .rollback(&project(), &name, None)
        .await
        .unwrap_err();
    assert_eq!(error.kind, Kind::Conflict);
    node.client
        .rollback(&project(), &name, Some(3))
        .await
        .unwrap();
    assert_eq!(node.call("shop").await.unwrap().1, "three");
    let error = node
        .client
        .rollback(&project(), &name, Some(99))
        .await
        .unwrap_err();
    assert_eq!(error.kind, Kind::NotFound);
    let history = node
        .client
        .deployments(&project(), &name)
        .await
        .unwrap()
        .deployments;
    let lines: Vec<(u64, Change, Option<u64>)> = history
        .iter()
        .map(|d| (d.deployment, d.change, d.rolled_back_to))
        .collect();
    assert_eq!(
        lines,
        [
            (6, Change::Rollback, Some(3)),
            (5, Change::Rollback, Some(1)),
            (4, Change::Rollback, Some(2)),
            (3, Change::Deploy, None),
            (2, Change::Deploy, None),
            (1, Change::Deploy, None),
        ]
    );
}

#[tokio::test]
async fn only_the_latest_deployments_are_kept() {
    let node = node().await;
    for i in 0..13 {
        let code = format!("code {i}");
        node.upload(&code).await;
        node.deploy(app("shop", &code)).await.unwrap();
    }
    let history = node
        .client
        .deployments(&project(), &app_name("shop"))
        .await
        .unwrap()
        .deployments;
    let numbers: Vec<u64> = history.iter().map(|d| d.deployment).collect();
    assert_eq!(numbers, (4..=13).rev().collect::<Vec<_>>());
    let error = node
        .client
        .rollback(&project(), &app_name("shop"), Some(3))
        .await
        .unwrap_err();
    assert_eq!(error.kind, Kind::NotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deploys_of_one_app_follow_each_other() {
    let node = Arc::new(node().await);
    for i in 0..8 {
        node.upload(&format!("code {i}")).await;
    }
    let mut running = Vec::new();
    for i in 0..8 {
        let node = node.clone();
        let deploy = async move { node.deploy(app("shop", &format!("code {i}"))).await };
        running.push(gust_task::spawn("deploy", deploy));
    }
    let mut numbers = Vec::new();
    for ended in running {
        numbers.push(ended.await.unwrap().unwrap().unwrap().deployment);
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=8).collect::<Vec<_>>());
    let shop = node
        .client
        .app(&project(), &app_name("shop"))
        .await
        .unwrap();
    assert_eq!(shop.summary.deployment, 8);
    let code = shop.summary.functions[0].artifact;
    let body = node.call("shop").await.unwrap().1;
    assert_eq!(
        gust_types::Digest::of(body.as_bytes()),
        code,
        "what is stored is what serves"
    );
}

#[tokio::test]
async fn a_deploy_goes_on_when_the_caller_hangs_up() {
    let node = node().await;
    node.upload("one").await;
    let open = Arc::new(AtomicBool::new(false));
    let gate = open.clone();
    node.teach("slow", move |_| {
        let gate = gate.clone();
        async move {
            while !gate.load(Ordering::Relaxed) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Ok(http::Response::new(full("slow")))
        }
    });
    node.send("slow").await;
    let mut spec = app("shop", "slow");
    spec.functions.get_mut("main").unwrap().health = Some(HealthSpec {
        path: "/".into(),
        timeout: Span::secs(20),
    });
    let request = DeployRequest {
        app: spec,
        variables: Default::default(),
    };
    let body = serde_json::to_string(&request).unwrap();
    let mut socket = TcpStream::connect(node.address).await.unwrap();
    let head = format!(
        "POST /v1/projects/default/apps/shop/deploy HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        node.token,
        body.len()
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    eventually("the probe is under way", async || {
        node.runtime.counts.calls.load(Ordering::Relaxed) == 1
    })
    .await;
    drop(socket);
    tokio::time::sleep(Duration::from_millis(50)).await;
    open.store(true, Ordering::Relaxed);
    eventually("the app serves", async || {
        node.client.app(&project(), &app_name("shop")).await.is_ok()
    })
    .await;
    assert_eq!(node.call("shop").await.unwrap().1, "slow");
}

#[tokio::test]
async fn bad_requests_are_refused_before_anything_happens() {
    let node = node().await;
    let path = "/v1/projects/default/apps/shop/deploy";
    let json = "content-type: application/json\r\n";
    let deep = format!("{{\"app\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    for (body, headers, status) in [
        ("{}", json, 400),
        ("nonsense", json, 400),
        (deep.as_str(), json, 400),
        (
            "{\"app\":{\"name\":\"shop\",\"functions\":{},\"nope\":1}}",
            json,
            400,
        ),
        ("{\"app\":{\"name\":\"other\",\"functions\":{}}}", json, 400),
        ("{}", "content-type: text/plain\r\n", 415),
        ("{}", "", 415),
    ] {
        let answer = node.authorized("POST", path, headers, body).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{:.80}: {answer}",
            body
        );
    }
    let large = format!("{{\"app\":\"{}\"}}", "x".repeat(5 << 20));
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n{json}content-length: {}\r\n\r\n",
        node.token,
        large.len()
    );
    let mut socket = TcpStream::connect(node.address).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    // The node may answer and close before everything is sent.
    let _ = socket.write_all(large.as_bytes()).await;
    let mut start = [0; 12];
    tokio::io::AsyncReadExt::read_exact(&mut socket, &mut start)
        .await
        .unwrap();
    assert_eq!(&start, b"HTTP/1.1 413");
    assert!(node.client.apps(&project()).await.unwrap().apps.is_empty());
}

#[tokio::test]
async fn static_routes_need_their_files() {
    let node = node().await;
    let mut spec = app("shop", "one");
    node.upload("one").await;
    let files = |code: &str| RouteSpec {
        path: Some("/static/...".into()),
        target: RouteTarget::Files {
            files: vec![FileSpec {
                path: "/index.html".into(),
                source: source(code),
            }],
            index: "index.html".into(),
            fallback: None,
        },
    };
    spec.routes.push(files("page"));
    let error = node.deploy(spec.clone()).await.unwrap_err();
    assert!(error.message.contains("not uploaded"), "{}", error.message);
    node.send("page").await;
    let deployed = node.deploy(spec).await.unwrap();
    assert_eq!(
        deployed.urls[1].url,
        "http://shop.gust.localhost:8080/static/"
    );
}

#[tokio::test]
async fn an_error_of_the_platform_is_not_shown() {
    let node = node().await;
    node.teach("odd", |_| async {
        Err(Error::internal("a detail of ours"))
    });
    node.send("odd").await;
    node.deploy(app("shop", "odd")).await.unwrap();
    let error = node.call("shop").await.unwrap_err();
    assert!(
        !format!("{error:?}").contains("a detail of ours"),
        "{error:?}"
    );
    assert!(
        error.hint.unwrap().contains("request"),
        "the log is pointed at"
    );
}
