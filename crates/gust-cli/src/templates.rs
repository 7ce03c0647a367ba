//! The templates of `gust new`, embedded from `templates/` by the build script.

/// Path below `templates/` and content, in order of paths.
const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/templates.rs"));

/// What a template writes in place of the app's name.
const NAME: &str = "{{name}}";

/// What a template writes where the name has to be an identifier.
const IDENTIFIER: &str = "{{name_snake}}";

/// The templates there are.
pub(crate) fn names() -> Vec<&'static str> {
    let mut names: Vec<&str> = FILES
        .iter()
        .filter_map(|(path, _)| path.split_once('/'))
        .map(|(name, _)| name)
        .collect();
    names.dedup();
    names
}

/// The files of a template for an app of this name: path and content.
pub(crate) fn files(template: &str, name: &str) -> Vec<(&'static str, String)> {
    FILES
        .iter()
        .filter_map(|(path, content)| {
            let (of, path) = path.split_once('/')?;
            let content = content
                .replace(NAME, name)
                .replace(IDENTIFIER, &name.replace('-', "_"));
            (of == template).then_some((path, content))
        })
        .collect()
}
