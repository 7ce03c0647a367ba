//! The route table: every app of the node by host. Immutable; a change makes a new one that shares the apps.

use std::{collections::HashMap, sync::Arc};

use gust_types::{
    AppName, Error, Label, ProjectName, Result,
    trigger::{QueueSettings, TopicSettings},
};

use super::{Site, host};

/// Every app by host.
#[derive(Clone)]
pub(crate) struct Table {
    domain: Arc<str>,
    /// By name below the domain: `app`, or `app.project`.
    names: HashMap<Arc<str>, Arc<Site>>,
    /// By custom host.
    custom: HashMap<Arc<str>, Arc<Site>>,
    fallback: Option<Arc<Site>>,
}

// === impl Table ===

impl Table {
    /// A table without apps.
    pub(crate) fn new(domain: &str) -> Self {
        Self {
            domain: domain.to_ascii_lowercase().into(),
            names: HashMap::new(),
            custom: HashMap::new(),
            fallback: None,
        }
    }

    pub(crate) fn domain(&self) -> &str {
        &self.domain
    }

    pub(crate) fn fallback(&self) -> Option<&Arc<Site>> {
        self.fallback.as_ref()
    }

    pub(super) fn custom(&self, host: &str) -> Option<&Arc<Site>> {
        if self.custom.is_empty() {
            return None;
        }
        self.custom.get(host)
    }

    pub(super) fn by_host_name(&self, name: &str) -> Option<&Arc<Site>> {
        self.names.get(name)
    }

    /// An app by project and name.
    pub(crate) fn app(&self, project: &ProjectName, app: &AppName) -> Option<&Arc<Site>> {
        self.names.get(host::app_host(project, app).as_ref())
    }

    /// All apps.
    pub(crate) fn sites(&self) -> impl Iterator<Item = &Arc<Site>> {
        self.names.values()
    }

    /// What the app says that gives this queue settings.
    pub(crate) fn queue_settings(
        &self,
        project: &ProjectName,
        name: &Label,
    ) -> Option<&QueueSettings> {
        let mut apps = self.sites().filter(|site| site.project == *project);
        apps.find_map(|site| site.events.queues.get(name))
    }

    /// The same of a topic.
    pub(crate) fn topic_settings(&self, project: &ProjectName, name: &Label) -> TopicSettings {
        let mut apps = self.sites().filter(|site| site.project == *project);
        let given = apps.find_map(|site| site.events.topics.get(name));
        given.cloned().unwrap_or_default()
    }

    /// Puts an app in, in place of its former self, which is handed back. On a conflict nothing changes.
    pub(crate) fn insert(&mut self, site: Arc<Site>) -> Result<Option<Arc<Site>>> {
        self.check(&site)?;
        let former = self.take(&site.name);
        for host in &site.hosts {
            self.custom.insert(host.clone(), site.clone());
        }
        if site.any_host {
            self.fallback = Some(site.clone());
        }
        self.names.insert(site.name.clone(), site);
        Ok(former)
    }

    /// Takes an app out.
    pub(crate) fn remove(&mut self, project: &ProjectName, app: &AppName) -> Option<Arc<Site>> {
        let name = host::app_host(project, app);
        self.take(&name)
    }

    fn take(&mut self, name: &str) -> Option<Arc<Site>> {
        let former = self.names.remove(name)?;
        for host in &former.hosts {
            self.custom.remove(host);
        }
        if former.any_host {
            self.fallback = None;
        }
        Some(former)
    }

    fn check(&self, site: &Site) -> Result<()> {
        for host in &site.hosts {
            if host::below(host, &self.domain).is_some() {
                return Err(Error::denied(format!(
                    "the host is one that the node gives out: {host}"
                ))
                .hint(format!(
                    "names below {} belong to apps of that name",
                    self.domain
                )));
            }
            if let Some(other) = self.custom.get(host) {
                self.other(site, other, host)?;
            }
        }
        if site.any_host
            && let Some(other) = &self.fallback
        {
            self.other(site, other, "*")?;
        }
        self.check_two_readings(site)
    }

    /// `x.y` is function `x` of `default`'s app `y`, or app `x` of project `y`: never both.
    fn check_two_readings(&self, site: &Site) -> Result<()> {
        if let Some((app, project)) = site.name.split_once('.') {
            if let Some(other) = self.names.get(project)
                && other.public_function(app).is_some()
            {
                self.other(site, other, &format!("{}.{}", site.name, self.domain))?;
            }
            return Ok(());
        }
        for function in site.public_names() {
            let name = format!("{function}.{}", site.name);
            if let Some(other) = self.names.get(name.as_str()) {
                self.other(site, other, &format!("{name}.{}", self.domain))?;
            }
        }
        Ok(())
    }

    fn other(&self, site: &Site, other: &Site, host: &str) -> Result<()> {
        if site.name == other.name {
            return Ok(());
        }
        // Which app of which project has it is another tenant's business.
        let owner = if site.project == other.project {
            format!("the app {} has it", other.app)
        } else {
            "an app of another project has it".to_owned()
        };
        Err(Error::conflict(format!("the host is taken: {host}")).hint(owner))
    }
}
