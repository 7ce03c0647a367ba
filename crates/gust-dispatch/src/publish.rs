//! Publishing: making the table that routes from now on.
//!
//! One publisher at a time; readers never wait. What did not change keeps its entry, and with it its warm instances.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Weak},
};

use arc_swap::ArcSwap;
use gust_types::{
    AppName, Deployment, Label, ProjectName, Result, Revision, trigger::QueueSettings,
};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::{
    FunctionEntry, Rejected,
    acquire::check_bindings,
    admit::{Lane, Tenant},
    engine::Engine,
    route::{Site, Table},
};

/// The table and whoever may change it.
pub(crate) struct Published {
    table: ArcSwap<Table>,
    /// Counts publishes.
    count: watch::Sender<u64>,
    desk: Mutex<Desk>,
    /// How queues behave that were made by a command, where no app says.
    made: ArcSwap<Made>,
}

type Made = HashMap<ProjectName, BTreeMap<Label, QueueSettings>>;

/// What only publishing touches.
#[derive(Default)]
struct Desk {
    tenants: HashMap<ProjectName, Arc<Tenant>>,
    /// Queues of functions that were removed, while calls are in them.
    departed: Vec<Weak<Lane>>,
}

// === impl Published ===

impl Published {
    pub(crate) fn new(domain: &str) -> Self {
        Self {
            table: ArcSwap::from_pointee(Table::new(domain)),
            count: watch::Sender::new(0),
            desk: Mutex::default(),
            made: ArcSwap::default(),
        }
    }

    /// How a queue behaves: as the app says that gives it settings, else as it was made, else as any queue does.
    pub(crate) fn queue_settings(&self, project: &ProjectName, name: &Label) -> QueueSettings {
        if let Some(given) = self.table().queue_settings(project, name) {
            return given.clone();
        }
        let made = self.made.load();
        let made = made.get(project).and_then(|queues| queues.get(name));
        made.cloned().unwrap_or_default()
    }

    /// How those behave that were made, where no app says.
    pub(crate) fn made(&self, project: &ProjectName) -> BTreeMap<Label, QueueSettings> {
        self.made.load().get(project).cloned().unwrap_or_default()
    }

    /// How the queues of a project behave that were made by a command: these, and no others.
    pub(crate) fn set_made(&self, project: &ProjectName, queues: BTreeMap<Label, QueueSettings>) {
        self.made.rcu(|made| {
            let mut made = Made::clone(made);
            made.insert(project.clone(), queues.clone());
            made
        });
    }

    /// Counts publishes, for those who follow what is served.
    pub(crate) fn count(&self) -> watch::Receiver<u64> {
        self.count.subscribe()
    }

    /// The table of now.
    pub(crate) fn table(&self) -> arc_swap::Guard<Arc<Table>> {
        self.table.load()
    }

    /// Publishes one app.
    pub(crate) fn deploy(&self, engine: &Arc<Engine>, deployment: &Deployment) -> Result<()> {
        for revision in &deployment.functions {
            check_bindings(revision)?;
        }
        let mut desk = self.desk.lock();
        let old = self.table.load_full();
        let site = desk.site(engine, &old, deployment)?;
        let mut table = Table::clone(&old);
        let former = table.insert(site.clone())?;
        self.publish(
            engine,
            &mut desk,
            table,
            former.into_iter().collect(),
            [&site],
        );
        Ok(())
    }

    /// Publishes exactly these apps.
    pub(crate) fn replace_all(&self, engine: &Arc<Engine>, all: &[Deployment]) -> Vec<Rejected> {
        let mut desk = self.desk.lock();
        let old = self.table.load_full();
        let mut table = Table::new(old.domain());
        let mut rejected = Vec::new();
        for deployment in all {
            let site = desk.site(engine, &old, deployment);
            if let Err(error) = site.and_then(|site| table.insert(site)) {
                rejected.push(Rejected {
                    project: deployment.project.clone(),
                    app: deployment.app.clone(),
                    error,
                });
            }
        }
        let sites: Vec<_> = table.sites().cloned().collect();
        let former = old.sites().cloned().collect();
        self.publish(engine, &mut desk, table, former, &sites);
        rejected
    }

