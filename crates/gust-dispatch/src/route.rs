//! route: host and path → what answers.
//!
//! Reads one immutable [`Table`] behind an atomic pointer: never a lock, never the database. Publishing an app makes a
//! new table that shares everything else with the old one.
//!
//! Hosts, the first that fits wins:
//!
//! | host | answers |
//! |---|---|
//! | a custom host of an app | the app's routes |
//! | `<app>.<domain>` | the routes of an app of the project `default` |
//! | `<function>.<app>.<domain>` | any path → that function of an app of `default`, unless it is private |
//! | `<app>.<project>.<domain>` | the routes of an app of another project |
//! | `<function>.<app>.<project>.<domain>` | any path → that function, unless it is private |
//! | anything else | the app that was deployed with the host `*`, if there is one |
//!
//! `x.y.<domain>` can be read in two ways: function `x` of `default`'s app `y`, or app `x` of project `y`. Both cannot
//! be deployed at once: whoever comes second is refused as a conflict, so the order above never decides between tenants.

pub mod files;
pub(crate) mod headers;
mod host;
mod site;
mod table;
pub mod trie;

#[cfg(test)]
mod tests;

use std::sync::{Arc, LazyLock};

use gust_backend::desk::Hook;
use gust_types::{Error, Result};
use http::{HeaderMap, HeaderValue, StatusCode, request};

use crate::FunctionEntry;
pub use files::{FileSite, SiteFile};
pub(crate) use host::app_host;
pub(crate) use site::Site;
pub(crate) use table::Table;
use trie::Captures;

/// What answers a request.
#[derive(Clone)]
pub enum Target {
    /// A function: build a [`gust_types::Call`] and dispatch it.
    Function(Arc<FunctionEntry>),
    /// A fixed answer without an instance.
    Response(Arc<FixedResponse>),
    /// Files without an instance.
    Files(Arc<FileSite>),
    /// Whoever keeps what a webhook brings.
    Hook(Arc<Hook>),
}

/// A fixed answer.
#[derive(Debug, Clone)]
pub struct FixedResponse {
    /// Its status.
    pub status: StatusCode,
    /// Its headers; `content-length` is the door's to set.
    pub headers: HeaderMap,
    /// Its body.
    pub body: bytes::Bytes,
}

/// What a request was routed to.
#[derive(Clone)]
pub struct Routed {
    /// What answers.
    pub target: Target,
    pub(crate) route: Arc<RouteInfo>,
    pub(crate) captures: Captures,
    pub(crate) rest: usize,
}

/// A route as the guest is told of it, made once at deploy.
#[derive(Debug)]
pub(crate) struct RouteInfo {
    /// The pattern as the manifest has it.
    pub(crate) raw: HeaderValue,
    /// The pattern without its wildcard.
    pub(crate) stem: HeaderValue,
    /// A header for each parameter.
    pub(crate) params: Vec<http::HeaderName>,
}

// === impl Routed ===

/// The route of a call that names its function: everything below `/`.
static WHOLE: LazyLock<Arc<RouteInfo>> = LazyLock::new(|| Arc::new(RouteInfo::whole()));

impl Routed {
    /// Everything below `/` leads to this target.
    pub(crate) fn whole(target: Target) -> Self {
        Self {
            target,
            route: WHOLE.clone(),
            captures: Captures::default(),
            rest: 0,
        }
    }

    /// The function, when that is what answers.
    pub fn function(&self) -> Option<&Arc<FunctionEntry>> {
        match &self.target {
            Target::Function(entry) => Some(entry),
            _ => None,
        }
    }

    /// The pattern that matched, as the manifest has it.
    pub fn pattern(&self) -> &str {
        self.route.raw.to_str().unwrap_or_default()
    }

    /// The part of the path under the wildcard, its slash included; empty without one.
    /// `path` is the one that was routed.
    pub fn rest<'p>(&self, path: &'p str) -> &'p str {
        path.get(self.rest..).unwrap_or_default()
    }
}

// === impl Table ===

impl Table {
    /// Finds what answers.
    pub(crate) fn route(&self, request: &request::Parts) -> Result<Routed> {
        let path = request.uri.path();
        let site = host::of(request).and_then(|host| self.site(&host));
        let Some((site, function)) = site.or_else(|| self.fallback().map(|site| (site, None)))
        else {
            return Err(Error::not_found("no app answers on this host"));
        };
        match function {
            Some(entry) => site.route_function(entry, path),
            None => site.route(path),
        }
        .ok_or_else(|| Error::not_found(format!("no route matches in app: {}", site.app)))
    }

    /// The app that answers on a host, and the function when the host names one.
    fn site(&self, host: &str) -> Option<(&Arc<Site>, Option<&Arc<FunctionEntry>>)> {
        if let Some(site) = self.custom(host) {
            return Some((site, None));
        }
        let name = host::below(host, self.domain())?;
        if let Some(site) = self.by_host_name(name)
            && !name.contains('.')
        {
            return Some((site, None));
        }
        if let Some((function, app)) = name.split_once('.')
            && let Some(site) = self.by_host_name(app)
            && let Some(entry) = site.public_function(function)
        {
            return Some((site, Some(entry)));
        }
        self.by_host_name(name).map(|site| (site, None))
    }
}

/// A request's host and path against patterns, for fuzzing: routes `path` in an app that has these patterns.
/// Never panics, whatever it is given. Answers the number of the pattern and its parameters.
pub fn match_path(patterns: &[&str], path: &str) -> Option<(usize, Vec<String>)> {
    let mut trie = trie::Trie::new();
    for (i, text) in patterns.iter().enumerate() {
        if let Ok(pattern) = gust_types::route::RoutePattern::parse(text) {
            let _ = trie.insert(&pattern, i);
        }
    }
    let hit = trie.find(path)?;
    let values = hit.captures.values(path).map(str::to_owned).collect();
    Some((hit.pattern, values))
}
