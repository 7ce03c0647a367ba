//! Which values a function gets to see.
//!
//! A value is what somebody set, else the manifest's default. A function is handed those values that its own templates
//! name and no others, so setting one touches only the functions that use it.

use std::collections::BTreeMap;

use gust_api::app::ValueFrom;
use gust_types::{
    AppName, Error, FunctionName, ProjectName, Result,
    app::{FunctionSpec, VariableSpec},
    deployment::Variables,
    outbound::Outbound,
    template,
    trigger::EventsSpec,
};

use crate::{
    seal::Seal,
    store::rows::{Head, KeptDeployment, KeptSecret},
};

/// Values by name.
pub(crate) type Values = BTreeMap<String, String>;

/// The declared variables that have a value.
pub(crate) fn effective(declared: &BTreeMap<String, VariableSpec>, set: &Values) -> Values {
    declared
        .iter()
        .filter_map(|(name, spec)| {
            let value = set.get(name).or(spec.default.as_ref())?;
            Some((name.clone(), value.clone()))
        })
        .collect()
}

/// Those values that this function's templates name.
pub(crate) fn seen_by(function: &FunctionSpec, values: &Values) -> Variables {
    let named = templates(function).flat_map(|text| template::names(text));
    Variables(
        named
            .filter_map(|name| {
                values
                    .get(name)
                    .map(|value| (name.to_owned(), value.clone()))
            })
            .collect(),
    )
}

/// What starts an app's functions, with those values that its triggers name.
pub(crate) fn with_values(events: &EventsSpec, values: &Values) -> EventsSpec {
    let named = events.templates().flat_map(template::names);
    let seen = named.filter_map(|name| Some((name.to_owned(), values.get(name)?.clone())));
    EventsSpec {
        values: Variables(seen.collect()),
        ..events.clone()
    }
}

/// The hosts a function may reach, its templates filled. An error shows the template, never the value in it.
pub(crate) fn outbound(function: &FunctionSpec, values: &Values) -> Result<Outbound> {
    let mut filled = Vec::with_capacity(function.outbound.len());
    for text in &function.outbound {
        let pattern = template::expand(text, values)?;
        if pattern != *text && Outbound::parse(std::slice::from_ref(&pattern)).is_err() {
            return Err(Error::invalid(format!(
                "with the values that are set an outbound host is malformed: {text:?}"
            ))
            .hint("it must become scheme://host[:port]"));
        }
        filled.push(pattern);
    }
    Outbound::parse(&filled)
}

/// Whether this function's templates name the variable.
pub(crate) fn uses(function: &FunctionSpec, variable: &str) -> bool {
    templates(function).any(|text| template::names(text).contains(&variable))
}

/// What a function says with the values of variables in it. What signs its callbacks is no word of its own, and it never
/// sees it.
pub(crate) fn templates(function: &FunctionSpec) -> impl Iterator<Item = &String> {
    let signing = function
        .later
        .iter()
        .flat_map(|later| &later.callback_secrets);
    let own = function.variables.values().chain(&function.outbound);
    own.chain(signing)
}

/// Where a variable's value comes from.
pub(crate) fn origin(spec: &VariableSpec, set: bool) -> ValueFrom {
    match (set, &spec.default) {
        (true, _) => ValueFrom::Set,
        (false, Some(_)) => ValueFrom::Default,
        (false, None) => ValueFrom::Unset,
    }
}

/// Under which name a value is sealed.
pub(crate) fn sealed_name(project: &ProjectName, app: &AppName, variable: &str) -> String {
    format!("{project}/{app}/{variable}")
}

/// Under which name the defaults of secret variables are sealed; no variable is called so.
fn defaults_name(project: &ProjectName, app: &AppName) -> String {
    sealed_name(project, app, "*")
}

/// The values that are set for an app.
pub(crate) fn open(
    seal: &Seal,
    project: &ProjectName,
    app: &AppName,
    kept: &[KeptSecret],
) -> Result<Values> {
    kept.iter()
        .map(|secret| {
            let name = sealed_name(project, app, &secret.name);
            Ok((secret.name.clone(), seal.open_text(&name, &secret.sealed)?))
        })
        .collect()
}

