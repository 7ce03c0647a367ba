//! One app as it is served: its routes, arranged, and its functions.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use gust_backend::desk::{Hook, Secrets};
use gust_types::{
    AppName, Deployment, Error, FunctionName, ProjectName, Result,
    app::{RouteSpec, RouteTarget},
    route::{RoutePattern, Segment},
    template,
    trigger::{EventsSpec, TriggerSource},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use super::{
    FileSite, FixedResponse, RouteInfo, Routed, Target, host,
    trie::{MAX_PARAMS, Trie},
};
use crate::FunctionEntry;

/// Spin's reserved prefix: `health` and `info` are answered here, the rest of it never reaches a guest.
const WELL_KNOWN: &str = "/.well-known/spin/";

/// One app.
pub(crate) struct Site {
    pub(crate) project: ProjectName,
    pub(crate) app: AppName,
    /// Its name below the domain, the key of the table.
    pub(crate) name: Arc<str>,
    /// Its custom hosts, in lower case; `*` is not among them.
    pub(crate) hosts: Vec<Arc<str>>,
    /// Whether it answers where nothing else does.
    pub(crate) any_host: bool,
    /// What starts its functions besides requests.
    pub(crate) events: Arc<EventsSpec>,
    functions: HashMap<FunctionName, Slot>,
    routes: Vec<(Arc<RouteInfo>, Target)>,
    trie: Trie,
    health: Target,
    info: Target,
}

struct Slot {
    entry: Arc<FunctionEntry>,
    /// Reachable in process only.
    private: bool,
}

// === impl Site ===

impl Site {
    /// Arranges a deployment whose functions have these entries.
    pub(crate) fn new(deployment: &Deployment, entries: Vec<Arc<FunctionEntry>>) -> Result<Self> {
        let is_private = |name: &FunctionName| {
            deployment.routes.iter().any(|route| {
                route.path.is_none()
                    && matches!(&route.target, RouteTarget::Function(function) if function == name)
            })
        };
        let slot = |entry: Arc<FunctionEntry>| {
            let name = entry.key().function.clone();
            let private = is_private(&name);
            (name, Slot { entry, private })
        };
        let (hosts, any_host) = hosts(deployment)?;
        let mut site = Self {
            project: deployment.project.clone(),
            app: deployment.app.clone(),
            name: host::app_host(&deployment.project, &deployment.app).into(),
            hosts,
            any_host,
            events: deployment.events.clone(),
            functions: entries.into_iter().map(slot).collect(),
            routes: Vec::with_capacity(deployment.routes.len()),
            trie: Trie::new(),
            health: plain(StatusCode::OK, "text/plain", "OK"),
            info: plain(
                StatusCode::OK,
                "application/json",
                // App names are DNS labels: nothing in them needs escaping.
                format!("{{\"name\":\"{}\"}}", deployment.app),
            ),
        };
        for route in &deployment.routes {
            site.add(route)?;
        }
        for hook in hooks(deployment)? {
            site.add_hook(hook)?;
        }
        Ok(site)
    }

    fn add_hook(&mut self, hook: Hook) -> Result<()> {
        let pattern = RoutePattern::parse(&hook.spec.path)?;
        let target = Target::Hook(Arc::new(hook));
        if let Err(taken) = self.trie.insert(&pattern, self.routes.len()) {
            return self.taken(taken, &target, pattern.as_str());
        }
        self.routes
            .push((Arc::new(RouteInfo::new(&pattern)?), target));
        Ok(())
    }

    fn add(&mut self, route: &RouteSpec) -> Result<()> {
        let target = self.target(&route.target)?;
        let Some(path) = &route.path else {
            return match target {
                Target::Function(_) => Ok(()),
                _ => Err(Error::invalid("only a function can be private")),
            };
        };
        let pattern = RoutePattern::parse(path)?;
        if matches!(target, Target::Files(_)) && !pattern.wildcard() {
            return Err(Error::invalid(format!(
                "a route to files does not end in '/...': {path}"
            )));
        }
        if let Err(taken) = self.trie.insert(&pattern, self.routes.len()) {
            return self.taken(taken, &target, path);
        }
        self.routes
            .push((Arc::new(RouteInfo::new(&pattern)?), target));
        Ok(())
    }

    /// The same route twice is harmless when it leads to the same function.
    fn taken(&self, number: usize, target: &Target, path: &str) -> Result<()> {
        let Some((info, first)) = self.routes.get(number) else {
            return Err(Error::internal("a route has no number"));
        };
        if let (Target::Function(a), Target::Function(b)) = (first, target)
            && Arc::ptr_eq(a, b)
        {
            return Ok(());
        }
        let name = |target: &Target| match target {
            Target::Function(entry) => format!("function {}", entry.key().function),
            Target::Response(_) => "a fixed response".to_owned(),
            Target::Files(_) => "files".to_owned(),
            Target::Hook(hook) => format!("webhook {}", hook.trigger),
        };
        Err(Error::conflict(format!(
            "{} and {} claim the same route: {path}",
            name(first),
            name(target)
        ))
        .hint(format!(
            "it is claimed already as: {}",
            info.raw.to_str().unwrap_or_default()
        )))
    }

    fn target(&self, target: &RouteTarget) -> Result<Target> {
        match target {
            RouteTarget::Function(name) => {
                let missing = || {
                    Error::invalid(format!(
                        "a route names a function the app does not have: {name}"
                    ))
                };
                self.function(name)
                    .cloned()
                    .map(Target::Function)
                    .ok_or_else(missing)
            }
            RouteTarget::Response {
                status,
                headers,
                body,
            } => FixedResponse::new(*status, headers, body).map(|r| Target::Response(Arc::new(r))),
            RouteTarget::Files {
                files,
                index,
                fallback,
            } => FileSite::new(files, index, fallback.as_deref())
                .map(|site| Target::Files(Arc::new(site))),
        }
    }

    /// Finds what answers a path.
    pub(crate) fn route(&self, path: &str) -> Option<Routed> {
        if let Some(answer) = self.well_known(path) {
            return answer;
        }
        let hit = self.trie.find(path)?;
        let (info, target) = self.routes.get(hit.pattern)?;
        Some(Routed {
            target: target.clone(),
            route: info.clone(),
            captures: hit.captures,
            rest: hit.rest,
        })
    }

    /// The route of a request whose host names the function.
    pub(crate) fn route_function(&self, entry: &Arc<FunctionEntry>, path: &str) -> Option<Routed> {
        if let Some(answer) = self.well_known(path) {
            return answer;
        }
        Some(Routed::whole(Target::Function(entry.clone())))
    }

    fn well_known(&self, path: &str) -> Option<Option<Routed>> {
        let answer = match path.strip_prefix(WELL_KNOWN)? {
            "health" => Some(Routed::whole(self.health.clone())),
            "info" => Some(Routed::whole(self.info.clone())),
            _ => None,
        };
        Some(answer)
    }

    /// A function by name, private or not.
    pub(crate) fn function(&self, name: &FunctionName) -> Option<&Arc<FunctionEntry>> {
        self.functions.get(name).map(|slot| &slot.entry)
    }

    /// A function that a host may name.
    pub(crate) fn public_function(&self, name: &str) -> Option<&Arc<FunctionEntry>> {
        self.functions
            .get(name)
            .filter(|slot| !slot.private)
            .map(|slot| &slot.entry)
    }

    /// All its functions.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &Arc<FunctionEntry>> {
        self.functions.values().map(|slot| &slot.entry)
    }

    /// The names of the functions that a host may name.
    pub(crate) fn public_names(&self) -> impl Iterator<Item = &FunctionName> {
        self.functions
            .iter()
            .filter(|(_, slot)| !slot.private)
            .map(|(name, _)| name)
    }
}

