//! SQL databases: statements in, rows out.

use gust_types::{Error, Label, Result};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::schema;

/// The databases of a project.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Databases {
    /// By name.
    #[schema(value_type = Vec<schema::Label>)]
    pub databases: Vec<Label>,
}

/// Statements to run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RunSql {
    /// One statement, or several with semicolons between them. Several are one transaction, unless they begin or end
    /// transactions themselves; one that is still open at the end is rolled back, and that is an error.
    pub sql: String,
    /// Values for the parameters (`?1`, `:name` in their order) of a single statement.
    #[schema(required = false)]
    pub parameters: Vec<SqlValue>,
    /// Rows of each answer at most; 1,000 without it, 100,000 at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Only what was done, not what was answered: for scripts of many statements.
    #[schema(required = false)]
    pub quiet: bool,
}

/// What came of them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RanSql {
    /// One for each statement, in order; empty when that is not wanted.
    pub results: Vec<SqlResult>,
    /// How many statements there were.
    pub statements: u64,
    /// Rows that all of them changed.
    pub changes: u64,
}

/// What a statement answered.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SqlResult {
    /// Names of columns; none for a statement that returns no rows.
    pub columns: Vec<String>,
    /// The rows.
    pub rows: Vec<Vec<SqlValue>>,
    /// There are more rows than were wanted.
    pub more: bool,
    /// Rows that it changed.
    pub changes: u64,
    /// Row id of the last row that it inserted; 0 when it inserted none.
    pub last_insert_rowid: i64,
}

/// A value: null, a number, a string, or an object with the bytes of a blob.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum SqlValue {
    /// NULL.
    Null,
    /// INTEGER.
    Integer(i64),
    /// REAL. One that is not finite comes as a string.
    Real(f64),
    /// TEXT.
    Text(String),
    /// BLOB.
    Blob {
        /// Its bytes.
        base64: String,
    },
}

// === impl SqlValue ===

impl SqlValue {
    /// The bytes of a blob.
    pub fn bytes(base64: &str) -> Result<Vec<u8>> {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD
            .decode(base64)
            .map_err(|e| Error::invalid("a blob is not in base64").because(e))
    }

    /// A blob of these bytes.
    pub fn blob(bytes: &[u8]) -> Self {
        use base64::Engine as _;
        Self::Blob {
            base64: base64::engine::general_purpose::STANDARD.encode(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_told_apart() {
        let values = vec![
            SqlValue::Null,
            SqlValue::Integer(i64::MIN),
            SqlValue::Real(1.0),
            SqlValue::Text("你好".to_owned()),
            SqlValue::blob(&[0, 255]),
        ];
        let text = serde_json::to_string(&values).unwrap();
        assert_eq!(
            text,
            r#"[null,-9223372036854775808,1.0,"你好",{"base64":"AP8="}]"#
        );
        let read: Vec<SqlValue> = serde_json::from_str(&text).unwrap();
        assert_eq!(read, values);
        assert_eq!(SqlValue::bytes("AP8=").unwrap(), [0, 255]);
        assert!(SqlValue::bytes("!").is_err());
    }
}
