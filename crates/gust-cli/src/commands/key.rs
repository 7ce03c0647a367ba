//! `gust key`: what clients of others sign their requests with, or log in with.

use clap::Subcommand;
use gust_types::{Kind, Result};

use crate::{
    output::{self, Table},
    remote::Remote,
    time,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make an access key, and print it as the variables that clients of AWS read: its id, and its secret
    New {
        /// What it is for, to tell it from others
        #[arg(default_value = "")]
        note: String,
        /// Print one JSON document
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        remote: Remote,
    },
    /// List the access keys of a project, without their secrets
    Ls {
        /// Print one JSON document
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        remote: Remote,
    },
    /// Remove an access key: what is signed with it is refused from now on
    Rm {
        /// Its id
        id: String,
        #[command(flatten)]
        remote: Remote,
    },
}

pub(crate) async fn run(args: &Args) -> Result<u8> {
    match &args.action {
        Action::New { note, json, remote } => make(note, *json, remote).await?,
        Action::Ls { json, remote } => list(*json, remote).await?,
        Action::Rm { id, remote } => {
            let project = &remote.project;
            match remote.client()?.remove_access_key(project, id).await {
                Ok(()) => output::say(&format!("{id} is removed")),
                // What was asked for is so.
                Err(error) if error.kind == Kind::NotFound => {
                    output::say(&format!("there is no access key to remove: {id}"));
                }
                Err(error) => return Err(remote.explain(error)),
            }
        }
    }
    Ok(crate::OK)
}

async fn make(note: &str, json: bool, remote: &Remote) -> Result<()> {
    let client = remote.client()?;
    let made = client.create_access_key(&remote.project, note).await;
    let made = made.map_err(|e| remote.explain(e))?;
    match json {
        true => output::json(&made)?,
        false => {
            output::line(&format!("AWS_ACCESS_KEY_ID={}", made.id))?;
            output::line(&format!("AWS_SECRET_ACCESS_KEY={}", made.secret))?;
        }
    }
    output::say("keep the secret: it is not shown again");
    Ok(())
}

async fn list(json: bool, remote: &Remote) -> Result<()> {
    let keys = remote.client()?.access_keys(&remote.project).await;
    let keys = keys.map_err(|e| remote.explain(e))?;
    if json {
        return output::json(&keys);
    }
    let mut table = Table::new(&["ID", "MADE (UTC)", "NOTE"], &[]);
    for key in &keys.keys {
        table.row(vec![
            key.id.clone(),
            time::seconds(key.created_us),
            output::printable(&key.note),
        ]);
    }
    table.print()
}
