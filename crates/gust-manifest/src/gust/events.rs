//! `[queue.NAME]` and `[[trigger]]`; what is of topics is in `topics.rs`.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use gust_types::{
    ByteSize, FunctionName, Label, Span,
    trigger::{
        Backoff, ContentMode, Missed, Overlap, QueueSettings, RetrySpec, ScheduleSpec,
        TriggerSource, TriggerSpec,
    },
};

use super::{changes, topics, webhook};
use crate::{
    check,
    draft::Draft,
    gust::outside,
    keys::{self, NAMES, OUTSIDE, QUEUE, RETRY, TRIGGER},
    limits::MAX_TRIGGERS,
    reader::{Table, Text},
};

/// Functions that have a trigger without a name, and the line it is on.
type Unnamed = HashMap<FunctionName, usize>;

const LONGEST: Span = Span::secs(14 * 86_400);

pub(super) fn read(draft: &mut Draft<'_>, root: &Table<'_>) {
    queues(draft, root);
    topics::read(draft, root);
    let mut unnamed = Unnamed::new();
    for table in root.tables("trigger", &TRIGGER, "[[trigger]]") {
        if draft.events.triggers.len() == MAX_TRIGGERS {
            let message = format!("more triggers than {MAX_TRIGGERS}");
            return table.cx.fault(&table.at(), message);
        }
        if let Some(trigger) = trigger(draft, &table, &mut unnamed) {
            draft.events.triggers.push(trigger);
        }
    }
}

fn queues(draft: &mut Draft<'_>, root: &Table<'_>) {
    let Some(table) = root.table("queue", &NAMES, "[queue]") else {
        return;
    };
    for (name, value) in table.entries() {
        let title = format!("[queue.{}]", name.value);
        let opened = table.as_table(&name.value, value, &QUEUE, title);
        let label = table.cx.take(&name.at, Label::new(&name.value));
        if let (Some(queue), Some(label)) = (opened, label) {
            draft.events.queues.insert(label, settings(&queue));
        }
        if draft.events.queues.len() > MAX_TRIGGERS {
            let message = format!("more queues than {MAX_TRIGGERS}");
            return table.cx.fault(&name.at, message);
        }
    }
}

fn settings(table: &Table<'_>) -> QueueSettings {
    let d = QueueSettings::default();
    let second = Span::secs(1);
    let time = |key: &str, low, default| table.span(key, low, LONGEST).unwrap_or(default);
    let attempts = table.integer("attempts", 0, 10_000);
    let bytes = table.size("max_bytes", ByteSize::kib(1), ByteSize::mib(1 << 20));
    QueueSettings {
        visibility: time("visibility", second, d.visibility),
        delay: time("delay", Span::secs(0), d.delay),
        attempts: attempts.map_or(d.attempts, |n| n as u32),
        max_age: time("max_age", second, d.max_age),
        dead_age: time("dead_age", second, d.dead_age),
        max_bytes: bytes.unwrap_or(d.max_bytes),
        dedup: time("dedup", second, d.dedup),
    }
}

fn trigger(draft: &mut Draft<'_>, table: &Table<'_>, unnamed: &mut Unnamed) -> Option<TriggerSpec> {
    let function = table.required_string("function");
    let source = source(draft, table, function.as_ref());
    let path = table.string("path");
    if let Some(path) = &path {
        table.cx.take(&path.at, check::path(&path.value));
    }
    let concurrency = table.integer("concurrency", 1, 10_000);
    let exactly_once = table.boolean("exactly_once");
    let modes = [
        ("binary", ContentMode::Binary),
        ("structured", ContentMode::Structured),
    ];
    let mode = choice(table, "mode", &modes);
    let retry = table.table("retry", &RETRY, "[trigger.retry]");
    let d = RetrySpec::default();
    let retry = retry.map(|t| read_retry(&t, &d)).unwrap_or_default();
    let function = function?;
    let name = table
        .cx
        .take(&function.at, FunctionName::new(&function.value))?;
    draft.triggered.push((name.clone(), function.at.clone()));
    Some(TriggerSpec {
        name: trigger_name(draft, table, &name, unnamed)?,
        function: name,
        path: path.map_or_else(|| "/".to_owned(), |path| path.value),
        source: source?,
        concurrency: concurrency.map_or(16, |n| n as u32),
        retry,
        exactly_once: exactly_once.unwrap_or(false),
        mode,
    })
}

/// What it says, or its function's name. A second one without a name is refused: its name would hang on the order of the
/// two, and what waits for a trigger is kept under its name.
fn trigger_name(
    draft: &Draft<'_>,
    table: &Table<'_>,
    function: &FunctionName,
    unnamed: &mut Unnamed,
) -> Option<Label> {
    let triggers = draft.events.triggers.iter();
    let names: HashSet<&str> = triggers.map(|trigger| trigger.name.as_str()).collect();
    if let Some(name) = table.string("name") {
        if names.contains(name.value.as_str()) {
            let message = format!("two triggers have the same name: `{}`", name.value);
            table.cx.fault(&name.at, message);
        }
        return table.cx.take(&name.at, Label::new(&name.value));
    }
    let line = table.cx.line(&table.at());
    let why = match unnamed.insert(function.clone(), line) {
        Some(first) => format!("the one on line {first} has none either"),
        None if names.contains(function.as_str()) => "another one has the function's".to_owned(),
        None => return table.cx.take(&table.at(), Label::new(function.as_str())),
    };
    let message = format!("this trigger of `{function}` needs a name: {why}");
    let hint = format!("write name = \"{function}-2\", or what says best what it is for");
    table.cx.fault_hint(&table.at(), message, hint);
    None
}

