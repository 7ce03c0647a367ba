//! Events: what starts a function besides a request, and nothing lost on the way.
//!
//! This room turns what arrives into CloudEvents ([`http`]), decides who gets them ([`filter`]), when schedules fire
//! ([`schedule`]) and what is tried again ([`retry`]), and delivers what the durable queues hold. It never keeps anything
//! itself: that is a backend's. It never runs a function itself: deliveries enter the one path like any call.
//!
//! Start with [`Events`], then `triggers.rs` (which triggers run) and `deliver/consumer.rs` (how one does).
#![warn(missing_docs)]

mod deliver;
pub mod filter;
pub mod http;
pub mod message;
mod queues;
pub mod retry;
pub mod schedule;
mod triggers;

use std::sync::{Arc, atomic::Ordering::Relaxed};

use async_trait::async_trait;
use gust_backend::{
    Backends,
    queue::{Message, Published, Queue},
};
use gust_dispatch::Dispatcher;
use gust_meter::events::{EventsDesk, QueueState, TriggerState};
use gust_task::Stop;
use gust_types::{AppName, Label, ProjectName, Result, trigger::EventsSpec};

use self::{queues::Queues, triggers::Triggers};

/// What this room needs from others.
pub struct Parts {
    /// Calls functions, and tells what is served.
    pub dispatcher: Dispatcher,
    /// Keeps the queues.
    pub backends: Arc<dyn Backends>,
}

/// The events of a node. Clones are handles to the same ones.
#[derive(Clone)]
pub struct Events {
    queues: Queues,
    triggers: Arc<Triggers>,
}

/// What became of deliveries since the node started, over all triggers that run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Under way.
    pub in_flight: u64,
    /// Taken by their function.
    pub done: u64,
    /// To be tried again.
    pub retried: u64,
    /// Put back because the node had no room for the call.
    pub refused: u64,
    /// Given up.
    pub dead: u64,
}
