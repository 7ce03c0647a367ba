//! Nothing is watched for longer than a trigger wants it.
//!
//! A resource tells of its changes while its stream has a subscription. A deploy makes those before it answers, and a trigger
//! that goes takes its own with it. What neither sees to is seen to here: a deploy that failed after it had subscribed, and a
//! node that went down in between.
//!
//! A database also has to know which of its tables are watched: all that the project's triggers name.
//!
//! What has to stay true: a subscription that a deploy has just made is not taken for one that nobody wants. So a deploy says
//! that it is under way before it subscribes, and takes that back when its app is served; here, subscriptions are looked at
//! first, then deploys, then what is served.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use gust_backend::{
    changes::Watched,
    desk::Ready,
    topic::{Topic, TopicSettings},
};
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
    /// The tables that databases are known to watch. Held while one is told of its own, so that nobody undoes what a deploy
    /// has just asked for.
    told: tokio::sync::Mutex<HashMap<Database, BTreeSet<String>>>,
}

/// A trigger and what it takes the changes of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Wish {
    project: ProjectName,
    /// The name of its subscription.
    name: String,
    of: Watched,
    tables: Vec<String>,
}

/// A database of a project.
type Database = (ProjectName, Label);

// === impl Watches ===

impl Watches {
    pub(crate) fn new(parts: Arc<Parts>) -> Self {
        Self {
            parts,
            pending: Mutex::default(),
            last: AtomicU64::new(0),
            left_out: Mutex::default(),
            nudge: Notify::new(),
            told: tokio::sync::Mutex::default(),
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
        let (mut found, streams) = (Vec::new(), self.parts.backends.streams()?);
        for (project, of) in &streams {
            let stream = self.stream(project, of)?;
            for subscription in stream.subscriptions().await? {
                found.push((project.clone(), subscription.name, of.clone()));
            }
        }
        let wanted = self.wanted();
        let is_wanted = |(project, name, of): &(ProjectName, String, Watched)| {
            let mut wanted = wanted.iter();
            wanted.any(|wish| (&wish.project, &wish.name, &wish.of) == (project, name, of))
        };
        for (project, name, of) in found.iter().filter(|found| !is_wanted(found)) {
            if !self.is_left_out(project, Some(name)) {
                self.leave(project, name, of).await?;
            }
        }
        self.tell_databases(streams).await
    }

    /// Also those whose triggers are all gone. One that cannot be told keeps nobody else from it.
    async fn tell_databases(&self, streams: Vec<(ProjectName, Watched)>) -> Result<()> {
        let mut failed = None;
        for (project, of) in streams {
            let Watched::Sql(name) = of else {
                continue;
            };
            let database = (project, name);
            if let Err(error) = self.tell(&database).await {
                let (project, name) = &database;
                tracing::warn!(%project, database = %name, error = error.chain(), "a database does not know which tables are watched");
                failed = Some(error);
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Tells a database which of its tables are watched, unless it knows.
    async fn tell(&self, database: &Database) -> Result<()> {
        let mut told = self.told.lock().await;
        let tables = self.tables(database);
        if told.get(database) == Some(&tables) {
            return Ok(());
        }
        let (project, name) = database;
        let exactly = !self.is_left_out(project, None);
        let sql = self.parts.backends.sql(project, name)?;
        sql.watch(tables.iter().cloned().collect(), exactly).await?;
        told.insert(database.clone(), tables);
        Ok(())
    }

    /// The tables of a database that somebody wants to be watched.
    fn tables(&self, (project, name): &Database) -> BTreeSet<String> {
        let of = Watched::Sql(name.clone());
        let wanted = self.wanted();
        let wishes = wanted.iter();
        let wishes = wishes.filter(|wish| wish.project == *project && wish.of == of);
        let tables = wishes.flat_map(|wish| wish.tables.iter());
        tables.map(|table| table.to_ascii_lowercase()).collect()
    }

    /// Has the tables watched that an app wants, whose deploy is under way: from when this answers.
    pub(crate) async fn prepare(&self, project: &ProjectName, events: &EventsSpec) -> Result<()> {
        for trigger in &events.triggers {
            let TriggerSource::Changes(spec) = &trigger.source else {
                continue;
            };
            let Watched::Sql(name) = &spec.of else {
                continue;
            };
            let mut told = self.told.lock().await;
            // Whatever it is told from here on, it is to be told again what is wanted in the end.
            told.remove(&(project.clone(), name.clone()));
            let sql = self.parts.backends.sql(project, name)?;
            let watched = sql.watch(spec.tables.clone(), false).await;
            watched.map_err(|error| triggers::within(trigger, error))?;
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

    /// Whether this subscription is of an app that was deployed and is not served; without a name, whether the project has
    /// such an app.
    fn is_left_out(&self, project: &ProjectName, name: Option<&str>) -> bool {
        let app = name
            .and_then(|name| name.split_once('/'))
            .map(|(app, _)| app);
        let left_out = self.left_out.lock();
        let mut all = left_out.iter().flatten();
        all.any(|(of, left)| of == project && app.is_none_or(|app| app == left.as_str()))
    }

    fn stream(&self, project: &ProjectName, of: &Watched) -> Result<Arc<dyn Topic>> {
        let settings = TopicSettings::default();
        self.parts.backends.topic(project, &of.topic(), &settings)
    }

    /// Ends a subscription that nobody wants, and what waits for it.
    async fn leave(&self, project: &ProjectName, name: &str, of: &Watched) -> Result<()> {
        if !self.stream(project, of)?.unsubscribe(name).await? {
            return Ok(());
        }
        tracing::info!(%project, subscription = name, %of, "nobody wants these changes any more");
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
            of: spec.of.clone(),
            tables: spec.tables.clone(),
        })
    })
}
