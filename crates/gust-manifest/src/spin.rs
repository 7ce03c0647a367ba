//! Reading `spin.toml`, version 2, into the same words as `gust.toml`.

mod component;
mod dependency;
mod events;
mod trigger;

use std::collections::BTreeMap;

use gust_types::{AppName, FunctionName, app::CgiSpec};
use toml::de::{DeTable, DeValue};

use crate::{
    draft::{Assembled, Draft},
    keys::{NAMES, SPIN_APPLICATION, SPIN_HTTP_SETTINGS, SPIN_ROOT, SPIN_VARIABLE},
    parts,
    reader::{At, Cx, Table, Text, Value},
};

/// The components of the file by the name they are written with.
struct Components<'a> {
    by_id: BTreeMap<String, Component<'a>>,
    profile: Option<&'a str>,
    profile_found: bool,
    /// How the routes so far call each component.
    executors: BTreeMap<FunctionName, Option<CgiSpec>>,
}

struct Component<'a> {
    at: At,
    value: Value<'a>,
    used: bool,
}

/// Reads a parsed file; faults go to `cx`.
pub(crate) fn read<'a>(
    cx: &'a Cx<'a>,
    document: &'a DeTable<'a>,
    profile: Option<&'a str>,
) -> Option<Assembled> {
    if !version_is_two(cx, document) {
        return None;
    }
    let root = Table::open(cx, &SPIN_ROOT, "spin.toml", 0..0, document);
    let mut draft = Draft::new(cx);
    application(&mut draft, &root);
    draft.variables = parts::variables(&root, &NAMES, &SPIN_VARIABLE);
    let mut components = Components::collect(&root, profile);
    trigger::read(&mut draft, &root, &mut components);
    components.finish(&mut draft, &root);
    draft.assemble(&root.key_at("application"))
}

/// Other versions have other keys: one clear fault instead of twenty confusing ones.
fn version_is_two(cx: &Cx<'_>, document: &DeTable<'_>) -> bool {
    let found = document
        .get_key_value("spin_manifest_version")
        .or_else(|| document.get_key_value("spin_version"));
    let Some((key, value)) = found else {
        cx.fault_hint(
            &(0..0),
            "spin.toml needs the key `spin_manifest_version`",
            "write it first: spin_manifest_version = 2",
        );
        return false;
    };
    match value.get_ref() {
        DeValue::Integer(n) if n.as_str() == "2" && key.get_ref() == "spin_manifest_version" => {
            true
        }
        _ => {
            cx.fault_hint(
                &value.span(),
                "only version 2 of spin.toml is read",
                "write spin_manifest_version = 2, with [application], [component.<id>] and [[trigger.http]]",
            );
            false
        }
    }
}

fn application(draft: &mut Draft<'_>, root: &Table<'_>) {
    let Some(app) = root.table("application", &SPIN_APPLICATION, "[application]") else {
        if root.value("application").is_none() {
            root.missing("application");
        }
        return;
    };
    if let Some(name) = app.required_string("name") {
        draft.name = app_name(app.cx, &name);
    }
    draft.version = app.string_or_empty("version");
    draft.description = app.string_or_empty("description");
    app.strings("authors");
    app.strings("targets");
    let Some(settings) = app.table("trigger", &NAMES, "[application.trigger]") else {
        return;
    };
    for (kind, value) in settings.entries() {
        let title = format!("[application.trigger.{}]", kind.value);
        match kind.value.as_str() {
            "http" => {}
            // Read with the triggers they are for.
            "redis" | "mqtt" => continue,
            _ => {
                app.cx.note(format!(
                    "{title} is ignored: such triggers have no settings here"
                ));
                continue;
            }
        }
        let base = settings
            .as_table("http", value, &SPIN_HTTP_SETTINGS, title)
            .and_then(|http| http.string("base"));
        if let Some(base) = base
            && base.value != "/"
        {
            let message = format!("`base` must be \"/\": {:?}", base.value);
            let hint = "put the prefix into each trigger's route";
            app.cx.fault_hint(&base.at, message, hint);
        }
    }
}

/// Any text is a name there; here it is part of a host name.
fn app_name(cx: &Cx<'_>, name: &Text) -> Option<AppName> {
    if let Ok(fits) = AppName::new(&name.value) {
        return Some(fits);
    }
    if name.value.trim().is_empty() {
        cx.fault(&name.at, "the application's name is empty");
        return None;
    }
    let fitted = fit(&name.value);
    cx.note(format!(
        "the application's name cannot be part of a host name; it is deployed as `{fitted}`: {:?}",
        name.value
    ));
    cx.take(&name.at, AppName::new(fitted))
}

