//! What both readers fill in: an app whose file globs are not expanded yet, and the checks that need the whole of it.

use std::collections::BTreeMap;

use gust_types::{
    AppName, AppSpec, FunctionName, RoutePattern,
    app::{FunctionSpec, RouteSpec, RouteTarget, VariableSpec},
    template,
    trigger::EventsSpec,
};

use crate::{
    limits::{MAX_FUNCTIONS, MAX_ROUTES},
    reader::{At, Cx, Text},
    suggest,
};

/// An app in the making.
pub(crate) struct Draft<'a> {
    pub(crate) cx: &'a Cx<'a>,
    pub(crate) name: Option<AppName>,
    pub(crate) version: String,
    pub(crate) description: String,
    pub(crate) hosts: Vec<String>,
    pub(crate) variables: BTreeMap<String, VariableSpec>,
    pub(crate) functions: BTreeMap<FunctionName, FunctionSpec>,
    pub(crate) mounts: Vec<Mount>,
    pub(crate) sites: Vec<Site>,
    routes: Vec<(usize, RouteSpec)>,
    claims: BTreeMap<String, Claim>,
    private: BTreeMap<FunctionName, At>,
    templates: Vec<Text>,
    pub(crate) events: EventsSpec,
    /// Functions that triggers name, and where.
    pub(crate) triggered: Vec<(FunctionName, At)>,
    /// Functions that webhooks call, and where.
    hooked: Vec<(FunctionName, At)>,
}

/// The files of one function, not expanded yet.
pub(crate) struct Mount {
    pub(crate) function: FunctionName,
    pub(crate) picks: Vec<Pick>,
    pub(crate) exclude: Vec<Text>,
}

/// One entry of `files`.
pub(crate) enum Pick {
    /// A glob, or the path of a file or folder.
    Pattern(Text),
    /// A file or folder that the guest sees elsewhere.
    Place { source: Text, destination: Text },
}

/// The folder of a static route, not walked yet.
pub(crate) struct Site {
    /// Where the route's path stands, which tells the routes apart.
    pub(crate) route: usize,
    pub(crate) dir: Text,
    pub(crate) fallback: Option<Text>,
}

/// Who took a route first.
struct Claim {
    pattern: String,
    at: At,
    function: Option<FunctionName>,
}

/// A draft whose parts fit together.
pub(crate) struct Assembled {
    pub(crate) spec: AppSpec,
    pub(crate) mounts: Vec<Mount>,
    /// Each with the index of its route in `spec.routes`.
    pub(crate) sites: Vec<(usize, Site)>,
}

// === impl Draft ===

impl<'a> Draft<'a> {
    pub(crate) fn new(cx: &'a Cx<'a>) -> Self {
        Self {
            cx,
            name: None,
            version: String::new(),
            description: String::new(),
            hosts: Vec::new(),
            variables: BTreeMap::new(),
            functions: BTreeMap::new(),
            mounts: Vec::new(),
            sites: Vec::new(),
            routes: Vec::new(),
            claims: BTreeMap::new(),
            private: BTreeMap::new(),
            templates: Vec::new(),
            events: EventsSpec::default(),
            triggered: Vec::new(),
            hooked: Vec::new(),
        }
    }

    /// A value that may mention variables; they are looked up once all are known.
    pub(crate) fn template(&mut self, text: &Text) {
        self.templates.push(text.clone());
    }

    /// Adds a function.
    pub(crate) fn function(&mut self, name: FunctionName, at: &At, spec: FunctionSpec) {
        if self.functions.len() == MAX_FUNCTIONS {
            self.cx
                .fault(at, format!("more functions than {MAX_FUNCTIONS}"));
        }
        if self.functions.insert(name.clone(), spec).is_some() {
            let message = format!("two functions have the same name: `{name}`");
            self.cx.fault(at, message);
        }
    }

    /// Makes a function reachable from its own app only.
    pub(crate) fn private(&mut self, function: FunctionName, at: &At) {
        let route = RouteSpec {
            path: None,
            target: RouteTarget::Function(function.clone()),
        };
        if self.private.insert(function, at.clone()).is_none() {
            self.routes.push((at.start, route));
        }
    }

    /// Adds a route, unless something else has claimed its paths.
    pub(crate) fn route(&mut self, path: &Text, target: RouteTarget) {
        let Some(pattern) = self.cx.take(&path.at, RoutePattern::parse(&path.value)) else {
            return;
        };
        if matches!(target, RouteTarget::Files { .. }) && !pattern.wildcard() {
            let message = format!(
                "the path of a files route must end in `/...`: {:?}",
                path.value
            );
            self.cx.fault(&path.at, message);
        }
        let function = match &target {
            RouteTarget::Function(name) => Some(name.clone()),
            _ => None,
        };
        if let Some(first) = self.claims.get(&pattern.shape()) {
            return self.collision(path, first, function.as_ref());
        }
        let claim = Claim {
            pattern: path.value.clone(),
            at: path.at.clone(),
            function,
        };
        self.claims.insert(pattern.shape(), claim);
        let route = RouteSpec {
            path: Some(path.value.clone()),
            target,
        };
        self.routes.push((path.at.start, route));
    }

