//! `gust new`: a folder that builds and runs as it is.

use std::path::PathBuf;

use gust_types::{AppName, Error, Result};

use crate::{output, templates};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The app's name: lower-case letters, digits and '-'
    name: AppName,
    /// The language
    #[arg(short, long, default_value = "rust", value_parser = clap::builder::PossibleValuesParser::new(templates::names()))]
    template: String,
    /// The folder to make [default: the name]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<u8> {
    let dir = args
        .dir
        .clone()
        .unwrap_or_else(|| PathBuf::from(args.name.as_str()));
    if dir
        .read_dir()
        .is_ok_and(|mut entries| entries.next().is_some())
    {
        let message = format!("the folder is not empty: {}", dir.display());
        return Err(Error::conflict(message).hint("choose another one with --dir"));
    }
    for (path, content) in templates::files(&args.template, args.name.as_str()) {
        let file = dir.join(path);
        let made = match file.parent() {
            Some(parent) => std::fs::create_dir_all(parent),
            None => Ok(()),
        };
        made.and_then(|()| std::fs::write(&file, content))
            .map_err(|e| {
                Error::unavailable(format!("cannot write: {}", file.display())).because(e)
            })?;
    }
    output::line(&dir.display().to_string())?;
    output::say(&format!(
        "made {} from the template {}; go on with: cd {} && gust up --build (README.md says what that needs)",
        args.name,
        args.template,
        dir.display()
    ));
    Ok(crate::OK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_has_a_valid_manifest() {
        let names = templates::names();
        for template in ["rust", "js", "python"] {
            assert!(names.contains(&template), "{names:?}");
        }
        for template in names {
            let dir = tempfile::tempdir().unwrap();
            let args = Args {
                name: AppName::new("my-app").unwrap(),
                template: template.to_owned(),
                dir: Some(dir.path().to_owned()),
            };
            run(&args).unwrap();
            let loaded =
                gust_manifest::load(dir.path(), &gust_manifest::Options::default()).unwrap();
            assert_eq!(loaded.spec.name.as_str(), "my-app", "{template}");
            assert!(
                loaded.spec.functions["my-app"].build.is_some(),
                "{template}"
            );
            let again = run(&args).unwrap_err();
            assert_eq!(
                again.kind,
                gust_types::Kind::Conflict,
                "nothing is overwritten"
            );
        }
    }
}
