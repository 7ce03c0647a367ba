//! `gust deploy`: build if asked, send what the node lacks, hear how it goes.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use futures::{StreamExt as _, TryStreamExt as _};
use gust_api::{
    Client,
    deploy::{DeployRequest, Deployed, Event},
};
use gust_types::{Digest, Error, Result};

use crate::{
    artifacts::{self, Artifacts, Content},
    builder, compose, output,
    progress::Bars,
    remote::Remote,
    variables::{self, Assignment},
};

/// Uploads at once.
const UPLOADS: usize = 4;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The app's folder, or its manifest
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// Run the build commands first; without this only what is missing is built
    #[arg(long)]
    build: bool,
    /// Profile of a spin.toml
    #[arg(long)]
    profile: Option<String>,
    /// Set a variable of the app; kept encrypted
    #[arg(long = "variable", value_name = "NAME=VALUE")]
    variables: Vec<Assignment>,
    /// Print what was deployed as one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

pub(crate) async fn run(args: &Args) -> Result<u8> {
    let loaded = builder::prepare(&args.dir, args.profile.as_deref(), args.build).await?;
    let variables = variables::collect(&args.variables, &loaded.spec, &BTreeMap::new())?;
    let client = args.remote.client()?;
    let (mut spec, root) = (loaded.spec, loaded.root);
    let _composed = compose::functions(&mut spec, &root).await?;
    let artifacts = tokio::task::spawn_blocking(move || artifacts::collect(&spec, &root))
        .await
        .map_err(|e| Error::internal("reading the app's files failed").because(e))??;
    let bars = Bars::new();
    let deployed = send(&client, args, artifacts, variables, &bars)
        .await
        .map_err(|e| args.remote.explain(e));
    bars.clear();
    tell(&deployed?, args.json)?;
    Ok(crate::OK)
}

async fn send(
    client: &Client,
    args: &Args,
    artifacts: Artifacts,
    variables: BTreeMap<String, String>,
    bars: &Bars,
) -> Result<Deployed> {
    upload(client, &artifacts.files, bars).await?;
    let request = DeployRequest {
        app: artifacts.app,
        variables,
    };
    let mut warnings = Vec::new();
    let deployed = client
        .deploy(&args.remote.project, &request, &mut |event| {
            hear(event, bars, &mut warnings);
        })
        .await;
    if deployed.is_err() {
        // A deploy that goes well lists them itself.
        bars.clear();
        warnings.iter().for_each(|warning| output::warn(warning));
    }
    deployed
}

/// Sends the artifacts that the node does not have.
async fn upload(client: &Client, files: &BTreeMap<Digest, Content>, bars: &Bars) -> Result<()> {
    let missing = client.missing(files.keys().copied().collect()).await?;
    let uploads = missing.iter().filter_map(|digest| {
        let content = files.get(digest)?;
        Some(upload_one(client, digest, content, bars))
    });
    futures::stream::iter(uploads)
        .buffer_unordered(UPLOADS)
        .try_collect::<Vec<()>>()
        .await?;
    Ok(())
}

async fn upload_one(
    client: &Client,
    digest: &Digest,
    content: &Content,
    bars: &Bars,
) -> Result<()> {
    let bar = bars.bytes(&format!("upload {}", content.label), content.size);
    let shown = bar.clone();
    let heard = Arc::new(move |sent| shown.set_position(sent));
    client.upload_file(digest, &content.path, heard).await?;
    bar.finish_and_clear();
    Ok(())
}

/// Shows a step; keeps a warning for later.
pub(crate) fn hear(event: &Event, bars: &Bars, warnings: &mut Vec<String>) {
    match event {
        Event::Step {
            step,
            function,
            done,
            total,
        } => {
            let what = match function {
                Some(function) => format!("{step} {function}"),
                None => step.clone(),
            };
            bars.step(&what, *done, *total);
        }
        Event::Warning { function, message } => warnings.push(match function {
            Some(function) => format!("{function}: {message}"),
            None => message.clone(),
        }),
        Event::Error(_) | Event::Done(_) => {}
    }
}

/// What came of it: URLs on stdout, the rest on stderr.
pub(crate) fn tell(deployed: &Deployed, json: bool) -> Result<()> {
    for warning in &deployed.warnings {
        output::warn(warning);
    }
    output::say(&summary(deployed));
    if json {
        return output::json(deployed);
    }
    for url in &deployed.urls {
        output::line(&url.url)?;
    }
    Ok(())
}

fn summary(deployed: &Deployed) -> String {
    let app = &deployed.app;
    if !deployed.changed {
        return format!(
            "{app} is as it was: deployment {} serves",
            deployed.deployment
        );
    }
    let changed: Vec<String> = deployed
        .functions
        .iter()
        .filter(|f| f.changed)
        .map(|f| format!("{} revision {}", f.function, f.revision))
        .collect();
    let what = match changed.is_empty() {
        true => String::new(),
        false => format!(", new: {}", changed.join(", ")),
    };
    format!(
        "{app} is deployed: deployment {} serves{what}",
        deployed.deployment
    )
}

#[cfg(test)]
mod tests {
    use gust_api::deploy::DeployedFunction;

    use super::*;

    #[test]
    fn a_deploy_is_told_in_a_line() {
        let function = |name: &str, changed| DeployedFunction {
            function: name.parse().unwrap(),
            revision: 3,
            changed,
            contract: String::new(),
        };
        let mut deployed = Deployed {
            project: "default".parse().unwrap(),
            app: "shop".parse().unwrap(),
            deployment: 7,
            changed: true,
            functions: vec![function("a", true), function("b", false)],
            urls: Vec::new(),
            warnings: Vec::new(),
        };
        assert_eq!(
            summary(&deployed),
            "shop is deployed: deployment 7 serves, new: a revision 3"
        );
        deployed.changed = false;
        assert_eq!(summary(&deployed), "shop is as it was: deployment 7 serves");
    }
}
