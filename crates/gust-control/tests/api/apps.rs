//! The way of an app from its first deploy to its end.

use gust_api::deploy::{Change, DeployRequest, Event};
use gust_types::{Kind, ProjectName};

use crate::harness::{app, app_name, node, project};

#[tokio::test]
async fn an_app_lives_and_ends() {
    let node = node().await;
    let digest = gust_types::Digest::of(b"one");
    assert_eq!(node.client.missing(vec![digest]).await.unwrap(), [digest]);
    node.upload("one").await;
    assert!(node.client.missing(vec![digest]).await.unwrap().is_empty());

    let mut events = Vec::new();
    let request = DeployRequest {
        app: app("shop", "one"),
        variables: Default::default(),
    };
    let deployed = node
        .client
        .deploy(&project(), &request, &mut |e: &Event| {
            events.push(e.clone())
        })
        .await
        .unwrap();
    assert!(deployed.changed);
    assert_eq!(deployed.deployment, 1);
    assert_eq!(deployed.functions[0].revision, 1);
    assert_eq!(deployed.functions[0].contract, "memory");
    assert_eq!(deployed.urls[0].url, "http://shop.gust.localhost:8080/");
    let steps: Vec<&str> = events
        .iter()
        .filter_map(|e| match e {
            Event::Step { step, .. } => Some(step.as_str()),
            _ => None,
        })
        .collect();
    for step in ["check", "prepare", "publish"] {
        assert!(steps.contains(&step), "{step} is among {steps:?}");
    }
    assert!(matches!(events.last(), Some(Event::Done(_))));

    assert_eq!(node.call("shop").await.unwrap(), (200, "one".to_owned()));
    let apps = node.client.apps(&project()).await.unwrap().apps;
    assert_eq!(apps.len(), 1);
    assert_eq!(apps[0].functions[0].revision, 1);
    assert!(
        apps[0].functions[0].state.is_some(),
        "dispatch says how it is"
    );
    let shop = node
        .client
        .app(&project(), &app_name("shop"))
        .await
        .unwrap();
    assert_eq!(shop.deployments.len(), 1);
    assert_eq!(shop.deployments[0].change, Change::Deploy);
    assert!(shop.deployments[0].serving);

    node.client
        .remove_app(&project(), &app_name("shop"))
        .await
        .unwrap();
    assert!(node.client.apps(&project()).await.unwrap().apps.is_empty());
    assert_eq!(node.call("shop").await.unwrap_err().kind, Kind::NotFound);
    let again = node
        .client
        .remove_app(&project(), &app_name("shop"))
        .await
        .unwrap_err();
    assert_eq!(again.kind, Kind::NotFound);

    // Numbers never come again.
    let deployed = node.deploy(app("shop", "one")).await.unwrap();
    assert_eq!(
        (deployed.deployment, deployed.functions[0].revision),
        (2, 2)
    );
}

#[tokio::test]
async fn projects_come_and_go() {
    let node = node().await;
    let name = ProjectName::new("team").unwrap();
    let error = node.client.apps(&name).await.unwrap_err();
    assert_eq!(error.kind, Kind::NotFound);
    node.client.create_project(&name).await.unwrap();
    assert_eq!(
        node.client.create_project(&name).await.unwrap_err().kind,
        Kind::Conflict
    );
    let names: Vec<String> = node
        .client
        .projects()
        .await
        .unwrap()
        .projects
        .into_iter()
        .map(|p| p.name.to_string())
        .collect();
    assert_eq!(names, ["default", "team"]);

    node.upload("one").await;
    let request = DeployRequest {
        app: app("shop", "one"),
        variables: Default::default(),
    };
    let deployed = node
        .client
        .deploy(&name, &request, &mut |_: &Event| {})
        .await
        .unwrap();
    assert_eq!(
        deployed.urls[0].url,
        "http://shop.team.gust.localhost:8080/"
    );
    assert_eq!(
        node.client.remove_project(&name).await.unwrap_err().kind,
        Kind::Conflict
    );
    node.client
        .remove_app(&name, &app_name("shop"))
        .await
        .unwrap();
    node.client.remove_project(&name).await.unwrap();
    assert_eq!(
        node.client.apps(&name).await.unwrap_err().kind,
        Kind::NotFound
    );
    let error = node.client.remove_project(&project()).await.unwrap_err();
    assert_eq!(error.kind, Kind::Denied);
}

#[tokio::test]
async fn the_status_tells_what_there_is() {
    let node = node().await;
    node.upload("one").await;
    node.deploy(app("shop", "one")).await.unwrap();
    let status = node.client.status().await.unwrap();
    assert!(status.ready);
    assert_eq!(status.runtime, "memory");
    assert_eq!(
        (
            status.deployed.projects,
            status.deployed.apps,
            status.deployed.functions
        ),
        (1, 1, 1)
    );
    let loops: Vec<&str> = status.loops.iter().map(|l| l.name.as_str()).collect();
    assert_eq!(loops, ["budgets", "garbage"]);
}

#[tokio::test]
async fn an_invoked_function_sees_the_request_it_was_meant_to_see() {
    let node = node().await;
    node.teach("mirror", |request| async move {
        let (head, body) = request.into_parts();
        let mut reply = http::Response::builder().status(404);
        for (name, value) in [
            ("x-method", head.method.to_string()),
            ("x-target", head.uri.path_and_query().unwrap().to_string()),
            (
                "x-authorization",
                format!("{:?}", head.headers.get("authorization")),
            ),
            ("x-asked", format!("{:?}", head.headers.get("x-asked"))),
            ("content-type", "text/html".to_owned()),
        ] {
            reply = reply.header(name, value);
        }
        Ok(reply.body(body).unwrap())
    });
    node.send("mirror").await;
    node.deploy(app("shop", "mirror")).await.unwrap();
    let request = http::Request::put("/a/b?c=d%20e")
        .header("x-asked", "yes")
        .body(gust_types::call::full("body"))
        .unwrap();
    let main = crate::harness::function_name("main");
    let invoked = node
        .client
        .invoke(&project(), &app_name("shop"), &main, request)
        .await
        .unwrap();
    assert!(invoked.call.is_some());
    let response = invoked.response;
    assert_eq!(response.status(), 404);
    assert_eq!(response.headers()["x-method"], "PUT");
    assert_eq!(response.headers()["x-target"], "/a/b?c=d%20e");
    assert_eq!(
        response.headers()["x-authorization"],
        "None",
        "the node's token stays with the node"
    );
    assert_eq!(response.headers()["x-asked"], "Some(\"yes\")");
    assert_eq!(response.headers()["content-type"], "text/html");
    let path = "/v1/projects/default/apps/shop/functions/main/invoke";
    let raw = node.authorized("POST", path, "", "").await;
    let lower = raw.to_ascii_lowercase();
    assert!(lower.contains("x-gust-status: 404"), "{raw}");
    assert!(
        lower.contains("\r\ncontent-type: application/octet-stream"),
        "never a page of this origin: {raw}"
    );
}
