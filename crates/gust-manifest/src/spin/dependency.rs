//! `[component.<id>.dependencies]`: components that a component imports from.

use gust_types::{
    Error, Result,
    app::{Dependency, Inherit, Source},
};
use toml::de::DeValue;

use super::{Components, component};
use crate::{
    check,
    keys::{SPIN_BUILD, SPIN_COMPONENT, SPIN_DEPENDENCIES, SPIN_DEPENDENCY},
    parts,
    reader::{Table, Text, Value, kind},
};

/// The settings that a dependency may be given, by the keys they have.
const SETTINGS: [&str; 7] = [
    "ai_models",
    "allowed_outbound_hosts",
    "environment",
    "files",
    "key_value_stores",
    "sqlite_databases",
    "variables",
];

/// The dependencies of a component, or of one of its profiles. `all` is what the component says for every one of them.
pub(super) fn read(
    table: &Table<'_>,
    all: Option<bool>,
    components: &mut Components<'_>,
) -> Vec<Dependency> {
    let title = format!("{}.dependencies", table.name);
    let Some(entries) = table.table("dependencies", &SPIN_DEPENDENCIES, title) else {
        return Vec::new();
    };
    let one = |(name, value)| one(&entries, &name, value, all, components);
    entries.entries().filter_map(one).collect()
}

fn one<'a>(
    entries: &Table<'a>,
    name: &Text,
    value: Value<'a>,
    all: Option<bool>,
    components: &mut Components<'_>,
) -> Option<Dependency> {
    entries.cx.take(&name.at, import(&name.value));
    let table = match value.get_ref() {
        DeValue::Table(_) => {
            let title = format!("dependency `{}`", name.value);
            entries.as_table(&name.value, value, &SPIN_DEPENDENCY, title)?
        }
        DeValue::String(_) => {
            refuse_registry(entries, value, &name.value);
            return None;
        }
        other => {
            let message = format!(
                "a dependency must be a table or a version, not {}",
                kind(other)
            );
            entries.cx.fault(&value.span(), message);
            return None;
        }
    };
    for key in ["version", "registry", "package"] {
        if table.value(key).is_some() {
            refuse_registry(&table, value, key);
            return None;
        }
    }
    let found = code(&table, components);
    let inherit = inherit(&table, all);
    let export = table.string("export").map(|text| text.value);
    let (source, build) = found?;
    Some(Dependency {
        import: name.value.clone(),
        source,
        build,
        export,
        inherit,
    })
}

fn refuse_registry(table: &Table<'_>, value: Value<'_>, what: &str) {
    let message = format!("registries of packages are not built yet: `{what}`");
    let hint = "name the component by its `path`, by `url` and `digest`, or by `component`";
    table.cx.fault_hint(&value.span(), message, hint);
}

type Code = (Source, Option<gust_types::app::BuildSpec>);

/// Where its code is: exactly one of the three ways to say it.
fn code(table: &Table<'_>, components: &mut Components<'_>) -> Option<Code> {
    let ways = ["path", "url", "component"];
    let mut said = ways.into_iter().filter(|way| table.value(way).is_some());
    let (way, second) = (said.next(), said.next());
    if let (None, _) | (_, Some(_)) = (way, second) {
        let message = format!("{} needs one of `path`, `url` and `component`", table.name);
        table.cx.fault(&table.at(), message);
        return None;
    }
    if way != Some("url") && table.value("digest").is_some() {
        let message = "`digest` belongs to `url`";
        table.cx.fault(&table.key_at("digest"), message);
    }
    match way? {
        "path" => {
            let path = table.string("path")?;
            table.cx.take(&path.at, check::source(&path.value))?;
            Some((Source::Path(path.value), None))
        }
        "url" => component::remote_source(table).map(|source| (source, None)),
        _ => of_component(table, &table.string("component")?, components),
    }
}

