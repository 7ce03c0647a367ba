//! The words every other room speaks: apps, functions, revisions, calls, usage, errors.
//!
//! Plain data and pure functions. Nothing here does I/O, reads a clock, or knows a runtime.
//! Start with [`app`] (what a person writes), then [`call`] (what flows), then [`usage`] (what it took).
#![warn(missing_docs)]

pub mod app;
pub mod call;
pub mod changes;
pub mod deployment;
pub mod digest;
pub mod error;
pub mod event;
pub mod later;
pub mod limits;
pub mod names;
pub mod outbound;
pub mod route;
pub mod script;
pub mod template;
pub mod trigger;
pub mod units;
pub mod usage;

pub use app::AppSpec;
pub use call::{Body, Call, Reply};
pub use deployment::{Deployment, Revision};
pub use digest::Digest;
pub use error::{Blame, Error, Kind, Result};
pub use event::Event;
pub use limits::Limits;
pub use names::{AppName, FunctionKey, FunctionName, Label, ProjectName};
pub use route::RoutePattern;
pub use units::{ByteSize, Span};
pub use usage::{Outcome, Usage};

/// A boxed future, the one shape of async in `dyn` traits that need `'static` futures.
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;
