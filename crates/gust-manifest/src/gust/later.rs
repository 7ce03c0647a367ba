//! `[function.NAME.async]`.

use gust_types::{
    FunctionName, Span,
    later::{Destination, LaterSpec},
};

use toml::de::DeValue;

use super::events;
use crate::{
    draft::Draft,
    keys::{ASYNC, RETRY},
    reader::Table,
};

pub(super) fn read(
    draft: &mut Draft<'_>,
    table: &Table<'_>,
    function: &FunctionName,
) -> Option<LaterSpec> {
    let name = format!("[function.{function}.async]");
    if let Some(DeValue::Table(inner)) = table.value("async").map(|value| value.get_ref())
        && let Some(callback) = inner.keys().find(|key| key.get_ref() == "callback")
    {
        let message = "addresses are no destinations of calls: `callback`";
        let hint = "name a function as `on_success` that calls the address; its `outbound` says where it may go";
        table.cx.fault_hint(&callback.span(), message, hint);
        return None;
    }
    let table = table.table("async", &ASYNC, name)?;
    let d = LaterSpec::default();
    let retry = table.table(
        "retry",
        &RETRY,
        format!("[function.{function}.async.retry]"),
    );
    let retry = retry.map(|retry| events::read_retry(&retry, &d.retry));
    let most = LaterSpec::CONCURRENCY.into();
    let concurrency = table.integer("concurrency", 1, most);
    let spec = LaterSpec {
        retry: retry.unwrap_or(d.retry),
        keep: table
            .span("keep", LaterSpec::KEEP_LEAST, LaterSpec::KEEP_MOST)
            .unwrap_or(d.keep),
        concurrency: concurrency.map_or(d.concurrency, |n| n as u32),
        on_success: destination(draft, &table, "on_success"),
        on_failure: destination(draft, &table, "on_failure"),
        public: table.boolean("public").unwrap_or(d.public),
    };
    if spec.retry.max_age > LaterSpec::MAX_AGE {
        let most: Span = LaterSpec::MAX_AGE;
        let message = format!("a call waits {most} at most: `retry.max_age`");
        table.cx.fault(&table.key_at("retry"), message);
    }
    Some(spec)
}

fn destination(draft: &mut Draft<'_>, table: &Table<'_>, key: &str) -> Option<Destination> {
    let text = table.string(key)?;
    let destination = table.cx.take(&text.at, text.value.parse())?;
    if let Destination::Function(name) = &destination {
        draft.triggered.push((name.clone(), text.at.clone()));
    }
    Some(destination)
}
