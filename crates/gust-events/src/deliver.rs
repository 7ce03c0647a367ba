//! Deliveries: what a queue holds goes to a function, and what becomes of it goes back to the queue.
//!
//! A consumer takes no more than its trigger may call at once, so a slow function slows its queue and nothing else.
//! A call that the node refuses (its function is full, the budget is used up) was no attempt: the message goes back.
//!
//! - `consumer.rs`: takes, hands out to whatever the work is, and settles.
//! - `events.rs`: the work of delivering events.
//! - `once.rs`: the same as one commit with what the function writes.
//! - `call.rs`: makes the call and reads its answer.
//! - `outcome.rs`: what the answer means for each message.
//! - `reply.rs`: who hears an answer before the messages are settled.

mod call;
mod consumer;
mod events;
mod once;
mod outcome;
mod reply;

pub(crate) use call::{REPLY_MOST, Target, patience};
pub(crate) use consumer::{Consumer, Handled, Work};
pub(crate) use events::{ATTEMPT, Delivery, EventWork, Nowhere, Place, Tally, Way};
pub(crate) use once::Once;
pub(crate) use outcome::Answered;
pub(crate) use reply::{Delivered, Fate, Replies};
