//! Open connections, kept for the next request.
//!
//! One pool for the process, so that its sockets are bounded. A connection is kept under the policy that it was made
//! under, an allow-list compared by identity: no function ever sends on a connection that its own list has not let
//! through, by name and by address.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use gust_types::outbound::{Outbound, Verdict};
use parking_lot::Mutex;
use rustls::RootCertStore;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime_wasi_http::Error;

use super::{
    connect::{Connector, Line},
    target::Origin,
    time::until,
};

/// Connections of the whole process.
const MOST: usize = 4096;
/// Connections of one policy, which is one revision of a function.
const MOST_OF_ONE: usize = 256;
/// Idle HTTP/1 connections to one origin.
const IDLE: usize = 32;
/// How long a connection is kept idle. Shorter than what servers commonly allow (60 s and more), so that we are the
/// ones who close.
const IDLE_TIME: Duration = Duration::from_secs(30);

/// Where to, and under which policy.
#[derive(Clone)]
pub(super) struct Route {
    policy: Policy,
    verdict: Verdict,
    pub(super) origin: Origin,
}

/// An allow-list by identity. Holding it keeps its address from being used again.
#[derive(Clone)]
struct Policy(Arc<Outbound>);

/// The right to have one connection open.
pub(super) struct Held {
    _in_process: OwnedSemaphorePermit,
    _in_policy: OwnedSemaphorePermit,
}

/// The connections of the process.
pub(super) struct Pool {
    connector: Connector,
    places: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    policies: HashMap<Policy, Open>,
    sweeping: bool,
}

/// The connections of one policy.
struct Open {
    places: Arc<Semaphore>,
    idle: HashMap<Origin, Idle>,
}

#[derive(Default)]
struct Idle {
    http1: Vec<(Line, Instant)>,
    /// Shared by any number of requests.
    http2: Option<(Line, Instant)>,
}

// === impl Route ===

impl Route {
    pub(super) fn new(outbound: Arc<Outbound>, verdict: Verdict, origin: Origin) -> Self {
        Self {
            policy: Policy(outbound),
            verdict,
            origin,
        }
    }

    /// Whether the policy lets a connection to this address through.
    pub(super) fn allows(&self, address: IpAddr) -> bool {
        let Origin { port, .. } = self.origin;
        self.policy
            .0
            .check_address(self.verdict, self.origin.scheme(), address, port)
    }
}

// === impl Policy ===

impl PartialEq for Policy {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Policy {}

impl std::hash::Hash for Policy {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

// === impl Pool ===

impl Pool {
    /// A pool that trusts the certificate authorities of the web.
    pub(super) fn for_internet() -> Arc<Self> {
        Self::trusting(RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        })
    }

    pub(super) fn trusting(roots: RootCertStore) -> Arc<Self> {
        Arc::new(Self {
            connector: Connector::new(roots),
            places: Arc::new(Semaphore::new(MOST)),
            state: Mutex::default(),
        })
    }

    /// A connection that waits to be used again.
    pub(super) fn idle(&self, route: &Route) -> Option<Line> {
        let now = gust_task::clock::now();
        let mut state = self.state.lock();
        let open = state.policies.get_mut(&route.policy)?;
        open.idle.get_mut(&route.origin)?.take(now)
    }

    /// A new connection.
    pub(super) async fn connect(
        self: &Arc<Self>,
        route: &Route,
        by: Instant,
    ) -> Result<Line, Error> {
        let held = until(by, Error::ConnectionLimitReached, self.place(route)).await?;
        // Large, and seldom needed: most requests find a connection that is kept.
        Box::pin(self.connector.connect(route, by, held)).await
    }

