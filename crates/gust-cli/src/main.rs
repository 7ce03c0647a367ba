//! The program `gust`: what a person types, and what they read.
//!
//! It never runs a function itself: `up` and `serve` hand over to `gust-node`, everything else asks a node through its
//! control API. Data goes to stdout, everything else to stderr. Start with [`args`] (the commands), then
//! `commands/<verb>.rs`, one file a verb; `output.rs` is how anything is said, `remote.rs` how a node is found.

mod args;
mod artifacts;
mod builder;
mod commands;
mod compose;
mod fetch;
mod groups;
mod here;
mod input;
mod output;
mod progress;
mod remote;
mod signals;
mod target;
mod templates;
mod time;
mod variables;
mod watch;

use std::process::ExitCode;

use clap::Parser as _;
use gust_types::Error;

use crate::args::{Cli, Command};

// The hot path allocates small things on many threads; measured, this is where mimalloc wins most.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The allocator asks for huge pages as its heap grows, and a call that happens to need the next one would wait for 2 MiB
/// to be cleared: in a node that maps and unmaps functions all the time, one first call in a hundred took 6 ms.
fn small_pages() {
    // Where the kernel has no such switch, it has no huge pages either.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

/// All is well.
const OK: u8 = 0;
/// Something that was looked at is not as it should be (`gust doctor`).
const NOT_WELL: u8 = 1;
/// A function answered with a status of 500 or above (`gust invoke`): as if the call had failed.
const ANSWERED_WITH_FAILURE: u8 = 9;
/// Ended by Ctrl-C, as shells count it.
const INTERRUPTED: u8 = 130;

/// The table of contents. Every other exit code is of [`gust_api::render::row`], 2 for bad usage included.
fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(&Error::internal("cannot start").because(error)),
    };
    let code = match runtime.block_on(run(cli.command)) {
        Ok(code) => ExitCode::from(code),
        Err(error) => fail(&error),
    };
    // A task that is stuck in a system call must not keep the program alive.
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    code
}

async fn run(command: Command) -> gust_types::Result<u8> {
    match command {
        // These two have an end of their own: they drain.
        Command::Up(args) => {
            small_pages();
            commands::up::run(args).await
        }
        Command::Serve(args) => {
            small_pages();
            commands::serve::run(args).await
        }
        other => tokio::select! {
            done = ask(other) => done,
            () = signals::interrupted() => Ok(INTERRUPTED),
        },
    }
}

async fn ask(command: Command) -> gust_types::Result<u8> {
    match command {
        Command::New(args) => commands::new::run(&args),
        Command::Build(args) => commands::build::run(&args).await,
        Command::Deploy(args) => commands::deploy::run(&args).await,
        Command::Ls(args) => commands::ls::run(&args).await,
        Command::Show(args) => commands::show::run(&args).await,
        Command::Invoke(args) => commands::invoke::run(&args).await,
        Command::Call(args) => commands::call::run(&args).await,
        Command::Logs(args) => commands::logs::run(&args).await,
        Command::Usage(args) => commands::usage::run(&args).await,
        Command::Bill(args) => commands::bill::run(&args).await,
        Command::Budget(args) => commands::budget::run(&args).await,
        Command::Rollback(args) => commands::rollback::run(&args).await,
        Command::Rm(args) => commands::rm::run(&args).await,
        Command::Events(args) => commands::events::run(&args).await,
        Command::Topic(args) => commands::topic::run(&args).await,
        Command::Kv(args) => commands::kv::run(&args).await,
        Command::Sql(args) => commands::sql::run(&args).await,
        Command::Blob(args) => commands::blob::run(&args).await,
        Command::Queue(args) => commands::queue::run(&args).await,
        Command::Trigger(args) => commands::trigger::run(&args).await,
        Command::Top(args) => commands::top::run(&args).await,
        Command::Secret(args) => commands::secret::run(&args).await,
        Command::Key(args) => commands::key::run(&args).await,
        Command::Project(args) => commands::project::run(&args).await,
        Command::Doctor(args) => commands::doctor::run(&args).await,
        Command::Config(args) => commands::config::run(&args),
        Command::Completions(args) => commands::completions::run(&args),
        Command::Up(_) | Command::Serve(_) => Err(Error::internal("handled before")),
    }
}

fn fail(error: &Error) -> ExitCode {
    output::error(error);
    ExitCode::from(gust_api::render::row(error.kind, error.blame).exit)
}
