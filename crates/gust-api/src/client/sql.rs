//! SQL databases.

use bytes::Bytes;
use gust_types::{Label, ProjectName, Result, call};
use http::Method;
use hyper::body::Incoming;

use super::{Client, wire};
use crate::sql::{Databases, RanSql, RunSql};

/// The text of a dump as it comes.
pub struct Dump {
    body: Incoming,
    idle: std::time::Duration,
}

impl Client {
    /// The databases of a project.
    pub async fn databases(&self, project: &ProjectName) -> Result<Databases> {
        self.get(&format!("/projects/{project}/sql"), &()).await
    }

    /// Runs statements.
    pub async fn sql(
        &self,
        project: &ProjectName,
        database: &Label,
        run: &RunSql,
    ) -> Result<RanSql> {
        self.work(&format!("/projects/{project}/sql/{database}"), run)
            .await
    }

    /// A database as SQL that makes it again.
    pub async fn dump_sql(&self, project: &ProjectName, database: &Label) -> Result<Dump> {
        let path = format!("/projects/{project}/sql/{database}/dump");
        let request = self.request(Method::GET, &path, call::empty())?;
        let response = self.exchange(request, Some(self.timeouts.head)).await?;
        Ok(Dump {
            body: response.into_body(),
            idle: self.timeouts.idle,
        })
    }
}

// === impl Dump ===

impl Dump {
    /// The next bytes; `None` when all are here. A dump that breaks off is an error.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        wire::next_frame(&mut self.body, self.idle).await
    }
}
