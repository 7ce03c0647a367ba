//! `gust project`: tenants.

use clap::Subcommand;
use gust_types::{Kind, ProjectName, Result};

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
    /// List the projects
    Ls {
        /// Print one JSON document
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        remote: Remote,
    },
    /// Make a project
    New {
        /// Its name
        name: ProjectName,
        #[command(flatten)]
        remote: Remote,
    },
    /// Remove a project that has no apps
    Rm {
        /// Its name
        name: ProjectName,
        #[command(flatten)]
        remote: Remote,
    },
}

pub(crate) async fn run(args: &Args) -> Result<u8> {
    match &args.action {
        Action::Ls { json, remote } => list(*json, remote).await?,
        Action::New { name, remote } => match remote.client()?.create_project(name).await {
            Ok(_) => output::say(&format!("{name} is made; use it with: --project {name}")),
            // What was asked for is so.
            Err(error) if error.kind == Kind::Conflict => {
                output::say(&format!("{name} was there already"));
            }
            Err(error) => return Err(remote.explain(error)),
        },
        Action::Rm { name, remote } => match remote.client()?.remove_project(name).await {
            Ok(()) => output::say(&format!("{name} is removed")),
            Err(error) if error.kind == Kind::NotFound => {
                output::say(&format!("there is no project to remove: {name}"));
            }
            Err(error) => return Err(remote.explain(error)),
        },
    }
    Ok(crate::OK)
}

async fn list(json: bool, remote: &Remote) -> Result<()> {
    let projects = remote.client()?.projects().await;
    let projects = projects.map_err(|e| remote.explain(e))?;
    if json {
        return output::json(&projects);
    }
    let mut table = Table::new(&["PROJECT", "APPS", "MADE (UTC)"], &[1]);
    for project in &projects.projects {
        table.row(vec![
            project.name.to_string(),
            project.apps.to_string(),
            time::seconds(project.created_us),
        ]);
    }
    table.print()
}
