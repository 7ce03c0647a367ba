//! Events: what starts a function besides a request, and nothing lost on the way.
//!
//! This room turns what arrives into CloudEvents ([`http`]), decides who gets them ([`filter`]) and when schedules fire
//! ([`schedule`]), and delivers what the durable queues hold. It never keeps anything itself: that is a backend's.
#![warn(missing_docs)]

pub mod filter;
pub mod http;
pub mod schedule;
