//! `[[trigger.http]]` into routes; the other types are in `events.rs`.

use gust_types::{
    FunctionName,
    app::{CgiSpec, RouteTarget},
};
use toml::de::DeValue;

use super::{Components, events};
use crate::{
    draft::Draft,
    keys::{NAMES, SPIN_EXECUTOR, SPIN_HTTP, SPIN_PRIVATE, SPIN_RESPONSE},
    parts,
    reader::{Table, Text, kind},
};

/// What a trigger's `route` says.
enum Where {
    Path(Text),
    Private,
}

pub(super) fn read<'a>(draft: &mut Draft<'a>, root: &Table<'a>, components: &mut Components<'a>) {
    let Some(triggers) = root.table("trigger", &NAMES, "[trigger]") else {
        return;
    };
    for (kind, _) in triggers.entries() {
        if !["http", "redis", "mqtt", "cron"].contains(&kind.value.as_str()) {
            let message = format!("trigger type is not built yet: `{}`", kind.value);
            let hint =
                "[[trigger.http]], [[trigger.redis]], [[trigger.mqtt]] and [[trigger.cron]] are";
            draft.cx.fault_hint(&kind.at, message, hint);
        }
    }
    for (i, trigger) in triggers
        .tables("http", &SPIN_HTTP, "[[trigger.http]]")
        .iter()
        .enumerate()
    {
        http(draft, root, components, trigger, i + 1);
    }
    events::read(draft, root, components, &triggers);
}

fn http<'a>(
    draft: &mut Draft<'a>,
    root: &Table<'a>,
    components: &mut Components<'a>,
    trigger: &Table<'a>,
    number: usize,
) {
    refuse_what_is_not_built(trigger);
    let cgi = executor(trigger);
    let id = trigger.string("id");
    let place = route(trigger);
    let answer = (
        trigger.value("component").is_some(),
        trigger.value("static_response").is_some(),
    );
    let target = match answer {
        (true, false) => component(draft, root, components, trigger, id, ("http", number))
            .map(RouteTarget::Function),
        (false, true) => trigger
            .table("static_response", &SPIN_RESPONSE, "static_response")
            .map(|t| parts::response(&t, "status_code")),
        _ => {
            let message = "an http trigger needs either `component` or `static_response`";
            return trigger.cx.fault(&trigger.key_at("route"), message);
        }
    };
    if let Some(RouteTarget::Function(name)) = &target {
        components.execute(draft, name, cgi, &trigger.key_at("executor"));
    }
    match (place, target) {
        (Some(Where::Path(path)), Some(target)) => draft.route(&path, target),
        (Some(Where::Private), Some(RouteTarget::Function(name))) => {
            draft.private(name, &trigger.key_at("route"));
        }
        (Some(Where::Private), Some(_)) => {
            let message = "a private route needs a component";
            trigger.cx.fault(&trigger.key_at("route"), message);
        }
        _ => {}
    }
}

fn refuse_what_is_not_built(trigger: &Table<'_>) {
    if let Some(value) = trigger.value("dependencies") {
        let empty = matches!(value.get_ref(), DeValue::Table(t) if t.is_empty());
        if !empty {
            let message = "middleware is not built yet: `dependencies`";
            trigger.cx.fault(&trigger.key_at("dependencies"), message);
        }
    }
    if let Some(value) = trigger.value("components") {
        let empty = matches!(value.get_ref(), DeValue::Table(t) if t.is_empty());
        if !empty {
            let message = "an http trigger has no further components: `components`";
            let hint = "name the one that answers with `component`";
            trigger
                .cx
                .fault_hint(&trigger.key_at("components"), message, hint);
        }
    }
}

/// How the component is called: as CGI, when that is said.
fn executor(trigger: &Table<'_>) -> Option<CgiSpec> {
    let table = trigger.table("executor", &SPIN_EXECUTOR, "executor")?;
    let kind = table.required_string("type")?;
    match kind.value.as_str() {
        "http" | "spin" => {
            for key in ["argv", "entrypoint"] {
                if table.value(key).is_some() {
                    let message = format!("`{key}` belongs to the wagi executor");
                    table.cx.fault(&table.key_at(key), message);
                }
            }
        }
        "wagi" => {
            let entry = table.string("entrypoint");
            if let Some(entry) = entry.filter(|entry| entry.value != "_start") {
                let message = format!("`entrypoint` must be \"_start\": {:?}", entry.value);
                table.cx.fault(&entry.at, message);
            }
            return Some(parts::cgi(&table));
        }
        other => {
            let message = format!("unknown executor type: {other:?}");
            table.cx.fault_hint(&kind.at, message, "use \"http\"");
        }
    }
    None
}

fn route(trigger: &Table<'_>) -> Option<Where> {
    let Some(value) = trigger.value("route") else {
        trigger.missing("route");
        return None;
    };
    match value.get_ref() {
        DeValue::String(_) => trigger.string("route").map(Where::Path),
        DeValue::Table(_) => {
            let table = trigger.table("route", &SPIN_PRIVATE, "route = { ... }")?;
            match table.boolean("private") {
                Some(true) => Some(Where::Private),
                Some(false) => {
                    let message = "`private` must be true";
                    let hint = "leave it out and write the path: route = \"/...\"";
                    table.cx.fault_hint(&table.key_at("private"), message, hint);
                    None
                }
                None => {
                    if table.value("private").is_none() {
                        table.missing("private");
                    }
                    None
                }
            }
        }
        other => {
            let found = kind(other);
            let message = format!("`route` must be a path or {{ private = true }}, not {found}");
            trigger.cx.fault(&value.span(), message);
            None
        }
    }
}

/// The function of the component that a trigger calls.
pub(super) fn component<'a>(
    draft: &mut Draft<'a>,
    root: &Table<'a>,
    components: &mut Components<'a>,
    trigger: &Table<'a>,
    id: Option<Text>,
    (sort, number): (&str, usize),
) -> Option<FunctionName> {
    let value = trigger.value("component")?;
    let name = match value.get_ref() {
        DeValue::String(_) => components.use_one(draft, root, &trigger.string("component")?)?,
        DeValue::Table(_) => {
            let id = match id {
                Some(id) => format!("{}-component", id.value),
                None => format!("{sort}-trigger{number}-component"),
            };
            let id = Text {
                value: id,
                at: trigger.key_at("component"),
            };
            let name = super::function_name(draft.cx, &id)?;
            components.add(draft, root, &name, &id, value);
            name
        }
        other => {
            let found = kind(other);
            let message = format!("`component` must be a component's id or a table, not {found}");
            trigger.cx.fault(&value.span(), message);
            return None;
        }
    };
    Some(name)
}
