//! Statements as text, several at once: then they are one transaction, unless they say otherwise.

use super::Session;
use crate::{
    budget::Grant,
    error::{Fault, Trouble},
    sql::{
        plan::{Plan, Sql, plan},
        token::{Statement, Token, split},
    },
};

// === impl Session ===

impl Session<'_> {
    /// All statements of a message.
    pub(super) async fn query(&mut self, text: &str) -> Result<(), Trouble> {
        self.check()?;
        self.statements.remove("");
        self.portals.remove("");
        let statements = split(text)?;
        let words: usize = statements.iter().map(Vec::len).sum();
        let mut room = Grant::of(self.wire.part.as_ref());
        if !room.cover(words * size_of::<Token<'_>>()).await {
            return Err(Fault::new("53200", "there is no room for so many words")
                .hint("try again, or send less at once")
                .into());
        }
        if statements.is_empty() {
            self.wire.put_sign(b'I');
        }
        let series = statements.len() > 1;
        let writes = series && statements.iter().any(may_write);
        for tokens in &statements {
            let plan = match plan(tokens, &self.names) {
                Ok(plan) => plan,
                // What is wrong with it does not matter while nothing is run.
                Err(fault) => return Err(self.check_failed().err().unwrap_or(fault).into()),
            };
            match plan {
                Plan::Sql(sql) => {
                    if series {
                        self.check_failed()?;
                        self.begin_series(writes).await?;
                    }
                    self.answer(&sql).await?;
                }
                plan => {
                    let done = self.control(&plan).await?;
                    if let Some((column, value)) = done.shown {
                        self.wire.put_columns(std::slice::from_ref(&column));
                        self.wire.put_row(&[column], &[value])?;
                    }
                    self.wire.put_complete(done.tag);
                }
            }
            self.wire.ease().await?;
        }
        self.end_series().await?;
        self.ready();
        Ok(())
    }

    /// One statement, all its rows.
    async fn answer(&mut self, sql: &Sql) -> Result<(), Trouble> {
        let mut live = self.open(sql, Vec::new(), None, &[]).await?;
        if !live.columns.is_empty() {
            self.wire.put_columns(&live.columns);
        }
        self.send(&mut live, 0).await?;
        let tag = self.tag(sql, &mut live).await?;
        self.wire.put_complete(&tag);
        Ok(())
    }
}

/// Whether a statement is likely to write: then the transaction around it had better begin so.
fn may_write(tokens: &Statement<'_>) -> bool {
    const READS: &[&str] = &[
        "select", "values", "explain", "pragma", "show", "set", "begin", "commit", "rollback",
    ];
    let first = tokens.first();
    !first.is_some_and(|first| READS.iter().any(|word| first.is(word)))
}
