//! The control API over a real socket, with the real client; only the runtime is in memory.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    unreachable_pub,
    clippy::disallowed_methods,
    reason = "tests may"
)]

mod apps;
mod auth;
mod blobs;
mod crash;
mod deploys;
mod description;
mod full_disk;
mod harness;
mod keys;
mod later;
mod logs;
mod money;
mod queues;
mod reference;
mod restart;
mod secrets;
mod stores;
mod topics;
mod uploads;
