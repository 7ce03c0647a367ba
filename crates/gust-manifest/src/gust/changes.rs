//! What a `[[trigger]]` with `kv`, `sql` or `blob` says.

use gust_types::{
    Label,
    changes::{ChangeKind, Watched},
    trigger::ChangesSpec,
};

use super::topics;
use crate::{draft::Draft, reader::Table};

/// The source of a trigger with `kv`, `sql` or `blob`, which is `kind`.
pub(super) fn source(draft: &Draft<'_>, table: &Table<'_>, kind: &str) -> Option<ChangesSpec> {
    let text = table.string(kind)?;
    let name = table.cx.take(&text.at, Label::new(&text.value))?;
    let of = match kind {
        "kv" => Watched::Kv(name),
        "blob" => Watched::Blob(name),
        _ => Watched::Sql(name),
    };
    let spec = ChangesSpec {
        on: on(table, &of),
        prefix: table.string_or_empty("prefix"),
        suffix: table.string_or_empty("suffix"),
        tables: table
            .strings("tables")
            .into_iter()
            .map(|t| t.value)
            .collect(),
        filters: topics::filters(table),
        from: topics::from(table),
        batch: table.integer("batch", 1, 1000).map_or(1, |n| n as u32),
        of,
    };
    let at = ["tables", "suffix", "prefix"]
        .into_iter()
        .find(|key| table.value(key).is_some())
        .unwrap_or(kind);
    table.cx.take(&table.key_at(at), spec.check())?;
    hint_at_nobody(draft, table, &spec.of);
    Some(spec)
}

fn on(table: &Table<'_>, of: &Watched) -> Vec<ChangeKind> {
    let mut on = Vec::new();
    for word in table.strings("on") {
        let kinds = of.kinds().iter();
        match kinds.clone().find(|kind| kind.as_str() == word.value) {
            Some(kind) if on.contains(kind) => {}
            Some(kind) => on.push(*kind),
            None => {
                let words: Vec<_> = kinds.map(|kind| format!("{:?}", kind.as_str())).collect();
                let message = format!("`{}` has no such changes: {:?}", of.kind(), word.value);
                let hint = format!("write {}", words.join(", "));
                table.cx.fault_hint(&word.at, message, hint);
            }
        }
    }
    on
}

/// A name that no function of the app has is another app's, or written wrongly: whoever reads it knows.
fn hint_at_nobody(draft: &Draft<'_>, table: &Table<'_>, of: &Watched) {
    let mut bound = draft.functions.values().flat_map(|function| match of {
        Watched::Kv(_) => &function.kv[..],
        Watched::Sql(_) => &function.sql,
        // Objects come from outside more often than not.
        Watched::Blob(_) => std::slice::from_ref(of.name()),
    });
    if !bound.any(|label| label == of.name()) {
        let line = table.cx.line(&table.key_at(of.kind()));
        table.cx.note(format!(
            "line {line}: no function of this app opens {of}; the trigger gets what other apps of the project change"
        ));
    }
}
