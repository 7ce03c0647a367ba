//! `[component.<id>]` into a function.

use gust_types::{
    FunctionName, Limits,
    app::{BuildSpec, FunctionSpec, Source},
    limits::Reuse,
};
use toml::de::DeValue;

use super::{Components, dependency};
use crate::{
    check,
    draft::{Draft, Mount},
    keys::{NAMES, SPIN_BUILD, SPIN_FILE, SPIN_PROFILE, SPIN_PROFILE_BUILD, SPIN_SOURCE},
    parts,
    reader::{Table, Text, kind},
};

pub(super) fn read<'a>(
    draft: &mut Draft<'a>,
    table: &Table<'a>,
    name: &FunctionName,
    components: &mut Components<'a>,
) -> FunctionSpec {
    note_what_is_ignored(table, name);
    let inherit_all = table.boolean("dependencies_inherit_configuration");
    draft.mounts.push(Mount {
        function: name.clone(),
        picks: parts::picks(table, &SPIN_FILE),
        exclude: table.strings("exclude_files"),
    });
    let build = table.table("build", &SPIN_BUILD, format!("[component.{name}.build]"));
    let hosts = outbound(table, name);
    let mut spec = FunctionSpec {
        description: table.string_or_empty("description"),
        source: source(table, table.value("profile").is_some()).unwrap_or_else(nothing),
        build: build.map(|t| parts::build(&t)),
        environment: parts::environment(table),
        variables: parts::own_variables(draft, table),
        files: Vec::new(),
        kv: parts::labels(table, "key_value_stores"),
        sql: parts::labels(table, "sqlite_databases"),
        queues: Vec::new(),
        topics: Vec::new(),
        blobs: Vec::new(),
        outbound: parts::outbound(draft, hosts),
        limits: Limits::default(),
        reuse: Reuse::default(),
        health: None,
        later: None,
        cgi: None,
        dependencies: dependency::read(table, inherit_all, components),
    };
    profiles(table, name, inherit_all, &mut spec, components);
    if spec.source == nothing() && table.value("source").is_none() {
        table.missing("source");
    }
    spec
}

fn note_what_is_ignored(table: &Table<'_>, name: &FunctionName) {
    table.strings("targets");
    if !table.strings("ai_models").is_empty() {
        table.cx.note(format!(
            "function `{name}` declares ai_models: no model is served yet, so its calls to one will fail"
        ));
    }
}

/// Where a component's code is when nobody says so.
fn nothing() -> Source {
    Source::Path(String::new())
}

/// Where the code is. A component whose profiles all name a source may have none of its own.
pub(super) fn source(table: &Table<'_>, may_miss: bool) -> Option<Source> {
    let Some(value) = table.value("source") else {
        if !may_miss {
            table.missing("source");
        }
        return None;
    };
    match value.get_ref() {
        DeValue::String(text) => {
            table.cx.take(&value.span(), check::source(text));
            Some(Source::Path(text.clone().into_owned()))
        }
        DeValue::Table(remote) => {
            let form = ["registry", "package"]
                .into_iter()
                .find(|key| remote.contains_key(*key));
            if let Some(form) = form {
                let message = format!("registries of packages are not built yet: `{form}`");
                let hint = "name the component by its path, or by `url` and `digest`";
                table.cx.fault_hint(&value.span(), message, hint);
                return None;
            }
            let title = "a source that is fetched";
            remote_source(&table.as_table("source", value, &SPIN_SOURCE, title)?)
        }
        other => {
            let found = kind(other);
            let message = format!("`source` must be a path or a table, not {found}");
            table.cx.fault(&value.span(), message);
            None
        }
    }
}

pub(super) fn remote_source(table: &Table<'_>) -> Option<Source> {
    let (url, digest) = (
        table.required_string("url"),
        table.required_string("digest"),
    );
    let (url, digest) = (url?, digest?);
    table.cx.take(&url.at, check::source_url(&url.value))?;
    let digest = table.cx.take(&digest.at, digest.value.parse())?;
    Some(Source::Remote {
        url: url.value,
        digest,
    })
}

/// Both forms of the allow-list. The old one says hosts only and means http and https.
fn outbound(table: &Table<'_>, name: &FunctionName) -> Vec<Text> {
    let mut hosts = table.strings("allowed_outbound_hosts");
    let old = table.strings("allowed_http_hosts");
    if !old.is_empty() {
        table.cx.note(format!(
            "function `{name}`: allowed_http_hosts is deprecated, use allowed_outbound_hosts"
        ));
    }
    for host in old {
        let bare = match host.value.as_str() {
            "insecure:allow-all" => "*:*",
            text if text.contains("://") => {
                hosts.push(host);
                continue;
            }
            text => text,
        };
        for scheme in ["http", "https"] {
            hosts.push(Text {
                value: format!("{scheme}://{bare}"),
                at: host.at.clone(),
            });
        }
    }
    hosts
}

/// Every profile is checked; the selected one is applied.
fn profiles<'a>(
    table: &Table<'a>,
    name: &FunctionName,
    inherit_all: Option<bool>,
    spec: &mut FunctionSpec,
    components: &mut Components<'a>,
) {
    let Some(all) = table.table("profile", &NAMES, format!("[component.{name}.profile]")) else {
        return;
    };
    for (id, value) in all.entries() {
        let title = format!("[component.{name}.profile.{}]", id.value);
        let build_title = format!("[component.{name}.profile.{}.build]", id.value);
        let Some(profile) = all.as_table(&id.value, value, &SPIN_PROFILE, title) else {
            continue;
        };
        let dependencies = dependency::read(&profile, inherit_all, components);
        let source = source(&profile, true);
        let environment = parts::environment(&profile);
        let build = profile
            .table("build", &SPIN_PROFILE_BUILD, build_title)
            .map(|t| parts::build(&t));
        if components.profile != Some(id.value.as_str()) {
            continue;
        }
        components.profile_found = true;
        if let Some(source) = source {
            spec.source = source;
        }
        spec.environment.extend(environment);
        for other in dependencies {
            spec.dependencies.retain(|own| own.import != other.import);
            spec.dependencies.push(other);
        }
        if let Some(build) = build {
            spec.build.get_or_insert_with(BuildSpec::default).command = build.command;
        }
    }
}
