//! What a deploy would change. Decided before anything is prepared.

use std::collections::BTreeMap;

use gust_api::deploy::DeployRequest;
use gust_types::{
    AppName, AppSpec, Digest, Error, FunctionName, ProjectName, Result, app::FunctionSpec,
};

use crate::{
    control::Control,
    publish::Before,
    store::rows::{Head, KeptRevision},
    validate,
    variables::{self, Values},
};

/// An app as it is to be.
pub(super) struct Plan {
    pub(super) project: ProjectName,
    pub(super) app: AppName,
    pub(super) head: Head,
    /// By name.
    pub(super) functions: Vec<Planned>,
    /// Values that change with this deploy.
    pub(super) set: Values,
    /// The values that functions will see.
    pub(super) values: Values,
    /// With their sizes.
    pub(super) artifacts: BTreeMap<Digest, u64>,
    same_shape: bool,
}

/// A function as it is to be.
pub(super) struct Planned {
    pub(super) revision: KeptRevision,
    /// False when this revision serves already.
    pub(super) changed: bool,
}

// === impl Plan ===

impl Plan {
    /// Checks the request and compares it with what serves.
    pub(super) fn make(
        control: &Control,
        project: &ProjectName,
        request: DeployRequest,
        before: &Before,
    ) -> Result<Self> {
        let DeployRequest {
            app: mut spec,
            variables: given,
        } = request;
        spec.hosts.iter_mut().for_each(|h| h.make_ascii_lowercase());
        check_given(&spec, &given)?;
        let mut all = before.set.clone();
        all.extend(given.clone());
        validate::app(&spec, &all, &control.0.settings.ceilings)?;
        let known = validate::effective(&spec, &all);
        let events = variables::with_values(&spec.events, &known);
        let desk = &control.0.parts.events;
        desk.check(project, &spec.name, &events)?;
        let set: Values = given
            .into_iter()
            .filter(|(name, value)| before.set.get(name) != Some(value))
            .collect();
        let artifacts = validate::artifacts(&spec)?;
        let values = validate::effective(&spec, &all);
        let app = spec.name.clone();
        let (head, functions) = split(spec);
        let functions = functions
            .into_iter()
            .map(|(name, function)| planned(before, name, function))
            .collect::<Result<Vec<_>>>()?;
        let same_shape = match &before.serving {
            Some(serving) => {
                variables::whole_head(&control.0.seal, serving)? == head
                    && serving.revisions.len() == functions.len()
            }
            None => false,
        };
        Ok(Self {
            project: project.clone(),
            app,
            head,
            functions,
            set,
            values,
            artifacts,
            same_shape,
        })
    }

    /// Functions that get a new revision.
    pub(super) fn changed(&self) -> impl Iterator<Item = &Planned> {
        self.functions.iter().filter(|f| f.changed)
    }

    /// False when at most values change: those make no deployment, only a publish.
    pub(super) fn makes_deployment(&self) -> bool {
        !self.same_shape || self.changed().next().is_some()
    }

    /// True when there is nothing to do.
    pub(super) fn is_unchanged(&self) -> bool {
        !self.makes_deployment() && self.set.is_empty()
    }
}

/// Values given with the deploy are of the app's own variables.
fn check_given(spec: &AppSpec, given: &Values) -> Result<()> {
    for (name, value) in given {
        if !spec.variables.contains_key(name) {
            return Err(
                Error::invalid(format!("the app has no such variable: {name:?}"))
                    .hint("declare it in the manifest"),
            );
        }
        crate::secrets::check_value(name, value)?;
    }
    Ok(())
}

/// The app without its functions, and its functions without what only their maker needs.
fn split(spec: AppSpec) -> (Head, BTreeMap<FunctionName, FunctionSpec>) {
    let mut functions = spec.functions;
    functions.values_mut().for_each(|f| f.build = None);
    let head = Head {
        version: spec.version,
        description: spec.description,
        variables: spec.variables,
        routes: spec.routes,
        hosts: spec.hosts,
        events: spec.events,
    };
    (head, functions)
}

/// The serving revision when it is the same, else the next one.
fn planned(before: &Before, name: FunctionName, spec: FunctionSpec) -> Result<Planned> {
    let serving = before.serving.iter().flat_map(|s| &s.revisions);
    if let Some(same) = serving
        .into_iter()
        .find(|r| r.function == name && r.spec == spec)
    {
        return Ok(Planned {
            revision: same.clone(),
            changed: false,
        });
    }
    let (artifact, _) = validate::artifact(&spec.source)?;
    let number = before.next.revisions.get(&name).copied().unwrap_or(1);
    Ok(Planned {
        revision: KeptRevision {
            function: name,
            number,
            artifact,
            contract: String::new(),
            warnings: Vec::new(),
            spec,
        },
        changed: true,
    })
}
