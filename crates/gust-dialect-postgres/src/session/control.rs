//! Transactions, settings, and what else the session does itself.

use gust_backend::sql::Value;

use super::Session;
use crate::{
    error::Fault,
    sql::{plan::Plan, settings, token::quote_name},
    types::{Column, Format, Type},
    wire::write::Status,
};

/// What a statement did that the session does itself.
pub(super) struct Done {
    pub(super) tag: &'static str,
    /// SHOW's one value.
    pub(super) shown: Option<(Column, Value)>,
}

// === impl Session ===

impl Session<'_> {
    /// Does a statement that is not SQLite's.
    pub(super) async fn control(&mut self, plan: &Plan) -> Result<Done, Fault> {
        self.check()?;
        if !matches!(plan, Plan::Commit | Plan::Rollback | Plan::RollbackTo(_)) {
            self.check_failed()?;
        }
        let tag = match plan {
            Plan::Begin { read_only, text } => self.begin(*read_only, text).await?,
            Plan::Commit => self.commit().await?,
            Plan::Rollback => {
                if self.state == Status::Idle || self.series {
                    self.warn("25P01", "there is no transaction in progress");
                }
                self.roll_back().await;
                "ROLLBACK"
            }
            Plan::Savepoint(name) => {
                self.savepoint("SAVEPOINT", name).await?;
                "SAVEPOINT"
            }
            Plan::Release(name) => {
                self.savepoint("RELEASE", name).await?;
                "RELEASE"
            }
            Plan::RollbackTo(name) => {
                self.portals.clear();
                self.savepoint("ROLLBACK TO", name).await?;
                self.state = Status::InTransaction;
                "ROLLBACK"
            }
            Plan::Set(change) => {
                let local = matches!(change, settings::Change::Set { local: true, .. });
                if local && self.state == Status::Idle {
                    self.warn("25P01", "SET LOCAL can only be used in transaction blocks");
                    return Ok(Done::of("SET"));
                }
                let changed = self.login.settings.change(change)?;
                self.report(&changed);
                match change {
                    settings::Change::Set { value: Some(_), .. } => "SET",
                    _ => "RESET",
                }
            }
            Plan::SetTransaction(read_only) => {
                self.read_only = read_only.unwrap_or(self.read_only);
                "SET"
            }
            Plan::Show(name) => return self.show(name),
            Plan::DiscardAll => self.discard().await?,
            Plan::Deallocate(name) => self.deallocate(name.as_deref())?,
            Plan::Nothing(tag) => tag,
            Plan::Sql(_) => return Err(Fault::new("XX000", "a statement went astray")),
        };
        Ok(Done::of(tag))
    }

    async fn begin(&mut self, read_only: bool, text: &str) -> Result<&'static str, Fault> {
        if self.state == Status::Idle {
            self.raw(text, Vec::new()).await?;
            self.state = Status::InTransaction;
            self.wrote = text != "BEGIN";
        } else if !self.series {
            self.warn("25001", "there is already a transaction in progress");
            return Ok("BEGIN");
        }
        self.series = false;
        self.read_only = read_only || self.login.settings.read_only();
        Ok("BEGIN")
    }

    async fn commit(&mut self) -> Result<&'static str, Fault> {
        match self.state {
            Status::Failed => {
                self.roll_back().await;
                return Ok("ROLLBACK");
            }
            Status::Idle => self.warn("25P01", "there is no transaction in progress"),
            Status::InTransaction => {
                if self.series {
                    self.warn("25P01", "there is no transaction in progress");
                }
                self.portals.clear();
                match self.whole("COMMIT").await {
                    Ok(()) => self.over(),
                    Err(fault) => {
                        self.roll_back().await;
                        return Err(fault);
                    }
                }
            }
        }
        Ok("COMMIT")
    }

    /// Undoes the transaction, if there is one. Where SQLite cannot, the end of the connection does.
    pub(super) async fn roll_back(&mut self) {
        if self.state != Status::Idle {
            self.portals.clear();
            if self.whole("ROLLBACK").await.is_err() {
                self.connection = None;
                self.sticks = false;
            }
        }
        self.over();
    }

    /// There is no transaction any more.
    fn over(&mut self) {
        self.state = Status::Idle;
        self.series = false;
        self.read_only = false;
        let changed = self.login.settings.transaction_ends();
        self.report(&changed);
    }

    /// A statement failed.
    pub(super) async fn failed(&mut self) {
        if self.series {
            self.roll_back().await;
        } else if self.state == Status::InTransaction {
            self.portals.clear();
            self.state = Status::Failed;
        }
    }

    /// Begins a transaction for what comes, unless there is one.
    pub(super) async fn begin_series(&mut self, writes: bool) -> Result<(), Fault> {
        if self.state == Status::Idle {
            self.check()?;
            let text = if writes { "BEGIN IMMEDIATE" } else { "BEGIN" };
            self.raw(text, Vec::new()).await?;
            self.state = Status::InTransaction;
            self.series = true;
            self.read_only = self.login.settings.read_only();
        }
        Ok(())
    }

    /// Commits what was begun so.
    pub(super) async fn end_series(&mut self) -> Result<(), Fault> {
        if !self.series {
            return Ok(());
        }
        self.series = false;
        self.commit().await.map(drop)
    }

    async fn savepoint(&mut self, words: &str, name: &str) -> Result<(), Fault> {
        if self.state == Status::Idle || self.series {
            let text = format!("{words} can only be used in transaction blocks");
            return Err(Fault::new("25P01", text));
        }
        self.raw(&format!("{words} {}", quote_name(name)), Vec::new())
            .await?;
        Ok(())
    }

    fn show(&self, name: &str) -> Result<Done, Fault> {
        let value = match name {
            "transaction_read_only" if self.read_only => "on",
            name => self.login.settings.get(name)?,
        };
        let column = Column {
            name: name.to_owned(),
            kind: Type::Text,
            format: Format::Text,
        };
        Ok(Done {
            tag: "SHOW",
            shown: Some((column, Value::Text(value.to_owned()))),
        })
    }

    async fn discard(&mut self) -> Result<&'static str, Fault> {
        if self.state != Status::Idle {
            return Err(Fault::new(
                "25001",
                "DISCARD ALL cannot run inside a transaction block",
            ));
        }
        self.statements.clear();
        self.portals.clear();
        // Temporary tables go with the connection.
        self.connection = None;
        self.sticks = false;
        let changed = self.login.settings.change(&settings::Change::ResetAll)?;
        self.report(&changed);
        Ok("DISCARD ALL")
    }

    fn deallocate(&mut self, name: Option<&str>) -> Result<&'static str, Fault> {
        let Some(name) = name else {
            self.statements.clear();
            return Ok("DEALLOCATE ALL");
        };
        if self.statements.remove(name).is_none() {
            let text = format!("prepared statement \"{name}\" does not exist");
            return Err(Fault::new("26000", text));
        }
        Ok("DEALLOCATE")
    }

    /// Tells the client of settings that it keeps an eye on.
    fn report(&mut self, changed: &[String]) {
        for (name, shown) in settings::REPORTED {
            if changed.iter().any(|changed| changed == name) {
                let value = self.login.settings.get(name).unwrap_or("");
                self.wire.put_parameter(shown, value);
            }
        }
    }

    fn warn(&mut self, code: &'static str, text: &str) {
        self.wire.put_warning(&Fault::new(code, text));
    }
}

// === impl Done ===

impl Done {
    fn of(tag: &'static str) -> Self {
        Self { tag, shown: None }
    }
}
