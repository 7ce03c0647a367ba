//! `[[trigger.redis]]`, `[[trigger.mqtt]]` and `[[trigger.cron]]` into triggers.
//!
//! A password that stands in the open there becomes the default of a hidden variable, so that the app runs unchanged and
//! nobody is shown it.

use gust_types::{
    FunctionName, Label,
    app::VariableSpec,
    trigger::{
        ContentMode, ExternalSpec, Overlap, RetrySpec, ScheduleSpec, TriggerSource, TriggerSpec,
    },
};
use serde_json::{Map, Value};

use super::{Components, trigger::component};
use crate::{
    draft::Draft,
    keys::{
        NAMES, SPIN_APPLICATION, SPIN_CRON, SPIN_MQTT, SPIN_MQTT_SETTINGS, SPIN_REDIS,
        SPIN_REDIS_SETTINGS, Section,
    },
    limits::MAX_TRIGGERS,
    reader::{Table, Text},
};

/// Letters of a trigger's name.
const NAME: usize = 63;

/// What all triggers of a type share.
struct Shared<'a>(Option<Table<'a>>);

pub(super) fn read<'a>(
    draft: &mut Draft<'a>,
    root: &Table<'a>,
    components: &mut Components<'a>,
    triggers: &Table<'a>,
) {
    let sorts: [(&str, &Section, &str); 3] = [
        ("redis", &SPIN_REDIS, "[[trigger.redis]]"),
        ("mqtt", &SPIN_MQTT, "[[trigger.mqtt]]"),
        ("cron", &SPIN_CRON, "[[trigger.cron]]"),
    ];
    for (sort, section, title) in sorts {
        let shared = Shared::of(root, sort);
        for (i, table) in triggers.tables(sort, section, title).iter().enumerate() {
            if draft.events.triggers.len() == MAX_TRIGGERS {
                let message = format!("more triggers than {MAX_TRIGGERS}");
                return table.cx.fault(&table.at(), message);
            }
            if table.value("component").is_none() {
                table.missing("component");
            }
            let id = table.string("id");
            let source = match sort {
                "redis" => redis(draft, table, &shared),
                "mqtt" => mqtt(draft, table, &shared),
                _ => cron(table),
            };
            let called = component(draft, root, components, table, id.clone(), (sort, i + 1));
            if let (Some(function), Some(source)) = (called, source) {
                add(draft, table, id, function, source);
            }
        }
    }
    // What only events call has no address.
    let called: Vec<FunctionName> = draft
        .events
        .triggers
        .iter()
        .map(|t| t.function.clone())
        .collect();
    for function in called {
        if !draft.is_routed(&function) {
            draft.private(function, &triggers.at());
        }
    }
}

fn add(
    draft: &mut Draft<'_>,
    table: &Table<'_>,
    id: Option<Text>,
    function: FunctionName,
    source: TriggerSource,
) {
    let taken = |name: &str| {
        draft
            .events
            .triggers
            .iter()
            .any(|t| t.name.as_str() == name)
    };
    let wanted = id.map_or_else(|| derived(table, &function, &source), |id| id.value);
    // One that says the very same as another.
    let numbered = (2..).map(|n| format!("{wanted}-{n}"));
    let mut names = std::iter::once(wanted.clone()).chain(numbered);
    let name = names.find(|name| !taken(name)).unwrap_or(wanted);
    let Some(name) = table.cx.take(&table.at(), Label::new(&name)) else {
        return;
    };
    draft.events.triggers.push(TriggerSpec {
        name,
        function,
        path: "/".to_owned(),
        source,
        concurrency: 16,
        retry: RetrySpec::default(),
        exactly_once: false,
        mode: ContentMode::default(),
    });
}

/// A trigger's name out of what it takes from: what waits for it is kept under that, so it must not hang on the order of
/// triggers, nor on how many there are.
fn derived(table: &Table<'_>, function: &FunctionName, source: &TriggerSource) -> String {
    let (kind, text) = match source {
        TriggerSource::External(external) => {
            let of = |key: &str| external.settings.get(key).and_then(Value::as_str);
            let text = of("channel").or_else(|| of("topic")).unwrap_or_default();
            (external.kind.as_str(), text.to_owned())
        }
        TriggerSource::Schedule(schedule) => ("cron", schedule.cron.clone().unwrap_or_default()),
        _ => ("", String::new()),
    };
    // A server of its own, as two may have channels of one name; without who is logged in there.
    let server = table.string("address").map(|address| address.value);
    let server = server.map(|url| without_user(&url));
    let mut slug = String::new();
    for c in text.chars() {
        match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' => slug.push(c),
            _ if slug.ends_with('-') || slug.is_empty() => {}
            _ => slug.push('-'),
        }
    }
    let slug = slug.trim_end_matches('-');
    let name = format!("{function}-{kind}-{slug}");
    if slug == text && !slug.is_empty() && name.len() <= NAME && server.is_none() {
        return name;
    }
    // All of it is ASCII.
    let short = name.get(..name.len().min(NAME - 9)).unwrap_or(&name);
    let hash = hash(&[kind, &text, &server.unwrap_or_default(), function.as_str()]);
    format!("{}-{hash:08x}", short.trim_end_matches('-'))
}

/// A URL without who is logged in: that may be a secret, and whoever changes it takes from the same server.
fn without_user(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let server = rest.rsplit_once('@').map_or(rest, |(_, server)| server);
    format!("{scheme}://{server}")
}

