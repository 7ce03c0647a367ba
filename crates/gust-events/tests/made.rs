//! Queues that are made by a command: there before any message is, as they were made where no app says otherwise, and
//! there again after a restart.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use gust_backend::{
    desk::{Desk as _, MadeQueue},
    queue::{Message, QueueSettings, TakeOptions},
    unit::memory::MemoryBackends,
};
use gust_dispatch::Dispatcher;
use gust_events::{Events, Sources};
use gust_meter::Meter;
use gust_runtime::{
    Artifacts,
    logs::Discard,
    memory::{MemoryRuntime, Pace},
};
use gust_telemetry::PathMetrics;
use gust_types::{
    AppName, Deployment, Digest, Error, Kind, Label, ProjectName, Result, Span, Usage,
    trigger::EventsSpec,
};

struct Nothing;

impl Meter for Nothing {
    fn record(&self, _: Usage) {}
}

impl Artifacts for Nothing {
    fn path(&self, digest: &Digest) -> Result<std::path::PathBuf> {
        Err(Error::not_found(format!("no artifacts here: {digest}")))
    }
}

fn project() -> ProjectName {
    ProjectName::default_project()
}

fn label(name: &str) -> Label {
    Label::new(name).unwrap()
}

/// A node's events and what is served, over these backends.
fn events(backends: &MemoryBackends) -> (Events, Dispatcher) {
    let backends = Arc::new(backends.clone());
    let parts = gust_dispatch::Parts {
        runtime: Arc::new(MemoryRuntime::new(Pace::default())),
        backends: backends.clone(),
        meter: Arc::new(Nothing),
        logs: Arc::new(Discard),
        artifacts: Arc::new(Nothing),
        metrics: PathMetrics::default(),
    };
    let dispatcher = Dispatcher::new(gust_dispatch::Settings::default(), parts);
    let events = Events::new(gust_events::Parts {
        dispatcher: dispatcher.clone(),
        backends,
        sources: Sources::default(),
        callbacks: Default::default(),
    });
    (events, dispatcher)
}

fn slow() -> QueueSettings {
    QueueSettings {
        visibility: Span::secs(60),
        ..QueueSettings::default()
    }
}

/// An app that says how a queue behaves.
fn saying(queue: &str, settings: QueueSettings) -> Deployment {
    Deployment {
        project: project(),
        app: AppName::new("a").unwrap(),
        hosts: Vec::new(),
        routes: Vec::new(),
        functions: Vec::new(),
        events: Arc::new(EventsSpec {
            queues: [(label(queue), settings)].into(),
            ..EventsSpec::default()
        }),
    }
}

#[tokio::test]
async fn a_made_queue_is_there_before_and_after_a_restart() {
    let backends = MemoryBackends::default();
    let (project, jobs) = (project(), label("jobs"));
    let (one, dispatcher) = events(&backends);
    assert!(one.find_queue(&project, &jobs).await.unwrap().is_none());
    let make = |settings| one.make_queue(&project, &jobs, settings, BTreeMap::new());
    assert!(make(slow()).await.unwrap());
    assert!(!make(slow()).await.unwrap());
    let other = make(QueueSettings::default()).await.unwrap_err();
    assert_eq!(other.kind, Kind::Conflict);
    let names: Vec<_> = one.queues(&project).unwrap();
    assert_eq!(names, [(jobs.clone(), slow())]);
    // Whoever opens it, functions too, knows how it was made.
    assert_eq!(dispatcher.queue_settings(&project, &jobs), slow());
    let (two, dispatcher) = events(&backends);
    let found = two.find_queue(&project, &jobs).await.unwrap().unwrap();
    assert_eq!(found.settings, slow());
    assert!(!found.named && !found.given);
    assert_eq!(dispatcher.queue_settings(&project, &jobs), slow());
    // Whoever makes a project of this name again does not find it.
    two.later().forget(&project).await.unwrap();
    assert!(two.find_queue(&project, &jobs).await.unwrap().is_none());
    assert!(dispatcher.made_queues(&project).is_empty());
    let (three, _) = events(&backends);
    assert!(three.find_queues(&project).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_an_app_says_goes_before_what_was_made() {
    let (events, dispatcher) = events(&MemoryBackends::default());
    let (project, jobs) = (project(), label("jobs"));
    let made = events.make_queue(&project, &jobs, slow(), BTreeMap::new());
    assert!(made.await.unwrap());
    dispatcher
        .deploy(saying("jobs", QueueSettings::default()))
        .unwrap();
    let found = events.find_queue(&project, &jobs).await.unwrap().unwrap();
    assert_eq!(found.settings, QueueSettings::default());
    assert!(found.named && found.given);
    let removed = events.remove_queue(&project, &jobs).await.unwrap_err();
    assert_eq!(removed.kind, Kind::Conflict);
    dispatcher.remove(&project, &AppName::new("a").unwrap());
    let found = events.find_queue(&project, &jobs).await.unwrap().unwrap();
    assert_eq!(found.settings, slow());
}

#[tokio::test]
async fn a_removed_queue_is_gone_with_all_that_it_held() {
    let (events, _) = events(&MemoryBackends::default());
    let (project, jobs) = (project(), label("jobs"));
    let publish = || events.publish(&project, &jobs, vec![Message::new("x")]);
    publish().await.unwrap();
    // One that nobody made is there once it holds something, and can be noted of.
    let found = events.find_queue(&project, &jobs).await.unwrap().unwrap();
    assert_eq!(found.made, None);
    let noted = MadeQueue {
        notes: [("k".to_owned(), "v".to_owned())].into(),
        ..MadeQueue::default()
    };
    events.set_queue(&project, &jobs, noted).await.unwrap();
    assert!(events.remove_queue(&project, &jobs).await.unwrap());
    assert!(!events.remove_queue(&project, &jobs).await.unwrap());
    assert!(events.find_queues(&project).await.unwrap().is_empty());
    let queue = events.queue(&project, &jobs).unwrap();
    let taken = queue.take(TakeOptions::default()).await.unwrap();
    assert!(taken.is_empty());
    // Published to again, it is there again.
    publish().await.unwrap();
    let found = events.find_queue(&project, &jobs).await.unwrap().unwrap();
    assert_eq!(found.made, None);
    let wait = Duration::from_secs(1);
    let options = TakeOptions {
        wait,
        ..TakeOptions::default()
    };
    assert_eq!(queue.take(options).await.unwrap().len(), 1);
}
