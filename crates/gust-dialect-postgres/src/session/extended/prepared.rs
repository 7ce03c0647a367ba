//! A statement that is prepared, and how its values are read.

use gust_backend::sql::Value;

use super::super::run::Shape;
use crate::{
    error::Fault,
    sql::{
        outline::Declared,
        plan::{Plan, Sql},
    },
    types::{
        Format, Type,
        parameters::{self, Told},
    },
    wire::read::Bind,
};

/// A statement with a name.
#[derive(Clone)]
pub(crate) struct Prepared {
    /// Nothing for one without words.
    pub(super) plan: Option<Plan>,
    pub(super) bytes: usize,
    /// Types as the client gave them; nothing where it did not.
    pub(super) types: Vec<Option<Type>>,
    /// What its parameters are taken for, once the database was asked.
    pub(super) guessed: Option<Vec<Option<Type>>>,
    /// What it was told to be, which counts from then on.
    pub(super) told: Option<Description>,
}

#[derive(Clone)]
pub(super) struct Description {
    pub(super) parameters: Vec<Type>,
    pub(super) shape: Option<Shape>,
}

// === impl Prepared ===

impl Prepared {
    pub(super) fn sql(&self) -> Option<&Sql> {
        match &self.plan {
            Some(Plan::Sql(sql)) => Some(sql),
            _ => None,
        }
    }

    pub(super) fn ends_transaction(&self) -> bool {
        matches!(
            self.plan,
            None | Some(Plan::Commit | Plan::Rollback | Plan::RollbackTo(_))
        )
    }

    pub(super) fn parameters(&self) -> usize {
        let said = self.sql().map_or(0, |sql| sql.parameters);
        self.types.len().max(said.into())
    }

    pub(super) fn type_of(&self, at: usize) -> Option<Type> {
        self.types.get(at).copied().flatten()
    }

    /// Whether the database has to be asked before values are read.
    pub(super) fn asks(&self) -> bool {
        let Some(sql) = self
            .sql()
            .filter(|_| self.told.is_none() && self.guessed.is_none())
        else {
            return false;
        };
        (1..=sql.parameters)
            .any(|n| sql.outline.asks(n) && self.type_of(usize::from(n) - 1).is_none())
    }

    /// What is known of a parameter.
    pub(super) fn told(&self, at: usize) -> Told {
        if let Some(kind) = self.type_of(at) {
            return Told::ByClient(kind);
        }
        let described = self.told.as_ref().and_then(|told| told.parameters.get(at));
        let guessed = || match &self.guessed {
            Some(guessed) => guessed.get(at).copied().flatten(),
            None => {
                let n = u16::try_from(at + 1).ok()?;
                self.sql()?.outline.parameter(n, &Declared::new())
            }
        };
        let kind = described.copied().or_else(guessed);
        kind.map_or(Told::Unknown, Told::Guessed)
    }

    /// The values of a Bind, as many as the statement takes.
    pub(super) fn values(&self, bind: &Bind) -> Result<Vec<Value>, Fault> {
        let (given, wanted) = (bind.values.len(), self.parameters());
        if given != wanted {
            let text = format!(
                "bind message supplies {given} parameters, but the prepared statement requires {wanted}"
            );
            return Err(Fault::new("08P01", text));
        }
        if bind.formats.len() > 1 && bind.formats.len() != given {
            return Err(Fault::protocol(
                "bind message has another number of parameter formats than of parameters",
            ));
        }
        let format = |at: usize| {
            let one = bind.formats.first().filter(|_| bind.formats.len() == 1);
            bind.formats
                .get(at)
                .or(one)
                .copied()
                .unwrap_or(Format::Text)
        };
        let one = |(at, bytes): (usize, &Option<bytes::Bytes>)| {
            let Some(bytes) = bytes else {
                return Ok(Value::Null);
            };
            parameters::value(self.told(at), format(at), bytes)
        };
        let mut values = bind
            .values
            .iter()
            .enumerate()
            .map(one)
            .collect::<Result<Vec<_>, Fault>>()?;
        // More types may be given than the statement takes values.
        values.truncate(self.sql().map_or(0, |sql| sql.parameters.into()));
        Ok(values)
    }
}
