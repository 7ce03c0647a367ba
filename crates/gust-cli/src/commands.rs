//! One file a verb, each with its `Args` and its `run`.

pub(crate) mod bill;
pub(crate) mod blob;
pub(crate) mod budget;
pub(crate) mod build;
pub(crate) mod call;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod deploy;
pub(crate) mod doctor;
pub(crate) mod events;
pub(crate) mod invoke;
pub(crate) mod logs;
pub(crate) mod ls;
pub(crate) mod new;
pub(crate) mod project;
pub(crate) mod queue;
pub(crate) mod rm;
pub(crate) mod rollback;
pub(crate) mod secret;
pub(crate) mod serve;
pub(crate) mod show;
pub(crate) mod top;
pub(crate) mod topic;
pub(crate) mod trigger;
pub(crate) mod up;
pub(crate) mod usage;
