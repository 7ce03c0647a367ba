//! Topics as SNS has them, and queues that are subscribed to them.
//!
//! A topic of SNS's is a topic of the project of the same name: what is published is an event there for triggers, and a
//! message in each subscribed queue, in one commit. What others publish to the topic (functions, `gust topic publish`)
//! goes to triggers and not to these subscriptions.
//!
//! - `kept.rs`: what is kept of topics and subscriptions.
//! - `topics.rs`, `subscriptions.rs`, `publish.rs`: the operations.

pub(crate) mod kept;
pub(crate) mod publish;
pub(crate) mod subscriptions;
pub(crate) mod topics;