/// The code of another component of the file.
fn of_component(table: &Table<'_>, id: &Text, components: &mut Components<'_>) -> Option<Code> {
    let Some(found) = components.by_id.get_mut(&id.value) else {
        let message = format!("no such component: `{}`", id.value);
        table.cx.fault(&id.at, message);
        return None;
    };
    found.used = true;
    let title = format!("[component.{}]", id.value);
    let section = &SPIN_COMPONENT;
    let other = table.as_table(&id.value, found.value, section, &title)?;
    let nested = other.value("dependencies").map(|value| value.get_ref());
    if nested.is_some_and(|value| !matches!(value, DeValue::Table(t) if t.is_empty())) {
        let message = format!(
            "a dependency cannot have dependencies itself: `{}`",
            id.value
        );
        let hint =
            "compose it before, for example with `wac plug`, and name the result by its path";
        table.cx.fault_hint(&id.at, message, hint);
        return None;
    }
    let source = component::source(&other, false)?;
    let build = other.table("build", &SPIN_BUILD, format!("{title}.build"));
    Some((source, build.map(|build| parts::build(&build))))
}

/// What it may use: what it says itself, or what the component says for all, or nothing.
fn inherit(table: &Table<'_>, all: Option<bool>) -> Inherit {
    let of = |yes: bool| match yes {
        true => Inherit::Everything,
        false => Inherit::Only(Vec::new()),
    };
    let Some(value) = table.value("inherit_configuration") else {
        return of(all.unwrap_or(false));
    };
    if all.is_some() {
        let message =
            "`inherit_configuration` and `dependencies_inherit_configuration` exclude each other";
        table
            .cx
            .fault(&table.key_at("inherit_configuration"), message);
    }
    match value.get_ref() {
        DeValue::Boolean(yes) => of(*yes),
        DeValue::Array(_) => {
            let settings = table.strings("inherit_configuration");
            for setting in &settings {
                if !SETTINGS.contains(&setting.value.as_str()) {
                    let message = format!("not a setting that is inherited: {:?}", setting.value);
                    let hint = format!("these are: {}", SETTINGS.join(", "));
                    table.cx.fault_hint(&setting.at, message, hint);
                }
            }
            Inherit::Only(settings.into_iter().map(|text| text.value).collect())
        }
        other => {
            let message = format!(
                "`inherit_configuration` must be true, false or a list, not {}",
                kind(other)
            );
            table.cx.fault(&value.span(), message);
            Inherit::Only(Vec::new())
        }
    }
}

/// A plain name, or `namespace:package`, with an interface, a version or both.
fn import(name: &str) -> Result<()> {
    let kebab = |part: &str| {
        let word = |word: &str| {
            word.starts_with(|c: char| c.is_ascii_alphabetic())
                && word.chars().all(|c| c.is_ascii_alphanumeric())
        };
        part.split('-').all(word)
    };
    let (name_only, version) = match name.split_once('@') {
        Some((name, version)) => (name, Some(version)),
        None => (name, None),
    };
    let good = match name_only.split_once(':') {
        Some((namespace, rest)) => {
            let (package, interface) = match rest.split_once('/') {
                Some((package, interface)) => (package, Some(interface)),
                None => (rest, None),
            };
            kebab(namespace) && kebab(package) && interface.is_none_or(kebab)
        }
        None => version.is_none() && kebab(name_only),
    };
    let versioned = version.is_none_or(|version| {
        version.split(['-', '+']).next().is_some_and(|numbers| {
            let parts: Vec<_> = numbers.split('.').collect();
            parts.len() == 3 && parts.iter().all(|part| part.parse::<u64>().is_ok())
        })
    });
    match good && versioned {
        true => Ok(()),
        false => Err(Error::invalid(format!("not a name of what is imported: {name:?}"))
            .hint("write an interface such as \"a:b/c@1.0.0\", a package such as \"a:b\", or a plain name")),
    }
}
