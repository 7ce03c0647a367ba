//! Lists, also for those who wait for elements.

use bytes::Bytes;

use crate::{
    args::{first, is, positive, range, take},
    fault::{Fault, Outcome},
    number::{integer, whole},
    reply::Reply,
    tx::Tx,
    value::List,
};

/// An end of a list.
#[derive(Clone, Copy, PartialEq)]
enum End {
    Left,
    Right,
}

impl End {
    fn read(word: &[u8]) -> Result<Self, Fault> {
        match () {
            () if is(word, "left") => Ok(Self::Left),
            () if is(word, "right") => Ok(Self::Right),
            () => Err(Fault::SYNTAX),
        }
    }

    fn pop(self, list: &mut List) -> Option<Bytes> {
        match self {
            Self::Left => list.pop_front(),
            Self::Right => list.pop_back(),
        }
    }

    fn push(self, list: &mut List, item: Bytes) {
        match self {
            Self::Left => list.push_front(item),
            Self::Right => list.push_back(item),
        }
    }
}

pub(crate) fn lpush(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    push(tx, args, End::Left, false)
}

pub(crate) fn rpush(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    push(tx, args, End::Right, false)
}

pub(crate) fn lpushx(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    push(tx, args, End::Left, true)
}

pub(crate) fn rpushx(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    push(tx, args, End::Right, true)
}

fn push(tx: &mut Tx, args: &[Bytes], end: End, only_there: bool) -> Outcome {
    let (key, items) = first(args)?;
    let list = tx.edit::<List>(key)?;
    if only_there && list.is_empty() {
        return Ok(Reply::ZERO);
    }
    for item in items {
        end.push(list, item.clone());
    }
    let length = list.len();
    tx.changed(key);
    Ok(Reply::count(length))
}

pub(crate) fn lpop(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    pop(tx, args, End::Left, "lpop")
}

pub(crate) fn rpop(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    pop(tx, args, End::Right, "rpop")
}

fn pop(tx: &mut Tx, args: &[Bytes], end: End, command: &str) -> Outcome {
    let (key, rest) = first(args)?;
    let count = match rest {
        [] => None,
        [count] => Some(positive(count)?),
        _ => return Err(Fault::arity(command)),
    };
    let list = tx.edit::<List>(key)?;
    if list.is_empty() {
        return Ok(if count.is_some() {
            Reply::NullArray
        } else {
            Reply::Null
        });
    }
    let popped = (0..count.unwrap_or(1)).map_while(|_| end.pop(list));
    let popped: Vec<_> = popped.map(Reply::Bulk).collect();
    if !popped.is_empty() {
        tx.changed(key);
    }
    Ok(match count {
        Some(_) => Reply::Array(popped),
        None => popped.into_iter().next().unwrap_or(Reply::Null),
    })
}

pub(crate) fn llen(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    let [key] = take(args)?;
    Ok(Reply::count(tx.get::<List>(key)?.map_or(0, List::len)))
}

pub(crate) fn lrange(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    let [key, start, stop] = take(args)?;
    let (start, stop) = (integer(start)?, integer(stop)?);
    let Some(list) = tx.get::<List>(key)? else {
        return Ok(Reply::Array(Vec::new()));
    };
    Ok(Reply::Array(match range(start, stop, list.len()) {
        Some((start, stop)) => Reply::bulks(list.range(start..=stop)),
        None => Vec::new(),
    }))
}

/// A position in a list, counted from either end.
fn position(index: i64, length: usize) -> Option<usize> {
    let length = i64::try_from(length).ok()?;
    let index = if index < 0 {
        index.checked_add(length)?
    } else {
        index
    };
    usize::try_from(index).ok().filter(|_| index < length)
}

pub(crate) fn lindex(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    let [key, index] = take(args)?;
    let list = tx.get::<List>(key)?;
    let index = match list {
        Some(_) => integer(index)?,
        None => return Ok(Reply::Null),
    };
    let found = list.and_then(|list| list.get(position(index, list.len())?));
    Ok(Reply::maybe(found))
}

pub(crate) fn lset(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    let [key, index, item] = take(args)?;
    if tx.get::<List>(key)?.is_none() {
        return Err(Fault::NO_KEY);
    }
    let index = integer(index)?;
    let list = tx.edit::<List>(key)?;
    let place = position(index, list.len()).and_then(|at| list.get_mut(at));
    *place.ok_or(Fault::INDEX)? = item.clone();
    tx.changed(key);
    Ok(Reply::OK)
}

pub(crate) fn lrem(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    let [key, count, item] = take(args)?;
    let count = integer(count)?;
    let list = tx.edit::<List>(key)?;
    let found = list.iter().filter(|one| *one == item).count();
    let most = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    let gone = if count == 0 { found } else { found.min(most) };
    if gone == 0 {
        return Ok(Reply::ZERO);
    }
    // From the end means that the first ones stay.
    let (mut stay, mut left) = (if count < 0 { found - gone } else { 0 }, gone);
    list.retain(|one| {
        if one != item || left == 0 {
            return true;
        }
        if stay > 0 {
            stay -= 1;
            return true;
        }
        left -= 1;
        false
    });
    tx.changed(key);
    Ok(Reply::count(gone))
}

pub(crate) fn ltrim(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    let [key, start, stop] = take(args)?;
    let (start, stop) = (integer(start)?, integer(stop)?);
    let list = tx.edit::<List>(key)?;
    let before = list.len();
    match range(start, stop, before) {
        Some((start, stop)) => {
            list.truncate(stop + 1);
            list.drain(..start);
        }
        None => list.clear(),
    }
    if list.len() != before {
        tx.changed(key);
    }
    Ok(Reply::OK)
}

