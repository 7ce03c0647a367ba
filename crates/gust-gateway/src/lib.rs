//! The door: HTTP comes in, calls go to dispatch, answers go out.
//!
//! It accepts connections, refuses what is malformed, too large or too slow, gives each request an id, a deadline and
//! its place in a trace, and asks dispatch what answers. Fixed responses and files are served here, without an
//! instance. It never queues, never starts an instance and never bills. A function's answer gets no header added but
//! `date`, `x-request-id` and what frames it. Start with [`Gateway::run`], then `serve.rs`, which walks a request's way through the
//! door; `accept.rs` says what is refused.
#![warn(missing_docs)]

mod accept;
mod body;
mod connection;
mod files;
mod hook;
mod later;
mod listen;
pub mod parse;
mod pulse;
mod refuse;
mod respond;
mod serve;
mod settings;
mod tls;
mod wire;

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use gust_backend::desk::{Doorbell, Later};
use gust_dispatch::Dispatcher;
use gust_runtime::Artifacts;
use gust_task::{Stop, clock, reconcile};
use gust_telemetry::PathMetrics;
use gust_types::Result;
use tokio::net::TcpListener;

pub use settings::{Settings, Tls};

use crate::{
    connection::Door,
    pulse::{Order, Warden},
    tls::Certificates,
};

/// How often certificates are looked at again.
const CERTIFICATE_PERIOD: Duration = Duration::from_secs(10);
/// How long connections get to hear that they were cut.
const LAST_BREATH: Duration = Duration::from_secs(1);

/// The door, open for connections and not yet serving them.
pub struct Gateway {
    listener: TcpListener,
    address: SocketAddr,
    door: Arc<Door>,
    certificates: Option<Arc<Certificates>>,
}

/// How serving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Connections that were open when the stop came.
    pub open: usize,
    /// How many of them had to be cut.
    pub cut: usize,
    /// How long the rest took to finish.
    pub took: Duration,
}

// === impl Gateway ===

impl Gateway {
    /// Takes the address. Without `later`, no caller's wish not to wait is granted. Needs a tokio runtime around it. Callers may connect from now on; they wait for
    /// [`Gateway::run`].
    pub fn bind(
        settings: Settings,
        dispatcher: Dispatcher,
        artifacts: Arc<dyn Artifacts>,
        later: Option<Arc<dyn Later>>,
        doorbell: Arc<dyn Doorbell>,
        metrics: PathMetrics,
    ) -> Result<Self> {
        let certificates = settings.tls.as_ref().map(Certificates::open).transpose()?;
        let tls = certificates
            .as_ref()
            .map(Certificates::acceptor)
            .transpose()?;
        let (listener, address) = listen::bind(settings.listen)?;
        let warden = Warden::new(&settings);
        let door = Door {
            http1: connection::http1(&settings),
            http2: connection::http2(&settings),
            files: files::Files::new(artifacts),
            doorbell,
            held: hook::Held::default(),
            turned_away: AtomicUsize::new(0),
            settings,
            dispatcher,
            later,
            metrics,
            warden,
            tls,
        };
        Ok(Self {
            listener,
            address,
            door: Arc::new(door),
            certificates,
        })
    }

    /// Where callers connect.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        match self.certificates {
            Some(_) => "https",
            None => "http",
        }
    }

    /// Serves until `stop`. Then no new connection is taken, calls in flight finish for as long as the grace allows,
    /// and what is left is cut.
    pub async fn run(self, stop: Stop) -> Summary {
        let ended = Stop::new();
        let (door, until) = (self.door.clone(), ended.clone());
        gust_task::spawn(
            "gateway-warden",
            async move { door.warden.watch(&until).await },
        );
        if let Some(certificates) = self.certificates {
            let _ = reconcile::drive(certificates, CERTIFICATE_PERIOD, ended.clone());
        }
        listen::accept(&self.listener, &self.door, &stop).await;
        drop(self.listener);
        let summary = drain(&self.door).await;
        ended.stop();
        summary
    }
}

async fn drain(door: &Door) -> Summary {
    let began = clock::now();
    let open = door.warden.open();
    door.warden.order_all(Order::Drain);
    quiet(door, door.settings.grace.0).await;
    let cut = door.warden.open();
    if cut > 0 {
        tracing::warn!(connections = cut, "the grace is over; cutting what is left");
        door.warden.order_all(Order::Cut);
        quiet(door, LAST_BREATH).await;
    }
    Summary {
        open,
        cut,
        took: clock::now() - began,
    }
}

/// Waits until no connection is open, for `limit` at most.
async fn quiet(door: &Door, limit: Duration) {
    let until = clock::now() + limit;
    while door.warden.open() > 0 && clock::now() < until {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
