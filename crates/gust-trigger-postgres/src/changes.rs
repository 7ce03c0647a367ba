//! What a replication slot says: changes of rows, as PostgreSQL's own plug-in `pgoutput` writes them.

use std::fmt;

use bytes::Bytes;
use gust_types::Result;

use crate::protocol::{Body, garbage};

/// Columns of a table. PostgreSQL has no more either.
const COLUMNS: usize = 1664;
/// Tables that are emptied together.
const TABLES: usize = 10_000;

/// A place in the log of a server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lsn(pub u64);

/// One thing that is said.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// A transaction begins.
    Begin {
        /// Where it is committed.
        commit: Lsn,
        /// Its number.
        xid: u32,
    },
    /// It ends.
    Commit {
        /// Behind it.
        end: Lsn,
    },
    /// What a table looks like from now on.
    Table(Table),
    /// A row is new, is another, or is gone.
    Row(RowChange),
    /// Tables were emptied.
    Truncate(Vec<u32>),
    /// Something that means nothing here.
    Other,
}

/// What a table looks like.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table {
    /// Its number.
    pub id: u32,
    /// The schema that it is in.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// Whether every column is part of what a row is known by, for want of a key.
    pub full: bool,
    /// Its columns.
    pub columns: Vec<Column>,
}

/// A column.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Column {
    /// Whether it is part of what a row is known by.
    pub key: bool,
    /// Its name.
    pub name: String,
    /// The number of its type.
    pub of: u32,
}

/// A row changed.
#[derive(Debug, Clone, PartialEq)]
pub struct RowChange {
    /// What happened.
    pub operation: Operation,
    /// The number of the table.
    pub table: u32,
    /// As it was, as far as that is known: the key, or all of it.
    pub old: Option<Vec<Value>>,
    /// As it is.
    pub new: Option<Vec<Value>>,
}

/// What happened to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// It is new.
    Insert,
    /// It is another.
    Update,
    /// It is gone.
    Delete,
    /// All of them are gone.
    Truncate,
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// None.
    Null,
    /// A large one that did not change, and is not sent.
    Same,
    /// As text.
    Text(Bytes),
}

/// Reads one thing that is said, whole.
pub fn read(bytes: Bytes) -> Result<Change> {
    let mut body = Body(bytes);
    Ok(match body.u8()? {
        b'B' => {
            let commit = Lsn(body.u64()?);
            body.u64()?;
            Change::Begin {
                commit,
                xid: body.u32()?,
            }
        }
        b'C' => {
            body.u8()?;
            body.u64()?;
            Change::Commit {
                end: Lsn(body.u64()?),
            }
        }
        b'R' => Change::Table(table(&mut body)?),
        b'I' => {
            let table = body.u32()?;
            row(&mut body, Operation::Insert, table)?
        }
        b'U' => {
            let table = body.u32()?;
            row(&mut body, Operation::Update, table)?
        }
        b'D' => {
            let table = body.u32()?;
            row(&mut body, Operation::Delete, table)?
        }
        b'T' => {
            let count = body.u32()? as usize;
            body.u8()?;
            if count > TABLES {
                return Err(garbage());
            }
            let tables = (0..count).map(|_| body.u32());
            Change::Truncate(tables.collect::<Result<_>>()?)
        }
        _ => Change::Other,
    })
}

fn table(body: &mut Body) -> Result<Table> {
    let mut table = Table {
        id: body.u32()?,
        schema: body.text()?,
        name: body.text()?,
        full: body.u8()? == b'f',
        columns: Vec::new(),
    };
    // It says nothing of its own.
    if table.schema.is_empty() {
        table.schema = "pg_catalog".to_owned();
    }
    let count = usize::from(body.u16()?);
    if count > COLUMNS {
        return Err(garbage());
    }
    for _ in 0..count {
        let key = body.u8()? & 1 == 1;
        let (name, of) = (body.text()?, body.u32()?);
        body.u32()?;
        table.columns.push(Column { key, name, of });
    }
    Ok(table)
}

fn row(body: &mut Body, operation: Operation, table: u32) -> Result<Change> {
    let mut change = RowChange {
        operation,
        table,
        old: None,
        new: None,
    };
    while !body.0.is_empty() {
        match body.u8()? {
            b'K' | b'O' if change.old.is_none() && change.new.is_none() => {
                change.old = Some(values(body)?);
            }
            b'N' if change.new.is_none() => change.new = Some(values(body)?),
            _ => return Err(garbage()),
        }
    }
    let fits = match operation {
        Operation::Insert | Operation::Update => change.new.is_some(),
        Operation::Delete | Operation::Truncate => change.old.is_some() && change.new.is_none(),
    };
    match fits {
        true => Ok(Change::Row(change)),
        false => Err(garbage()),
    }
}

fn values(body: &mut Body) -> Result<Vec<Value>> {
    let count = usize::from(body.u16()?);
    if count > COLUMNS {
        return Err(garbage());
    }
    let mut values = Vec::with_capacity(count);
    for _ in 0..count {
        values.push(match body.u8()? {
            b'n' => Value::Null,
            b'u' => Value::Same,
            b't' => {
                let size = body.u32()? as usize;
                Value::Text(body.bytes(size)?)
            }
            _ => return Err(garbage()),
        });
    }
    Ok(values)
}

// === impl Lsn ===

impl Lsn {
    /// As the server writes it: two numbers in hex digits.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let (high, low) = text.split_once('/')?;
        let (high, low) = (u32::from_str_radix(high, 16), u32::from_str_radix(low, 16));
        Some(Self(u64::from(high.ok()?) << 32 | u64::from(low.ok()?)))
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xffff_ffff)
    }
}

// === impl Operation ===

impl Operation {
    /// In small letters.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Truncate => "truncate",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_and_compared() {
        let lsn = Lsn::parse(b"16/B374D848").unwrap();
        assert_eq!(lsn.to_string(), "16/B374D848");
        assert!(Lsn::parse(b"2/0").unwrap() > Lsn::parse(b"1/FFFFFFFF").unwrap());
        for bad in [&b""[..], b"1", b"1/", b"x/1", b"1/100000000", b"\xff/1"] {
            assert_eq!(Lsn::parse(bad), None);
        }
    }

    #[test]
    fn what_is_cut_off_is_an_error() {
        let whole = b"I\0\0\0\x07N\0\x02t\0\0\0\x01an";
        let change = RowChange {
            operation: Operation::Insert,
            table: 7,
            old: None,
            new: Some(vec![Value::Text("a".into()), Value::Null]),
        };
        let found = read(Bytes::from_static(whole)).unwrap();
        assert_eq!(found, Change::Row(change));
        for cut in 0..whole.len() {
            assert!(read(Bytes::from_static(&whole[..cut])).is_err(), "{cut}");
        }
        for bad in [
            &b"I\0\0\0\x07K\0\x00"[..],
            b"D\0\0\0\x07N\0\x00",
            b"D\0\0\0\x07",
            b"U\0\0\0\x07N\0\0N\0\0",
            b"I\0\0\0\x07N\0\x01x",
            b"I\0\0\0\x07N\xff\xff",
            b"T\xff\xff\xff\xff\0",
        ] {
            assert!(read(Bytes::from_static(bad)).is_err(), "{bad:?}");
        }
    }
}
