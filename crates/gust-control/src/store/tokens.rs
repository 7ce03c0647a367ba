//! Hashes of tokens.

use rusqlite::{Connection, params};

use super::{StoreError, StoreResult, rows::signed};

pub(crate) fn list(db: &Connection) -> StoreResult<Vec<[u8; 32]>> {
    let mut statement = db.prepare_cached("SELECT hash FROM tokens")?;
    let rows = statement.query_map([], |row| row.get::<_, Vec<u8>>(0))?;
    rows.map(|hash| {
        <[u8; 32]>::try_from(hash?).map_err(|_| StoreError::row("token")("not 32 bytes".into()))
    })
    .collect()
}

pub(crate) fn add(db: &Connection, hash: [u8; 32], now_us: u64) -> StoreResult<()> {
    db.execute(
        "INSERT INTO tokens (hash, created_us) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
        params![hash, signed(now_us)],
    )?;
    Ok(())
}
