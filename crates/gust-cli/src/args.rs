//! The commands. Each verb's own arguments stand in its file.

use clap::{Parser, Subcommand};

use crate::commands;

const AFTER: &str = "\
Exit codes: 0 done, 1 doctor found something, 2 not valid, 3 not allowed, 4 not found, 5 conflict, 6 a limit is reached,
7 not available, 8 took too long, 9 the function failed, 10 the platform failed, 130 interrupted.";

/// Functions from a folder to a URL.
#[derive(Debug, Parser)]
#[command(name = "gust", version, after_help = AFTER, disable_help_subcommand = true)]
#[command(max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a new app from a template
    New(commands::new::Args),
    /// Run the build commands of an app's functions
    Build(commands::build::Args),
    /// Run one app in the foreground, without a node
    Up(commands::up::Args),
    /// Run a node
    Serve(commands::serve::Args),
    /// Deploy an app to a node
    Deploy(commands::deploy::Args),
    /// List the apps of a node and what their functions are doing
    Ls(commands::ls::Args),
    /// Show one app: configuration, variables, history
    Show(commands::show::Args),
    /// Call a function through the control API, a private one too
    Invoke(commands::invoke::Args),
    /// List calls that are made later, show what became of them, cancel them
    #[command(visible_alias = "calls")]
    Call(commands::call::Args),
    /// Show what functions have written
    Logs(commands::logs::Args),
    /// Show what calls took
    Usage(commands::usage::Args),
    /// Show what a month costs
    Bill(commands::bill::Args),
    /// Show, set or lift the sum that a project may cost in a month
    Budget(commands::budget::Args),
    /// Go back to an earlier deployment
    Rollback(commands::rollback::Args),
    /// Remove an app
    Rm(commands::rm::Args),
    /// See all events of a project: what waits, what comes in, what was given up, and deliver that again
    #[command(visible_alias = "event")]
    Events(commands::events::Args),
    /// List key-value stores, get and set values
    Kv(commands::kv::Args),
    /// List SQL databases, run statements, dump and import
    Sql(commands::sql::Args),
    /// List buckets, put and get objects
    Blob(commands::blob::Args),
    /// List topics, publish events, follow them, and replay them to triggers
    Topic(commands::topic::Args),
    /// List queues, publish to them, look into them and at what was given up
    Queue(commands::queue::Args),
    /// List triggers and what became of their events
    Trigger(commands::trigger::Args),
    /// Watch what functions, triggers and queues are doing
    Top(commands::top::Args),
    /// Set, list or remove the values of an app's variables
    Secret(commands::secret::Args),
    /// List, make or remove access keys: what clients of S3, Redis, PostgreSQL and AWS log in with
    Key(commands::key::Args),
    /// List, make or remove projects
    Project(commands::project::Args),
    /// Look at this machine, the node and the app of this folder
    Doctor(commands::doctor::Args),
    /// Explain a node's settings
    Config(commands::config::Args),
    /// Print a completion script for a shell
    Completions(commands::completions::Args),
}

#[cfg(test)]
mod tests;