pub(crate) fn linsert(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    let [key, place, pivot, item] = take(args)?;
    let behind = match () {
        () if is(place, "before") => 0,
        () if is(place, "after") => 1,
        () => return Err(Fault::SYNTAX),
    };
    let list = tx.edit::<List>(key)?;
    if list.is_empty() {
        return Ok(Reply::ZERO);
    }
    let Some(at) = list.iter().position(|one| one == pivot) else {
        return Ok(Reply::Int(-1));
    };
    list.insert(at + behind, item.clone());
    let length = list.len();
    tx.changed(key);
    Ok(Reply::count(length))
}

pub(crate) fn lmove(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    let [from, to, out, into] = take(args)?;
    let (out, into) = (End::read(out)?, End::read(into)?);
    Ok(shift(tx, from, to, out, into)?.unwrap_or(Reply::Null))
}

pub(crate) fn rpoplpush(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    let [from, to] = take(args)?;
    Ok(shift(tx, from, to, End::Right, End::Left)?.unwrap_or(Reply::Null))
}

fn shift(
    tx: &mut Tx,
    from: &Bytes,
    to: &Bytes,
    out: End,
    into: End,
) -> Result<Option<Reply>, Fault> {
    if tx.get::<List>(from)?.is_none() {
        return Ok(None);
    }
    tx.get::<List>(to)?;
    let Some(item) = out.pop(tx.edit::<List>(from)?) else {
        return Ok(None);
    };
    tx.changed(from);
    into.push(tx.edit::<List>(to)?, item.clone());
    tx.changed(to);
    Ok(Some(Reply::Bulk(item)))
}

/// The options of `LPOS`.
struct Search {
    rank: i64,
    count: Option<usize>,
    most: usize,
}

impl Search {
    fn read(mut args: &[Bytes]) -> Result<Self, Fault> {
        let mut search = Self {
            rank: 1,
            count: None,
            most: 0,
        };
        let natural = |word: &Bytes, why| {
            let number = whole(word).and_then(|number| usize::try_from(number).ok());
            number.ok_or_else(|| Fault::of(why))
        };
        while let [name, value, rest @ ..] = args {
            args = rest;
            match () {
                () if is(name, "rank") => search.rank = integer(value)?,
                () if is(name, "count") => {
                    search.count = Some(natural(value, "ERR COUNT can't be negative")?);
                }
                () if is(name, "maxlen") => {
                    search.most = natural(value, "ERR MAXLEN can't be negative")?;
                }
                () => return Err(Fault::SYNTAX),
            }
            if search.rank == 0 {
                return Err(Fault::of(
                    "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list",
                ));
            }
        }
        match args {
            [] => Ok(search),
            _ => Err(Fault::SYNTAX),
        }
    }

    fn find<'a>(&self, list: impl Iterator<Item = (usize, &'a Bytes)>, item: &Bytes) -> Vec<usize> {
        let most = if self.most == 0 {
            usize::MAX
        } else {
            self.most
        };
        let skip = usize::try_from(self.rank.unsigned_abs() - 1).unwrap_or(usize::MAX);
        let count = match self.count {
            None => 1,
            Some(0) => usize::MAX,
            Some(count) => count,
        };
        let found = list.take(most).filter(|(_, one)| *one == item);
        found.map(|(at, _)| at).skip(skip).take(count).collect()
    }
}

pub(crate) fn lpos(tx: &mut Tx, args: &[Bytes]) -> Outcome {
    let (key, rest) = first(args)?;
    let (item, options) = first(rest)?;
    let search = Search::read(options)?;
    let empty = List::new();
    let list = tx.get::<List>(key)?.unwrap_or(&empty);
    let found = match search.rank > 0 {
        true => search.find(list.iter().enumerate(), item),
        false => search.find(list.iter().enumerate().rev(), item),
    };
    let mut found = found.into_iter().map(Reply::count);
    Ok(match search.count {
        Some(_) => Reply::Array(found.collect()),
        None => found.next().unwrap_or(Reply::Null),
    })
}

/// The commands that wait answer nothing when there is nothing yet.
pub(crate) type Waiting = Result<Option<Reply>, Fault>;

pub(crate) fn blpop(tx: &mut Tx, args: &[Bytes]) -> Waiting {
    pop_first(tx, args, End::Left)
}

pub(crate) fn brpop(tx: &mut Tx, args: &[Bytes]) -> Waiting {
    pop_first(tx, args, End::Right)
}

fn pop_first(tx: &mut Tx, args: &[Bytes], end: End) -> Waiting {
    let (_, keys) = args.split_last().ok_or(Fault::SYNTAX)?;
    for key in keys {
        if tx.get::<List>(key)?.is_none() {
            continue;
        }
        if let Some(item) = end.pop(tx.edit::<List>(key)?) {
            tx.changed(key);
            let reply = [Reply::Bulk(key.clone()), Reply::Bulk(item)];
            return Ok(Some(Reply::Array(reply.into())));
        }
    }
    Ok(None)
}

pub(crate) fn blmove(tx: &mut Tx, args: &[Bytes]) -> Waiting {
    let [from, to, out, into, _] = take(args)?;
    let (out, into) = (End::read(out)?, End::read(into)?);
    shift(tx, from, to, out, into)
}

pub(crate) fn brpoplpush(tx: &mut Tx, args: &[Bytes]) -> Waiting {
    let [from, to, _] = take(args)?;
    shift(tx, from, to, End::Right, End::Left)
}
