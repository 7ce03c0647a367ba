//! `gust completions`: a script for a shell.

use clap::CommandFactory as _;
use gust_types::Result;

use crate::{args::Cli, output};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell
    shell: clap_complete::Shell,
}

pub(crate) fn run(args: &Args) -> Result<u8> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "gust", &mut script);
    output::out(&script)?;
    Ok(crate::OK)
}
