//! A database as a call with a unit sees it: every connection is the same one, inside the unit's transaction.
//!
//! The transaction begins with the call's first statement and writes from the start, so that calls on one database take
//! turns. It has a file of its own, and with it a commit of its own, which comes first: see [`Unit::commit`].

use std::sync::Arc;

use async_trait::async_trait;
use gust_types::{Blame, Error, Kind, Label, Result};

use super::Unit;
use crate::sql::{Connection, Effect, Rows, Sql, SqlLimits, Transaction, Value};

/// A database over which a unit lies.
#[derive(Clone)]
pub(super) struct UnitSql {
    unit: Arc<Unit>,
    name: Label,
    database: Arc<dyn Sql>,
}

// === impl UnitSql ===

impl UnitSql {
    pub(super) fn new(unit: Arc<Unit>, name: Label, database: Arc<dyn Sql>) -> Self {
        Self {
            unit,
            name,
            database,
        }
    }

    /// The unit's transaction, begun if it is not.
    async fn transaction(&self) -> Result<Arc<dyn Transaction>> {
        let _turn = self.unit.writing.lock().await;
        if let Some(begun) = self.unit.state.lock().may_use(&self.name)? {
            return Ok(begun);
        }
        if self.unit.receipts.len() > 1 {
            return Err(refused("a database in a batch of several events")
                .hint("set batch = 1 on the trigger, or take exactly_once off it"));
        }
        let begun: Arc<dyn Transaction> = self.database.begin().await?.into();
        let mut state = self.unit.state.lock();
        // The call may have ended meanwhile; then nobody would ever end the transaction.
        state.open()?;
        state.database = Some((self.name.clone(), begun.clone()));
        Ok(begun)
    }
}

/// Something that a call with a unit cannot do.
pub(super) fn refused(what: &str) -> Error {
    let text = format!("exactly_once cannot keep this together: {what}");
    // Of a kind whose text reaches the guest.
    Error::new(Kind::Invalid, Blame::Function, text)
}

#[async_trait]
impl Sql for UnitSql {
    async fn connect(&self) -> Result<Box<dyn Connection>> {
        Ok(Box::new(self.clone()))
    }

    async fn begin(&self) -> Result<Box<dyn Transaction>> {
        Err(Error::internal("a unit in a unit"))
    }

    async fn mark(&self, id: &str) -> Result<Option<bytes::Bytes>> {
        self.database.mark(id).await
    }

    async fn watch(&self, tables: Vec<String>, exactly: bool) -> Result<()> {
        self.database.watch(tables, exactly).await
    }

    fn limits(&self) -> SqlLimits {
        self.database.limits()
    }
}

#[async_trait]
impl Connection for UnitSql {
    async fn execute(&self, statement: &str, parameters: Vec<Value>) -> Result<Rows> {
        let transaction = self.transaction().await?;
        transaction.execute(statement, parameters).await
    }

    async fn effect(&self) -> Result<Effect> {
        let begun = self.unit.state.lock().may_use(&self.name)?;
        match begun {
            Some(transaction) => transaction.effect().await,
            None => Ok(Effect::default()),
        }
    }
}
