//! Values: set, used, replaced, and never seen again.

use std::collections::BTreeMap;

use gust_api::{app::ValueFrom, logs::LogQuery};
use gust_control::Settings;
use gust_types::{AppSpec, Kind, app::VariableSpec};

use crate::harness::{Node, all_bytes, app, app_name, function_name, open, project};

const SECRET: &str = "hunter2-is-the-value";
const SECOND: &str = "correct-horse-battery";
const DEFAULT: &str = "default-that-nobody-sees";

/// Two functions, of which one uses the variable.
fn spec() -> AppSpec {
    let mut spec = app("shop", "main");
    let secret = |required: bool, default: Option<&str>| VariableSpec {
        required,
        secret: true,
        default: default.map(str::to_owned),
        description: String::new(),
    };
    spec.variables = BTreeMap::from([
        ("password".into(), secret(true, None)),
        ("fallback".into(), secret(false, Some(DEFAULT))),
    ]);
    let main = spec.functions.get_mut("main").unwrap();
    main.variables = BTreeMap::from([
        ("pw".into(), "{{ password }}".into()),
        ("fb".into(), "{{ fallback }}".into()),
    ]);
    spec.functions
        .insert(function_name("side"), crate::harness::function("side"));
    spec
}

fn seen(node: &Node, function: &str) -> BTreeMap<String, String> {
    let key = gust_types::FunctionKey {
        project: project(),
        app: app_name("shop"),
        function: function_name(function),
    };
    let entry = node.dispatcher.function(&key).unwrap();
    entry.revision().variables.0.clone()
}

#[tokio::test]
async fn values_reach_the_functions_that_name_them() {
    let folder = tempfile::tempdir().unwrap();
    let node = open(folder.path(), Settings::default()).await;
    node.upload("main").await;
    node.upload("side").await;
    let error = node.deploy(spec()).await.unwrap_err();
    assert_eq!(error.kind, Kind::Invalid);
    assert!(error.message.contains("password"), "{}", error.message);

    let (project, shop) = (project(), app_name("shop"));
    let before = node
        .client
        .set_secret(&project, &shop, "password", SECRET)
        .await
        .unwrap();
    assert!(!before.published, "the app does not serve yet");
    node.deploy(spec()).await.unwrap();
    assert_eq!(seen(&node, "main")["password"], SECRET);
    assert_eq!(seen(&node, "main")["fallback"], DEFAULT);
    assert!(seen(&node, "side").is_empty(), "it names none");

    // A new value is published without a new revision or deployment.
    let after = node
        .client
        .set_secret(&project, &shop, "password", SECOND)
        .await
        .unwrap();
    assert!(after.published);
    assert_eq!(seen(&node, "main")["password"], SECOND);
    let details = node.client.app(&project, &shop).await.unwrap();
    assert_eq!(
        (
            details.summary.deployment,
            details.summary.functions[0].revision
        ),
        (1, 1)
    );
    let origins: Vec<(String, ValueFrom)> = details
        .variables
        .iter()
        .map(|v| (v.name.clone(), v.value))
        .collect();
    assert_eq!(
        origins,
        [
            ("fallback".into(), ValueFrom::Default),
            ("password".into(), ValueFrom::Set)
        ]
    );

    // What the serving deployment requires stays.
    let error = node
        .client
        .remove_secret(&project, &shop, "password")
        .await
        .unwrap_err();
    assert_eq!(error.kind, Kind::Conflict);
    let error = node
        .client
        .remove_secret(&project, &shop, "never_set")
        .await
        .unwrap_err();
    assert_eq!(error.kind, Kind::NotFound);
    let error = node
        .client
        .set_secret(&project, &shop, "NOT a name", "x")
        .await
        .unwrap_err();
    assert_eq!(error.kind, Kind::Invalid);

    // A deploy may set values too; only values changing makes no deployment.
    let deployed = node
        .deploy_with(spec(), &[("password", SECRET)])
        .await
        .unwrap();
    assert!(deployed.changed && deployed.deployment == 1);
    assert_eq!(seen(&node, "main")["password"], SECRET);
    let error = node
        .deploy_with(spec(), &[("undeclared", "x")])
        .await
        .unwrap_err();
    assert_eq!(error.kind, Kind::Invalid);
    let unchanged = node
        .deploy_with(spec(), &[("password", SECRET)])
        .await
        .unwrap();
    assert!(!unchanged.changed);

    // They survive a restart.
    drop(node);
    let node = open(folder.path(), Settings::default()).await;
    assert_eq!(seen(&node, "main")["password"], SECRET);
    assert_eq!(seen(&node, "main")["fallback"], DEFAULT);
}

#[tokio::test]
async fn values_are_nowhere_to_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let node = open(folder.path(), Settings::default()).await;
    node.upload("main").await;
    node.upload("side").await;
    let (project, shop) = (project(), app_name("shop"));
    node.client
        .set_secret(&project, &shop, "password", SECOND)
        .await
        .unwrap();
    node.client
        .set_secret(&project, &shop, "password", SECRET)
        .await
        .unwrap();
    node.deploy(spec()).await.unwrap();
    node.call("shop").await.unwrap();

    // Every GET of the API, and what errors say.
    let mut bodies = Vec::new();
    for path in gust_control::openapi().paths.paths.keys() {
        let path = path
            .replace("{project}", "default")
            .replace("{app}", "shop")
            .replace("{function}", "main")
            .replace("{name}", "password");
        bodies.push(node.authorized("GET", &path, "", "").await);
    }
    let json = "content-type: application/json\r\n";
    let secret_path = "/v1/projects/default/apps/shop/secrets";
    let value = format!("{{\"value\":\"{SECRET}\"}}");
    for path in ["password", "NOT-A-NAME", "password/more"] {
        bodies.push(
            node.authorized("PUT", &format!("{secret_path}/{path}"), json, &value)
                .await,
        );
    }
    let broken = format!("{{\"value\":\"{SECRET}\", \"more\": 1}}");
    bodies.push(
        node.authorized("PUT", &format!("{secret_path}/password"), json, &broken)
            .await,
    );
    let given = serde_json::json!({"app": spec(), "variables": {"password": SECRET}}).to_string();
    let deploy = "/v1/projects/default/apps/shop/deploy";
    bodies.push(node.authorized("POST", deploy, json, &given).await);
    let lines = node
        .client
        .logs(&project, &shop, &LogQuery::default())
        .await;
    assert!(lines.is_ok());
    assert!(
        bodies
            .iter()
            .filter(|b| b.starts_with("HTTP/1.1 200"))
            .count()
            >= 10
    );
    for body in &bodies {
        for hidden in [SECRET, SECOND, &node.token] {
            assert!(!body.contains(hidden), "{body}");
        }
        // The deploy's own request has it in clear; no answer has.
        assert!(!body.contains(DEFAULT), "{body}");
    }

    // Neither are they in any file, but for the token's own.
    let token = node.token.clone();
    for (file, bytes) in all_bytes(folder.path()) {
        for hidden in [SECRET, SECOND, DEFAULT, &token] {
            let found = bytes.windows(hidden.len()).any(|w| w == hidden.as_bytes());
            let is_token = file.file_name().is_some_and(|n| n == "token") && hidden == token;
            assert!(!found || is_token, "{hidden} is in {}", file.display());
        }
    }
}
