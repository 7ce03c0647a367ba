//! SQL databases as every interface version sees them. The versions only translate.

use std::sync::Arc;

use futures::StreamExt as _;
use gust_backend::sql::{Connection, Effect, Rows, Sql, Value};
use gust_types::Kind;

use super::{
    View,
    open::{MAX_OPEN, Place, Places},
};

/// An open connection.
#[expect(unreachable_pub, reason = "named in generated code")]
pub struct Database {
    connection: Arc<dyn Connection>,
    _place: Place,
}

/// Why an operation did not happen, in the words that all the interfaces share.
#[derive(Debug, PartialEq)]
pub(crate) enum Refusal {
    NoSuchDatabase,
    AccessDenied,
    InvalidConnection,
    DatabaseFull,
    Io(String),
}

/// A whole answer in memory.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<Vec<Value>>,
}

/// A database that this function may connect to, not connected yet. Connecting may wait, so it borrows nothing.
pub(crate) struct Allowed {
    sql: Arc<dyn Sql>,
    places: Places,
}

// === impl Allowed ===

impl Allowed {
    /// What the manifest gives this function under `label`.
    pub(crate) fn find(view: &View<'_>, label: &str) -> Result<Self, Refusal> {
        let sql = view
            .scope
            .bindings
            .sql
            .get(label)
            .ok_or(Refusal::AccessDenied)?;
        Ok(Self {
            sql: sql.clone(),
            places: view.scope.host.databases.clone(),
        })
    }

    pub(crate) async fn connect(self) -> Result<Database, Refusal> {
        let place = self
            .places
            .take(MAX_OPEN)
            .ok_or_else(|| Refusal::Io("too many connections are open".to_owned()))?;
        let connection = self.sql.connect().await?;
        Ok(Database {
            connection: connection.into(),
            _place: place,
        })
    }
}

// === impl Database ===

impl Database {
    /// What statements run on: it outlives the handle when the guest drops that meanwhile.
    pub(crate) fn session(&self) -> Session {
        Session(self.connection.clone())
    }
}

/// The operations on an open connection.
#[derive(Clone)]
pub(crate) struct Session(Arc<dyn Connection>);

// === impl Session ===

impl Session {
    /// Runs a statement; its rows come as they are asked for.
    pub(crate) async fn run(
        &self,
        statement: &str,
        parameters: Vec<Value>,
    ) -> Result<Rows, Refusal> {
        Ok(self.0.execute(statement, parameters).await?)
    }

    /// Runs a statement and collects its rows, which the backend bounds.
    pub(crate) async fn collect(
        &self,
        statement: &str,
        parameters: Vec<Value>,
    ) -> Result<Table, Refusal> {
        let mut found = self.run(statement, parameters).await?;
        let mut rows = Vec::new();
        while let Some(row) = found.rows.next().await {
            rows.push(row.map_err(Refusal::of_a_row)?);
        }
        Ok(Table {
            columns: found.columns,
            rows,
        })
    }

    /// What the last statement did. An interface that cannot report an error gets zeros.
    pub(crate) async fn effect(&self) -> Effect {
        self.0.effect().await.unwrap_or_else(|e| {
            tracing::warn!(error = %e.chain(), "cannot tell what the last statement did");
            Effect::default()
        })
    }
}

impl Refusal {
    /// While rows arrive, `Exhausted` speaks of the answer's size, not of the database's.
    pub(crate) fn of_a_row(error: gust_types::Error) -> Self {
        match error.kind {
            Kind::Exhausted => Self::Io(error.message),
            _ => error.into(),
        }
    }
}

/// The guest gets the message, never the causes below it: they speak of the platform's insides.
impl From<gust_types::Error> for Refusal {
    fn from(error: gust_types::Error) -> Self {
        match error.kind {
            Kind::NotFound => Self::NoSuchDatabase,
            Kind::Denied => Self::AccessDenied,
            Kind::Exhausted => Self::DatabaseFull,
            _ => Self::Io(error.message),
        }
    }
}

/// Values and errors are the same in every version of the interface, but for their Rust types.
macro_rules! translate {
    ($module:path) => {
        use $module as wit;

        impl From<wit::Value> for gust_backend::sql::Value {
            fn from(value: wit::Value) -> Self {
                match value {
                    wit::Value::Integer(n) => Self::Integer(n),
                    wit::Value::Real(n) => Self::Real(n),
                    wit::Value::Text(text) => Self::Text(text),
                    wit::Value::Blob(bytes) => Self::Blob(bytes),
                    wit::Value::Null => Self::Null,
                }
            }
        }

        impl From<gust_backend::sql::Value> for wit::Value {
            fn from(value: gust_backend::sql::Value) -> Self {
                use gust_backend::sql::Value;
                match value {
                    Value::Integer(n) => Self::Integer(n),
                    Value::Real(n) => Self::Real(n),
                    Value::Text(text) => Self::Text(text),
                    Value::Blob(bytes) => Self::Blob(bytes),
                    Value::Null => Self::Null,
                }
            }
        }

        impl From<Vec<gust_backend::sql::Value>> for wit::RowResult {
            fn from(row: Vec<gust_backend::sql::Value>) -> Self {
                Self {
                    values: row.into_iter().map(wit::Value::from).collect(),
                }
            }
        }

        impl From<$crate::host::sql::Table> for wit::QueryResult {
            fn from(table: $crate::host::sql::Table) -> Self {
                Self {
                    columns: table.columns,
                    rows: table.rows.into_iter().map(wit::RowResult::from).collect(),
                }
            }
        }

        impl From<$crate::host::sql::Refusal> for wit::Error {
            fn from(refusal: $crate::host::sql::Refusal) -> Self {
                use $crate::host::sql::Refusal;
                match refusal {
                    Refusal::NoSuchDatabase => Self::NoSuchDatabase,
                    Refusal::AccessDenied => Self::AccessDenied,
                    Refusal::InvalidConnection => Self::InvalidConnection,
                    Refusal::DatabaseFull => Self::DatabaseFull,
                    Refusal::Io(why) => Self::Io(why),
                }
            }
        }
    };
}
pub(crate) use translate;

/// Parameters in the backend's words.
pub(crate) fn parameters<V: Into<Value>>(given: Vec<V>) -> Vec<Value> {
    given.into_iter().map(Into::into).collect()
}
