//! A change of a row as an event's data: JSON.

use gust_types::Digest;
use serde_json::{Map, Value as Json, json};

use crate::changes::{Operation, RowChange, Table, Value};

/// Bytes of what keeps changes of a row in order.
const LONG: usize = 200;

/// The whole change.
pub(crate) fn json(table: &Table, change: &RowChange) -> Json {
    let mut json = json!({
        "operation": change.operation.as_str(),
        "schema": table.schema,
        "table": table.name,
    });
    let mut put = |name: &str, value: Json| {
        if let Some(map) = json.as_object_mut() {
            map.insert(name.to_owned(), value);
        }
    };
    if let Some(old) = &change.old {
        // Of a row that is gone or whose key is another, only the key is known.
        let whole = table.full;
        put("old", columns(table, old, |key| whole || key).into());
    }
    if let Some(new) = &change.new {
        put("new", columns(table, new, |_| true).into());
        let same = table.columns.iter().zip(new);
        let same: Vec<_> = same
            .filter(|(_, value)| **value == Value::Same)
            .map(|(column, _)| column.name.as_str())
            .collect();
        if !same.is_empty() {
            put("unchanged", same.into());
        }
    }
    json
}

/// What changes of one row have in common and those of others have not; of a table without a key, all of its changes.
pub(crate) fn partition(table: &Table, change: &RowChange) -> String {
    let mut text = format!("{}.{}", table.schema, table.name);
    if change.operation != Operation::Truncate && !table.full {
        let row = change.new.as_ref().or(change.old.as_ref());
        let row = table.columns.iter().zip(row.into_iter().flatten());
        for (column, value) in row.filter(|(column, _)| column.key) {
            let value = match value {
                Value::Text(text) => String::from_utf8_lossy(text).into_owned(),
                Value::Null | Value::Same => String::new(),
            };
            text.push_str(&format!("/{}={value}", column.name));
        }
    }
    let plain = !text.chars().any(char::is_control);
    match text.len() <= LONG && plain {
        true => text,
        false => Digest::of(text.as_bytes()).hex(),
    }
}

fn columns(table: &Table, values: &[Value], wanted: impl Fn(bool) -> bool) -> Map<String, Json> {
    let all = table.columns.iter().zip(values);
    all.filter(|(column, value)| wanted(column.key) && **value != Value::Same)
        .map(|(column, found)| (column.name.clone(), value(column.of, found)))
        .collect()
}

/// A value as JSON has it, where JSON has all of it; any other is the text that PostgreSQL writes.
fn value(of: u32, found: &Value) -> Json {
    const BOOL: u32 = 16;
    const INTEGERS: [u32; 4] = [20, 21, 23, 26];
    const FLOATS: [u32; 2] = [700, 701];
    const JSONS: [u32; 2] = [114, 3802];
    let Value::Text(bytes) = found else {
        return Json::Null;
    };
    let text = String::from_utf8_lossy(bytes);
    let better = match of {
        BOOL => Some((text == "t").into()),
        of if INTEGERS.contains(&of) => text.parse::<i64>().ok().map(Json::from),
        of if FLOATS.contains(&of) => text
            .parse()
            .ok()
            .and_then(serde_json::Number::from_f64)
            .map(Json::Number),
        of if JSONS.contains(&of) => serde_json::from_str(&text).ok(),
        _ => None,
    };
    better.unwrap_or_else(|| text.into_owned().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::changes::Column;

    #[test]
    fn values_are_what_json_has_for_them() {
        let of = |of: u32, text: &str| value(of, &Value::Text(text.to_owned().into()));
        assert_eq!(of(16, "t"), json!(true));
        assert_eq!(of(20, "-9223372036854775808"), json!(i64::MIN));
        assert_eq!(of(701, "1.5"), json!(1.5));
        assert_eq!(of(701, "NaN"), json!("NaN"));
        assert_eq!(of(1700, "1.50"), json!("1.50"));
        assert_eq!(of(3802, "{\"a\": [1]}"), json!({"a": [1]}));
        assert_eq!(of(25, "正文"), json!("正文"));
        assert_eq!(value(25, &Value::Null), Json::Null);
    }

    #[test]
    fn a_row_keeps_its_place_by_its_key() {
        let column = |name: &str, key| Column {
            key,
            name: name.to_owned(),
            of: 25,
        };
        let mut table = Table {
            schema: "public".into(),
            name: "t".into(),
            columns: vec![column("id", true), column("text", false)],
            ..Table::default()
        };
        let of = |text: &str| Value::Text(text.to_owned().into());
        let mut change = RowChange {
            operation: Operation::Update,
            table: 1,
            old: None,
            new: Some(vec![of("7"), Value::Same]),
        };
        assert_eq!(partition(&table, &change), "public.t/id=7");
        assert_eq!(
            json(&table, &change),
            json!({"operation": "update", "schema": "public", "table": "t", "new": {"id": "7"}, "unchanged": ["text"]})
        );
        change.new = Some(vec![of(&"长".repeat(100)), Value::Null]);
        assert_eq!(partition(&table, &change).len(), 64);
        table.full = true;
        assert_eq!(partition(&table, &change), "public.t");
    }
}