/// FNV-1a: the same for ever, whatever the machine and the version.
fn hash(parts: &[&str]) -> u32 {
    let bytes = parts.iter().flat_map(|part| part.bytes().chain([0]));
    bytes.fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

fn redis(draft: &mut Draft<'_>, table: &Table<'_>, shared: &Shared<'_>) -> Option<TriggerSource> {
    let channel = table.required_string("channel");
    let address = table.string("address").or_else(|| shared.text("address"));
    let Some(address) = address else {
        let message = "a redis trigger needs an address";
        let hint = "write address = \"redis://...\" here or in [application.trigger.redis]";
        table.cx.fault_hint(&table.at(), message, hint);
        return None;
    };
    let mut settings = Map::new();
    settings.insert("url".to_owned(), hidden(draft, "url", &address));
    settings.insert("channel".to_owned(), template(draft, &channel?));
    Some(external("redis", settings))
}

fn mqtt(draft: &mut Draft<'_>, table: &Table<'_>, shared: &Shared<'_>) -> Option<TriggerSource> {
    let topic = table.required_string("topic");
    let Some(address) = shared.text("address") else {
        let message = "an mqtt trigger needs an address";
        let hint = "write address = \"mqtt://...\" in [application.trigger.mqtt]";
        table.cx.fault_hint(&table.at(), message, hint);
        return None;
    };
    let mut settings = Map::new();
    settings.insert("url".to_owned(), hidden(draft, "url", &address));
    settings.insert("topic".to_owned(), template(draft, &topic?));
    settings.insert("qos".to_owned(), qos(table)?.into());
    let given = |key: &str| shared.text(key).filter(|text| !text.value.is_empty());
    if let Some(user) = given("username") {
        settings.insert("user".to_owned(), template(draft, &user));
    }
    if let Some(password) = given("password") {
        settings.insert("password".to_owned(), hidden(draft, "password", &password));
    }
    if let Some(interval) = given("keep_alive_interval") {
        let Ok(seconds) = interval.value.trim().parse::<u32>() else {
            let message = format!(
                "`keep_alive_interval` must be seconds: {:?}",
                interval.value
            );
            table.cx.fault(&interval.at, message);
            return None;
        };
        settings.insert(
            "keep_alive".to_owned(),
            format!("{}s", seconds.clamp(2, 3600)).into(),
        );
    }
    Some(external("mqtt", settings))
}

fn qos(table: &Table<'_>) -> Option<u64> {
    let qos = table.required_string("qos")?;
    match qos.value.trim() {
        "0" => Some(0),
        "1" => Some(1),
        "2" => {
            table
                .cx
                .note("mqtt quality 2 is served as 1: deliveries are at least once");
            Some(1)
        }
        other => {
            let message = format!("`qos` must be \"0\", \"1\" or \"2\": {other:?}");
            table.cx.fault(&qos.at, message);
            None
        }
    }
}

fn cron(table: &Table<'_>) -> Option<TriggerSource> {
    let line = table.required_string("cron_expression")?;
    Some(TriggerSource::Schedule(ScheduleSpec {
        cron: Some(line.value),
        overlap: Overlap::Allow,
        ..ScheduleSpec::default()
    }))
}

fn external(kind: &str, settings: Map<String, Value>) -> TriggerSource {
    TriggerSource::External(ExternalSpec {
        kind: kind.to_owned(),
        settings,
    })
}

fn template(draft: &mut Draft<'_>, text: &Text) -> Value {
    draft.template(text);
    text.value.as_str().into()
}

/// A text that may be a secret: in the open, it becomes a hidden variable.
fn hidden(draft: &mut Draft<'_>, key: &str, text: &Text) -> Value {
    if ExternalSpec::check_secret(key, &text.value).is_ok() {
        return template(draft, text);
    }
    let hides = |spec: &VariableSpec| spec.secret && spec.default.as_deref() == Some(&text.value);
    let known = draft.variables.iter().find(|(_, spec)| hides(spec));
    let name = match known.map(|(name, _)| name.clone()) {
        Some(name) => name,
        None => {
            let mut names = (1..).map(|n| format!("trigger_secret_{n}"));
            let name = names.find(|name| !draft.variables.contains_key(name));
            let name = name.unwrap_or_default();
            let spec = VariableSpec {
                default: Some(text.value.clone()),
                secret: true,
                ..VariableSpec::default()
            };
            draft.variables.insert(name.clone(), spec);
            draft.cx.note(format!(
                "a password stands in the open; it is kept as the hidden variable `{name}`"
            ));
            name
        }
    };
    format!("{{{{ {name} }}}}").into()
}

// === impl Shared ===

impl<'a> Shared<'a> {
    /// `[application.trigger.SORT]`
    fn of(root: &Table<'a>, sort: &str) -> Self {
        let section = match sort {
            "redis" => &SPIN_REDIS_SETTINGS,
            "mqtt" => &SPIN_MQTT_SETTINGS,
            _ => return Self(None),
        };
        // Reported twice, a fault is there once.
        let app = root.table("application", &SPIN_APPLICATION, "[application]");
        let settings = app.and_then(|app| app.table("trigger", &NAMES, "[application.trigger]"));
        let title = format!("[application.trigger.{sort}]");
        Self(settings.and_then(|settings| settings.table(sort, section, title)))
    }

    fn text(&self, key: &str) -> Option<Text> {
        self.0.as_ref()?.string(key)
    }
}
