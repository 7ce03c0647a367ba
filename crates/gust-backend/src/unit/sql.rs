//! A database as a call with a unit sees it: not at all yet.

use std::sync::Arc;

use async_trait::async_trait;
use gust_types::{Blame, Error, Kind, Label, Result};

use super::Unit;
use crate::sql::{Connection, Sql, SqlLimits};

/// A database that a call with a unit asks for.
pub(super) struct UnitSql {
    name: Label,
    database: Arc<dyn Sql>,
}

// === impl UnitSql ===

impl UnitSql {
    pub(super) fn new(_: Arc<Unit>, name: Label, database: Arc<dyn Sql>) -> Self {
        Self { name, database }
    }
}

#[async_trait]
impl Sql for UnitSql {
    async fn connect(&self) -> Result<Box<dyn Connection>> {
        let text = format!("a database cannot be part of exactly_once: {}", self.name);
        Err(Error::new(Kind::Denied, Blame::Function, text)
            .hint("take exactly_once off the trigger, or keep the data in a key-value store"))
    }

    fn limits(&self) -> SqlLimits {
        self.database.limits()
    }
}
