//! Seeing: metrics of the path, guests' output, our own log, and traces for whoever collects them.
//!
//! Nothing here decides, and nothing here may slow a call down: the hot path does atomic adds and bounded,
//! dropping queues; everything else happens on threads of this room. It never serves HTTP and never knows a runtime.
//! Start with [`path`] (what a call leaves behind), then [`registry`] (how it is read), [`logs`] (what guests print)
//! and [`init`] (our own log, and export).
#![warn(missing_docs)]

pub mod families;
pub mod histogram;
pub mod init;
pub mod logs;
mod otlp;
pub mod path;
mod process;
pub mod registry;
pub mod traces;

pub use histogram::Histogram;
pub use init::{Guard, init};
pub use logs::GuestLogs;
pub use path::{FunctionMetrics, Gauge, PathMetrics, Refusal, Stage};
pub use registry::Registry;
pub use traces::{CallSpan, Traces};
