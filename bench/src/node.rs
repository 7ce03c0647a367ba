//! The measured node and what is deployed on it.

use std::path::{Path, PathBuf};

use anyhow::Result;
use gust_scenarios::{App, Node, NodeOptions};

/// Starts the measured binary on this data folder; `config` is the text of a node.toml.
pub(crate) fn start(gust: &Path, data: &Path, config: &str) -> Result<Node> {
    Node::start_with(NodeOptions {
        data: Some(data.into()),
        config: config.to_owned(),
        gust: Some(gust.into()),
        ..NodeOptions::default()
    })
}

/// Deploys an app of these functions: name, component, further lines of its table.
pub(crate) fn deploy(
    node: &Node,
    app: &str,
    functions: &[(String, PathBuf, String)],
) -> Result<()> {
    let mut manifest = App::new(app)?;
    for (name, component, more) in functions {
        manifest = manifest.function_from(name, component, more)?;
    }
    node.deploy(&manifest).map(drop)
}

/// SIGTERM, then five seconds, then SIGKILL, for a peer.
pub(crate) fn terminate(child: &mut std::process::Child) {
    if let Some(pid) = rustix::process::Pid::from_raw(child.id() as i32) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
    for _ in 0..100 {
        if matches!(child.try_wait(), Ok(Some(_))) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let _ = child.kill();
    let _ = child.wait();
}
