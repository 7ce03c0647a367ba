//! The changes of a publication's tables, out of a replication slot into an inbox.
//!
//! The slot is looked into again and again without being moved, what is found is kept, and then the slot is told to go on
//! behind it. A crash in between finds the same changes again, and they have the same keys.

use std::{collections::HashMap, time::Duration};

use bytes::Bytes;
use gust_task::Stop;
use gust_trigger::{Inbox, Incoming, Keeper, Peer, Place};
use gust_types::{Error, Result};
use tokio::time::{error::Elapsed, sleep, timeout};

use crate::{
    changes::{self, Change, Lsn, Operation, RowChange, Table},
    connection::{Connection, refused},
    protocol::{Said, garbage, identifier, literal},
    row,
};

/// Changes of one look. A transaction is never cut, so there may be more.
const LOOK: usize = 1000;
/// Bytes of a change that is read: more than any event may have.
const LARGE: usize = 4 << 20;
/// The longest that a server may read its log without finding anything.
const SILENCE: Duration = Duration::from_secs(600);
/// Tables that a look tells of.
const TABLES: usize = 20_000;

/// What is followed.
pub(crate) struct Changes {
    pub(crate) publication: String,
    pub(crate) slot: String,
    pub(crate) every: Duration,
}

/// One look into the slot.
struct Look<'a> {
    of: &'a Changes,
    peer: &'a Peer,
    tables: HashMap<u32, Table>,
    transaction: (Lsn, u32),
    /// Changes of the transaction so far.
    index: u32,
    /// All that was found.
    found: usize,
    /// Behind the last transaction.
    end: Lsn,
}

// === impl Changes ===

impl Changes {
    pub(crate) async fn run(
        &self,
        mut connection: Connection,
        peer: &Peer,
        to: &dyn Inbox,
        stop: Stop,
    ) -> Result<()> {
        tokio::select! {
            ended = self.follow(&mut connection, peer, to) => ended,
            () = stop.stopped() => {
                connection.close().await;
                Ok(())
            }
        }
    }

    /// Dropped at any moment, it loses nothing: the slot is where it was.
    async fn follow(&self, connection: &mut Connection, peer: &Peer, to: &dyn Inbox) -> Result<()> {
        let mut reached = self.find(connection).await?;
        to.connected();
        loop {
            // What is written after this is another look's.
            let now = one(connection.rows("SELECT pg_current_wal_flush_lsn()").await?)?;
            let look = self.look(connection, peer, to).await?;
            let end = match look.found < LOOK {
                // Where only other tables change, the slot has to go on too.
                true => look.end.max(now),
                false => look.end,
            };
            if end > reached {
                let slot = literal(&self.slot);
                let sql = format!("SELECT pg_replication_slot_advance({slot}, '{end}')");
                connection.rows(&sql).await?;
                reached = end;
            }
            if look.found < LOOK {
                sleep(self.every).await;
            }
        }
    }

    /// Finds the slot, or makes it; from then on nothing is lost. Where it is.
    async fn find(&self, connection: &mut Connection) -> Result<Lsn> {
        let (slot, publication) = (literal(&self.slot), literal(&self.publication));
        let sql = format!("SELECT 1 FROM pg_publication WHERE pubname = {publication}");
        // A slot that is older than its publication never sees it.
        if connection.rows(&sql).await?.is_empty() {
            let name = &self.publication;
            return Err(
                Error::not_found(format!("postgres has no publication {name:?}"))
                    .hint(format!("CREATE PUBLICATION {name} FOR TABLE ...")),
            );
        }
        let sql = format!(
            "SELECT confirmed_flush_lsn, plugin, database = current_database() FROM pg_replication_slots WHERE slot_name = {slot}"
        );
        let found = connection.rows(&sql).await?;
        if let Some(row) = found.first() {
            let text = |n: usize| row.get(n).cloned().flatten().unwrap_or_default();
            if text(1) != "pgoutput" || text(2) != "t" {
                let name = &self.slot;
                let text = format!("the slot is of another kind or database: {name}");
                return Err(
                    Error::conflict(text).hint("name another slot, or none, and one is made")
                );
            }
            return Lsn::parse(&text(0)).ok_or_else(garbage);
        }
        let sql = format!("SELECT lsn FROM pg_create_logical_replication_slot({slot}, 'pgoutput')");
        one(connection.rows(&sql).await?)
    }

