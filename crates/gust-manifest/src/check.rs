//! The rules of single values, apart from where they stand in a file.

use gust_types::{
    Error,
    app::FileSpec,
    limits::ceiling::{FILE_NAME, FILE_PATH},
};

use crate::limits::MAX_MANIFEST;

/// A value that ends up in a guest's environment or in a host name.
pub(crate) fn text(what: &str, value: &str) -> Result<(), Error> {
    if value.len() as u64 > MAX_MANIFEST || value.contains('\0') {
        return Err(Error::invalid(format!("{what} is too long or has a NUL")));
    }
    Ok(())
}

/// Paths as a guest sees them: absolute, without `.` or `..`, and no file where another has its folder.
pub(crate) fn file_paths(files: &[FileSpec]) -> Result<(), Error> {
    let all: std::collections::BTreeSet<&str> = files.iter().map(|f| f.path.as_str()).collect();
    for path in &all {
        let fault = |why: &str| Err(Error::invalid(format!("file path {why}: {path:?}")));
        let Some(rest) = path.strip_prefix('/') else {
            return fault("does not start with '/'");
        };
        if path.len() > FILE_PATH || rest.split('/').any(|part| part.len() > FILE_NAME) {
            return fault(&format!(
                "is longer than {FILE_PATH} bytes, or a part of it than {FILE_NAME}"
            ));
        }
        if path.chars().any(|c| c.is_control() || c == '\\') {
            return fault("has a control character or a backslash");
        }
        if rest.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return fault("has an empty, '.' or '..' segment");
        }
        let mut parent = *path;
        while let Some((above, _)) = parent.rsplit_once('/') {
            if all.contains(above) {
                return fault(&format!("is below the file {above:?}"));
            }
            parent = above;
        }
    }
    Ok(())
}

/// The name of a variable: lower_snake_case.
pub(crate) fn variable_name(name: &str) -> Result<(), Error> {
    let valid = name.len() <= 128
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        && !name.ends_with('_')
        && !name.contains("__");
    let fault = || {
        Error::invalid(format!("variable name is not lower_snake_case: {name:?}"))
            .hint("use lower-case letters, digits and single '_' between them, start with a letter")
    };
    valid.then_some(()).ok_or_else(fault)
}

/// The name of an environment variable.
pub(crate) fn environment_name(name: &str) -> Result<(), Error> {
    if name.is_empty() || name.len() > 1024 || name.contains(['=', '\0']) {
        return Err(Error::invalid(format!(
            "environment name is empty, too long, or has '=': {name:?}"
        )));
    }
    Ok(())
}

/// A host name an app answers on.
pub(crate) fn host(name: &str) -> Result<(), Error> {
    let label = |l: &str| {
        !l.is_empty()
            && l.len() <= 63
            && !l.starts_with('-')
            && !l.ends_with('-')
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    if name.len() <= 253 && name.split('.').all(label) {
        return Ok(());
    }
    Err(Error::invalid(format!("not a host name: {name:?}"))
        .hint("write it like \"shop.example.com\", without scheme or port; other scripts in their xn-- form"))
}

/// The path of a request, without a query.
pub(crate) fn path(path: &str) -> Result<(), Error> {
    if path.starts_with('/')
        && path.len() <= 1024
        && path.parse::<http::uri::PathAndQuery>().is_ok()
    {
        return Ok(());
    }
    Err(Error::invalid(format!("not a path of a request: {path:?}"))
        .hint("write it like \"/healthz\""))
}

/// Where code comes from.
pub(crate) fn source(path: &str) -> Result<(), Error> {
    if path.is_empty() || path.contains('\0') {
        return Err(Error::invalid("source is empty"));
    }
    if path.contains("://") {
        return Err(Error::invalid(format!("a source is a path: {path:?}"))
            .hint("fetch the component; spin.toml takes source = { url, digest } too"));
    }
    Ok(())
}

/// Where code is fetched from.
pub(crate) fn source_url(url: &str) -> Result<(), Error> {
    let refused = |why: &str| Error::invalid(format!("{why}: {url:?}"));
    let parsed: http::Uri = url.parse().map_err(|_| refused("not a URL"))?;
    let scheme = parsed.scheme_str().unwrap_or_default();
    if !matches!(scheme, "http" | "https") {
        return Err(refused("code is fetched by http or https"));
    }
    // What is in a manifest is read by many.
    if parsed
        .authority()
        .is_none_or(|of| of.as_str().contains('@'))
    {
        return Err(refused("the URL of code names a host, and no user"));
    }
    Ok(())
}

/// A header of a fixed answer. What frames the body is not the manifest's to say.
pub(crate) fn header(name: &str, value: &str) -> Result<(), Error> {
    let parsed = http::HeaderName::try_from(name)
        .map_err(|_| Error::invalid(format!("not a header name: {name:?}")))?;
    if [
        http::header::CONTENT_LENGTH,
        http::header::TRANSFER_ENCODING,
        http::header::CONNECTION,
    ]
    .contains(&parsed)
    {
        return Err(Error::invalid(format!(
            "header is set by the gateway: {name:?}"
        )));
    }
    http::HeaderValue::try_from(value)
        .map(drop)
        .map_err(|_| Error::invalid(format!("not a header value: {value:?}")))
}
