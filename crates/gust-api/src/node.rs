//! How a node is.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A node at this moment.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct NodeStatus {
    /// The version of the program.
    pub version: String,
    /// When it started, Unix microseconds.
    pub started_us: u64,
    /// True once it serves what was deployed before it started.
    pub ready: bool,
    /// The kind of runtime, such as `wasm`.
    pub runtime: String,
    /// What it could run and what it runs.
    pub capacity: Capacity,
    /// What is deployed.
    pub deployed: DeployedCounts,
    /// Loops that keep the node in order.
    pub loops: Vec<LoopStatus>,
    /// What a person should look at: budgets, failing loops, lost records.
    pub warnings: Vec<String>,
}

/// What a node could run and what it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Capacity {
    /// Instances that may live at once.
    pub instances: u64,
    /// Functions whose code is in memory.
    pub resident: u64,
    /// Instances kept for a next call.
    pub idle: u64,
    /// Calls in flight.
    pub busy: u64,
    /// Calls waiting for a place.
    pub queued: u64,
}

/// What is deployed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct DeployedCounts {
    /// Projects.
    pub projects: u64,
    /// Apps.
    pub apps: u64,
    /// Functions.
    pub functions: u64,
}

/// A loop and what it last did.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct LoopStatus {
    /// The loop.
    pub name: String,
    /// How often it ran.
    pub runs: u64,
    /// How many of the latest runs failed in a row.
    pub failures: u64,
    /// When the last run ended, Unix microseconds; 0 before the first.
    pub last_us: u64,
    /// What the last run said, or its error.
    pub last: String,
}
