//! The conversation of a deploy: ask which artifacts are missing, send them, send the app, hear how it goes.

use std::collections::BTreeMap;

use gust_types::{AppName, AppSpec, Digest, FunctionName, ProjectName};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Problem, app::RouteUrl, schema};

/// An app to deploy. Every source is an artifact that has been uploaded.
#[derive(Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeployRequest {
    /// The app as its manifest describes it.
    #[schema(value_type = schema::AppSpec)]
    pub app: AppSpec,
    /// Values to set for the app's variables, kept encrypted when the deploy succeeds, as if set one by one before.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, String>,
}

// Values may be secrets: names only.
impl std::fmt::Debug for DeployRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeployRequest")
            .field("app", &self.app)
            .field("variables", &self.variables.keys())
            .finish()
    }
}

/// One line of a deploy's answer. The last line is `done` or `error`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// How far a step is.
    Step {
        /// A short phrase, such as `compile`.
        step: String,
        /// The function it is about.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(value_type = Option<schema::Name>)]
        function: Option<FunctionName>,
        /// Units done.
        done: u64,
        /// Units in all; 0 when unknown.
        total: u64,
    },
    /// Something a person should know; the deploy goes on.
    Warning {
        /// The function it is about.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(value_type = Option<schema::Name>)]
        function: Option<FunctionName>,
        /// What it is.
        message: String,
    },
    /// It failed; what served before still does.
    Error(Problem),
    /// It serves.
    Done(Deployed),
}

/// What a deploy or a rollback came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Deployed {
    /// The project.
    #[schema(value_type = schema::Name)]
    pub project: ProjectName,
    /// The app.
    #[schema(value_type = schema::Name)]
    pub app: AppName,
    /// The deployment that serves now.
    pub deployment: u64,
    /// False when everything was the same and nothing was done.
    pub changed: bool,
    /// What became of each function.
    pub functions: Vec<DeployedFunction>,
    /// Where it answers.
    pub urls: Vec<RouteUrl>,
    /// What a person should know.
    pub warnings: Vec<String>,
}

/// What became of one function.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeployedFunction {
    /// Its name.
    #[schema(value_type = schema::Name)]
    pub function: FunctionName,
    /// The revision that serves now.
    pub revision: u64,
    /// False when this revision served before.
    pub changed: bool,
    /// The contract the runtime found, such as `wasi:http/handler@0.3.0`.
    pub contract: String,
}

/// What made a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// A deploy.
    Deploy,
    /// A rollback.
    Rollback,
}

impl Change {
    /// The snake_case name, as stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deploy => "deploy",
            Self::Rollback => "rollback",
        }
    }
}

/// Which of these are here?
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Digests {
    /// What is asked.
    #[schema(value_type = Vec<schema::DigestText>)]
    pub digests: Vec<Digest>,
}

/// Those that are not.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct Missing {
    /// To be uploaded before the deploy.
    #[schema(value_type = Vec<schema::DigestText>)]
    pub missing: Vec<Digest>,
}

/// An artifact that is here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Stored {
    /// Its digest.
    #[schema(value_type = schema::DigestText)]
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// False when it was here already.
    pub new: bool,
}

/// Back to which deployment.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Rollback {
    /// A deployment of the app's history; the one before the serving one when absent.
    pub deployment: Option<u64>,
}
