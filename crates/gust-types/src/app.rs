//! What a manifest describes, after parsing: the app, its functions and its triggers.
//!
//! `gust.toml` and `spin.toml` both end here. The types are also the wire form of a deploy, so
//! sources name artifacts by digest once the command line has uploaded them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    AppName, Digest, FunctionName, Label, Limits, later::LaterSpec, limits::Reuse,
    trigger::EventsSpec, units::Span,
};

/// One app.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppSpec {
    /// Unique in its project.
    pub name: AppName,
    /// For people; not interpreted.
    #[serde(default)]
    pub version: String,
    /// For people; not interpreted.
    #[serde(default)]
    pub description: String,
    /// The app's variables, by lower_snake_case name.
    #[serde(default)]
    pub variables: BTreeMap<String, VariableSpec>,
    /// Functions by name.
    pub functions: BTreeMap<FunctionName, FunctionSpec>,
    /// HTTP routes, in manifest order.
    #[serde(default)]
    pub routes: Vec<RouteSpec>,
    /// Further host names the app answers on, besides `<app>.<domain>`.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// What starts its functions besides requests.
    #[serde(default, skip_serializing_if = "EventsSpec::is_empty")]
    pub events: EventsSpec,
}

/// A variable that a deploy may set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VariableSpec {
    /// For people.
    pub description: String,
    /// True when the deploy must set it.
    pub required: bool,
    /// Used when nothing sets it.
    pub default: Option<String>,
    /// Encrypted at rest, never printed.
    pub secret: bool,
}

/// One function.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FunctionSpec {
    /// For people.
    #[serde(default)]
    pub description: String,
    /// Where its code is.
    pub source: Source,
    /// How its code is built from source, if the command line is to do that.
    #[serde(default)]
    pub build: Option<BuildSpec>,
    /// Environment variables, as they are.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// The function's own variables; values are templates over the app's variables.
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
    /// Files the guest may read.
    #[serde(default)]
    pub files: Vec<FileSpec>,
    /// Key-value stores it may open.
    #[serde(default)]
    pub kv: Vec<Label>,
    /// SQL databases it may open.
    #[serde(default)]
    pub sql: Vec<Label>,
    /// Queues it may publish to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub queues: Vec<Label>,
    /// Topics it may publish to. No queue of the function has the same name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub topics: Vec<Label>,
    /// Buckets it may open.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blobs: Vec<Label>,
    /// Hosts it may reach; templates over the app's variables. See [`crate::outbound`].
    #[serde(default)]
    pub outbound: Vec<String>,
    /// What it may take.
    #[serde(default)]
    pub limits: Limits,
    /// How its instances are reused.
    #[serde(default)]
    pub reuse: Reuse,
    /// Called once after prepare; the revision serves only when it answers 2xx.
    #[serde(default)]
    pub health: Option<HealthSpec>,
    /// How its calls are made later; without it, by the defaults, and not for callers from outside.
    #[serde(default, rename = "async", skip_serializing_if = "Option::is_none")]
    pub later: Option<LaterSpec>,
    /// How a program is told its request and says its answer, when that is CGI; without it its output is the answer's body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgi: Option<CgiSpec>,
    /// Components that its code imports from. They become one with it before a deploy: a node never hears of them.
    #[serde(skip)]
    pub dependencies: Vec<Dependency>,
}

/// CGI (RFC 3875): the request in variables and on the standard input, a header before the output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CgiSpec {
    /// The program's arguments, separated by spaces; `${SCRIPT_NAME}` becomes the path and `${ARGS}` the query with a space
    /// for each `&`.
    pub argv: String,
}

/// A component that a function's code imports from.
#[derive(Debug, Clone, PartialEq)]
pub struct Dependency {
    /// What of the imports it serves: a plain name, an interface (`a:b/c@1.0.0`, with or without the version), or all
    /// interfaces of a package (`a:b`).
    pub import: String,
    /// Where its code is.
    pub source: Source,
    /// How its code is built, when it is a component of the same manifest.
    pub build: Option<BuildSpec>,
    /// The export that serves the import, when that has another name.
    pub export: Option<String>,
    /// What of the function's settings it may use.
    pub inherit: Inherit,
}

/// What a dependency may use of what its function was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inherit {
    /// All.
    Everything,
    /// These, by the keys of `spin.toml`; with an empty list nothing.
    Only(Vec<String>),
}

/// Where code or a file comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Source {
    /// A path, relative to the manifest's folder. Never accepted by a node's API.
    Path(String),
    /// What a URL answers. Fetched before a deploy, and never accepted by a node's API either.
    Remote {
        /// Where it is: `http` or `https`.
        url: String,
        /// What it has to be.
        digest: Digest,
    },
    /// Uploaded bytes.
    Artifact {
        /// Their digest.
        digest: Digest,
        /// Their size in bytes.
        size: u64,
    },
}

/// How to build.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BuildSpec {
    /// Shell commands, in order.
    pub command: Vec<String>,
    /// Where they run, relative to the manifest's folder.
    pub workdir: Option<String>,
    /// Globs that `--watch` looks at.
    pub watch: Vec<String>,
}

/// One file of a guest's read-only file system or of a static route.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSpec {
    /// Absolute path as the guest sees it (or the URL path below a static route), `/`-separated, no `..`.
    pub path: String,
    /// Its bytes.
    pub source: Source,
}

/// A probe before a revision serves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HealthSpec {
    /// Path that must answer 2xx.
    pub path: String,
    /// How long it may take. Default 5 s.
    #[serde(default = "health_timeout")]
    pub timeout: Span,
}

fn health_timeout() -> Span {
    Span::secs(5)
}

/// One HTTP route of an app.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteSpec {
    /// `/exact`, `/users/:id`, `/prefix/...` (also `/prefix/*`). `None` makes the function private: reachable only in process.
    pub path: Option<String>,
    /// What answers.
    pub target: RouteTarget,
}

/// What answers a route.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum RouteTarget {
    /// A function of the app.
    Function(FunctionName),
    /// A fixed answer without an instance.
    Response {
        /// Status code. Default 200.
        #[serde(default = "ok")]
        status: u16,
        /// Header names and values.
        #[serde(default)]
        headers: BTreeMap<String, String>,
        /// Body.
        #[serde(default)]
        body: String,
    },
    /// Files without an instance. The route's path must end in `/...`.
    Files {
        /// The files; paths are below the route's prefix.
        files: Vec<FileSpec>,
        /// Served for a folder. Default `index.html`.
        #[serde(default = "index")]
        index: String,
        /// Served with 200 for a path that no file has (single-page apps).
        #[serde(default)]
        fallback: Option<String>,
    },
}

impl Default for CgiSpec {
    fn default() -> Self {
        Self {
            argv: "${SCRIPT_NAME} ${ARGS}".to_owned(),
        }
    }
}

fn ok() -> u16 {
    200
}

fn index() -> String {
    "index.html".to_owned()
}
