//! One statement on the database, its rows on their way to the client.

use std::{
    collections::VecDeque,
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};

use futures::{StreamExt as _, stream::BoxStream};
use gust_backend::sql::{Connection, Rows, Value};
use gust_types::Result as Seam;

use super::Session;
use crate::{
    cancel::Ear,
    error::{Fault, Trouble},
    sql::{
        outline::Declared,
        plan::{Describe, Sql, Tag},
    },
    types::{Column, Format, Type, of_values},
    wire::write::Status,
};

/// Rows that are looked at before the types of columns are told.
const LOOKED_AT: usize = 100;
/// And at most about so many bytes of them.
const LOOKED_AT_BYTES: usize = 48 << 10;
/// How long after the seam's own limit a statement is given up: it tells better why.
const LATE: Duration = Duration::from_secs(5);

/// The rows of a statement that has begun.
pub(super) struct Live {
    pub(super) columns: Vec<Column>,
    rows: BoxStream<'static, Seam<Vec<Value>>>,
    /// Rows that were looked at.
    ahead: VecDeque<Vec<Value>>,
    sent: u64,
}

/// Names and types of columns.
pub(super) type Shape = Vec<(String, Type)>;

// === impl Session ===

impl Session<'_> {
    /// Whether a statement may run at all now.
    pub(super) fn check(&self) -> Result<(), Fault> {
        if !self.login.is_good(&self.door) {
            return Err(Fault::fatal("28000", "the access key is no longer good"));
        }
        Ok(())
    }

    /// Whether there is a transaction that has failed.
    pub(super) fn check_failed(&self) -> Result<(), Fault> {
        if self.state == Status::Failed {
            let text =
                "current transaction is aborted, commands ignored until end of transaction block";
            return Err(Fault::new("25P02", text));
        }
        Ok(())
    }

    async fn connect(&mut self) -> Result<&dyn Connection, Fault> {
        if self.connection.is_none() {
            let connected =
                stoppable(&self.ear, self.deadline, self.login.database.connect()).await?;
            self.connection = Some(connected);
        }
        let connection = self.connection.as_deref();
        connection.ok_or_else(|| Fault::new("XX000", "there is no connection"))
    }

    /// Runs text on the database.
    pub(super) async fn raw(&mut self, text: &str, values: Vec<Value>) -> Result<Rows, Fault> {
        let (ear, deadline) = (self.ear.clone(), self.deadline);
        let most = self.login.database.limits().time + LATE;
        let connection = self.connect().await?;
        let run = stoppable(&ear, deadline, connection.execute(text, values));
        tokio::time::timeout(most, run).await.unwrap_or_else(|_| {
            Err(Fault::stopped(
                "canceling statement: it took longer than it may",
            ))
        })
    }

    /// Runs text that nobody stops half-way: whether it did anything must be known.
    pub(super) async fn whole(&mut self, text: &str) -> Result<(), Fault> {
        let connection = self.connect().await?;
        connection.execute(text, Vec::new()).await?;
        Ok(())
    }

    /// Runs text that is ours and short.
    pub(super) async fn all(
        &mut self,
        text: &str,
        values: Vec<Value>,
    ) -> Result<Vec<Vec<Value>>, Fault> {
        let rows = self.raw(text, values).await?;
        let rows: Vec<_> = stoppable(&self.ear, self.deadline, async {
            Ok(rows.rows.collect().await)
        })
        .await?;
        rows.into_iter()
            .map(|row: Seam<_>| row.map_err(Fault::from))
            .collect()
    }

    fn check_writes(&self, sql: &Sql) -> Result<(), Fault> {
        let idle = self.state == Status::Idle;
        if sql.writes && (self.read_only || idle && self.login.settings.read_only()) {
            let text = "cannot write in a read-only transaction";
            return Err(Fault::new("25006", text));
        }
        Ok(())
    }

    /// Begins a statement. Without a shape that was told before, it finds one.
    pub(super) async fn open(
        &mut self,
        sql: &Sql,
        values: Vec<Value>,
        told: Option<&Shape>,
        formats: &[Format],
    ) -> Result<Live, Fault> {
        self.check()?;
        self.check_failed()?;
        self.check_writes(sql)?;
        let declared = match told {
            None => self.declared(&sql.outline.shown).await?,
            Some(_) => Declared::new(),
        };
        self.counters.statements.fetch_add(1, Relaxed);
        self.sticks |= sql.sticks;
        self.wrote |= sql.writes;
        let Rows { columns, mut rows } = self.raw(&sql.text, picked(sql, values)).await?;
        // A PRAGMA that sets something may tell what it set, which nobody was told to expect.
        let names = match sql.describe {
            Describe::Nothing => Vec::new(),
            _ => columns,
        };
        let (shape, ahead) = match told {
            Some(shape) if shape.len() != names.len() => {
                let text = "cached plan must not change result type";
                return Err(Fault::new("0A000", text)
                    .hint("prepare the statement again: a table has other columns now"));
            }
            Some(shape) => (shape.clone(), VecDeque::new()),
            None => {
                let ahead = look_at(&self.ear, self.deadline, &mut rows).await?;
                (shape(sql, names, &declared, &ahead), ahead)
            }
        };
        Ok(Live {
            columns: with_formats(shape, formats)?,
            rows,
            ahead,
            sent: 0,
        })
    }

    /// Sends rows, at most so many if that is not 0. Answers whether that were all.
    pub(super) async fn send(&mut self, live: &mut Live, most: u32) -> Result<bool, Trouble> {
        let mut sent = 0;
        while most == 0 || sent < most {
            let row = match live.ahead.pop_front() {
                Some(row) => Some(row),
                None => {
                    stoppable(&self.ear, self.deadline, async {
                        live.rows.next().await.transpose()
                    })
                    .await?
                }
            };
            let Some(row) = row else { return Ok(true) };
            if !live.columns.is_empty() {
                self.wire.put_row(&live.columns, &row)?;
                self.counters.rows.fetch_add(1, Relaxed);
            }
            live.sent += 1;
            sent += 1;
            self.wire.ease().await?;
        }
        Ok(false)
    }

    /// What a statement is called that is done.
    pub(super) async fn tag(&mut self, sql: &Sql, live: &mut Live) -> Result<String, Fault> {
        let words = match &sql.tag {
            Tag::Select => return Ok(format!("SELECT {}", live.sent)),
            Tag::Words(words) => return Ok(words.clone()),
            Tag::Insert => "INSERT 0",
            Tag::Update => "UPDATE",
            Tag::Delete => "DELETE",
        };
        let changed = match live.columns.is_empty() {
            false => live.sent.to_string(),
            true => self.changed().await?,
        };
        Ok(format!("{words} {changed}"))
    }

    /// Rows that the last write changed. The write is done, so nothing stops this half-way.
    async fn changed(&mut self) -> Result<String, Fault> {
        let connection = self.connect().await?;
        Ok(connection.effect().await?.changes.to_string())
    }

    /// What the columns of these tables are declared as.
    pub(super) async fn declared(&mut self, tables: &[String]) -> Result<Declared, Fault> {
        let mut declared = Declared::new();
        if tables.is_empty() {
            return Ok(declared);
        }
        let places: Vec<_> = (1..=tables.len()).map(|n| format!("?{n}")).collect();
        let text = format!(
            "SELECT lower(m.name), p.name, p.type FROM sqlite_schema AS m JOIN pragma_table_xinfo(m.name) AS p \
             WHERE m.type IN ('table', 'view') AND lower(m.name) IN ({})",
            places.join(", ")
        );
        let values = tables.iter().cloned().map(Value::Text).collect();
        for row in self.all(&text, values).await? {
            if let [Value::Text(table), Value::Text(column), Value::Text(kind)] = &row[..] {
                let columns = declared.entry(table.clone()).or_default();
                columns.push((column.clone(), kind.clone()));
            }
        }
        Ok(declared)
    }

    /// What the columns of a statement's tables are declared as, before it runs. A transaction that has not written yet is
    /// not made to read for that: its write could no longer wait for others then.
    pub(super) async fn declared_early(&mut self, sql: &Sql) -> Result<Declared, Fault> {
        let tables = &sql.outline.tables;
        let fresh = self.state == Status::InTransaction && !self.wrote && !self.sticks;
        if !fresh || !sql.writes {
            return self.declared(tables).await;
        }
        let own = self.connection.take();
        let declared = self.declared(tables).await;
        self.connection = own;
        declared
    }

    /// The columns of a statement that has not run: nothing if it has no answer. Runs no write.
    pub(super) async fn shape_of(&mut self, sql: &Sql) -> Result<Option<Shape>, Fault> {
        self.check()?;
        self.check_failed()?;
        let (text, parameters) = match &sql.describe {
            Describe::Nothing => return Ok(None),
            Describe::Query(text, parameters) => (text.clone(), *parameters),
            Describe::Itself => (sql.text.clone(), sql.parameters),
        };
        let declared = self.declared(&sql.outline.shown).await?;
        let values = vec![Value::Integer(0); parameters.into()];
        let rows = self.raw(&text, values).await?;
        let names = unrenamed(rows.columns);
        let mut ahead = VecDeque::new();
        let unknown = sql.outline.columns(&names, &declared).contains(&None);
        if !sql.writes && sql.parameters == 0 && unknown {
            // Its first rows are those that it will have.
            let Rows { columns, mut rows } = self.raw(&sql.text, Vec::new()).await?;
            ahead = look_at(&self.ear, self.deadline, &mut rows).await?;
            ahead.retain(|row| row.len() == columns.len());
        }
        Ok(Some(shape(sql, names, &declared, &ahead)))
    }
}