    /// Claims a webhook's path. Its function answers nothing else from outside, unless a route says so: otherwise anybody
    /// could call it without a signature.
    pub(crate) fn hook(&mut self, path: &Text, function: Option<FunctionName>) {
        let Some(pattern) = self.cx.take(&path.at, RoutePattern::parse(&path.value)) else {
            return;
        };
        if let Some(first) = self.claims.get(&pattern.shape()) {
            return self.collision(path, first, None);
        }
        let claim = Claim {
            pattern: path.value.clone(),
            at: path.at.clone(),
            function: None,
        };
        self.claims.insert(pattern.shape(), claim);
        self.hooked
            .extend(function.map(|name| (name, path.at.clone())));
    }

    /// Functions that webhooks call and nothing else does are private.
    fn close_hooked(&mut self) {
        for (function, at) in std::mem::take(&mut self.hooked) {
            let routed = self.claims.values();
            let mut routed = routed.filter_map(|claim| claim.function.as_ref());
            if !routed.any(|name| *name == function) && self.functions.contains_key(&function) {
                self.private(function, &at);
            }
        }
    }

    fn collision(&self, path: &Text, first: &Claim, second: Option<&FunctionName>) {
        let message = match (&first.function, second) {
            (Some(a), Some(b)) if a != b => {
                format!(
                    "functions `{a}` and `{b}` claim the same route: {:?}",
                    path.value
                )
            }
            (Some(a), None) | (None, Some(a)) => format!(
                "function `{a}` and a route without a function claim the same route: {:?}",
                path.value
            ),
            _ => format!("the same route is there twice: {:?}", path.value),
        };
        let hint = format!(
            "it is first claimed on line {}, as {:?}",
            self.cx.line(&first.at),
            first.pattern
        );
        self.cx.fault_hint(&path.at, message, hint);
    }

    /// Checks what needs the whole file, and puts the app together.
    pub(crate) fn assemble(mut self, whole: &At) -> Option<Assembled> {
        self.close_hooked();
        self.check_templates();
        self.check_routes(whole);
        if self.cx.has_faults() {
            return None;
        }
        self.routes.sort_by_key(|(at, _)| *at);
        let routes = &self.routes;
        let sites = self
            .sites
            .into_iter()
            .filter_map(|site| {
                let index = routes.iter().position(|(at, _)| *at == site.route)?;
                Some((index, site))
            })
            .collect();
        let spec = AppSpec {
            name: self.name?,
            version: self.version,
            description: self.description,
            variables: self.variables,
            functions: self.functions,
            routes: self.routes.into_iter().map(|(_, route)| route).collect(),
            hosts: self.hosts,
            events: self.events,
        };
        Some(Assembled {
            spec,
            mounts: self.mounts,
            sites,
        })
    }

    fn check_templates(&self) {
        for text in &self.templates {
            if text.value.matches("{{").count() != template::names(&text.value).len() {
                let message = format!("'{{{{' without '}}}}' in: {:?}", text.value);
                self.cx.fault(&text.at, message);
            }
            for name in template::names(&text.value) {
                if self.variables.contains_key(name) {
                    continue;
                }
                let message = format!("variable is not declared: `{name}`");
                let hint = match suggest::nearest(name, self.variables.keys().map(String::as_str)) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("declare it in [variables]: {name} = {{ default = \"...\" }}"),
                };
                self.cx.fault_hint(&text.at, message, hint);
            }
        }
    }

    fn check_routes(&self, whole: &At) {
        if self.routes.len() > MAX_ROUTES {
            self.cx
                .fault(whole, format!("more routes than {MAX_ROUTES}"));
        }
        for claim in self.claims.values() {
            let Some(function) = &claim.function else {
                continue;
            };
            if self.private.contains_key(function) {
                let message = format!(
                    "function `{function}` is private and has a route: {:?}",
                    claim.pattern
                );
                self.cx.fault(&claim.at, message);
            }
            self.check_function(function, &claim.at);
        }
        for (function, at) in &self.triggered {
            self.check_function(function, at);
        }
        if self.functions.is_empty() && self.routes.is_empty() && !self.cx.has_faults() {
            self.cx
                .fault(whole, "the app has neither functions nor routes");
        }
    }

    fn check_function(&self, function: &FunctionName, at: &At) {
        if self.functions.contains_key(function) {
            return;
        }
        let message = format!("no such function: `{function}`");
        let known = self.functions.keys().map(FunctionName::as_str);
        match suggest::nearest(function.as_str(), known) {
            Some(near) => {
                let hint = format!("did you mean `{near}`?");
                self.cx.fault_hint(at, message, hint);
            }
            None => self.cx.fault(at, message),
        }
    }

    /// Whether something has said how this function is reached, or that it is not.
    pub(crate) fn is_routed(&self, function: &FunctionName) -> bool {
        let mut claims = self.claims.values();
        self.private.contains_key(function)
            || claims.any(|claim| claim.function.as_ref() == Some(function))
    }

    /// True when nothing has said how the app is reached.
    pub(crate) fn has_no_routes(&self) -> bool {
        self.routes.is_empty() && self.claims.is_empty()
    }
}