/// The nearest host name label: lower case, anything else a dash; a number of its own when nothing is left.
fn fit(name: &str) -> String {
    let mut label = String::new();
    for c in name.chars().flat_map(char::to_lowercase) {
        if c.is_ascii_lowercase() || (c.is_ascii_digit() && !label.is_empty()) {
            label.push(c);
        } else if !label.is_empty() && !label.ends_with('-') {
            label.push('-');
        }
        if label.len() == 50 {
            break;
        }
    }
    let label = label.trim_end_matches('-');
    if label.is_empty() {
        let sum = name.bytes().fold(0x811c_9dc5_u32, |sum, b| {
            (sum ^ u32::from(b)).wrapping_mul(0x0100_0193)
        });
        return format!("app-{sum:08x}");
    }
    label.to_owned()
}

// === impl Components ===

impl<'a> Components<'a> {
    fn collect(root: &Table<'a>, profile: Option<&'a str>) -> Self {
        let mut by_id = BTreeMap::new();
        if let Some(table) = root.table("component", &NAMES, "[component]") {
            for (id, value) in table.entries() {
                let component = Component {
                    at: id.at,
                    value,
                    used: false,
                };
                by_id.insert(id.value, component);
            }
        }
        Self {
            by_id,
            profile,
            profile_found: false,
            executors: BTreeMap::new(),
        }
    }

    /// The function a component becomes, made at its first use.
    fn use_one(
        &mut self,
        draft: &mut Draft<'a>,
        root: &Table<'a>,
        id: &Text,
    ) -> Option<FunctionName> {
        let Some(component) = self.by_id.get_mut(&id.value) else {
            let message = format!("no such component: `{}`", id.value);
            let known = self.by_id.keys().map(String::as_str);
            let hint = match crate::suggest::nearest(&id.value, known) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("describe it in [component.{}]", id.value),
            };
            draft.cx.fault_hint(&id.at, message, hint);
            return None;
        };
        let at = Text {
            value: id.value.clone(),
            at: component.at.clone(),
        };
        let name = function_name(draft.cx, &at)?;
        if !std::mem::replace(&mut component.used, true) {
            let value = component.value;
            self.add(draft, root, &name, &at, value);
        }
        Some(name)
    }

    fn add(
        &mut self,
        draft: &mut Draft<'a>,
        root: &Table<'a>,
        name: &FunctionName,
        id: &Text,
        value: Value<'a>,
    ) {
        let title = format!("[component.{}]", id.value);
        let section = &crate::keys::SPIN_COMPONENT;
        if let Some(table) = root.as_table(&id.value, value, section, title) {
            let spec = component::read(draft, &table, name, self);
            draft.function(name.clone(), &id.at, spec);
        }
    }

    /// Notes how a route calls a function: all of its routes call it in one way.
    fn execute(
        &mut self,
        draft: &mut Draft<'a>,
        name: &FunctionName,
        cgi: Option<CgiSpec>,
        at: &At,
    ) {
        let known = self.executors.entry(name.clone());
        if *known.or_insert_with(|| cgi.clone()) != cgi {
            let message = format!("component `{name}` is called by two executors");
            let hint = "describe it twice, under two names";
            draft.cx.fault_hint(at, message, hint);
        }
        if let Some(function) = draft.functions.get_mut(name) {
            function.cgi = cgi;
        }
    }

    /// Reports what was asked for and not found, and names what is left over.
    fn finish(&mut self, draft: &mut Draft<'a>, root: &Table<'a>) {
        let left: Vec<String> = self
            .by_id
            .iter()
            .filter(|(_, component)| !component.used)
            .map(|(id, _)| id.clone())
            .collect();
        for id in left {
            draft.cx.note(format!(
                "component is left out, since no trigger names it: `{id}`"
            ));
        }
        if let Some(profile) = self.profile
            && !self.profile_found
        {
            let message = format!("no component has the profile: `{profile}`");
            draft.cx.fault(&root.key_at("component"), message);
        }
    }
}

fn function_name(cx: &Cx<'_>, id: &Text) -> Option<FunctionName> {
    let lower = id.value.to_ascii_lowercase();
    let name = cx.take(&id.at, FunctionName::new(&lower))?;
    if lower != id.value {
        cx.note(format!("component `{}` is deployed as `{lower}`", id.value));
    }
    Some(name)
}