/// The webhooks of a deployment, with the values of their secrets.
fn hooks(deployment: &Deployment) -> Result<Vec<Hook>> {
    let mut hooks = Vec::new();
    for trigger in &deployment.events.triggers {
        let TriggerSource::Webhook(spec) = &trigger.source else {
            continue;
        };
        let values = &deployment.events.values.0;
        let mut secrets = Vec::with_capacity(spec.secrets.len());
        for text in &spec.secrets {
            let secret = template::expand(text, values)?;
            if secret.is_empty() {
                return Err(Error::invalid(format!(
                    "the secret of the webhook {} is empty: {text:?}",
                    trigger.name
                ))
                .hint("anybody could sign with it; set another with: gust secret set"));
            }
            secrets.push(secret);
        }
        hooks.push(Hook {
            project: deployment.project.clone(),
            app: deployment.app.clone(),
            trigger: trigger.name.clone(),
            function: trigger.function.clone(),
            spec: spec.clone(),
            secrets: Secrets(secrets),
        });
    }
    Ok(hooks)
}

/// The custom hosts of a deployment, checked, and whether `*` is among them.
fn hosts(deployment: &Deployment) -> Result<(Vec<Arc<str>>, bool)> {
    let mut hosts = Vec::new();
    for text in deployment.hosts.iter().filter(|host| *host != "*") {
        let host = text.to_ascii_lowercase();
        let valid = !host.is_empty()
            && host.len() <= 253
            && host.split('.').all(|label| {
                !label.is_empty()
                    && label.len() <= 63
                    && label
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            });
        if !valid {
            return Err(Error::invalid(format!("not a host name: {text:?}"))
                .hint("write it like \"www.example.com\", without port; international names in their xn-- form"));
        }
        if host::is_internal(&host) {
            return Err(Error::denied(format!(
                "the host is kept for calls inside: {host}"
            )));
        }
        hosts.push(host.into());
    }
    hosts.sort_unstable();
    hosts.dedup();
    Ok((hosts, deployment.hosts.iter().any(|host| host == "*")))
}

