//! What control hands to dispatch: an app as it shall be served from now on.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    AppName, Digest, FunctionKey, ProjectName,
    app::{FunctionSpec, RouteSpec},
    trigger::EventsSpec,
};

/// An immutable version of a function: artifact plus configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Revision {
    /// Which function.
    pub key: FunctionKey,
    /// Counts up from 1 within the function.
    pub number: u64,
    /// The code.
    pub artifact: Digest,
    /// The configuration.
    pub spec: FunctionSpec,
    /// The values of the app's variables at load, secrets among them; filled by the node, never stored or sent.
    #[serde(skip)]
    pub variables: Variables,
}

/// Values of variables. `Debug` prints names only.
#[derive(Clone, Default, PartialEq)]
pub struct Variables(pub BTreeMap<String, String>);

impl std::fmt::Debug for Variables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// An app as it is served: its routes and the current revision of each function.
#[derive(Debug, Clone, PartialEq)]
pub struct Deployment {
    /// The tenant.
    pub project: ProjectName,
    /// The app.
    pub app: AppName,
    /// Host names the app answers on besides `<app>.<domain>`; `*` answers on any host that nothing else claims (`gust up`).
    pub hosts: Vec<String>,
    /// HTTP routes in manifest order.
    pub routes: Vec<RouteSpec>,
    /// Current revisions.
    pub functions: Vec<Arc<Revision>>,
    /// What starts them besides requests.
    pub events: Arc<EventsSpec>,
}
