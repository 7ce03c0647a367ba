//! Deliveries: what a queue holds goes to a function, and what becomes of it goes back to the queue.
//!
//! A consumer takes no more than its trigger may call at once, so a slow function slows its queue and nothing else.
//! A call that the node refuses (its function is full, the budget is used up) was no attempt: the message goes back.
//!
//! - `consumer.rs`: takes and hands out.
//! - `call.rs`: makes the call and reads its answer.
//! - `outcome.rs`: what the answer means for each message.

mod call;
mod consumer;
mod outcome;

pub(crate) use call::Target;
pub(crate) use consumer::{Consumer, Delivery, Tally, Way};