    async fn place(self: &Arc<Self>, route: &Route) -> Result<Held, Error> {
        let in_policy = {
            let mut state = self.state.lock();
            self.see_to_sweeping(&mut state);
            let open = state.open(&route.policy);
            let in_policy = open.places.clone();
            if in_policy.available_permits() == 0 {
                open.give_up_one();
            }
            if self.places.available_permits() == 0 {
                state.give_up_one();
            }
            in_policy
        };
        // The policy's own bound first: who is over it does not take a place from others.
        let in_policy = in_policy.acquire_owned().await;
        let in_process = self.places.clone().acquire_owned().await;
        match (in_policy, in_process) {
            (Ok(in_policy), Ok(in_process)) => Ok(Held {
                _in_process: in_process,
                _in_policy: in_policy,
            }),
            // Never closed while the pool is there.
            _ => Err(Error::ConnectionLimitReached),
        }
    }

    /// Takes back a connection that is ready for the next request.
    pub(super) fn keep(self: &Arc<Self>, route: &Route, line: Line) {
        if line.is_closed() {
            return;
        }
        let now = gust_task::clock::now();
        let mut state = self.state.lock();
        self.see_to_sweeping(&mut state);
        let open = state.open(&route.policy);
        let idle = open.idle.entry(route.origin.clone()).or_default();
        idle.put(line, now);
    }

    fn see_to_sweeping(self: &Arc<Self>, state: &mut State) {
        if !std::mem::replace(&mut state.sweeping, true) {
            gust_task::spawn("outbound pool", sweep(Sweeping(self.clone())));
        }
    }
}

impl State {
    fn open(&mut self, policy: &Policy) -> &mut Open {
        self.policies.entry(policy.clone()).or_insert_with(|| Open {
            places: Arc::new(Semaphore::new(MOST_OF_ONE)),
            idle: HashMap::new(),
        })
    }

    /// Closes an idle connection of whomever, to make room.
    fn give_up_one(&mut self) {
        if let Some(open) = self.policies.values_mut().find(|o| !o.idle.is_empty()) {
            open.give_up_one();
        }
    }

    /// Drops what was idle for too long, and policies without any connection.
    fn sweep(&mut self, now: Instant) {
        self.policies.retain(|_, open| {
            open.idle.retain(|_, idle| {
                idle.sweep(now);
                !idle.is_empty()
            });
            !open.idle.is_empty() || open.places.available_permits() < MOST_OF_ONE
        });
    }
}

impl Open {
    /// Closes an idle connection, to make room.
    fn give_up_one(&mut self) {
        self.idle.retain(|_, idle| !idle.is_empty());
        if let Some(idle) = self.idle.values_mut().next()
            && idle.http1.pop().is_none()
        {
            idle.http2 = None;
        }
    }
}

impl Idle {
    fn is_empty(&self) -> bool {
        self.http1.is_empty() && self.http2.is_none()
    }

    fn take(&mut self, now: Instant) -> Option<Line> {
        self.sweep(now);
        if let Some((line, used)) = &mut self.http2 {
            *used = now;
            return line.share();
        }
        // The one used last is the least likely to have been closed by the other side.
        self.http1.pop().map(|(line, _)| line)
    }

    fn put(&mut self, line: Line, now: Instant) {
        match line {
            Line::Http2(_) => self.http2 = Some((line, now)),
            Line::Http1(_) if self.http1.len() < IDLE => self.http1.push((line, now)),
            Line::Http1(_) => {}
        }
    }

    fn sweep(&mut self, now: Instant) {
        let fresh = |(line, used): &(Line, Instant)| {
            !line.is_closed() && now.saturating_duration_since(*used) < IDLE_TIME
        };
        self.http1.retain(fresh);
        self.http2.take_if(|kept| !fresh(kept));
    }
}

/// The duty to sweep. Given back however the task ends, so that the next one takes over.
struct Sweeping(Arc<Pool>);

impl Drop for Sweeping {
    fn drop(&mut self) {
        self.0.state.lock().sweeping = false;
    }
}

async fn sweep(sweeping: Sweeping) {
    loop {
        tokio::time::sleep(IDLE_TIME / 2).await;
        let mut state = sweeping.0.state.lock();
        state.sweep(gust_task::clock::now());
        if state.policies.is_empty() {
            // Under the same lock: whoever keeps a connection next starts the next sweeper.
            state.sweeping = false;
            break;
        }
    }
}
