//! Removes artifacts that no kept deployment needs, with what was prepared from them.
//!
//! An upload comes before its deploy, so an artifact is left alone for a grace after it was stored or last asked for.
//! While a deploy relies on artifacts nothing is removed; the next run looks again.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use gust_runtime::artifact::ArtifactFolder;
use gust_task::{Reconcile, clock};
use gust_types::{BoxFuture, Digest, Error, Result};

use crate::{control::Control, store::apps};

pub(crate) struct Garbage(pub(crate) Control);

impl Reconcile for Garbage {
    fn name(&self) -> &'static str {
        "garbage"
    }

    fn reconcile(&self) -> BoxFuture<'_, Result<String>> {
        Box::pin(self.0.sweep())
    }
}

impl Control {
    /// Removes what nobody needs. One run of the loop; says what it did.
    pub async fn sweep(&self) -> Result<String> {
        let Ok(_alone) = self.0.needed.try_write() else {
            return Ok("a deploy is under way, nothing removed".to_owned());
        };
        let needed = self.0.store.read(apps::artifacts).await?;
        let folder = self.0.parts.artifacts.clone();
        let grace = self.0.settings.artifact_grace;
        let now_us = clock::unix_micros();
        let unneeded = move || unneeded(&folder, &needed, grace, now_us);
        let unneeded = tokio::task::spawn_blocking(unneeded)
            .await
            .map_err(|e| Error::internal("looking for artifacts failed").because(e))??;
        for digest in &unneeded {
            self.0.parts.artifacts.remove(digest)?;
            (self.0.parts.forget)(digest);
        }
        Ok(format!("{} artifacts removed", unneeded.len()))
    }
}

/// What nobody needs and nobody touched for the grace.
fn unneeded(
    folder: &ArtifactFolder,
    needed: &BTreeSet<Digest>,
    grace: Duration,
    now_us: u64,
) -> Result<Vec<Digest>> {
    let mut found = folder.list()?;
    found.retain(|digest| {
        let old = touched_us(&folder.file(digest))
            .is_some_and(|touched| now_us.saturating_sub(touched) > grace.as_micros() as u64);
        old && !needed.contains(digest)
    });
    Ok(found)
}

/// When a file was stored or last asked for.
fn touched_us(file: &Path) -> Option<u64> {
    let touched = fs::metadata(file).ok()?.modified().ok()?;
    let since = touched.duration_since(std::time::UNIX_EPOCH).ok()?;
    u64::try_from(since.as_micros()).ok()
}

/// Lets the grace of an artifact begin anew; false when it is not here.
pub(crate) fn touch(file: &Path, now_us: u64) -> bool {
    let Ok(open) = fs::File::options().append(true).open(file) else {
        return false;
    };
    let now = std::time::UNIX_EPOCH + Duration::from_micros(now_us);
    // A file system that keeps no times keeps the artifact's first one; that is worth no error.
    let _ = open.set_modified(now);
    true
}
