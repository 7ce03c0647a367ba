//! How the node is, as control sees it.

use gust_api::node::{Capacity, LoopStatus, NodeStatus};
use gust_task::reconcile;
use gust_types::Result;

use crate::{control::Control, money, store::projects};

/// A loop that failed this often in a row is worth a warning.
const FAILING: u64 = 3;

impl Control {
    /// How the node is.
    pub async fn status(&self) -> Result<NodeStatus> {
        let deployed = self.0.store.read(projects::counts).await?;
        let mut capacity = Capacity {
            instances: self.0.parts.runtime.capacity() as u64,
            ..Capacity::default()
        };
        for function in self.0.parts.dispatcher.functions() {
            capacity.resident += u64::from(function.resident);
            capacity.idle += function.idle as u64;
            capacity.busy += function.busy as u64;
            capacity.queued += function.queued as u64;
        }
        let loops: Vec<_> = self
            .0
            .loops
            .lock()
            .iter()
            .map(|l| loop_status(l.status()))
            .collect();
        Ok(NodeStatus {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_us: self.0.started_us,
            ready: self.is_ready(),
            runtime: self.0.parts.runtime.kind().to_owned(),
            capacity,
            deployed,
            warnings: self.warnings(&loops),
            loops,
        })
    }

    fn warnings(&self, loops: &[LoopStatus]) -> Vec<String> {
        let mut all = self.0.rejected.lock().clone();
        all.extend(money::budget_warnings(self));
        let failing = loops.iter().filter(|l| l.failures >= FAILING);
        all.extend(failing.map(|l| format!("the loop {} fails: {}", l.name, l.last)));
        let logs = self.0.parts.logs.counts();
        if logs.dropped_bytes > 0 {
            all.push(format!(
                "guests wrote faster than the disk, log bytes dropped: {}",
                logs.dropped_bytes
            ));
        }
        if logs.lost_lines > 0 {
            all.push(format!("the disk refused log lines: {}", logs.lost_lines));
        }
        let panics = gust_task::panics();
        if panics > 0 {
            all.push(format!(
                "tasks of the platform panicked, see the log: {panics}"
            ));
        }
        all
    }
}

fn loop_status(status: reconcile::Status) -> LoopStatus {
    LoopStatus {
        name: status.name.to_owned(),
        runs: status.runs,
        failures: status.failures,
        last_us: status.last_us,
        last: status.last,
    }
}
