//! Access keys: made, listed, ended, and found again with every request that is signed with one.

use std::collections::HashMap;

use gust_api::keys::{AccessKey as Shown, MadeAccessKey};
use gust_backend::keys::AccessKey;
use gust_types::{Error, ProjectName, Result};
use parking_lot::RwLock;

use crate::{
    control::Control,
    seal::Seal,
    store::{Store, keys},
};

/// Keys of a project.
const MAX_KEYS: usize = 100;
/// Characters of a note.
const MAX_NOTE: usize = 100;

/// All keys that are good, by id.
pub(crate) struct Keys(RwLock<HashMap<String, AccessKey>>);

// === impl Keys ===

impl Keys {
    /// Those of the database. One that cannot be opened is left out, and said.
    pub(crate) async fn open(store: &Store, seal: &Seal) -> Result<Self> {
        let mut keys = HashMap::new();
        for kept in store.read(keys::all).await? {
            match seal.open_text(&sealed_name(&kept.project, &kept.id), &kept.sealed) {
                Ok(secret) => {
                    let project = kept.project;
                    keys.insert(kept.id, AccessKey { project, secret });
                }
                Err(error) => {
                    tracing::error!(
                        key = kept.id,
                        error = error.chain(),
                        "an access key is lost"
                    );
                }
            }
        }
        Ok(Self(RwLock::new(keys)))
    }
}

/// Under which name a secret is sealed; no variable of an app is called so.
fn sealed_name(project: &ProjectName, id: &str) -> String {
    format!("{project}//{id}")
}

// === impl Control ===

impl gust_backend::keys::Keys for Control {
    fn find(&self, id: &str) -> Option<AccessKey> {
        self.0.keys.0.read().get(id).cloned()
    }
}

impl Control {
    /// The keys of a project, without their secrets.
    pub(crate) async fn access_keys(&self, project: &ProjectName) -> Result<Vec<Shown>> {
        let project = project.clone();
        self.0.store.read(move |db| keys::list(db, &project)).await
    }

    /// Makes a key. Nobody is told its secret again.
    pub async fn create_access_key(
        &self,
        project: &ProjectName,
        note: &str,
    ) -> Result<MadeAccessKey> {
        if note.chars().count() > MAX_NOTE || note.chars().any(char::is_control) {
            let text = format!("a note has {MAX_NOTE} characters at most, in one line");
            return Err(Error::invalid(text));
        }
        let made = MadeAccessKey {
            id: format!("GUST{:016X}", gust_task::ids::random_u64()),
            secret: gust_task::ids::secret(),
            note: note.to_owned(),
            created_us: gust_task::clock::unix_micros(),
        };
        let sealed = sealed_name(project, &made.id);
        let sealed = self.0.seal.seal(&sealed, made.secret.as_bytes())?;
        let shown = Shown {
            id: made.id.clone(),
            note: made.note.clone(),
            created_us: made.created_us,
        };
        let of = project.clone();
        self.0
            .store
            .write(move |db| keys::add(db, &of, &shown, &sealed, MAX_KEYS))
            .await?;
        let key = AccessKey {
            project: project.clone(),
            secret: made.secret.clone(),
        };
        self.0.keys.0.write().insert(made.id.clone(), key);
        // Removed between the two, it has taken its keys along.
        if let Err(gone) = self.must_have(project).await {
            self.forget_access_keys(project);
            return Err(gone);
        }
        tracing::info!(%project, key = made.id, "an access key is made");
        Ok(made)
    }

    /// Ends a key: what is signed with it is refused from now on.
    pub async fn remove_access_key(&self, project: &ProjectName, id: &str) -> Result<()> {
        let (of, gone) = (project.clone(), id.to_owned());
        self.0
            .store
            .write(move |db| keys::remove(db, &of, &gone))
            .await?;
        self.0.keys.0.write().remove(id);
        tracing::info!(%project, key = id, "an access key is removed");
        Ok(())
    }

    /// The project is gone, and its keys with it.
    pub(crate) fn forget_access_keys(&self, project: &ProjectName) {
        let mut keys = self.0.keys.0.write();
        keys.retain(|_, key| key.project != *project);
    }
}
