//! Access keys.

use gust_types::{ProjectName, Result};
use http::Method;

use super::{Client, wire};
use crate::keys::{AccessKeys, MadeAccessKey, NewAccessKey};

impl Client {
    /// The access keys of a project.
    pub async fn access_keys(&self, project: &ProjectName) -> Result<AccessKeys> {
        self.get(&format!("/projects/{project}/keys"), &()).await
    }

    /// Makes an access key. Its secret is in the answer and nowhere else.
    pub async fn create_access_key(
        &self,
        project: &ProjectName,
        note: &str,
    ) -> Result<MadeAccessKey> {
        let new = NewAccessKey {
            note: note.to_owned(),
        };
        let path = format!("/projects/{project}/keys");
        self.send(Method::POST, &path, &new).await
    }

    /// Ends an access key: what is signed with it is refused from now on.
    pub async fn remove_access_key(&self, project: &ProjectName, id: &str) -> Result<()> {
        let mut path = format!("/projects/{project}/keys/");
        wire::escape(id, &mut path);
        self.delete(&path).await
    }
}
