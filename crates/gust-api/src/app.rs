//! Projects, apps and what they serve.

use gust_types::{AppName, Digest, FunctionName, ProjectName, app::FunctionSpec};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{deploy::Change, schema};

/// A tenant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Project {
    /// Its name.
    #[schema(value_type = schema::Name)]
    pub name: ProjectName,
    /// When it was made, Unix microseconds.
    pub created_us: u64,
    /// How many apps it has.
    pub apps: u64,
}

/// All projects.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct Projects {
    /// By name.
    pub projects: Vec<Project>,
}

/// A project to make.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewProject {
    /// Its name.
    #[schema(value_type = schema::Name)]
    pub name: ProjectName,
}

/// One app in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AppSummary {
    /// Its project.
    #[schema(value_type = schema::Name)]
    pub project: ProjectName,
    /// Its name.
    #[schema(value_type = schema::Name)]
    pub app: AppName,
    /// What the manifest says of itself; not interpreted.
    pub version: String,
    /// The deployment that serves.
    pub deployment: u64,
    /// When that deployment was made, Unix microseconds.
    pub deployed_us: u64,
    /// Its functions and what they are doing.
    pub functions: Vec<FunctionSummary>,
    /// Where it answers.
    pub urls: Vec<RouteUrl>,
}

/// The apps of a project.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct Apps {
    /// By name.
    pub apps: Vec<AppSummary>,
}

/// One function in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FunctionSummary {
    /// Its name.
    #[schema(value_type = schema::Name)]
    pub function: FunctionName,
    /// The revision that serves.
    pub revision: u64,
    /// The code of that revision.
    #[schema(value_type = schema::DigestText)]
    pub artifact: Digest,
    /// What its instances are doing now; absent when the node does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<FunctionState>,
}

/// What a function's instances are doing at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct FunctionState {
    /// True when its code is mapped into memory.
    pub resident: bool,
    /// Instances kept for the next call.
    pub idle: u64,
    /// Calls in flight.
    pub busy: u64,
    /// Calls waiting for a place.
    pub queued: u64,
}

/// Where a route answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RouteUrl {
    /// The URL as a caller writes it; a wildcard route keeps its pattern's tail.
    pub url: String,
    /// What answers.
    pub target: RouteKind,
    /// The function, when one answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::Name>)]
    pub function: Option<FunctionName>,
}

/// What answers a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RouteKind {
    /// A function.
    Function,
    /// A fixed response.
    Response,
    /// Static files.
    Files,
    /// Whoever keeps what a webhook brings; the function gets it from there.
    Webhook,
}

/// One app, whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AppDetails {
    /// What the list says of it.
    #[serde(flatten)]
    pub summary: AppSummary,
    /// For people; not interpreted.
    pub description: String,
    /// Host names besides `<app>.<domain>`.
    pub hosts: Vec<String>,
    /// Its variables: names and where their values come from, never the values.
    pub variables: Vec<VariableState>,
    /// Its functions' configuration, in the order of `functions`.
    pub configuration: Vec<FunctionDetails>,
    /// Its latest deployments, newest first.
    pub deployments: Vec<DeploymentSummary>,
}

/// One function's configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FunctionDetails {
    /// Its name.
    #[schema(value_type = schema::Name)]
    pub function: FunctionName,
    /// The contract the runtime found, such as `wasi:http/handler@0.3.0`.
    pub contract: String,
    /// What the runtime found that a person should know, such as imports that nothing provides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The revision's configuration.
    #[schema(value_type = schema::FunctionSpec)]
    pub spec: FunctionSpec,
}

/// A variable and where its value comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct VariableState {
    /// Its name.
    pub name: String,
    /// For people.
    pub description: String,
    /// True when the manifest calls it a secret.
    pub secret: bool,
    /// True when the app does not serve without it.
    pub required: bool,
    /// Where the value comes from.
    pub value: ValueFrom,
}

/// Where a variable's value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ValueFrom {
    /// Somebody set it.
    Set,
    /// The manifest's default.
    Default,
    /// Nowhere: it is not set.
    Unset,
}

/// One deployment in an app's history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeploymentSummary {
    /// Counts up from 1 within the app.
    pub deployment: u64,
    /// When, Unix microseconds.
    pub created_us: u64,
    /// What made it.
    pub change: Change,
    /// The deployment a rollback went back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolled_back_to: Option<u64>,
    /// The manifest's version text.
    pub version: String,
    /// True for the one that serves.
    pub serving: bool,
    /// Revisions by function.
    pub functions: Vec<FunctionRevision>,
}

/// A function's revision in a deployment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FunctionRevision {
    /// The function.
    #[schema(value_type = schema::Name)]
    pub function: FunctionName,
    /// Its revision.
    pub revision: u64,
    /// The revision's code.
    #[schema(value_type = schema::DigestText)]
    pub artifact: Digest,
}

/// An app's history, newest first.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct Deployments {
    /// The deployments that are kept.
    pub deployments: Vec<DeploymentSummary>,
}
