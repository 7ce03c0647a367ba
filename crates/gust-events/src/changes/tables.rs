//! Which tables databases watch: all that the triggers of their project name.
//!
//! A deploy adds its tables before it answers. None is taken away while a deploy of the project is under way, or while an app
//! of it is left out: then what is served is not all that may be wanted.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use gust_backend::changes::Watched;
use gust_types::{
    Label, ProjectName, Result,
    trigger::{ChangesSpec, EventsSpec, TriggerSource},
};
use tokio::sync::Mutex;

use crate::{Parts, triggers};

/// A database of a project.
pub(super) type Database = (ProjectName, Label);

/// Tells databases which of their tables are watched.
pub(super) struct Tables {
    parts: Arc<Parts>,
    /// What databases are known to watch, no more and no less. Held while one is told, so that nobody undoes what a deploy
    /// has just asked for.
    told: Mutex<HashMap<Database, BTreeSet<String>>>,
}

// === impl Tables ===

impl Tables {
    pub(super) fn new(parts: Arc<Parts>) -> Self {
        Self {
            parts,
            told: Mutex::default(),
        }
    }

    /// Has the tables watched that an app wants, whose deploy is under way: from when this answers.
    pub(super) async fn prepare(&self, project: &ProjectName, events: &EventsSpec) -> Result<()> {
        for trigger in &events.triggers {
            let Some((name, spec)) = database(&trigger.source) else {
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

    /// Tells these databases what is wanted of them, which are all that anybody ever listened to. `is_settled` says of which projects everything is served that may be. One that cannot be
    /// told keeps nobody else from it.
    pub(super) async fn arrange(
        &self,
        databases: Vec<Database>,
        is_settled: impl Fn(&ProjectName) -> bool,
    ) -> Result<()> {
        let (mut wanted, mut failed) = (self.wanted(), None);
        for database in databases {
            let tables = wanted.remove(&database).unwrap_or_default();
            if let Err(error) = self.tell(&database, tables, &is_settled).await {
                let (project, name) = &database;
                tracing::warn!(%project, database = %name, error = error.chain(), "a database does not know which tables are watched");
                failed = Some(error);
            }
        }
        failed.map_or(Ok(()), Err)
    }

    async fn tell(
        &self,
        database: &Database,
        tables: BTreeSet<String>,
        is_settled: &impl Fn(&ProjectName) -> bool,
    ) -> Result<()> {
        let (project, name) = database;
        let mut told = self.told.lock().await;
        if told.get(database) == Some(&tables) {
            return Ok(());
        }
        let exactly = is_settled(project);
        // What was wanted a moment ago may be less than a deploy has just made of it.
        if exactly && self.wanted().remove(database).unwrap_or_default() != tables {
            return Ok(());
        }
        let sql = self.parts.backends.sql(project, name)?;
        sql.watch(tables.iter().cloned().collect(), exactly).await?;
        match exactly {
            true => told.insert(database.clone(), tables),
            false => told.remove(database),
        };
        Ok(())
    }

    /// The tables that the triggers want that are served.
    fn wanted(&self) -> HashMap<Database, BTreeSet<String>> {
        let mut wanted: HashMap<Database, BTreeSet<String>> = HashMap::new();
        for (project, _, events) in self.parts.dispatcher.events() {
            for (name, spec) in events.triggers.iter().filter_map(|t| database(&t.source)) {
                let tables = spec.tables.iter().map(|table| table.to_ascii_lowercase());
                let of = (project.clone(), name.clone());
                wanted.entry(of).or_default().extend(tables);
            }
        }
        wanted
    }
}

/// The database that a trigger takes the changes of.
fn database(source: &TriggerSource) -> Option<(&Label, &ChangesSpec)> {
    match source {
        TriggerSource::Changes(spec) => match &spec.of {
            Watched::Sql(name) => Some((name, spec)),
            Watched::Kv(_) | Watched::Blob(_) => None,
        },
        _ => None,
    }
}
