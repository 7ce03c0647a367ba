//! Routes and hosts of one app. What other apps claim is dispatch's to know.

use std::collections::BTreeMap;

use gust_types::{
    AppSpec, Error, Result,
    app::{RouteSpec, RouteTarget},
    route::RoutePattern,
    trigger::TriggerSource,
};

/// Further host names of one app.
const MAX_HOSTS: usize = 100;
/// Bytes of one fixed response.
const MAX_BODY: usize = 1 << 20;

pub(super) fn check(spec: &AppSpec) -> Result<()> {
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    let hooks = spec.events.triggers.iter().filter_map(|t| match &t.source {
        TriggerSource::Webhook(webhook) => Some(webhook.path.as_str()),
        _ => None,
    });
    for route in &spec.routes {
        target(spec, route)?;
    }
    let paths = spec.routes.iter().filter_map(|route| route.path.as_deref());
    for path in paths.chain(hooks) {
        let shape = RoutePattern::parse(path)?.shape();
        if let Some(other) = seen.insert(shape, path) {
            return Err(Error::invalid(format!(
                "two routes match the same paths: {other:?} and {path:?}"
            )));
        }
    }
    Ok(())
}

fn target(spec: &AppSpec, route: &RouteSpec) -> Result<()> {
    let path = route.path.as_deref();
    match &route.target {
        RouteTarget::Function(name) if spec.functions.contains_key(name) => Ok(()),
        RouteTarget::Function(name) => Err(Error::invalid(format!(
            "a route names a function that the app does not have: {name}"
        ))),
        _ if path.is_none() => Err(Error::invalid("only a route to a function can be private")),
        RouteTarget::Response {
            status,
            headers,
            body,
        } => response(*status, headers, body),
        RouteTarget::Files { files, .. } => {
            if !path.is_some_and(|p| p.ends_with("/...") || p.ends_with("/*")) {
                let path = path.unwrap_or_default();
                return Err(Error::invalid(format!(
                    "a route of static files must end in '/...': {path:?}"
                )));
            }
            super::files::check(files)
        }
    }
}

fn response(status: u16, headers: &BTreeMap<String, String>, body: &str) -> Result<()> {
    if !(200..=599).contains(&status) {
        return Err(Error::invalid(format!(
            "a fixed response has a status of 200 to 599: {status}"
        )));
    }
    super::at_most("bytes of a fixed response", body.len(), MAX_BODY)?;
    super::at_most("headers of a fixed response", headers.len(), 64)?;
    for (name, value) in headers {
        let named: Result<http::HeaderName, _> = name.parse();
        if named.is_err() || http::HeaderValue::from_str(value).is_err() {
            return Err(Error::invalid(format!(
                "not a header of a response: {name:?}"
            )));
        }
    }
    Ok(())
}

/// Host names as a caller may write them; `*` is not an app's to claim.
pub(super) fn hosts(hosts: &[String]) -> Result<()> {
    super::at_most("hosts", hosts.len(), MAX_HOSTS)?;
    for host in hosts {
        let labels = host.split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        });
        if !labels || host.len() > 253 {
            return Err(Error::invalid(format!("not a host name: {host:?}"))
                .hint("write it like \"shop.example.com\", in lower case and without a port"));
        }
    }
    Ok(())
}
