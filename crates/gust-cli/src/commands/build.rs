//! `gust build`: the manifest's build commands.

use std::path::PathBuf;

use gust_types::{FunctionName, Result};

use crate::{builder, here, output};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The app's folder, or its manifest
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// Build this function only
    #[arg(short, long, value_name = "NAME")]
    function: Option<FunctionName>,
    /// Profile of a spin.toml
    #[arg(long)]
    profile: Option<String>,
}

pub(crate) async fn run(args: &Args) -> Result<u8> {
    let loaded = here::load(&args.dir, args.profile.as_deref(), false)?;
    let ran = builder::build(&loaded.spec, &loaded.root, args.function.as_ref()).await?;
    if ran == 0 {
        output::say("nothing to build: no function has a build command");
    }
    Ok(crate::OK)
}