    /// Takes an app out.
    pub(crate) fn remove(
        &self,
        engine: &Arc<Engine>,
        project: &ProjectName,
        app: &AppName,
    ) -> bool {
        let mut desk = self.desk.lock();
        let mut table = Table::clone(&self.table.load());
        let former = table.remove(project, app);
        let found = former.is_some();
        self.publish(engine, &mut desk, table, former.into_iter().collect(), []);
        found
    }

    /// Swaps the table, then lets the new entries serve, then retires those that are gone. In this order no request
    /// finds nothing: a call routed a moment before still has its old entry, or is handed to the new one by admit.
    fn publish<'s>(
        &self,
        engine: &Engine,
        desk: &mut Desk,
        table: Table,
        former: Vec<Arc<Site>>,
        sites: impl IntoIterator<Item = &'s Arc<Site>>,
    ) {
        let table = Arc::new(table);
        self.table.store(table.clone());
        for entry in sites.into_iter().flat_map(|site| site.entries()) {
            entry.lane.serve(entry);
        }
        for site in former {
            let now = table.app(&site.project, &site.app);
            for entry in site.entries() {
                let current = now.and_then(|site| site.function(&entry.key().function));
                match current {
                    Some(current) if Arc::ptr_eq(current, entry) => continue,
                    Some(_) => {}
                    None => {
                        desk.departed.push(Arc::downgrade(&entry.lane));
                        engine.parts.metrics.forget(entry.key());
                    }
                }
                entry.retire();
            }
        }
        self.count.send_modify(|count| *count += 1);
        desk.departed
            .retain(|lane| lane.upgrade().is_some_and(|lane| lane.tally.open() > 0));
    }

    /// Refuses the calls of a project, or no longer.
    pub(crate) fn set_refusal(&self, project: &ProjectName, refusal: Option<String>) {
        let tenant = self.desk.lock().tenant(project);
        tenant.refusal.store(refusal.map(Arc::new));
    }

    /// Calls under way or waiting, over all functions, removed ones included.
    pub(crate) fn open_calls(&self) -> usize {
        let departed: u64 = self
            .desk
            .lock()
            .departed
            .iter()
            .filter_map(Weak::upgrade)
            .map(|lane| lane.tally.open())
            .sum();
        let table = self.table.load();
        let open = table
            .sites()
            .flat_map(|site| site.entries())
            .map(|e| e.lane.tally.open());
        (departed + open.sum::<u64>()) as usize
    }
}

impl Desk {
    fn tenant(&mut self, project: &ProjectName) -> Arc<Tenant> {
        self.tenants.entry(project.clone()).or_default().clone()
    }

    /// A deployment as it will be served; functions that did not change are taken over as they are.
    fn site(
        &mut self,
        engine: &Arc<Engine>,
        table: &Table,
        deployment: &Deployment,
    ) -> Result<Arc<Site>> {
        let former = table.app(&deployment.project, &deployment.app);
        let tenant = self.tenant(&deployment.project);
        let entries = deployment.functions.iter().map(|revision| {
            let before = former.and_then(|site| site.function(&revision.key.function));
            entry(engine, &tenant, before, revision)
        });
        Site::new(deployment, entries.collect()).map(Arc::new)
    }
}

fn entry(
    engine: &Arc<Engine>,
    tenant: &Arc<Tenant>,
    before: Option<&Arc<FunctionEntry>>,
    revision: &Arc<Revision>,
) -> Arc<FunctionEntry> {
    if let Some(before) = before
        && before.revision() == revision
    {
        return before.clone();
    }
    let lane = before.map_or_else(
        || Lane::new(revision.spec.limits.concurrency),
        |before| before.lane.clone(),
    );
    let metrics = match before {
        Some(before) => before.metrics.clone(),
        None => engine.parts.metrics.function(&revision.key),
    };
    FunctionEntry::new(
        revision.clone(),
        lane,
        tenant.clone(),
        engine.clone(),
        metrics,
    )
}
