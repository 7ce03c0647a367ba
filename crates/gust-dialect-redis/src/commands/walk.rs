//! Commands that go through all keys of a store.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use gust_backend::kv::{ListOptions, Write};

use super::random;
use crate::{
    args::{Scan, cursor, first, is, take},
    fault::{Fault, Outcome},
    glob::Glob,
    reply::Reply,
    space::Space,
    turn::Turn,
    tx::Tx,
    value::Value,
};

/// Keys that `KEYS` answers at most, and bytes of them.
pub(super) const MOST: usize = 100_000;
pub(super) const MOST_BYTES: usize = 16 << 20;
/// Keys that one `SCAN` looks at, asked for nothing and at most.
const STEP: usize = 10;
const LONGEST_STEP: usize = 10_000;
/// What a key counts when others wait for their turn.
const STEPS: usize = 256;

/// What every name of a pattern begins with.
fn literal(pattern: &[u8]) -> String {
    let special = |byte: &u8| b"*?[\\".contains(byte);
    let end = pattern.iter().position(special).unwrap_or(pattern.len());
    let start = pattern.get(..end).unwrap_or_default();
    match std::str::from_utf8(start) {
        Ok(text) => text.to_owned(),
        // No key is like this.
        Err(error) => String::from_utf8_lossy(start.get(..error.valid_up_to()).unwrap_or_default())
            .into_owned(),
    }
}

/// Calls with every key of this pattern that is there after what the transaction has changed.
async fn each(
    tx: &Tx,
    space: &Space,
    pattern: Option<&Glob>,
    mut with: impl FnMut(&[u8]) -> Result<(), Fault> + Send,
) -> Result<(), Fault> {
    let changed = tx.overlay().map(|(key, is_there)| (key.clone(), is_there));
    let mut changed: HashMap<Bytes, bool> = changed.collect();
    let prefix = pattern.map(|pattern| literal(pattern.text()));
    let options = ListOptions {
        prefix: prefix.unwrap_or_default(),
        after: None,
    };
    let mut keys = space.kv.list(options);
    let mut turn = Turn::default();
    while let Some(key) = keys.try_next().await? {
        turn.spend(STEPS).await;
        if changed.remove(key.as_bytes()) != Some(false)
            && is_of(pattern, key.as_bytes(), &mut turn).await
        {
            with(key.as_bytes())?;
        }
    }
    changed.retain(|_, is_there| *is_there);
    for key in changed.keys() {
        if is_of(pattern, key, &mut turn).await {
            with(key)?;
        }
    }
    Ok(())
}

async fn is_of(pattern: Option<&Glob>, key: &[u8], turn: &mut Turn) -> bool {
    match pattern {
        Some(pattern) => pattern.matches(key, turn).await,
        None => true,
    }
}

pub(crate) async fn keys(tx: &mut Tx, space: &Space, args: &[Bytes]) -> Outcome {
    let [pattern] = take(args)?;
    let pattern = Glob::new(pattern)?;
    let (mut found, mut bytes) = (Vec::new(), 0);
    each(tx, space, Some(&pattern), |key| {
        bytes += key.len();
        found.push(Reply::Bulk(Bytes::copy_from_slice(key)));
        match found.len() > MOST || bytes > MOST_BYTES {
            true => Err(Fault::new(format!(
                "ERR more keys match than one answer can carry, {MOST}; use SCAN"
            ))),
            false => Ok(()),
        }
    })
    .await?;
    Ok(Reply::Array(found))
}

pub(crate) async fn dbsize(tx: &mut Tx, space: &Space, _: &[Bytes]) -> Outcome {
    let mut count = 0;
    each(tx, space, None, |_| {
        count += 1;
        Ok(())
    })
    .await?;
    Ok(Reply::count(count))
}

pub(crate) async fn randomkey(tx: &mut Tx, space: &Space, _: &[Bytes]) -> Outcome {
    let (mut seen, mut chosen) = (0, Reply::Null);
    each(tx, space, None, |key| {
        seen += 1;
        if random(seen) == 0 {
            chosen = Reply::Bulk(Bytes::copy_from_slice(key));
        }
        Ok(())
    })
    .await?;
    Ok(chosen)
}

pub(crate) async fn scan(tx: &mut Tx, space: &Space, args: &[Bytes]) -> Outcome {
    let (at, options) = first(args)?;
    let at = cursor(at)?;
    let scan = Scan::read(options, true)?;
    let after = match at {
        0 => None,
        at => Some(space.cursor(at).ok_or(Fault::of(
            "ERR the cursor is unknown or was too long ago; begin again with SCAN 0",
        ))?),
    };
    let prefix = scan.pattern.as_ref().map(|pattern| literal(pattern.text()));
    let prefix = prefix.unwrap_or_default();
    let mut keys = space.kv.list(ListOptions { prefix, after });
    let gone: HashSet<Bytes> = tx
        .overlay()
        .filter(|(_, there)| !there)
        .map(|(k, _)| k.clone())
        .collect();
    let (mut found, mut last) = (Vec::new(), None);
    let step = scan.count.unwrap_or(STEP).min(LONGEST_STEP);
    let (mut looked, mut turn) = (0, Turn::default());
    while looked < step {
        let Some(key) = keys.try_next().await? else {
            last = None;
            break;
        };
        looked += 1;
        turn.spend(STEPS).await;
        if !gone.contains(key.as_bytes())
            && scan.takes(key.as_bytes(), &mut turn).await
            && is_of_type(space, &key, &scan).await?
        {
            found.push(Reply::text(key.clone()));
        }
        last = Some(key);
    }
    // The last page may end with the last key.
    let next = match last {
        Some(last) if keys.next().await.is_some() => space.remember(last),
        _ => 0,
    };
    Ok(Reply::Array(vec![
        Reply::text(next.to_string()),
        Reply::Array(found),
    ]))
}

async fn is_of_type(space: &Space, key: &str, scan: &Scan) -> Result<bool, Fault> {
    let Some(kind) = &scan.kind else {
        return Ok(true);
    };
    let found = space.kv.get(key).await?;
    Ok(found.is_some_and(|found| is(kind, Value::decode(found.value).name())))
}

/// In as many batches as it takes: others may see some of it.
pub(crate) async fn flush(_: &mut Tx, space: &Space, args: &[Bytes]) -> Outcome {
    match args {
        [] => {}
        [word] if is(word, "sync") || is(word, "async") => {}
        _ => return Err(Fault::SYNTAX),
    }
    let limits = space.kv.limits();
    let mut keys = space.kv.list(ListOptions::default());
    let (mut batch, mut bytes) = (Vec::new(), 0);
    while let Some(key) = keys.try_next().await? {
        if batch.len() >= limits.batch.min(500) || bytes + key.len() > limits.batch_bytes {
            space.kv.write(std::mem::take(&mut batch)).await?;
            bytes = 0;
        }
        bytes += key.len();
        batch.push(Write::Delete { key });
    }
    if !batch.is_empty() {
        space.kv.write(batch).await?;
    }
    Ok(Reply::OK)
}
