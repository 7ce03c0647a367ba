//! The path over a runtime in memory. Each file is one stage or one promise; `kit` builds the world they share.

mod acquire;
mod admit;
mod call;
mod hooks;
pub(crate) mod kit;
mod peers;
mod publish;
mod settle;
mod unit;
