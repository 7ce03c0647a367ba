//! The rules of single values, and of an app that came over the wire instead of out of a manifest.
//!
//! The readers call the small functions with a place in the file; a node calls [`app`] on what it is sent, since nobody
//! says that it came from our own command line.

use std::collections::BTreeMap;

use gust_types::{
    AppSpec, Error, RoutePattern,
    app::{FileSpec, FunctionSpec, RouteTarget},
    outbound::Outbound,
    template,
};

use crate::limits::{MAX_FILES, MAX_FUNCTIONS, MAX_MANIFEST, MAX_ROUTES, MAX_VARIABLES};

/// Checks an app as a node receives it. The first fault is returned.
pub fn app(app: &AppSpec) -> Result<(), Error> {
    let at_most = |what: &str, n: usize, most: usize| {
        let fault = || Error::invalid(format!("more {what} than {most}: {n}"));
        (n <= most).then_some(()).ok_or_else(fault)
    };
    let files = app.functions.values().map(|f| f.files.len()).sum::<usize>()
        + app
            .routes
            .iter()
            .map(|r| files_of(&r.target).len())
            .sum::<usize>();
    at_most("functions", app.functions.len(), MAX_FUNCTIONS)?;
    at_most("routes", app.routes.len(), MAX_ROUTES)?;
    at_most("variables", app.variables.len(), MAX_VARIABLES)?;
    at_most("hosts", app.hosts.len(), MAX_VARIABLES)?;
    at_most("files", files, MAX_FILES)?;
    for name in app.variables.keys() {
        variable_name(name)?;
    }
    for name in &app.hosts {
        host(name)?;
    }
    for (name, spec) in &app.functions {
        function(app, spec).map_err(|e| within(format!("function `{name}`"), e))?;
    }
    routes(app)
}

fn within(what: String, error: Error) -> Error {
    Error {
        message: format!("{what}: {}", error.message),
        ..error
    }
}

fn function(app: &AppSpec, spec: &FunctionSpec) -> Result<(), Error> {
    for (name, value) in &spec.environment {
        environment_name(name)?;
        text("environment value", value)?;
    }
    for (name, value) in &spec.variables {
        variable_name(name)?;
        text("variable", value)?;
        declared(app, value)?;
    }
    for host in &spec.outbound {
        text("outbound host", host)?;
        declared(app, host)?;
        if !host.contains("{{") {
            Outbound::parse(std::slice::from_ref(host))?;
        }
    }
    if let Some(health) = &spec.health {
        path(&health.path)?;
    }
    file_paths(&spec.files)
}

/// A value that ends up in a guest's environment or in a host name.
pub(crate) fn text(what: &str, value: &str) -> Result<(), Error> {
    if value.len() as u64 > MAX_MANIFEST || value.contains('\0') {
        return Err(Error::invalid(format!("{what} is too long or has a NUL")));
    }
    Ok(())
}

fn declared(app: &AppSpec, value: &str) -> Result<(), Error> {
    let unknown = template::names(value)
        .into_iter()
        .find(|name| !app.variables.contains_key(*name));
    match unknown {
        Some(name) => Err(Error::invalid(format!(
            "variable is not declared: `{name}`"
        ))),
        None => Ok(()),
    }
}

fn files_of(target: &RouteTarget) -> &[FileSpec] {
    match target {
        RouteTarget::Files { files, .. } => files,
        _ => &[],
    }
}

fn routes(app: &AppSpec) -> Result<(), Error> {
    let mut claims: BTreeMap<String, String> = BTreeMap::new();
    for route in &app.routes {
        let who = match &route.target {
            RouteTarget::Function(name) => {
                if !app.functions.contains_key(name) {
                    return Err(Error::invalid(format!("no such function: `{name}`")));
                }
                format!("function `{name}`")
            }
            RouteTarget::Response { headers, .. } => {
                headers.iter().try_for_each(|(n, v)| header(n, v))?;
                "a fixed answer".to_owned()
            }
            RouteTarget::Files { files, .. } => {
                file_paths(files)?;
                "a folder of files".to_owned()
            }
        };
        let Some(path) = &route.path else {
            continue;
        };
        let pattern = RoutePattern::parse(path)?;
        if matches!(route.target, RouteTarget::Files { .. }) && !pattern.wildcard() {
            return Err(Error::invalid(format!(
                "the path of a files route must end in `/...`: {path:?}"
            )));
        }
        if let Some(first) = claims.insert(pattern.shape(), who.clone()) {
            return Err(Error::invalid(format!(
                "{first} and {who} claim the same route: {path:?}"
            )));
        }
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
        if path.len() > 4096 || path.contains(['\0', '\\']) {
            return fault("is too long or has a NUL or a backslash");
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
        return Err(
            Error::invalid(format!("remote sources are not built yet: {path:?}"))
                .hint("fetch the component and name it by its path"),
        );
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
