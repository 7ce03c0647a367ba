//! The data folder, the disk below it, and the node itself.

use std::path::Path;

use super::Finding;
use crate::{
    output,
    remote::{self, Remote},
};

/// Free bytes below which deploys and stores will soon be refused.
const LITTLE: u64 = 1 << 30;
const HARDLY_ANY: u64 = 100 << 20;

pub(super) async fn look(remote: &Remote) -> Vec<Finding> {
    let folder = remote::data_folder();
    let mut findings = vec![data(&folder), disk(&folder)];
    findings.extend(node(remote).await);
    findings
}

fn data(folder: &Path) -> Finding {
    let shown = folder.display();
    if !folder.exists() {
        return Finding::ok("data folder", format!("{shown}, made at the first start"));
    }
    if rustix::fs::access(
        folder,
        rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK,
    )
    .is_err()
    {
        return Finding::bad("data folder", format!("cannot be written to: {shown}"))
            .hint("run the node as its owner, or choose another one with GUST_DATA or --data");
    }
    Finding::ok("data folder", shown.to_string())
}

fn disk(folder: &Path) -> Finding {
    let Some(there) = folder.ancestors().find(|f| f.exists()) else {
        return Finding::warn("disk", "no file system found for the data folder");
    };
    let there = if there.as_os_str().is_empty() {
        Path::new(".")
    } else {
        there
    };
    match rustix::fs::statvfs(there) {
        Ok(stat) => judge_disk(stat.f_bavail.saturating_mul(stat.f_frsize)),
        Err(error) => Finding::warn("disk", format!("cannot be asked: {error}")),
    }
}

fn judge_disk(free: u64) -> Finding {
    let detail = format!("{} free", output::bytes(free));
    match free {
        ..HARDLY_ANY => Finding::bad("disk", detail).hint("make room: writes will be refused"),
        HARDLY_ANY..LITTLE => Finding::warn("disk", detail),
        _ => Finding::ok("disk", detail),
    }
}

async fn node(remote: &Remote) -> Vec<Finding> {
    let status = match remote.client() {
        Ok(client) => client.status().await.map_err(|e| remote.explain(e)),
        Err(error) => Err(error),
    };
    let status = match status {
        Ok(status) => status,
        Err(error) if error.kind == gust_types::Kind::Unavailable => {
            return vec![
                Finding::warn("node", error.message)
                    .hint("gust up needs none; for the rest: gust serve"),
            ];
        }
        Err(error) => {
            let finding = Finding::bad("node", error.chain());
            return vec![match error.hint {
                Some(hint) => finding.hint(hint),
                None => finding,
            }];
        }
    };
    let ours = env!("CARGO_PKG_VERSION");
    let detail = format!(
        "version {}, {} apps, {} functions",
        status.version, status.deployed.apps, status.deployed.functions
    );
    let mut findings = vec![match (status.ready, status.version == ours) {
        (false, _) => Finding::warn("node", format!("{detail}, not ready yet")),
        (_, false) => Finding::warn("node", detail).hint(format!("this program is version {ours}")),
        _ => Finding::ok("node", detail),
    }];
    findings.extend(
        status
            .warnings
            .into_iter()
            .map(|w| Finding::warn("node", w)),
    );
    findings
}

#[cfg(test)]
mod tests {
    use super::{super::State, *};

    #[test]
    fn little_room_is_told() {
        assert_eq!(judge_disk(50 << 20).state, State::Bad);
        assert_eq!(judge_disk(500 << 20).state, State::Warn);
        assert_eq!(judge_disk(5 << 30).state, State::Ok);
    }

    #[test]
    fn a_folder_that_is_not_there_yet_is_fine() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("deep/er");
        assert_eq!(data(&folder).state, State::Ok);
        assert_eq!(disk(&folder).what, "disk");
    }
}
