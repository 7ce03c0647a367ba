//! Nothing is watched for longer than a trigger wants it.
//!
//! A resource tells of its changes while its stream has a subscription. A deploy makes those before it answers, and a trigger
//! that goes takes its own with it. What neither sees to is seen to here: a deploy that failed after it had subscribed, and a
//! node that went down in between.
//!
//! What has to stay true: a subscription that a deploy has just made is not taken for one that nobody wants. So a deploy says
//! that it is under way before it subscribes, and takes that back when its app is served; here, subscriptions are looked at
//! first, then deploys, then what is served.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use gust_backend::desk::Ready;
use gust_task::Stop;
use gust_types::{
    AppName, Label, ProjectName, Result,
    trigger::{EventsSpec, TriggerSource},
};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{
    Parts,
    triggers::{self, Key},
};

/// After a look that failed.
const REST: Duration = Duration::from_secs(5);

/// Sees to it that what is watched is what triggers want.
pub(crate) struct Watches {
    parts: Arc<Parts>,
    /// What deploys want that are under way.
    pending: Mutex<HashMap<u64, Vec<Wish>>>,
    last: AtomicU64,
    /// Apps that were deployed and are not served; `None` until that is known.
    left_out: Mutex<Option<Vec<(ProjectName, AppName)>>>,
    nudge: Notify,
}

/// A trigger and the stream it takes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Wish {
    project: ProjectName,
    /// The name of its subscription.
    name: String,
    topic: Label,
}

// === impl Watches ===

impl Watches {
    pub(crate) fn new(parts: Arc<Parts>) -> Self {
        Self {
            parts,
            pending: Mutex::default(),
            last: AtomicU64::new(0),
            left_out: Mutex::default(),
            nudge: Notify::new(),
        }
    }

    /// A deploy is under way; until what this answers is dropped, what it wants is wanted.
    pub(crate) fn under_way(
        self: &Arc<Self>,
        project: &ProjectName,
        app: &AppName,
        events: &EventsSpec,
    ) -> Ready {
        let wishes: Vec<_> = wishes(project, app, events).collect();
        if wishes.is_empty() {
            return Ready::new(|| {});
        }
        let id = self.last.fetch_add(1, Relaxed);
        self.pending.lock().insert(id, wishes);
        let ours = self.clone();
        Ready::new(move || {
            ours.pending.lock().remove(&id);
            ours.nudge.notify_one();
        })
    }

    /// What was deployed is served, but for these.
    pub(crate) fn restored(&self, left_out: Vec<(ProjectName, AppName)>) {
        *self.left_out.lock() = Some(left_out);
        self.nudge.notify_one();
    }

    /// Looks after every publish, and after every deploy that failed.
    pub(crate) async fn run(self: Arc<Self>, stop: Stop) {
        let mut publishes = self.parts.dispatcher.publishes();
        loop {
            publishes.mark_unchanged();
            let rest = match self.arrange().await {
                Ok(()) => None,
                Err(error) => {
                    tracing::warn!(error = error.chain(), "cannot look after what is watched");
                    Some(REST)
                }
            };
            let rest = async {
                match rest {
                    Some(rest) => tokio::time::sleep(rest).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = publishes.changed() => if changed.is_err() { return },
                () = self.nudge.notified() => {}
                () = rest => {}
                () = stop.stopped() => return,
            }
        }
    }

    async fn arrange(&self) -> Result<()> {
        if self.left_out.lock().is_none() {
            return Ok(());
        }
        let mut found = Vec::new();
        for (project, of) in self.parts.backends.streams()? {
            let topic = of.topic();
            let stream = self.stream(&project, &topic)?;
            for subscription in stream.subscriptions().await? {
                found.push(Wish {
                    project: project.clone(),
                    name: subscription.name,
                    topic: topic.clone(),
                });
            }
        }
        if found.is_empty() {
            return Ok(());
        }
        let wanted = self.wanted();
        for gone in found.iter().filter(|found| !wanted.contains(found)) {
            if !self.is_left_out(gone) {
                self.leave(gone).await?;
            }
        }
        Ok(())
    }

    /// What triggers want: first of those that are being deployed, then of those that are served.
    fn wanted(&self) -> HashSet<Wish> {
        let mut wanted: HashSet<Wish> = self.pending.lock().values().flatten().cloned().collect();
        for (project, app, events) in self.parts.dispatcher.events() {
            wanted.extend(wishes(&project, &app, &events));
        }
        wanted
    }

    fn is_left_out(&self, wish: &Wish) -> bool {
        let left_out = self.left_out.lock();
        let mut all = left_out.iter().flatten();
        all.any(|(project, app)| *project == wish.project && wish.is_of(app))
    }

    fn stream(
        &self,
        project: &ProjectName,
        topic: &Label,
    ) -> Result<Arc<dyn gust_backend::topic::Topic>> {
        let settings = gust_backend::topic::TopicSettings::default();
        self.parts.backends.topic(project, topic, &settings)
    }

    /// Ends a subscription that nobody wants, and what waits for it.
    async fn leave(&self, gone: &Wish) -> Result<()> {
        let Wish {
            project,
            name,
            topic,
        } = gone;
        if !self.stream(project, topic)?.unsubscribe(name).await? {
            return Ok(());
        }
        tracing::info!(%project, subscription = name, %topic, "nobody wants these changes any more");
        let Some(key) = Key::of_subscription(project, name) else {
            return Ok(());
        };
        let settings = triggers::inbox_settings();
        let inbox = self
            .parts
            .backends
            .queue(project, &triggers::inbox(&key), &settings)?;
        inbox.purge(false).await.map(drop)
    }
}

// === impl Wish ===

impl Wish {
    fn is_of(&self, app: &AppName) -> bool {
        let of = self.name.split_once('/').map(|(of, _)| of);
        of == Some(app.as_str())
    }
}

/// The streams that the triggers of an app take from.
fn wishes<'a>(
    project: &'a ProjectName,
    app: &'a AppName,
    events: &'a EventsSpec,
) -> impl Iterator<Item = Wish> + 'a {
    events.triggers.iter().filter_map(move |trigger| {
        let TriggerSource::Changes(spec) = &trigger.source else {
            return None;
        };
        Some(Wish {
            project: project.clone(),
            name: format!("{app}/{}", trigger.name),
            topic: spec.of.topic(),
        })
    })
}
