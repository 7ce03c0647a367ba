//! The sweeper: one task that gives up what nobody uses, and says how full the node is.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use gust_task::clock;
use gust_telemetry::Gauge;
use tokio::time::timeout;

use crate::{Core, engine::Engine};

/// Idle instances live at most this much longer than their function says.
const TICK: Duration = Duration::from_millis(100);
/// Code, gauges: nothing that hurries.
const SLOW: Duration = Duration::from_secs(1);

/// Starts the sweeper. It ends with the engine it sweeps.
pub(crate) fn start(core: &Arc<Core>) {
    let core = Arc::downgrade(core);
    gust_task::spawn("sweep", async move {
        let mut slow = clock::now();
        while let Some(engine) = engine(&core) {
            let now = clock::now();
            let awake = engine.awake.expire(now);
            if now.saturating_duration_since(slow) >= SLOW {
                slow = now;
                let settings = &engine.settings;
                engine
                    .shelf
                    .expire(engine.millis(now), settings.resident_idle);
                if let Some(core) = core.upgrade() {
                    gauges(&core);
                }
            }
            if awake {
                tokio::time::sleep(TICK).await;
            } else {
                // Nothing can expire: woken by the next instance that falls idle, or for the slow things.
                let _ = timeout(SLOW, engine.awake.nudge.notified()).await;
            }
        }
    });
}

fn engine(core: &Weak<Core>) -> Option<Arc<Engine>> {
    core.upgrade().map(|core| core.engine.clone())
}

fn gauges(core: &Core) {
    let engine = &core.engine;
    let (resident, bytes) = engine.shelf.count();
    let table = core.published.table();
    let (mut functions, mut queued) = (0, 0);
    for entry in table.sites().flat_map(|site| site.entries()) {
        functions += 1;
        queued += entry.lane.queued();
    }
    for (gauge, n) in [
        (Gauge::Functions, functions),
        (Gauge::InFlight, core.published.open_calls()),
        (Gauge::Queued, queued),
        (Gauge::InstancesLive, engine.places.taken()),
        (Gauge::InstancesIdle, engine.awake.idle()),
        (Gauge::Resident, resident),
        (Gauge::ResidentBytes, bytes as usize),
    ] {
        engine.parts.metrics.set(gauge, n as i64);
    }
}
