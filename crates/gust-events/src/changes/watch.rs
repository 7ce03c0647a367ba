//! Nothing is subscribed to for longer than a trigger wants it, and nothing is watched for longer than that.
//!
//! A deploy subscribes before it answers; a resource tells of its changes while its stream has a subscription. What no
//! trigger wants any more ends here: of an app that is gone or takes from elsewhere now, of a deploy that failed after it had
//! subscribed, of a node that went down in between. Databases also have to know which of their tables are watched
//! (`tables.rs`).
//!
//! What has to stay true:
//! - A subscription that a deploy has just made is not taken for one that nobody wants: a deploy says that it is under way
//!   and subscribes in one turn ([`Watches::turn`]), and what is ended is ended in such a turn too.
//! - While a deploy is under way nothing of its app ends: it may fail when dispatch has the new app already, and the old one
//!   comes back.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use gust_backend::{changes::Watched, desk::Ready};
use gust_task::Stop;
use gust_types::{AppName, Label, ProjectName, Result, trigger::EventsSpec};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::tables::Tables;
use crate::{
    Parts,
    triggers::{self, Key},
};

/// After a look that failed, or that ended something.
const REST: Duration = Duration::from_secs(5);

/// Sees to it that what is subscribed to is what triggers want.
pub(crate) struct Watches {
    parts: Arc<Parts>,
    /// The apps of deploys that are under way.
    pending: Mutex<HashMap<u64, (ProjectName, AppName)>>,
    last: AtomicU64,
    turn: tokio::sync::Mutex<()>,
    /// Projects that there are, or were while this node ran.
    projects: Mutex<BTreeSet<ProjectName>>,
    /// Apps that were deployed and are not served; `None` until that is known.
    left_out: Mutex<Option<Vec<(ProjectName, AppName)>>>,
    nudge: Notify,
    tables: Tables,
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
            tables: Tables::new(parts.clone()),
            parts,
            pending: Mutex::default(),
            last: AtomicU64::new(0),
            turn: tokio::sync::Mutex::default(),
            projects: Mutex::default(),
            left_out: Mutex::default(),
            nudge: Notify::new(),
        }
    }

    /// Nothing is ended meanwhile.
    pub(crate) async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// A deploy is under way; until what this answers is dropped, no subscription of the app ends.
    pub(crate) fn under_way(self: &Arc<Self>, project: &ProjectName, app: &AppName) -> Ready {
        let id = self.last.fetch_add(1, Relaxed);
        let of = (project.clone(), app.clone());
        self.pending.lock().insert(id, of);
        let ours = self.clone();
        Ready::new(move || {
            ours.pending.lock().remove(&id);
            ours.nudge.notify_one();
        })
    }

    /// Has the tables watched that an app wants, whose deploy is under way: from when this answers.
    pub(crate) async fn prepare(&self, project: &ProjectName, events: &EventsSpec) -> Result<()> {
        self.tables.prepare(project, events).await
    }

    /// What was deployed to these projects is served, but for these apps.
    pub(crate) fn restored(
        &self,
        projects: Vec<ProjectName>,
        left_out: Vec<(ProjectName, AppName)>,
    ) {
        self.projects.lock().extend(projects);
        *self.left_out.lock() = Some(left_out);
        self.nudge.notify_one();
    }

    /// Looks after every publish, and after every deploy that failed.
    pub(crate) async fn run(self: Arc<Self>, stop: Stop) {
        let mut publishes = self.parts.dispatcher.publishes();
        loop {
            publishes.mark_unchanged();
            let rest = match self.arrange().await {
                Ok(false) => None,
                // Whoever was taking from it may have subscribed once more before it was told to stop.
                Ok(true) => Some(REST),
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

    /// Whether anything was ended.
    async fn arrange(&self) -> Result<bool> {
        if self.left_out.lock().is_none() {
            return Ok(false);
        }
        let (mut ended, mut databases) = (false, Vec::new());
        for (project, topic) in self.topics()? {
            if let Some(Watched::Sql(name)) = Watched::of_topic(&topic) {
                databases.push((project.clone(), name));
            }
            for subscription in self.open(&project, &topic)?.subscriptions().await? {
                let found = Wish {
                    project: project.clone(),
                    name: subscription.name,
                    topic: topic.clone(),
                };
                if self.is_over(&found) {
                    let _turn = self.turn().await;
                    ended |= self.is_over(&found) && self.end(&found).await?;
                }
            }
        }
        let is_settled = |project: &ProjectName| self.is_settled(project);
        self.tables.arrange(databases, is_settled).await?;
        Ok(ended)
    }

    /// Whether what is served of a project is all that may be.
    fn is_settled(&self, project: &ProjectName) -> bool {
        let pending = self.pending.lock();
        let left_out = self.left_out.lock();
        let mut unsettled = pending.values().chain(left_out.iter().flatten());
        unsettled.all(|(of, _)| of != project)
    }

    /// Every topic, and every stream.
    fn topics(&self) -> Result<Vec<(ProjectName, Label)>> {
        let mut projects = self.projects.lock();
        projects.extend(self.parts.dispatcher.projects());
        let streams = self.parts.backends.streams()?.into_iter();
        let mut all: Vec<_> = streams.map(|(project, of)| (project, of.topic())).collect();
        for project in &*projects {
            let topics = self.parts.backends.topics(project)?.into_iter();
            all.extend(topics.map(|topic| (project.clone(), topic)));
        }
        Ok(all)
    }

    /// Whether nobody wants it: no trigger that is served, and nobody who may be served again.
    fn is_over(&self, found: &Wish) -> bool {
        if self.pending.lock().values().any(|of| found.is_of(of)) {
            return false;
        }
        let left_out = self.left_out.lock();
        if left_out.iter().flatten().any(|of| found.is_of(of)) {
            return false;
        }
        drop(left_out);
        !self.wanted().contains(found)
    }

    /// What the triggers want that are served.
    fn wanted(&self) -> HashSet<Wish> {
        let served = self.parts.dispatcher.events();
        let all = served.iter();
        all.flat_map(|(project, app, events)| wishes(project, app, events))
            .collect()
    }

    fn open(
        &self,
        project: &ProjectName,
        topic: &Label,
    ) -> Result<Arc<dyn gust_backend::topic::Topic>> {
        let settings = gust_backend::topic::TopicSettings::default();
        self.parts.backends.topic(project, topic, &settings)
    }

    /// Ends a subscription, and with it what waits in the inbox, unless its trigger takes from elsewhere now. What was given
    /// up stays as long as it would have.
    async fn end(&self, gone: &Wish) -> Result<bool> {
        let Wish {
            project,
            name,
            topic,
        } = gone;
        if !self.open(project, topic)?.unsubscribe(name).await? {
            return Ok(false);
        }
        tracing::info!(%project, subscription = name, %topic, "nobody is subscribed any more");
        let Some(key) = Key::of_subscription(project, name) else {
            return Ok(true);
        };
        let same = |wish: &Wish| wish.project == *project && wish.name == *name;
        if self.wanted().iter().any(same) {
            return Ok(true);
        }
        let settings = triggers::inbox_settings();
        let inbox = self
            .parts
            .backends
            .queue(project, &triggers::inbox(&key), &settings)?;
        inbox.purge(false).await?;
        Ok(true)
    }
}

// === impl Wish ===

impl Wish {
    fn is_of(&self, (project, app): &(ProjectName, AppName)) -> bool {
        let of = self.name.split_once('/').map(|(of, _)| of);
        self.project == *project && of == Some(app.as_str())
    }
}

/// The topics and streams that the triggers of an app take from.
fn wishes<'a>(
    project: &'a ProjectName,
    app: &'a AppName,
    events: &'a EventsSpec,
) -> impl Iterator<Item = Wish> + 'a {
    events.triggers.iter().filter_map(move |trigger| {
        Some(Wish {
            project: project.clone(),
            name: format!("{app}/{}", trigger.name),
            topic: trigger.source.topic()?,
        })
    })
}
