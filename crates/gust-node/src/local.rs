//! A deploy from a folder of this machine, without uploads: `gust up`.

use std::{collections::BTreeMap, path::Path};

use gust_api::deploy::{DeployRequest, Deployed, Event};
use gust_control::Control;
use gust_runtime::artifact::ArtifactFolder;
use gust_types::{
    AppSpec, Error, ProjectName, Result,
    app::{RouteTarget, Source},
};

pub(crate) async fn deploy(
    control: &Control,
    artifacts: &ArtifactFolder,
    app: &AppSpec,
    root: &Path,
    variables: &BTreeMap<String, String>,
    heard: &(dyn Fn(Event) + Send + Sync + 'static),
) -> Result<Deployed> {
    let (app, root, artifacts) = (app.clone(), root.to_path_buf(), artifacts.clone());
    let app = tokio::task::spawn_blocking(move || adopt(app, &root, &artifacts))
        .await
        .map_err(|e| Error::internal("reading the app's files failed").because(e))??;
    let request = DeployRequest {
        app,
        variables: variables.clone(),
    };
    control
        .deploy(&ProjectName::default_project(), request, heard)
        .await
}

/// Puts every file that the app names into the artifact folder.
fn adopt(mut app: AppSpec, root: &Path, artifacts: &ArtifactFolder) -> Result<AppSpec> {
    for (name, function) in &mut app.functions {
        let built = function.build.is_some();
        store(&mut function.source, root, artifacts).map_err(|e| match e.hint {
            None if built => e.hint(format!("build {name} first: gust up --build")),
            _ => e,
        })?;
        for file in &mut function.files {
            store(&mut file.source, root, artifacts)?;
        }
    }
    for route in &mut app.routes {
        if let RouteTarget::Files { files, .. } = &mut route.target {
            for file in files {
                store(&mut file.source, root, artifacts)?;
            }
        }
    }
    Ok(app)
}

fn store(source: &mut Source, root: &Path, artifacts: &ArtifactFolder) -> Result<()> {
    let Source::Path(path) = source else {
        return Ok(());
    };
    let file = root.join(&*path);
    let bytes = std::fs::read(&file).map_err(|e| {
        Error::invalid(format!("cannot read a file of the app: {}", file.display())).because(e)
    })?;
    let digest = artifacts.put(&bytes)?;
    *source = Source::Artifact {
        digest,
        size: bytes.len() as u64,
    };
    Ok(())
}
