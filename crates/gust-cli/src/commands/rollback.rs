//! `gust rollback`: an earlier deployment serves again.

use gust_types::{AppName, Result};

use crate::{commands::deploy, here, remote::Remote};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The app [default: the one of this folder]
    app: Option<AppName>,
    /// The deployment to go back to [default: the one before]
    #[arg(long, value_name = "DEPLOYMENT")]
    to: Option<u64>,
    /// Print what serves now as one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

pub(crate) async fn run(args: &Args) -> Result<u8> {
    let app = here::app(args.app.as_ref())?;
    let deployed = args
        .remote
        .client()?
        .rollback(&args.remote.project, &app, args.to)
        .await
        .map_err(|e| args.remote.explain(e))?;
    deploy::tell(&deployed, args.json)?;
    Ok(crate::OK)
}
