//! `gust rm`: an app and its history are gone; what it stored stays.

use std::io::{BufRead as _, IsTerminal as _};

use gust_types::{AppName, Error, Kind, Result};

use crate::{output, remote::Remote};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The app
    app: AppName,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    remote: Remote,
}

pub(crate) async fn run(args: &Args) -> Result<u8> {
    let client = args.remote.client()?;
    if !args.yes {
        ask(&args.app).await?;
    }
    match client.remove_app(&args.remote.project, &args.app).await {
        Ok(()) => output::say(&format!("{} is removed; what it stored stays", args.app)),
        // What was asked for is so.
        Err(error) if error.kind == Kind::NotFound => {
            output::say(&format!("there is no app to remove: {}", args.app));
        }
        Err(error) => return Err(args.remote.explain(error)),
    }
    Ok(crate::OK)
}

async fn ask(app: &AppName) -> Result<()> {
    let declined = || {
        Error::invalid(format!("not confirmed: {app}"))
            .hint("to remove it without a question: --yes")
    };
    if !std::io::stdin().is_terminal() {
        return Err(declined());
    }
    output::say(&format!(
        "Remove {app}, its history and the values of its variables? Type its name:"
    ));
    let read = || {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).map(|_| line)
    };
    // On a thread of its own, so that Ctrl-C is heard.
    let line = tokio::task::spawn_blocking(read).await;
    match line {
        Ok(Ok(line)) if line.trim() == app.as_str() => Ok(()),
        _ => Err(declined()),
    }
}
