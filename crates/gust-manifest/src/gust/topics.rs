//! `[topic.NAME]`, and what a `[[trigger]]` with `topic` says.

use std::collections::BTreeMap;

use gust_types::{
    ByteSize, Label, Span,
    trigger::{Beginning, FilterSpec, ReplySpec, TopicSettings, TriggerSource},
};
use toml::de::DeValue;

use super::events::choice;
use crate::{
    draft::Draft,
    keys::{NAMES, TOPIC},
    limits::MAX_TRIGGERS,
    reader::{Cx, Table, Value, kind},
};

const LONGEST: Span = Span::secs(366 * 86_400);
/// Filters inside each other. What is sensible is checked at deploy; this is so that reading ends.
const MAX_DEPTH: usize = 32;

pub(super) fn read(draft: &mut Draft<'_>, root: &Table<'_>) {
    let Some(table) = root.table("topic", &NAMES, "[topic]") else {
        return;
    };
    for (name, value) in table.entries() {
        let title = format!("[topic.{}]", name.value);
        let opened = table.as_table(&name.value, value, &TOPIC, title);
        let label = table.cx.take(&name.at, Label::new(&name.value));
        if let (Some(topic), Some(label)) = (opened, label) {
            draft.events.topics.insert(label, settings(&topic));
        }
        if draft.events.topics.len() > MAX_TRIGGERS {
            let message = format!("more topics than {MAX_TRIGGERS}");
            return table.cx.fault(&name.at, message);
        }
    }
}

fn settings(table: &Table<'_>) -> TopicSettings {
    let d = TopicSettings::default();
    let second = Span::secs(1);
    let time = |key: &str, default| table.span(key, second, LONGEST).unwrap_or(default);
    let bytes = table.size("max_bytes", ByteSize::kib(1), ByteSize::mib(1 << 20));
    TopicSettings {
        max_age: time("max_age", d.max_age),
        max_bytes: bytes.unwrap_or(d.max_bytes),
        dedup: time("dedup", d.dedup),
    }
}

/// The source of a trigger with `topic`.
pub(super) fn source(table: &Table<'_>) -> Option<TriggerSource> {
    let topic = table.string("topic")?;
    Some(TriggerSource::Topic {
        topic: table.cx.take(&topic.at, Label::new(&topic.value))?,
        filters: filters(table),
        from: from(table),
        batch: table.integer("batch", 1, 1000).map_or(1, |n| n as u32),
        reply: reply(table),
    })
}

/// Where a new trigger begins.
pub(super) fn from(table: &Table<'_>) -> Beginning {
    let words = [
        ("latest", Beginning::Latest),
        ("earliest", Beginning::Earliest),
    ];
    choice(table, "from", &words)
}

/// `true`, `false`, or the name of a topic.
fn reply(table: &Table<'_>) -> ReplySpec {
    let Some(value) = table.value("reply") else {
        return ReplySpec::Same;
    };
    match value.get_ref() {
        DeValue::Boolean(true) => ReplySpec::Same,
        DeValue::Boolean(false) => ReplySpec::Off,
        DeValue::String(name) => {
            let label = table.cx.take(&value.span(), Label::new(name.as_ref()));
            label.map_or(ReplySpec::Same, ReplySpec::Topic)
        }
        other => {
            let found = kind(other);
            let message = format!("`reply` must be true, false or a topic, not {found}");
            table.cx.fault(&value.span(), message);
            ReplySpec::Same
        }
    }
}

pub(super) fn filters(table: &Table<'_>) -> Vec<FilterSpec> {
    let cx = table.cx;
    match (table.value("filter"), table.value("filters")) {
        (Some(_), Some(_)) => {
            let message = "a trigger has `filter` or `filters`, not both";
            cx.fault(&table.key_at("filters"), message);
            Vec::new()
        }
        (Some(one), None) => filter(cx, one, 0).into_iter().collect(),
        (None, Some(many)) => list(cx, "filters", many, 0),
        (None, None) => Vec::new(),
    }
}

fn list(cx: &Cx<'_>, key: &str, value: Value<'_>, depth: usize) -> Vec<FilterSpec> {
    let DeValue::Array(items) = value.get_ref() else {
        let found = kind(value.get_ref());
        let message = format!("`{key}` must be a list of filters, not {found}");
        cx.fault(&value.span(), message);
        return Vec::new();
    };
    let items = items.iter();
    items.filter_map(|item| filter(cx, item, depth)).collect()
}

/// A string is CloudEvents SQL; a table is one dialect and what it needs.
fn filter(cx: &Cx<'_>, value: Value<'_>, depth: usize) -> Option<FilterSpec> {
    const DIALECTS: &str = "exact, prefix, suffix, all, any, not, sql";
    if depth > MAX_DEPTH {
        cx.fault(&value.span(), "filters are nested too deep");
        return None;
    }
    let entries = match value.get_ref() {
        DeValue::String(sql) => return Some(FilterSpec::Sql(sql.clone().into_owned())),
        DeValue::Table(entries) => entries,
        other => {
            let found = kind(other);
            let message = format!("a filter must be a table or an expression, not {found}");
            cx.fault(&value.span(), message);
            return None;
        }
    };
    let mut given = entries.iter();
    let (Some((dialect, needs)), None) = (given.next(), given.next()) else {
        let message = format!("a filter is exactly one of: {DIALECTS}");
        cx.fault_hint(&value.span(), message, "put several into a list: `filters`");
        return None;
    };
    let depth = depth + 1;
    Some(match dialect.get_ref().as_ref() {
        "exact" => FilterSpec::Exact(texts(cx, "exact", needs)?),
        "prefix" => FilterSpec::Prefix(texts(cx, "prefix", needs)?),
        "suffix" => FilterSpec::Suffix(texts(cx, "suffix", needs)?),
        "all" => FilterSpec::All(list(cx, "all", needs, depth)),
        "any" => FilterSpec::Any(list(cx, "any", needs, depth)),
        "not" => FilterSpec::Not(Box::new(filter(cx, needs, depth)?)),
        "sql" => FilterSpec::Sql(cx.text("`sql`", needs)?.value),
        other => {
            let message = format!("not a dialect of filters: `{other}`");
            let hint = format!(
                "write one of {DIALECTS}; an attribute goes inside: {{ exact = {{ {other} = \"…\" }} }}"
            );
            cx.fault_hint(&dialect.span(), message, hint);
            return None;
        }
    })
}

/// Attributes and texts.
fn texts(cx: &Cx<'_>, dialect: &str, value: Value<'_>) -> Option<BTreeMap<String, String>> {
    let DeValue::Table(entries) = value.get_ref() else {
        let found = kind(value.get_ref());
        let message = format!("`{dialect}` must be a table of attributes, not {found}");
        cx.fault(&value.span(), message);
        return None;
    };
    let text = |(name, value): (&toml::Spanned<std::borrow::Cow<'_, str>>, _)| {
        let name = name.get_ref().clone().into_owned();
        let text = cx.text(&format!("`{name}`"), value)?;
        Some((name, text.value))
    };
    Some(entries.iter().filter_map(text).collect())
}
