//! The control API as both of its ends see it: wire types, the client, and how an error is shown.
//!
//! It never decides anything, keeps nothing and knows no server: `gust-control` answers, this room only speaks.
//! Start with [`deploy`] (the longest conversation), then [`client`] (who speaks it), then [`render`] (the one table
//! from kind and blame to status, exit code and wording).
//!
//! Two things a reader will confuse: `*_us` fields are Unix microseconds when they name a moment (`created_us`) and
//! plain microseconds when they name a length (`cpu_us`); and [`problem::Problem`] is an error on the wire, while
//! [`gust_types::Error`] is an error in a program. [`render`] and [`problem`] turn one into the other.
#![warn(missing_docs)]

pub mod app;
pub mod blob;
pub mod client;
pub mod deploy;
pub mod keys;
pub mod kv;
pub mod later;
pub mod logs;
pub mod node;
pub mod problem;
pub mod queue;
pub mod render;
pub mod schema;
pub mod secrets;
pub mod sql;
pub mod topic;
pub mod usage;

pub use client::Client;
pub use problem::Problem;

/// Where the API's resources begin. A new major version gets a new path beside it.
pub const BASE: &str = "/v1";

/// Media type of streams of one JSON document per line.
pub const NDJSON: &str = "application/x-ndjson";
