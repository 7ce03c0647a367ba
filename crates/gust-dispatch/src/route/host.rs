//! Host names: taking one from a request, and giving one to an app.

use std::borrow::Cow;

use gust_types::{AppName, ProjectName};
use http::{header, request};

/// The project whose apps have the short names.
const DEFAULT: &str = "default";

/// The host a request is for, in lower case, without port and final dot.
/// A target with an authority (HTTP/2, absolute form) beats the `Host` header, as RFC 9112 section 3.2.2 says.
pub(super) fn of(request: &request::Parts) -> Option<Cow<'_, str>> {
    let text = match request.uri.authority() {
        Some(authority) => authority.as_str(),
        None => request.headers.get(header::HOST)?.to_str().ok()?,
    };
    let host = bare(text);
    (!host.is_empty()).then(|| {
        if host.bytes().any(|b| b.is_ascii_uppercase()) {
            Cow::Owned(host.to_ascii_lowercase())
        } else {
            Cow::Borrowed(host)
        }
    })
}

/// Without user info, port and final dot.
pub(super) fn bare(text: &str) -> &str {
    let text = text.rsplit_once('@').map_or(text, |(_, host)| host);
    let host = match text.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !in_brackets(host) => {
            host
        }
        _ => text,
    };
    host.strip_suffix('.').unwrap_or(host)
}

/// `[::1` is what is left of `[::1]` when its last colon is taken for a port's.
fn in_brackets(host: &str) -> bool {
    host.starts_with('[') && !host.ends_with(']')
}

/// The part of `host` before `.domain`.
pub(super) fn below<'h>(host: &'h str, domain: &str) -> Option<&'h str> {
    host.strip_suffix(domain)?.strip_suffix('.')
}

/// The name of an app below the domain: `app` in the project `default`, else `app.project`.
pub(crate) fn app_host<'a>(project: &ProjectName, app: &'a AppName) -> Cow<'a, str> {
    if project.as_str() == DEFAULT {
        Cow::Borrowed(app.as_str())
    } else {
        Cow::Owned(format!("{app}.{project}"))
    }
}

/// Names that only exist inside: a caller from outside may not claim them.
pub(super) fn is_internal(host: &str) -> bool {
    let host = bare(host);
    [".spin.internal", ".gust.internal"].iter().any(|suffix| {
        let at = host.len().checked_sub(suffix.len());
        at.and_then(|at| host.get(at..))
            .is_some_and(|tail| tail.eq_ignore_ascii_case(suffix))
    })
}
