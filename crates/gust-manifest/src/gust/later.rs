//! `[function.NAME.async]`.

use gust_types::{
    FunctionName, Span,
    later::{Destination, LaterSpec},
};

use super::{events, webhook};
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
        callback: table
            .string("callback")
            .and_then(|text| table.cx.take(&text.at, text.value.parse())),
        callback_secrets: secrets(draft, &table),
        callback_public: table
            .boolean("callback_public")
            .unwrap_or(d.callback_public),
    };
    for key in ["callback", "callback_public"] {
        let said = table.value(key).is_some() && (key == "callback" || spec.callback_public);
        if said && table.value("callback_secret").is_none() {
            let message = format!("`{key}` needs a `callback_secret`");
            let hint = "who is called back has to know that it is you: declare `name = { required = true, secret = true }` in [variables], and write `callback_secret = \"{{ name }}\"`";
            table.cx.fault_hint(&table.key_at(key), message, hint);
        }
    }
    if spec.retry.max_age > LaterSpec::MAX_AGE {
        let most: Span = LaterSpec::MAX_AGE;
        let message = format!("a call waits {most} at most: `retry.max_age`");
        table.cx.fault(&table.key_at("retry"), message);
    }
    Some(spec)
}

/// Each names a secret variable and nothing else, as those of webhooks do.
fn secrets(draft: &mut Draft<'_>, table: &Table<'_>) -> Vec<String> {
    let given = table.string_or_strings("callback_secret");
    if table.value("callback_secret").is_some() && !(1..=LaterSpec::SECRETS).contains(&given.len())
    {
        let message = "`callback_secret` is 1 to 8 secrets";
        table.cx.fault(&table.key_at("callback_secret"), message);
    }
    webhook::named_secrets(draft, table, &given, "a callback's secret");
    given.into_iter().map(|text| text.value).collect()
}

fn destination(draft: &mut Draft<'_>, table: &Table<'_>, key: &str) -> Option<Destination> {
    let text = table.string(key)?;
    let destination = table.cx.take(&text.at, text.value.parse())?;
    if let Destination::Function(name) = &destination {
        draft.triggered.push((name.clone(), text.at.clone()));
    }
    Some(destination)
}