fn source(
    draft: &mut Draft<'_>,
    table: &Table<'_>,
    function: Option<&Text>,
) -> Option<TriggerSource> {
    let outside = OUTSIDE.iter().map(|(kind, _)| *kind);
    let ours = [
        "queue", "topic", "kv", "sql", "blob", "cron", "rate", "at", "webhook",
    ];
    let sources: Vec<&str> = ours.into_iter().chain(outside).collect();
    let given: Vec<&str> = sources
        .iter()
        .copied()
        .filter(|key| table.value(key).is_some())
        .collect();
    let mut keys = table.entries();
    if given.is_empty() && keys.any(|(key, _)| keys::instead(&TRIGGER, &key.value).is_some()) {
        // Said where it stands.
        return None;
    }
    let [only] = given[..] else {
        let all: Vec<_> = sources.iter().map(|key| format!("`{key}`")).collect();
        let (last, rest) = all.split_last()?;
        let message = format!(
            "a trigger needs exactly one of the keys {} and {last}",
            rest.join(", ")
        );
        table
            .cx
            .fault(&table.key_at(given.get(1).unwrap_or(&"function")), message);
        return None;
    };
    const OF_TIME: [&str; 5] = ["timezone", "overlap", "missed", "missed_within", "jitter"];
    const OF_TOPICS: [&str; 4] = ["filter", "filters", "from", "reply"];
    const OF_CHANGES: [&str; 4] = ["prefix", "suffix", "tables", "on"];
    let foreign: [&[&str]; 4] = match only {
        "queue" => [&OF_TIME, &OF_TOPICS, &OF_CHANGES, &[]],
        "topic" => [&OF_TIME, &OF_CHANGES, &[], &[]],
        "kv" => [&OF_TIME, &["reply", "tables", "suffix"], &[], &[]],
        "sql" => [&OF_TIME, &["reply", "prefix", "suffix"], &[], &[]],
        "blob" => [&OF_TIME, &["reply", "tables"], &[], &[]],
        "cron" => [&["batch", "concurrency"], &OF_TOPICS, &OF_CHANGES, &[]],
        "rate" | "at" => [
            &["batch", "concurrency", "timezone"],
            &OF_TOPICS,
            &OF_CHANGES,
            &[],
        ],
        _ => [&OF_TIME, &OF_TOPICS, &OF_CHANGES, &["batch"]],
    };
    for key in foreign.into_iter().flatten() {
        if table.value(key).is_some() {
            let message = format!("`{key}` means nothing for a trigger with `{only}`");
            table.cx.fault(&table.key_at(key), message);
        }
    }
    if only == "queue" {
        let queue = table.string("queue")?;
        return Some(TriggerSource::Queue {
            queue: table.cx.take(&queue.at, Label::new(&queue.value))?,
            batch: table.integer("batch", 1, 1000).map_or(1, |n| n as u32),
        });
    }
    if only == "topic" {
        return topics::source(table);
    }
    if matches!(only, "kv" | "sql" | "blob") {
        return changes::source(draft, table, only).map(TriggerSource::Changes);
    }
    if only == "webhook" {
        let function = function.and_then(|text| FunctionName::new(&text.value).ok());
        return webhook::read(draft, table, function.as_ref());
    }
    if let Some((kind, section)) = OUTSIDE.iter().find(|(kind, _)| *kind == only) {
        let external = outside::read(draft, table, kind, section)?;
        return Some(TriggerSource::External(external));
    }
    schedule(table).map(TriggerSource::Schedule)
}

fn schedule(table: &Table<'_>) -> Option<ScheduleSpec> {
    let text = |key: &str| table.string(key).map(|text: Text| text.value);
    let year = Span::secs(366 * 86_400);
    let time = |key: &str, low| table.span(key, low, year);
    Some(ScheduleSpec {
        cron: text("cron"),
        rate: time("rate", Span::secs(1)),
        at: text("at"),
        timezone: text("timezone"),
        overlap: choice(
            table,
            "overlap",
            &[
                ("allow", Overlap::Allow),
                ("skip", Overlap::Skip),
                ("queue", Overlap::Queue),
            ],
        ),
        missed: choice(
            table,
            "missed",
            &[
                ("last", Missed::Last),
                ("skip", Missed::Skip),
                ("all", Missed::All),
            ],
        ),
        missed_within: time("missed_within", Span::secs(0)),
        jitter: time("jitter", Span::secs(0)),
    })
}

/// One of a few words; the first is the default.
pub(super) fn choice<T: Copy + Default>(table: &Table<'_>, key: &str, words: &[(&str, T)]) -> T {
    let Some(text) = table.string(key) else {
        return T::default();
    };
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == text.value) {
        return *value;
    }
    let message = format!("`{key}` is none of its words: {:?}", text.value);
    let words: Vec<_> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
    table
        .cx
        .fault_hint(&text.at, message, format!("write {}", words.join(" or ")));
    T::default()
}

/// What the table says, and for the rest these defaults.
pub(super) fn read_retry(table: &Table<'_>, d: &RetrySpec) -> RetrySpec {
    let time = |key: &str, default| {
        let least = Span(Duration::from_millis(1));
        table.span(key, least, LONGEST).unwrap_or(default)
    };
    let attempts = table.integer("attempts", 1, 1000);
    let jitter = table.integer("jitter", 0, 100);
    RetrySpec {
        attempts: attempts.map_or(d.attempts, |n| n as u32),
        backoff: choice(
            table,
            "backoff",
            &[
                ("exponential", Backoff::Exponential),
                ("linear", Backoff::Linear),
                ("none", Backoff::None),
            ],
        ),
        delay: time("delay", d.delay),
        max_delay: time("max_delay", d.max_delay),
        jitter: jitter.map_or(d.jitter, |n| n as u8),
        max_age: time("max_age", d.max_age),
    }
}