    /// Looks, and keeps what it finds. What is found is durable when it returns.
    async fn look<'a>(
        &'a self,
        connection: &mut Connection,
        peer: &'a Peer,
        to: &dyn Inbox,
    ) -> Result<Look<'a>> {
        // A name in a list of names within a text.
        let names = literal(&identifier(&self.publication));
        let slot = literal(&self.slot);
        connection
            .ask(&format!(
                "SELECT CASE WHEN length(data) <= {LARGE} THEN encode(data, 'hex') END \
                 FROM pg_logical_slot_peek_binary_changes({slot}, NULL, {LOOK}, \
                 'proto_version', '1', 'publication_names', {names})"
            ))
            .await?;
        let mut look = Look {
            of: self,
            peer,
            tables: HashMap::new(),
            transaction: (Lsn::default(), 0),
            index: 0,
            found: 0,
            end: Lsn::default(),
        };
        let mut keeper = Keeper::new(to);
        let mut failed = None;
        loop {
            tokio::select! {
                said = timeout(SILENCE, connection.take()), if !keeper.is_full() => match said.map_err(silent)?? {
                    Said::Row(row) => {
                        for incoming in look.heard(row)? {
                            keeper.bring(incoming, ());
                        }
                    }
                    Said::Error { code, message } => failed = Some(refused(&code, &message)),
                    Said::Ready => break,
                    Said::Notified { .. } | Said::Other => {}
                    Said::Login { .. } => return Err(garbage()),
                },
                kept = keeper.kept() => drop(kept?),
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        while !keeper.is_idle() {
            keeper.kept().await?;
        }
        Ok(look)
    }
}

fn silent(_: Elapsed) -> Error {
    Error::unavailable("postgres is silent")
}

/// The one place in the log that an answer is.
fn one(rows: Vec<Vec<Option<Bytes>>>) -> Result<Lsn> {
    let value = rows.first().and_then(|row| row.first()).cloned().flatten();
    value.and_then(|text| Lsn::parse(&text)).ok_or_else(garbage)
}

// === impl Look ===

impl Look<'_> {
    /// The events of one thing that is said.
    fn heard(&mut self, row: Vec<Option<Bytes>>) -> Result<Vec<Incoming>> {
        self.found += 1;
        let Some(Some(text)) = row.first() else {
            return Ok(self.give_up());
        };
        let bytes = hex::decode(text).map_err(|_| garbage())?;
        match changes::read(bytes.into())? {
            Change::Begin { commit, xid } => {
                self.transaction = (commit, xid);
                self.index = 0;
            }
            Change::Commit { end } => self.end = self.end.max(end),
            Change::Table(table) => {
                if self.tables.len() >= TABLES {
                    return Err(garbage());
                }
                self.tables.insert(table.id, table);
            }
            Change::Row(change) => return Ok(vec![self.incoming(&change)?]),
            Change::Truncate(tables) => {
                let of = |table| {
                    self.incoming(&RowChange {
                        operation: Operation::Truncate,
                        table,
                        old: None,
                        new: None,
                    })
                };
                return tables.into_iter().map(of).collect();
            }
            Change::Other => {}
        }
        Ok(Vec::new())
    }

    /// A change that is too large to be read. Looked for again, it would stop all that come after it.
    fn give_up(&mut self) -> Vec<Incoming> {
        let slot = &self.of.slot;
        tracing::warn!(%slot, "a change of more than 4 MiB was given up");
        self.index += 1;
        Vec::new()
    }

    fn incoming(&mut self, change: &RowChange) -> Result<Incoming> {
        let table = self.tables.get(&change.table).ok_or_else(garbage)?;
        self.index += 1;
        let (commit, xid) = self.transaction;
        let id = format!("{commit}:{}", self.index);
        let name = format!("{}.{}", table.schema, table.name);
        let place = Place {
            kind: "postgres",
            peer: self.peer,
            name: &name,
        };
        let data = row::json(table, change).to_string();
        let mut event = place.event(Some(&id), Some("application/json"), data.into());
        event.set(
            "type",
            format!("gust.postgres.{}", change.operation.as_str()),
        )?;
        // What keeps changes of one row in order, over retries too.
        event.set("partitionkey", row::partition(table, change))?;
        let key = format!("{}/{xid}/{id}", self.of.slot);
        Ok(place.incoming(key, event))
    }
}
