//! What commands do, by the kind of value they work on. Each is a plain function over [`crate::tx::Tx`].
//!
//! A command changes nothing before it is sure to succeed: in a transaction, what failed leaves no trace and the rest goes on.

pub(crate) mod expiry;
pub(crate) mod hashes;
pub(crate) mod keys;
pub(crate) mod lists;
pub(crate) mod server;
pub(crate) mod sets;
pub(crate) mod strings;
pub(crate) mod walk;
pub(crate) mod zranges;
pub(crate) mod zsets;
pub(crate) mod zstore;

use gust_task::ids;

use crate::fault::Fault;

/// Elements that one answer may have when a client asks for the same ones again and again.
const REPEATED: usize = 1 << 20;

/// A random position among so many.
fn random(below: usize) -> usize {
    usize::try_from(ids::random_u64() % (below.max(1) as u64)).unwrap_or(0)
}

/// Positions of a random choice among so many: distinct ones, or with repetitions when the number is negative.
fn choose(wanted: i64, among: usize) -> Result<Vec<usize>, Fault> {
    let count = usize::try_from(wanted.unsigned_abs()).unwrap_or(usize::MAX);
    if wanted < 0 {
        if count > REPEATED {
            return Err(Fault::of("ERR value is out of range"));
        }
        let count = if among == 0 { 0 } else { count };
        return Ok((0..count).map(|_| random(among)).collect());
    }
    let count = count.min(among);
    let mut all: Vec<usize> = (0..among).collect();
    for at in 0..count {
        all.swap(at, at + random(among - at));
    }
    all.truncate(count);
    Ok(all)
}
