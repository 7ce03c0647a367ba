//! Webhooks in the route table.

use std::sync::Arc;

use gust_types::{
    FunctionName, Kind, Label,
    deployment::Variables,
    trigger::{EventsSpec, TriggerSource, TriggerSpec, WebhookScheme, WebhookSpec},
};

use super::kit::{App, World, get, reply, runtime};
use crate::Target;

fn events(path: &str, values: Variables) -> Arc<EventsSpec> {
    let webhook = WebhookSpec {
        path: path.to_owned(),
        scheme: WebhookScheme::Github,
        secrets: vec!["{{ it }}".to_owned()],
        tolerance: None,
        id_header: None,
        event_header: None,
    };
    Arc::new(EventsSpec {
        triggers: vec![TriggerSpec {
            name: Label::new("it").unwrap(),
            function: FunctionName::new("f").unwrap(),
            path: "/".to_owned(),
            source: TriggerSource::Webhook(webhook),
            concurrency: 1,
            retry: Default::default(),
            exactly_once: false,
            mode: Default::default(),
        }],
        values,
        ..EventsSpec::default()
    })
}

fn values(secret: &str) -> Variables {
    Variables([("it".to_owned(), secret.to_owned())].into())
}

fn world() -> World {
    World::new(runtime(4).with("f", async |_| Ok(reply("f"))))
}

#[tokio::test]
async fn a_webhook_has_its_path_and_its_secret() {
    let world = world();
    let mut deployment = App::new("shop").function("f").deployment();
    deployment.events = events("/f/hook", values("hush"));
    assert!(!format!("{deployment:?}").contains("hush"));
    world.dispatcher.deploy(deployment.clone()).unwrap();
    let secret = |path: &str| {
        let head = get(&format!("http://shop.test{path}")).into_parts().0;
        match world.dispatcher.route(&head).unwrap().target {
            Target::Hook(hook) => {
                assert!(!format!("{hook:?}").contains(&hook.secrets.0[0]));
                Some(hook.secrets.0.concat())
            }
            _ => None,
        }
    };
    assert_eq!(secret("/f/hook").as_deref(), Some("hush"));
    assert_eq!(secret("/f/other"), None);
    // Another value needs no other revision.
    deployment.events = events("/f/hook", values("next"));
    world.dispatcher.deploy(deployment).unwrap();
    assert_eq!(secret("/f/hook").as_deref(), Some("next"));
}

#[tokio::test]
async fn what_cannot_be_is_refused_whole() {
    let world = world();
    let deploy = |path: &str, variables: Variables| {
        let mut deployment = App::new("shop").function("f").deployment();
        deployment.events = events(path, variables);
        world.dispatcher.deploy(deployment).unwrap_err()
    };
    let taken = deploy("/f/...", values("hush"));
    assert_eq!(taken.kind, Kind::Conflict);
    assert!(taken.message.contains("webhook it"), "{}", taken.message);
    let unset = deploy("/hook", Variables::default());
    assert!(unset.message.contains("not set"), "{}", unset.message);
    let empty = deploy("/hook", values(""));
    assert!(empty.message.contains("is empty"), "{}", empty.message);
    assert!(world.dispatcher.functions().is_empty());
}
