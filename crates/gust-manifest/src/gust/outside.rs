//! `redis = { ... }` and its like in a `[[trigger]]`.

use gust_types::{Span, trigger::ExternalSpec};
use serde_json::Value;

use crate::{
    draft::Draft,
    keys::{Key, Section},
    reader::{Table, Text},
};

/// The settings of one kind. Keys and types are checked here, where there is a line to name; the rest by the plug-in.
pub(super) fn read(
    draft: &mut Draft<'_>,
    table: &Table<'_>,
    kind: &str,
    section: &Section,
) -> Option<ExternalSpec> {
    let table = table.table(kind, section, format!("[trigger.{kind}]"))?;
    let mut settings = serde_json::Map::new();
    for key in section.keys {
        if let Some(value) = setting(draft, &table, key) {
            settings.insert(key.name.to_owned(), value);
        }
    }
    Some(ExternalSpec {
        kind: kind.to_owned(),
        settings,
    })
}

fn setting(draft: &mut Draft<'_>, table: &Table<'_>, key: &Key) -> Option<Value> {
    if table.value(key.name).is_none() {
        if key.default == "required" {
            table.missing(key.name);
        }
        return None;
    }
    match key.shape {
        "integer" => table.integer(key.name, 0, u32::MAX.into()).map(Value::from),
        shape if shape.starts_with("duration") => {
            let longest = Span::secs(366 * 86_400);
            let span = table.span(key.name, Span::secs(0), longest)?;
            Some(span.to_string().into())
        }
        "list of strings" => {
            let texts = table.strings(key.name);
            let texts = texts.iter().map(|text| template(draft, key.name, text));
            Some(texts.collect())
        }
        "table of strings" => {
            let pairs = table.string_map(key.name);
            let pairs = pairs.iter().map(|(name, text)| {
                let value = template(draft, &name.value, text);
                (name.value.clone(), value)
            });
            Some(Value::Object(pairs.collect()))
        }
        _ => table
            .string(key.name)
            .map(|text| template(draft, key.name, &text)),
    }
}

/// A text that may mention variables. What is a secret has to.
pub(crate) fn template(draft: &mut Draft<'_>, key: &str, text: &Text) -> Value {
    draft.template(text);
    let checked = ExternalSpec::check_secret(key, &text.value);
    draft.cx.take(&text.at, checked);
    text.value.as_str().into()
}
