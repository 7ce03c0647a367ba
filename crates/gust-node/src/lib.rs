//! Assembly: one node out of all the rooms. It knows everything and decides nothing.
//!
//! [`Node::start`] opens the data folder, builds the runtime, the backends, dispatch, the gateway and (unless it is off)
//! the control plane. `gust up` and `gust serve` differ only in their [`Settings`].

mod settings;

use std::{net::SocketAddr, path::Path};

use gust_runtime::Progress;
use gust_types::{AppSpec, Error, Result};

pub use settings::{Settings, Tls};

/// A running node.
pub struct Node {
    functions: SocketAddr,
    control: Option<SocketAddr>,
}

/// What a deploy through [`Node::deploy`] says.
#[derive(Debug, Clone, Default)]
pub struct Deployed {
    /// Where the app answers.
    pub urls: Vec<String>,
    /// Things a person should know.
    pub warnings: Vec<String>,
}

// === impl Node ===

impl Node {
    /// Starts everything. Errors name the setting at fault: a port that is taken, a data folder another node holds.
    pub async fn start(settings: Settings) -> Result<Self> {
        let _ = settings;
        Err(Error::internal("the node is not assembled yet"))
    }

    /// Where functions are served, with the real port.
    pub fn functions_addr(&self) -> SocketAddr {
        self.functions
    }

    /// Where the control API is, if it is on.
    pub fn control_addr(&self) -> Option<SocketAddr> {
        self.control
    }

    /// Deploys an app whose sources are paths below `root` into the default project (`gust up`).
    /// `variables` override the manifest's defaults.
    pub async fn deploy(
        &self,
        app: &AppSpec,
        root: &Path,
        variables: &std::collections::BTreeMap<String, String>,
        progress: &dyn Progress,
    ) -> Result<Deployed> {
        let _ = (app, root, variables, progress);
        Err(Error::internal("the node is not assembled yet"))
    }

    /// Waits for the signal of `stop`, then drains: in-flight calls finish within the grace limit.
    pub async fn run(self, stop: gust_task::Stop) -> Result<()> {
        stop.stopped().await;
        Ok(())
    }
}
