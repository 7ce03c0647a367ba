//! Paths of files: absolute, plain, each once, and none below another file.

use std::collections::BTreeSet;

use gust_types::{
    Error, Result,
    app::FileSpec,
    limits::ceiling::{FILE_NAME, FILE_PATH},
};

/// Files of one function or one route.
const MAX_FILES: usize = 10_000;

pub(super) fn check(files: &[FileSpec]) -> Result<()> {
    super::at_most("files", files.len(), MAX_FILES)?;
    let mut seen = BTreeSet::new();
    for file in files {
        super::artifact(&file.source)?;
        path(&file.path)?;
        if !seen.insert(file.path.as_str()) {
            return Err(Error::invalid(format!(
                "two files have one path: {:?}",
                file.path
            )));
        }
    }
    for file in files {
        let folders = file.path.match_indices('/').map(|(i, _)| &file.path[..i]);
        if let Some(folder) = folders.filter(|f| !f.is_empty()).find(|f| seen.contains(f)) {
            return Err(Error::invalid(format!(
                "a file is below another file: {folder:?}"
            )));
        }
    }
    Ok(())
}

fn path(path: &str) -> Result<()> {
    let fault = |why: &str| {
        Err(Error::invalid(format!(
            "the path of a file {why}: {path:?}"
        )))
    };
    let Some(rest) = path.strip_prefix('/') else {
        return fault("does not start with '/'");
    };
    if path.len() > FILE_PATH {
        return fault(&format!("is longer than {FILE_PATH} bytes"));
    }
    if path.chars().any(|c| c.is_control() || c == '\\') {
        return fault("has a character that no path has");
    }
    for part in rest.split('/') {
        match part {
            "" => return fault("has an empty part"),
            "." | ".." => return fault("has a '.' or '..' part"),
            part if part.len() > FILE_NAME => {
                return fault(&format!("has a part longer than {FILE_NAME} bytes"));
            }
            _ => {}
        }
    }
    Ok(())
}