/// Takes the defaults of secret variables out of the head and seals them.
pub(crate) fn hide_defaults(
    seal: &Seal,
    project: &ProjectName,
    app: &AppName,
    head: &mut Head,
) -> Result<Option<Vec<u8>>> {
    let mut hidden = Values::new();
    for (name, spec) in head.variables.iter_mut().filter(|(_, spec)| spec.secret) {
        if let Some(default) = spec.default.take() {
            hidden.insert(name.clone(), default);
        }
    }
    if hidden.is_empty() {
        return Ok(None);
    }
    let json = serde_json::to_vec(&hidden)
        .map_err(|e| Error::internal("cannot write defaults as json").because(e))?;
    seal.seal(&defaults_name(project, app), &json).map(Some)
}

/// The head with the defaults of secret variables back in it.
pub(crate) fn whole_head(seal: &Seal, kept: &KeptDeployment) -> Result<Head> {
    let mut head = kept.head.clone();
    let Some(sealed) = &kept.sealed else {
        return Ok(head);
    };
    let json = seal.open_value(&defaults_name(&kept.project, &kept.app), sealed)?;
    let hidden: Values = serde_json::from_slice(&json)
        .map_err(|e| Error::internal("sealed defaults are not readable").because(e))?;
    for (name, default) in hidden {
        if let Some(spec) = head.variables.get_mut(&name) {
            spec.default = Some(default);
        }
    }
    Ok(head)
}

/// The functions that use this variable.
pub(crate) fn users<'a>(
    kept: &'a KeptDeployment,
    variable: &'a str,
) -> impl Iterator<Item = &'a FunctionName> {
    kept.revisions
        .iter()
        .filter(move |r| uses(&r.spec, variable))
        .map(|r| &r.function)
}

/// Whether anything that serves uses this variable.
pub(crate) fn is_used(kept: &KeptDeployment, variable: &str) -> bool {
    let mut triggers = kept.head.events.templates();
    users(kept, variable).next().is_some()
        || triggers.any(|text| template::names(text).contains(&variable))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(template: &str) -> FunctionSpec {
        serde_json::from_value(serde_json::json!({
            "source": {"artifact": {"digest": gust_types::Digest::of(b"x"), "size": 1}},
            "variables": {"v": template},
        }))
        .unwrap()
    }

    #[test]
    fn a_function_sees_what_it_names() {
        let values = Values::from([("a".into(), "1".into()), ("b".into(), "2".into())]);
        let seen = seen_by(&function("{{ a }}-{{ c }}"), &values);
        assert_eq!(seen.0, Values::from([("a".into(), "1".into())]));
        assert!(uses(&function("{{a}}"), "a") && !uses(&function("{{a}}"), "b"));
    }

    #[test]
    fn what_is_set_beats_the_default() {
        let spec = |default: Option<&str>| VariableSpec {
            default: default.map(str::to_owned),
            ..VariableSpec::default()
        };
        let declared = BTreeMap::from([
            ("a".to_owned(), spec(Some("default"))),
            ("b".to_owned(), spec(Some("default"))),
            ("c".to_owned(), spec(None)),
        ]);
        let set = Values::from([
            ("a".into(), "set".into()),
            ("undeclared".into(), "x".into()),
        ]);
        let values = effective(&declared, &set);
        assert_eq!(
            values,
            Values::from([("a".into(), "set".into()), ("b".into(), "default".into())])
        );
    }

    #[test]
    fn secret_defaults_leave_the_head_and_come_back() {
        let seal = Seal::ephemeral().unwrap();
        let (project, app) = (ProjectName::default_project(), AppName::new("a").unwrap());
        let mut head = Head::default();
        for (name, secret) in [("open", false), ("hidden", true)] {
            let spec = VariableSpec {
                default: Some(format!("{name}-default")),
                secret,
                ..VariableSpec::default()
            };
            head.variables.insert(name.to_owned(), spec);
        }
        let before = head.clone();
        let sealed = hide_defaults(&seal, &project, &app, &mut head).unwrap();
        let json = serde_json::to_string(&head).unwrap();
        assert!(json.contains("open-default") && !json.contains("hidden-default"));
        let kept = KeptDeployment {
            project,
            app,
            number: 1,
            created_us: 0,
            change: gust_api::deploy::Change::Deploy,
            rolled_back_to: None,
            head,
            sealed,
            revisions: Vec::new(),
        };
        assert_eq!(whole_head(&seal, &kept).unwrap(), before);
    }
}
