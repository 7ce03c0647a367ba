//! The control plane: it takes deploys, remembers them, and answers questions about what runs and what it cost.
//!
//! It owns the control database and everything that changes it. It never runs a guest itself (dispatch does), never
//! keeps usage (the ledger does), and never routes a caller's request. Nothing of the data plane waits for it: a call
//! reads what was published last.
//!
//! Start with [`deploy`], the longest story here: validate → artifacts → prepare → probe → publish. Then
//! [`publish`], where the database and dispatch change together, and [`api`], thin handlers over plain functions, one
//! file per resource. [`Control`] holds it all together; [`Parts`] is what it needs from other rooms.
#![warn(missing_docs)]

mod api;
mod apps;
mod blobs;
mod control;
mod count;
mod deploy;
mod garbage;
mod invoke;
mod keys;
mod kv;
mod later;
mod locks;
mod money;
mod publish;
mod queues;
mod rollback;
mod seal;
mod secrets;
mod serve;
pub mod settings;
mod sql;
mod status;
mod store;
mod token;
mod topics;
mod upload;
mod validate;
mod variables;

pub use api::openapi;
pub use control::{Control, Parts};
pub use deploy::Heard;
pub use settings::{Public, Settings};
pub use token::read_token;
