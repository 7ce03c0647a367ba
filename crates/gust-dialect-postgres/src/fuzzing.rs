//! What the fuzz targets drive: texts of statements, bodies of messages.

use bytes::Bytes;

use crate::{
    sql::{
        plan::{Plan, plan},
        rewrite::{Edits, Names},
        token::{split, tokens},
    },
    wire::read,
};

/// Any text as statements. What SQLite would be given is cut into tokens as we have cut it, so that both agree on where a
/// statement ends.
pub fn statements(text: &str) {
    let Ok(statements) = split(text) else { return };
    for statement in &statements {
        assert!(!statement.is_empty());
        let written = Edits::default().write(statement, 0..statement.len());
        let again = split(&written).map(|again| again.len());
        assert_eq!(again.ok(), Some(1), "{written}");
        if let Ok(Plan::Sql(sql)) = plan(statement, &Names::default()) {
            let parts = tokens(&sql.text).map(|parts| parts.len());
            assert!(parts.is_ok_and(|parts| parts > 0), "{}", sql.text);
        }
    }
}

/// Any bytes as a message.
pub fn message(bytes: &[u8]) {
    if let Some((kind, body)) = bytes.split_first() {
        let _ = read::message(*kind, Bytes::copy_from_slice(body));
    }
}
