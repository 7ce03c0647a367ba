//! Projects, apps, deploys, logs, secrets and the node.

use gust_types::{AppName, Error, ProjectName, Result};
use http::Method;

use super::{Client, Lines, wire};
use crate::{
    app::{AppDetails, Apps, Deployments, NewProject, Project, Projects},
    deploy::{DeployRequest, Deployed, Event, Rollback},
    logs::{LogItem, LogQuery},
    node::NodeStatus,
    secrets::{NewSecret, SecretChanged, Secrets},
};

impl Client {
    /// How the node is.
    pub async fn status(&self) -> Result<NodeStatus> {
        self.get("/status", &()).await
    }

    /// All projects.
    pub async fn projects(&self) -> Result<Projects> {
        self.get("/projects", &()).await
    }

    /// Makes a project.
    pub async fn create_project(&self, name: &ProjectName) -> Result<Project> {
        let new = NewProject { name: name.clone() };
        self.send(Method::POST, "/projects", &new).await
    }

    /// Removes a project that has no apps.
    pub async fn remove_project(&self, name: &ProjectName) -> Result<()> {
        self.delete(&format!("/projects/{name}")).await
    }

    /// The apps of a project.
    pub async fn apps(&self, project: &ProjectName) -> Result<Apps> {
        self.get(&format!("/projects/{project}/apps"), &()).await
    }

    /// One app, whole.
    pub async fn app(&self, project: &ProjectName, app: &AppName) -> Result<AppDetails> {
        self.get(&at(project, app, ""), &()).await
    }

    /// Removes an app with its history and its variables' values. What it stored stays.
    pub async fn remove_app(&self, project: &ProjectName, app: &AppName) -> Result<()> {
        self.delete(&at(project, app, "")).await
    }

    /// Deploys an app whose artifacts have been uploaded. `heard` gets every event as it comes, the last one too.
    pub async fn deploy(
        &self,
        project: &ProjectName,
        request: &DeployRequest,
        heard: &mut (dyn FnMut(&Event) + Send),
    ) -> Result<Deployed> {
        let path = at(project, &request.app.name, "/deploy");
        let request = self.json(Method::POST, &path, request)?;
        let response = self.exchange(request, Some(self.timeouts.head)).await?;
        let mut events = Lines::<Event>::new(response.into_body(), self.timeouts.idle);
        while let Some(event) = events.next().await? {
            heard(&event);
            match event {
                Event::Done(deployed) => return Ok(deployed),
                Event::Error(problem) => return Err(problem.into()),
                Event::Step { .. } | Event::Warning { .. } => {}
            }
        }
        Err(Error::unavailable("the node ended before the deploy did")
            .hint("deploy again: it either happened whole or not at all"))
    }

    /// Goes back to an earlier deployment.
    pub async fn rollback(
        &self,
        project: &ProjectName,
        app: &AppName,
        to: Option<u64>,
    ) -> Result<Deployed> {
        let body = Rollback { deployment: to };
        self.send(Method::POST, &at(project, app, "/rollback"), &body)
            .await
    }

    /// An app's history.
    pub async fn deployments(&self, project: &ProjectName, app: &AppName) -> Result<Deployments> {
        self.get(&at(project, app, "/deployments"), &()).await
    }

    /// What the app's guests wrote, oldest first; goes on when the query says so.
    pub async fn logs(
        &self,
        project: &ProjectName,
        app: &AppName,
        query: &LogQuery,
    ) -> Result<Lines<LogItem>> {
        let path = wire::with_query(&at(project, app, "/logs"), query)?;
        let request = self.request(Method::GET, &path, gust_types::call::empty())?;
        let response = self.exchange(request, Some(self.timeouts.head)).await?;
        Ok(Lines::new(response.into_body(), self.timeouts.idle))
    }

    /// The names of the values that are set for an app.
    pub async fn secrets(&self, project: &ProjectName, app: &AppName) -> Result<Secrets> {
        self.get(&at(project, app, "/secrets"), &()).await
    }

    /// Sets the value of an app's variable, before or after its first deploy.
    pub async fn set_secret(
        &self,
        project: &ProjectName,
        app: &AppName,
        name: &str,
        value: &str,
    ) -> Result<SecretChanged> {
        let body = NewSecret {
            value: value.to_owned(),
        };
        self.send(Method::PUT, &secret(project, app, name), &body)
            .await
    }

    /// Forgets the value of an app's variable.
    pub async fn remove_secret(
        &self,
        project: &ProjectName,
        app: &AppName,
        name: &str,
    ) -> Result<SecretChanged> {
        let request = self.request(
            Method::DELETE,
            &secret(project, app, name),
            gust_types::call::empty(),
        )?;
        self.document(request).await
    }
}

/// The path of an app's resource. Names are DNS labels and need no escaping.
pub(super) fn at(project: &ProjectName, app: &AppName, rest: &str) -> String {
    format!("/projects/{project}/apps/{app}{rest}")
}

fn secret(project: &ProjectName, app: &AppName, name: &str) -> String {
    let mut path = at(project, app, "/secrets/");
    wire::escape(name, &mut path);
    path
}
