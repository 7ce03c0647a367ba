//! Assembly: one node out of all the rooms. It knows everything and decides nothing.
//!
//! [`Node::start`] opens the data folder, builds the runtime, the backends, dispatch, the gateway and (unless it is off)
//! the control plane. `gust up` and `gust serve` differ only in their [`Settings`]. Start with `build.rs`.

mod build;
mod doors;
mod folder;
pub mod layers;
mod local;
mod output;
mod settings;
mod sources;

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
};

use gust_api::deploy::{Deployed, Event};
use gust_gateway::Gateway;
use gust_task::Stop;
use gust_types::{AppSpec, Error, Result};
use tokio::net::TcpListener;

use crate::{build::Rooms, doors::Ports};

pub use doors::Protocol;
pub use output::OutputLine;
pub use settings::{Settings, Tls};

/// A running node.
pub struct Node {
    rooms: Rooms,
    gateway: Gateway,
    control_listener: Option<TcpListener>,
    control_addr: Option<SocketAddr>,
    ports: Ports,
    functions_addr: SocketAddr,
    grace: std::time::Duration,
    stop: Stop,
}

/// The file of the data folder that says where the control API is, for the command line.
pub const ADDRESS: &str = "address";

/// Leaves the address for others on this machine.
async fn tell(file: &Path, control: Option<SocketAddr>) -> Result<()> {
    let told = match control {
        Some(mut control) => {
            if control.ip().is_unspecified() {
                control.set_ip(match control {
                    SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                    SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
                });
            }
            tokio::fs::write(file, format!("http://{control}\n")).await
        }
        None => match tokio::fs::remove_file(file).await {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        },
    };
    told.map_err(|error| {
        Error::unavailable(format!("cannot write {}", file.display())).because(error)
    })
}

// === impl Node ===

impl Node {
    /// Starts everything and serves what was deployed before. Errors name the setting at fault: a port that is taken,
    /// a data folder that another node holds.
    pub async fn start(settings: Settings) -> Result<Self> {
        let stop = Stop::new();
        let (control_listener, control_addr) = match settings.control {
            Some(addr) => {
                let (listener, addr) = bind(addr).await?;
                (Some(listener), Some(addr))
            }
            None => (None, None),
        };
        let ports = Ports::open(&settings).await?;
        let (grace, address) = (settings.grace.0, settings.data.join(ADDRESS));
        let (rooms, gateway) = Rooms::build(settings).await?;
        let functions_addr = gateway.local_addr();
        tell(&address, control_addr).await?;
        let functions = rooms.control.restore().await?;
        rooms.control.start(&stop);
        rooms.events.start(&stop);
        if functions > 0 {
            tracing::info!(functions, "serving what was deployed before");
        }
        Ok(Self {
            rooms,
            gateway,
            control_listener,
            control_addr,
            ports,
            functions_addr,
            grace,
            stop,
        })
    }

    /// Where functions are served, with the real port.
    pub fn functions_addr(&self) -> SocketAddr {
        self.functions_addr
    }

    /// Where the control API is, if it is on.
    pub fn control_addr(&self) -> Option<SocketAddr> {
        self.control_addr
    }

    /// Which protocols of others are spoken, and where.
    pub fn spoken(&self) -> impl Iterator<Item = (Protocol, SocketAddr)> {
        self.ports.spoken()
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        self.rooms.scheme
    }

    /// What deploys an app while the node runs.
    pub fn deployer(&self) -> Deployer {
        Deployer {
            control: self.rooms.control.clone(),
            artifacts: self.rooms.artifacts.clone(),
        }
    }

    /// Hands every line that guests print from now on to `echo`, until the node stops.
    pub async fn echo_output(&self, echo: impl Fn(OutputLine) + Send + 'static) -> Result<()> {
        output::echo(&self.rooms.logs, echo).await
    }

    /// Serves until `stop` is given, then drains: calls in flight finish within the grace limit, records are flushed.
    pub async fn run(self, stop: Stop) -> Result<()> {
        let Self {
            rooms,
            gateway,
            control_listener,
            ports,
            grace,
            stop: ours,
            ..
        } = self;
        let gateway = gust_task::spawn("gateway", gateway.run(ours.child()));
        let control = rooms.control.clone();
        let control_stop = ours.child();
        let api = gust_task::spawn("control api", async move {
            match control_listener {
                Some(listener) => control.serve(listener, control_stop).await,
                None => Ok(()),
            }
        });
        let serving = rooms.doors.clone().serve(ports, ours.child(), grace);
        let doors = gust_task::spawn("doors", serving);
        stop.stopped().await;
        tracing::info!("stopping: calls in flight finish first");
        ours.stop();
        // The door closes first; what it let in may still ask the rooms behind it.
        let drained = gateway.await;
        let answered = api.await;
        let _ = doors.await;
        rooms.close().await?;
        if let Ok(Some(summary)) = drained {
            tracing::info!(?summary, "stopped");
        }
        answered.ok().flatten().unwrap_or(Ok(()))
    }
}

/// Deploys apps from folders of this machine: what `gust up` does.
#[derive(Clone)]
pub struct Deployer {
    control: gust_control::Control,
    artifacts: gust_runtime::artifact::ArtifactFolder,
}

impl Deployer {
    /// Deploys an app whose sources are paths below `root` into the default project.
    /// `variables` override the manifest's defaults.
    pub async fn deploy(
        &self,
        app: &AppSpec,
        root: &Path,
        variables: &BTreeMap<String, String>,
        heard: &(dyn Fn(Event) + Send + Sync + 'static),
    ) -> Result<Deployed> {
        local::deploy(&self.control, &self.artifacts, app, root, variables, heard).await
    }
}

/// Listens, and says where; or says which address is at fault.
async fn bind(addr: SocketAddr) -> Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(addr).await.map_err(|e| {
        Error::conflict(format!("cannot listen on {addr}"))
            .hint("is another node running? choose another address, or port 0 for a free one")
            .because(e)
    })?;
    let bound = listener.local_addr();
    let bound = bound.map_err(|e| Error::internal("no local address").because(e))?;
    Ok((listener, bound))
}
