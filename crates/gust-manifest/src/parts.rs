//! The parts that both dialects write alike: variables, environment, labels, outbound hosts, builds, files, answers.

use std::collections::BTreeMap;

use gust_types::{
    Label,
    app::{BuildSpec, CgiSpec, RouteTarget, VariableSpec},
    outbound::Outbound,
};

use crate::{
    draft::{Draft, Pick},
    keys::Section,
    limits::MAX_VARIABLES,
    reader::{Cx, Table, Text, kind},
};
use toml::de::DeValue;

/// `[variables]`: each is required or has a default.
pub(crate) fn variables(
    root: &Table<'_>,
    names: &Section,
    section: &Section,
) -> BTreeMap<String, VariableSpec> {
    let mut found = BTreeMap::new();
    let Some(table) = root.table("variables", names, "[variables]") else {
        return found;
    };
    for (name, value) in table.entries() {
        variable_name(table.cx, &name);
        let title = format!("[variables.{}]", name.value);
        let Some(variable) = table.as_table(&name.value, value, section, title) else {
            continue;
        };
        let spec = VariableSpec {
            description: variable.string_or_empty("description"),
            required: variable.boolean("required").unwrap_or(false),
            default: variable.string("default").map(|t| t.value),
            secret: variable.boolean("secret").unwrap_or(false),
        };
        let message = match (spec.required, variable.value("default").is_some()) {
            (true, true) => "is required and has a default",
            (false, false) => "is neither required nor has a default",
            _ => {
                found.insert(name.value, spec);
                continue;
            }
        };
        let message = format!("variable {message}: `{}`", name.value);
        let hint = "give it either `required = true` or a `default`";
        table.cx.fault_hint(&name.at, message, hint);
        found.insert(name.value, spec);
    }
    if found.len() > MAX_VARIABLES {
        let message = format!("more variables than {MAX_VARIABLES}");
        table.cx.fault(&table.at(), message);
    }
    found
}

/// Lower_snake_case, as the guest interfaces want it.
fn variable_name(cx: &Cx<'_>, name: &Text) {
    if let Err(error) = crate::check::variable_name(&name.value) {
        cx.refuse(&name.at, error);
    }
}

/// A function's own variables, whose values are templates.
pub(crate) fn own_variables(draft: &mut Draft<'_>, table: &Table<'_>) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for (name, value) in table.string_map("variables") {
        variable_name(table.cx, &name);
        let checked = crate::check::text("variable", &value.value);
        table.cx.take(&value.at, checked);
        draft.template(&value);
        found.insert(name.value, value.value);
    }
    found
}

/// Environment variables.
pub(crate) fn environment(table: &Table<'_>) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for (name, value) in table.string_map("environment") {
        if let Err(error) = crate::check::environment_name(&name.value) {
            table.cx.refuse(&name.at, error);
        }
        let checked = crate::check::text("environment value", &value.value);
        table.cx.take(&value.at, checked);
        found.insert(name.value, value.value);
    }
    found
}

/// Labels of resources, each once.
pub(crate) fn labels(table: &Table<'_>, key: &str) -> Vec<Label> {
    let mut found = Vec::new();
    for text in table.strings(key) {
        if let Some(label) = table.cx.take(&text.at, Label::new(&text.value))
            && !found.contains(&label)
        {
            found.push(label);
        }
    }
    found
}

/// Hosts a function may reach. What mentions a variable is checked when the variable has its value.
pub(crate) fn outbound(draft: &mut Draft<'_>, hosts: Vec<Text>) -> Vec<String> {
    let mut found = Vec::new();
    for host in hosts {
        if host.value.contains("{{") {
            draft.template(&host);
        } else if let Err(error) = Outbound::parse(std::slice::from_ref(&host.value)) {
            draft.cx.refuse(&host.at, error);
        }
        if !found.contains(&host.value) {
            found.push(host.value);
        }
    }
    found
}

/// How to build.
/// How a program is told its request as CGI.
pub(crate) fn cgi(table: &Table<'_>) -> CgiSpec {
    let argv = table.string("argv");
    if let Some(text) = argv.as_ref().filter(|text| text.value.contains('\0')) {
        table.cx.fault(&text.at, "`argv` has a NUL character");
    }
    argv.map(|text| CgiSpec { argv: text.value })
        .unwrap_or_default()
}

pub(crate) fn build(table: &Table<'_>) -> BuildSpec {
    let commands = table.string_or_strings("command");
    if table.value("command").is_none() {
        table.missing("command");
    }
    for command in &commands {
        if command.value.trim().is_empty() || command.value.contains('\0') {
            table.cx.fault(&command.at, "the build command is empty");
        }
    }
    let workdir = table.string("workdir");
    if let Some(dir) = &workdir
        && (dir.value.starts_with('/') || dir.value.contains('\0'))
    {
        let message = format!(
            "`workdir` must be relative to the manifest's folder: {:?}",
            dir.value
        );
        table.cx.fault(&dir.at, message);
    }
    BuildSpec {
        command: commands.into_iter().map(|c| c.value).collect(),
        workdir: workdir.map(|d| d.value),
        watch: values(table.strings("watch")),
    }
}

/// The entries of `files`.
pub(crate) fn picks(table: &Table<'_>, section: &Section) -> Vec<Pick> {
    let Some(value) = table.value("files") else {
        return Vec::new();
    };
    let DeValue::Array(items) = value.get_ref() else {
        let found = kind(value.get_ref());
        let message = format!("`files` must be a list of strings or tables, not {found}");
        table.cx.fault(&value.span(), message);
        return Vec::new();
    };
    let mut found = Vec::new();
    for item in items.iter() {
        if matches!(item.get_ref(), DeValue::String(_)) {
            found.extend(
                table
                    .cx
                    .text("each item of `files`", item)
                    .map(Pick::Pattern),
            );
        } else if let Some(place) =
            table.as_table("each item of `files`", item, section, "an item of `files`")
        {
            let both = (
                place.required_string("source"),
                place.required_string("destination"),
            );
            if let (Some(source), Some(destination)) = both {
                found.push(Pick::Place {
                    source,
                    destination,
                });
            }
        }
    }
    found
}

/// A fixed answer.
pub(crate) fn response(table: &Table<'_>, status_key: &str) -> RouteTarget {
    let mut headers = BTreeMap::new();
    for (name, value) in table.string_map("headers") {
        if let Err(error) = crate::check::header(&name.value, &value.value) {
            table.cx.refuse(&name.at, error);
        }
        headers.insert(name.value, value.value);
    }
    RouteTarget::Response {
        status: table
            .integer(status_key, 200, 599)
            .and_then(|s| u16::try_from(s).ok())
            .unwrap_or(200),
        headers,
        body: table.string_or_empty("body"),
    }
}

pub(crate) fn values(texts: Vec<Text>) -> Vec<String> {
    texts.into_iter().map(|t| t.value).collect()
}