/// The values that SQLite is given of those that the client gave.
fn picked(sql: &Sql, values: Vec<Value>) -> Vec<Value> {
    let Some(picked) = &sql.picked else {
        return values;
    };
    let pick = |n: &u16| values.get(usize::from(*n).saturating_sub(1)).cloned();
    let given = picked.iter().map(pick);
    given.map(|value| value.unwrap_or(Value::Null)).collect()
}

/// Work that ends early when the client asks for it.
async fn stoppable<T>(
    ear: &Ear,
    deadline: Option<Instant>,
    work: impl Future<Output = Seam<T>>,
) -> Result<T, Fault> {
    let late = async {
        match deadline {
            Some(at) => tokio::time::sleep_until(at.into()).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        done = work => done.map_err(Fault::from),
        () = ear.clone().stopped() => Err(Fault::stopped("canceling statement due to user request")),
        () = late => Err(Fault::stopped("canceling statement due to statement timeout")),
    }
}

/// The first rows, as far as their types matter.
async fn look_at(
    ear: &Ear,
    deadline: Option<Instant>,
    rows: &mut BoxStream<'static, Seam<Vec<Value>>>,
) -> Result<VecDeque<Vec<Value>>, Fault> {
    let (mut ahead, mut bytes) = (VecDeque::new(), 0);
    while ahead.len() < LOOKED_AT && bytes < LOOKED_AT_BYTES {
        let next = stoppable(ear, deadline, async { rows.next().await.transpose() }).await?;
        let Some(row) = next else { break };
        let of = |value: &Value| match value {
            Value::Text(text) => text.len(),
            Value::Blob(blob) => blob.len(),
            _ => 8,
        };
        bytes += row.iter().map(of).sum::<usize>();
        ahead.push_back(row);
    }
    Ok(ahead)
}

fn shape(
    sql: &Sql,
    names: Vec<String>,
    declared: &Declared,
    ahead: &VecDeque<Vec<Value>>,
) -> Shape {
    let kinds = sql.outline.columns(&names, declared);
    let columns = names.into_iter().zip(kinds).enumerate();
    columns
        .map(|(at, (name, kind))| {
            let values = ahead.iter().filter_map(|row| row.get(at));
            (name, of_values(kind, values))
        })
        .collect()
}

/// SQLite calls the second `a` of a query in a query `a:1`.
fn unrenamed(names: Vec<String>) -> Vec<String> {
    let mut seen = std::collections::HashSet::new();
    let mut one = |name: String| {
        let base = name.rsplit_once(':');
        let base = base.filter(|(_, n)| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
        let name = match base {
            Some((base, _)) if seen.contains(base) => base.to_owned(),
            _ => name,
        };
        seen.insert(name.clone());
        name
    };
    names.into_iter().map(&mut one).collect()
}

/// The columns as the client wants them written: one format for all, or one for each.
pub(super) fn with_formats(shape: Shape, formats: &[Format]) -> Result<Vec<Column>, Fault> {
    if formats.len() > 1 && formats.len() != shape.len() {
        let text = format!(
            "bind message has {} result formats but query has {} columns",
            formats.len(),
            shape.len()
        );
        return Err(Fault::protocol(text));
    }
    let columns = shape.into_iter().enumerate().map(|(at, (name, kind))| {
        let one = formats.first().filter(|_| formats.len() == 1);
        let format = formats.get(at).or(one);
        Column {
            name,
            kind,
            format: format.copied().unwrap_or(Format::Text),
        }
    });
    Ok(columns.collect())
}
