//! Events: what starts a function besides a request, and nothing lost on the way.
//!
//! This room turns what arrives into CloudEvents ([`http`]), decides who gets them ([`filter`]), when schedules fire
//! ([`schedule`]) and what is tried again ([`retry`]), and delivers what the durable queues hold. It never keeps anything itself: that is a backend's.
#![warn(missing_docs)]

pub mod filter;
pub mod http;
pub mod retry;
pub mod schedule;
