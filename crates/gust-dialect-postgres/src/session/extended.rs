//! Statements that are prepared, bound and executed.

mod prepared;

use std::sync::Arc;

use gust_backend::sql::Value;

use super::{
    Session,
    run::{Live, Shape, with_formats},
};
use crate::{
    budget::Grant,
    error::{Fault, Trouble},
    sql::{
        outline::{Declared, Outline},
        plan::{Describe, Plan, Sql, plan},
        token::split,
    },
    types::{Format, Type},
    wire::read::{Bind, Target},
};
use prepared::Description;
pub(super) use prepared::Prepared;

/// Prepared statements of a session.
const STATEMENTS: usize = 1000;
/// Bytes of what is kept of them: about four times their texts, so many for each word, and the names of columns.
const TEXTS: usize = 32 << 20;
const OF_A_WORD: usize = 64;
/// Bytes of a name of a statement or a portal.
const NAME: usize = 1024;
/// Portals of a session.
const PORTALS: usize = 64;
/// Portals whose rows have begun: each may keep rows in memory.
const LIVE: usize = 4;

/// A statement with its values.
pub(super) struct Portal {
    statement: Arc<Prepared>,
    values: Vec<Value>,
    formats: Vec<Format>,
    stage: Stage,
    /// What its values take, until the database has them.
    bytes: usize,
}

/// How far a portal is.
enum Stage {
    Bound,
    /// It was described and has not run: a write.
    Described(Shape),
    Live(Box<Live>),
    Done,
}

// === impl Session ===