fn plain(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Target {
    let mut headers = HeaderMap::with_capacity(1);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    Target::Response(Arc::new(FixedResponse {
        status,
        headers,
        body: body.into(),
    }))
}

// === impl FixedResponse ===

impl FixedResponse {
    fn new(
        status: u16,
        headers: &std::collections::BTreeMap<String, String>,
        body: &str,
    ) -> Result<Self> {
        let status = StatusCode::from_u16(status)
            .ok()
            .filter(|status| !status.is_informational())
            .ok_or_else(|| {
                Error::invalid(format!("not a status that can be answered: {status}"))
            })?;
        let mut map = HeaderMap::with_capacity(headers.len());
        for (name, value) in headers {
            let fault = || Error::invalid(format!("not a header: {name:?}: {value:?}"));
            let name: HeaderName = name.parse().map_err(|_| fault())?;
            map.append(name, value.parse().map_err(|_| fault())?);
        }
        Ok(Self {
            status,
            headers: map,
            body: Bytes::copy_from_slice(body.as_bytes()),
        })
    }
}

// === impl RouteInfo ===

impl RouteInfo {
    pub(super) fn whole() -> Self {
        Self {
            raw: HeaderValue::from_static("/..."),
            stem: HeaderValue::from_static(""),
            params: Vec::new(),
        }
    }

    fn new(pattern: &RoutePattern) -> Result<Self> {
        let raw = pattern.as_str();
        let stem = raw
            .strip_suffix("/...")
            .or_else(|| raw.strip_suffix("/*"))
            .unwrap_or(raw);
        let fault = || {
            Error::invalid(format!(
                "route has a character that a header cannot have: {raw:?}"
            ))
        };
        let value = |text: &str| HeaderValue::from_bytes(text.as_bytes()).map_err(|_| fault());
        let mut params = Vec::new();
        for segment in pattern.segments() {
            if let Segment::Param(name) = segment {
                let name = format!("spin-path-match-{}", name.to_ascii_lowercase());
                params.push(name.parse().map_err(|_| fault())?);
            }
        }
        if params.len() > MAX_PARAMS {
            return Err(Error::invalid(format!(
                "route has more than {MAX_PARAMS} parameters: {raw}"
            )));
        }
        Ok(Self {
            raw: value(raw)?,
            stem: value(stem)?,
            params,
        })
    }
}
