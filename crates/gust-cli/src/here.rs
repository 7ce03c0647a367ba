//! What a command is about: an app that is named, or else the one of this folder.

use std::{path::Path, str::FromStr};

use gust_api::Client;
use gust_manifest::{Loaded, Options};
use gust_types::{AppName, Error, FunctionName, Result};

use crate::{output, remote::Remote};

/// `APP` or `APP/FUNCTION`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Target {
    pub(crate) app: AppName,
    pub(crate) function: Option<FunctionName>,
}

impl FromStr for Target {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let (app, function) = match text.split_once('/') {
            Some((app, function)) => (app, Some(function.parse()?)),
            None => (text, None),
        };
        Ok(Self {
            app: app.parse()?,
            function,
        })
    }
}

/// The name that was given, or that of the manifest in this folder.
pub(crate) fn app(given: Option<&AppName>) -> Result<AppName> {
    match given {
        Some(name) => Ok(name.clone()),
        None => of_this_folder(),
    }
}

/// The target that was given, or the app of this folder as a whole.
pub(crate) fn target(given: Option<&Target>) -> Result<Target> {
    match given {
        Some(target) => Ok(target.clone()),
        None => Ok(Target {
            app: of_this_folder()?,
            function: None,
        }),
    }
}

/// Refuses what is not deployed: where nothing was found, its name may be a slip.
pub(crate) async fn must_be(remote: &Remote, client: &Client, target: &Target) -> Result<()> {
    let details = client.app(&remote.project, &target.app).await;
    let details = details.map_err(|e| remote.explain(e))?;
    let mut functions = details.summary.functions.iter();
    match &target.function {
        Some(name) if !functions.any(|f| f.function == *name) => {
            let text = format!("app {} has no function: {name}", target.app);
            Err(Error::not_found(text).hint(format!("list them with: gust show {}", target.app)))
        }
        _ => Ok(()),
    }
}

/// The function of a target; an app with one function needs no name.
pub(crate) async fn only_function(
    remote: &Remote,
    client: &Client,
    target: &Target,
) -> Result<FunctionName> {
    if let Some(function) = &target.function {
        return Ok(function.clone());
    }
    let details = client
        .app(&remote.project, &target.app)
        .await
        .map_err(|e| remote.explain(e))?;
    let names: Vec<&FunctionName> = details
        .summary
        .functions
        .iter()
        .map(|f| &f.function)
        .collect();
    match names[..] {
        [only] => Ok(only.clone()),
        [] => Err(Error::not_found(format!(
            "app has no functions: {}",
            target.app
        ))),
        _ => {
            let names: Vec<String> = names
                .iter()
                .map(|n| format!("{}/{n}", target.app))
                .collect();
            Err(
                Error::invalid(format!("app has several functions: {}", target.app))
                    .hint(format!("name one of them: {}", names.join(", "))),
            )
        }
    }
}

fn of_this_folder() -> Result<AppName> {
    let options = Options {
        files: false,
        ..Options::default()
    };
    let loaded =
        gust_manifest::load(Path::new("."), &options).map_err(|error| match error.kind {
            gust_types::Kind::NotFound => {
                Error::invalid("no app is named, and there is no manifest in this folder")
                    .hint("name the app, or run this in its folder")
            }
            _ => error.into(),
        })?;
    Ok(loaded.spec.name)
}

/// Reads the manifest of a folder and tells its notes.
pub(crate) fn load(dir: &Path, profile: Option<&str>, files: bool) -> Result<Loaded> {
    let options = Options {
        profile: profile.map(str::to_owned),
        files,
    };
    let loaded = gust_manifest::load(dir, &options)?;
    if files {
        for note in &loaded.notes {
            output::say(&format!("note: {note}"));
        }
    }
    Ok(loaded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_apps_or_functions() {
        let target: Target = "shop".parse().unwrap();
        assert_eq!((target.app.as_str(), target.function), ("shop", None));
        let target: Target = "shop/cart".parse().unwrap();
        assert_eq!(target.function.unwrap().as_str(), "cart");
        for bad in ["", "/", "shop/", "/cart", "a/b/c", "Shop"] {
            assert!(bad.parse::<Target>().is_err(), "{bad}");
        }
    }
}