impl Session<'_> {
    pub(super) async fn parse(
        &mut self,
        name: String,
        text: String,
        types: Vec<u32>,
    ) -> Result<(), Trouble> {
        check_name(&name)?;
        if !name.is_empty() && self.statements.contains_key(&name) {
            let text = format!("prepared statement \"{name}\" already exists");
            return Err(Fault::new("42P05", text).into());
        }
        self.statements.remove(&name);
        let statements = split(&text)?;
        if statements.len() > 1 {
            let text = "cannot insert multiple commands into a prepared statement";
            return Err(Fault::new("42601", text).into());
        }
        let plan = match statements.first() {
            Some(tokens) => Some(plan(tokens, &self.names)),
            None => None,
        };
        let ends = matches!(
            plan,
            Some(Ok(Plan::Commit | Plan::Rollback | Plan::RollbackTo(_)))
        );
        if plan.is_some() && !ends {
            self.check_failed()?;
        }
        let plan = plan.transpose()?;
        let types = types
            .into_iter()
            .map(given)
            .collect::<Result<Vec<_>, _>>()?;
        // With what becomes of it.
        let words = statements.first().map_or(0, Vec::len);
        let bytes = name.len() + 4 * (text.len() + types.len()) + OF_A_WORD * words;
        let kept: usize = self.statements.values().map(|kept| kept.bytes).sum();
        if self.statements.len() >= STATEMENTS || kept + bytes > TEXTS {
            return Err(too_many().into());
        }
        let prepared = Prepared {
            plan,
            bytes,
            types,
            guessed: None,
            told: None,
        };
        drop(statements);
        self.keep(bytes).await?;
        self.statements.insert(name, Arc::new(prepared));
        self.wire.put_sign(b'1');
        Ok(())
    }

    /// Bytes of all that is kept of statements and portals.
    pub(super) fn bytes(&self) -> usize {
        let mut all: Vec<_> = self.portals.values().map(|p| &p.statement).collect();
        all.extend(self.statements.values());
        all.sort_by_key(|statement| Arc::as_ptr(statement));
        // A statement that is forgotten is there as long as portals of it are.
        all.dedup_by_key(|statement| Arc::as_ptr(statement));
        let statements: usize = all.iter().map(|statement| statement.bytes).sum();
        statements + self.portals.values().map(|p| p.bytes).sum::<usize>()
    }

    /// Takes memory for so much more.
    async fn keep(&mut self, more: usize) -> Result<(), Fault> {
        let bytes = self.bytes() + more;
        self.kept.ease(bytes);
        if self.kept.cover(bytes).await {
            return Ok(());
        }
        let text = "there is no room for more statements and values";
        Err(Fault::new("53200", text).hint("close some, or send less at once"))
    }

    fn statement(&self, name: &str) -> Result<Arc<Prepared>, Fault> {
        let found = self.statements.get(name).cloned();
        found.ok_or_else(|| {
            let text = format!("prepared statement \"{name}\" does not exist");
            Fault::new("26000", text)
        })
    }

    pub(super) async fn bind(&mut self, bind: Bind, room: Grant) -> Result<(), Trouble> {
        check_name(&bind.portal)?;
        let mut statement = self.statement(&bind.statement)?;
        if !statement.ends_transaction() {
            self.check_failed()?;
        }
        if statement.asks() {
            statement = self.guessed(&bind.statement, &statement).await?;
        }
        if bind.portal.is_empty() {
            self.portals.remove("");
        } else if self.portals.contains_key(&bind.portal) {
            let text = format!("portal \"{}\" already exists", bind.portal);
            return Err(Fault::new("42P03", text).into());
        }
        if self.portals.len() >= PORTALS {
            return Err(Fault::new("53400", "too many portals are open")
                .hint("close some")
                .into());
        }
        let values = statement.values(&bind)?;
        let given = bind.values.iter().flatten().map(bytes::Bytes::len);
        let bytes = given.sum::<usize>()
            + bind.portal.len()
            + values.len() * size_of::<Value>()
            + bind.results.len();
        let portal = Portal {
            statement,
            values,
            formats: bind.results,
            stage: Stage::Bound,
            bytes,
        };
        // The message is gone, its values are there.
        drop(bind.values);
        self.kept.absorb(room);
        self.keep(bytes).await?;
        self.portals.insert(bind.portal, portal);
        self.wire.put_sign(b'2');
        Ok(())
    }

    /// The statement with what its parameters are taken for.
    async fn guessed(&mut self, name: &str, statement: &Prepared) -> Result<Arc<Prepared>, Fault> {
        self.check()?;
        let mut guessed = statement.clone();
        if let Some(sql) = statement.sql() {
            let declared = self.declared_early(sql).await?;
            if declared.is_empty() {
                return Ok(Arc::new(guessed));
            }
            let all = (1..=sql.parameters).map(|n| sql.outline.parameter(n, &declared));
            guessed.guessed = Some(all.collect());
        }
        let guessed = Arc::new(guessed);
        self.statements.insert(name.to_owned(), guessed.clone());
        Ok(guessed)
    }

    pub(super) async fn describe(&mut self, target: Target, name: &str) -> Result<(), Trouble> {
        match target {
            Target::Statement => self.describe_statement(name).await,
            Target::Portal => self.describe_portal(name).await,
        }
    }

    async fn describe_statement(&mut self, name: &str) -> Result<(), Trouble> {
        let statement = self.statement(name)?;
        let description = match &statement.told {
            None => self.description(&statement).await?,
            Some(told) => told.clone(),
        };
        let oids = description.parameters.iter().map(|kind| kind.oid());
        self.wire.put_parameters(&oids.collect::<Vec<_>>());
        self.put_shape(description.shape.clone(), &[])?;
        let columns = description.shape.iter().flatten();
        let bytes = statement.bytes + columns.map(|(name, _)| name.len() + 64).sum::<usize>();
        let kept: usize = self.statements.values().map(|kept| kept.bytes).sum();
        if kept + bytes > TEXTS {
            return Err(too_many().into());
        }
        self.keep(bytes - statement.bytes).await?;
        let told = Prepared {
            bytes,
            told: Some(description),
            ..(*statement).clone()
        };
        self.statements.insert(name.to_owned(), Arc::new(told));
        Ok(())
    }

    async fn description(&mut self, statement: &Prepared) -> Result<Description, Fault> {
        let (tables, outline) = match statement.sql() {
            Some(sql) => (&sql.outline.tables[..], sql.outline.clone()),
            None => (&[][..], Outline::default()),
        };
        let unknown = (0..statement.parameters()).any(|at| statement.type_of(at).is_none());
        let declared = if unknown {
            self.declared(tables).await?
        } else {
            Declared::new()
        };
        let one = |at: usize| {
            let n = u16::try_from(at + 1).unwrap_or(u16::MAX);
            statement
                .type_of(at)
                .or_else(|| outline.parameter(n, &declared))
                .unwrap_or(Type::Text)
        };
        let parameters = (0..statement.parameters()).map(one).collect();
        let shape = match &statement.plan {
            Some(Plan::Show(name)) => Some(vec![(name.clone(), Type::Text)]),
            Some(Plan::Sql(sql)) => self.shape_of(sql).await?,
            _ => None,
        };
        Ok(Description { parameters, shape })
    }

    /// The columns of a portal. A query begins for that, so that its types are those of its rows; a write never does.
    async fn describe_portal(&mut self, name: &str) -> Result<(), Trouble> {
        let mut portal = self.take(name)?;
        let described = self.columns_of(&mut portal).await;
        self.portals.insert(name.to_owned(), portal);
        described
    }

    async fn columns_of(&mut self, portal: &mut Portal) -> Result<(), Trouble> {
        let statement = portal.statement.clone();
        if let Some(told) = &statement.told {
            return self.put_shape(told.shape.clone(), &portal.formats);
        }
        if let Some(Plan::Show(name)) = &statement.plan {
            return self.put_shape(Some(vec![(name.clone(), Type::Text)]), &portal.formats);
        }
        match (&portal.stage, statement.sql()) {
            (Stage::Bound, Some(sql)) if sql.describe == Describe::Nothing => {
                return self.put_shape(None, &[]);
            }
            (Stage::Bound, Some(_)) => {}
            (Stage::Described(shape), _) => {
                return self.put_shape(Some(shape.clone()), &portal.formats);
            }
            (Stage::Live(live), _) if !live.columns.is_empty() => {
                self.wire.put_columns(&live.columns);
                return Ok(());
            }
            _ => return self.put_shape(None, &[]),
        }
        match statement.sql() {
            Some(sql) if !sql.writes => {
                self.check_live()?;
                let values = portal.take_values();
                let live = self.open(sql, values, None, &portal.formats).await?;
                self.wire.put_columns(&live.columns);
                portal.stage = Stage::Live(Box::new(live));
            }
            Some(sql) => {
                let shape = self.shape_of(sql).await?;
                self.put_shape(shape.clone(), &portal.formats)?;
                portal.stage = shape.map_or(Stage::Bound, Stage::Described);
            }
            None => {}
        }
        Ok(())
    }

    fn put_shape(&mut self, shape: Option<Shape>, formats: &[Format]) -> Result<(), Trouble> {
        match shape.filter(|shape| !shape.is_empty()) {
            Some(shape) => self.wire.put_columns(&with_formats(shape, formats)?),
            None => self.wire.put_sign(b'n'),
        }
        Ok(())
    }

    fn take(&mut self, name: &str) -> Result<Portal, Fault> {
        let found = self.portals.remove(name);
        found.ok_or_else(|| Fault::new("34000", format!("portal \"{name}\" does not exist")))
    }

    fn check_live(&self) -> Result<(), Fault> {
        let live = self
            .portals
            .values()
            .filter(|portal| matches!(portal.stage, Stage::Live(_)));
        if live.count() >= LIVE {
            let text = format!("more than {LIVE} portals have rows to give");
            return Err(Fault::new("53400", text).hint("read them to the end, or close some"));
        }
        Ok(())
    }

    pub(super) async fn execute(&mut self, name: &str, most: u32) -> Result<(), Trouble> {
        self.check()?;
        let mut portal = self.take(name)?;
        let statement = portal.statement.clone();
        match &statement.plan {
            None => self.wire.put_sign(b'I'),
            Some(Plan::Sql(sql)) => self.run(&mut portal, sql, most).await?,
            Some(plan) => {
                // What was begun for the statements before it ends with them, or is the client's from now on.
                let done = self.control(plan).await?;
                if let Some((column, value)) = done.shown {
                    let shape = vec![(column.name, column.kind)];
                    self.wire
                        .put_row(&with_formats(shape, &portal.formats)?, &[value])?;
                }
                self.wire.put_complete(done.tag);
                if matches!(plan, Plan::Commit | Plan::Rollback) {
                    return Ok(());
                }
            }
        }
        self.portals.insert(name.to_owned(), portal);
        Ok(())
    }

    async fn run(&mut self, portal: &mut Portal, sql: &Sql, most: u32) -> Result<(), Trouble> {
        let mut live = match std::mem::replace(&mut portal.stage, Stage::Done) {
            Stage::Live(live) => live,
            Stage::Done => {
                self.check_failed()?;
                self.wire.put_complete("SELECT 0");
                return Ok(());
            }
            before => {
                self.check_live()?;
                // Several statements before a Sync are one transaction. So is a write whose rows may turn out to be
                // other than what was told: then it must not have happened.
                let more = self.wire.next_kind() != Some(b'S') || sql.describe != Describe::Nothing;
                if sql.joins() && more {
                    self.begin_series(true).await?;
                }
                let values = portal.take_values();
                let told = match &before {
                    Stage::Described(shape) => Some(shape),
                    _ => portal
                        .statement
                        .told
                        .as_ref()
                        .and_then(|told| told.shape.as_ref()),
                };
                Box::new(self.open(sql, values, told, &portal.formats).await?)
            }
        };
        if self.send(&mut live, most).await? {
            let tag = self.tag(sql, &mut live).await?;
            self.wire.put_complete(&tag);
        } else {
            portal.stage = Stage::Live(live);
            self.wire.put_sign(b's');
        }
        Ok(())
    }

    pub(super) fn close(&mut self, target: Target, name: &str) {
        match target {
            Target::Statement => drop(self.statements.remove(name)),
            Target::Portal => drop(self.portals.remove(name)),
        }
        self.kept.ease(self.bytes());
        self.wire.put_sign(b'3');
    }
}

fn check_name(name: &str) -> Result<(), Fault> {
    if name.len() <= NAME {
        return Ok(());
    }
    Err(Fault::new(
        "42622",
        format!("a name is longer than {NAME} bytes"),
    ))
}

fn too_many() -> Fault {
    Fault::new("53400", "too many prepared statements").hint("close some: DEALLOCATE")
}

/// A parameter's type as the client gave it: 0 for none.
fn given(oid: u32) -> Result<Option<Type>, Fault> {
    match (oid, Type::of_oid(oid)) {
        (0, _) | (_, Some(Type::Unknown)) => Ok(None),
        (_, Some(kind)) => Ok(Some(kind)),
        (oid, None) => Err(Fault::unserved(format_args!(
            "a parameter of the type with number {oid}"
        ))
        .hint("docs/postgres.md has the types that are; cast the value to text in the program")),
    }
}

// === impl Portal ===

impl Portal {
    fn take_values(&mut self) -> Vec<Value> {
        self.bytes = 0;
        std::mem::take(&mut self.values)
    }
}
