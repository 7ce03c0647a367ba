//! Reading the words of a request.

use bytes::Bytes;

use crate::{
    fault::Fault,
    glob::Glob,
    number::{self, integer},
    turn::Turn,
};

/// Exactly so many arguments. How many there are was checked before, so another number is a fault in what they say.
pub(crate) fn take<const N: usize>(args: &[Bytes]) -> Result<&[Bytes; N], Fault> {
    args.try_into().map_err(|_| Fault::SYNTAX)
}

/// The first argument, and the rest.
pub(crate) fn first(args: &[Bytes]) -> Result<(&Bytes, &[Bytes]), Fault> {
    args.split_first().ok_or(Fault::SYNTAX)
}

/// Whether a word is this one, in letters of any size.
pub(crate) fn is(word: &[u8], name: &str) -> bool {
    word.eq_ignore_ascii_case(name.as_bytes())
}

/// Arguments two by two.
pub(crate) fn pairs(args: &[Bytes]) -> impl Iterator<Item = (&Bytes, &Bytes)> {
    args.chunks_exact(2).filter_map(|pair| match pair {
        [first, second] => Some((first, second)),
        _ => None,
    })
}

/// A number of things.
pub(crate) fn positive(word: &[u8]) -> Result<usize, Fault> {
    number::whole(word)
        .and_then(|count| usize::try_from(count).ok())
        .ok_or(Fault::POSITIVE)
}

/// `numkeys key ...`: the keys and what follows.
pub(crate) fn counted<'a>(
    count: &Bytes,
    rest: &'a [Bytes],
    none: impl FnOnce() -> Fault,
) -> Result<(&'a [Bytes], &'a [Bytes]), Fault> {
    let count = integer(count)?;
    let count = usize::try_from(count).ok().filter(|count| *count > 0);
    let count = count.ok_or_else(none)?;
    rest.split_at_checked(count).ok_or(Fault::SYNTAX)
}

/// A range of positions, from either end, within so many elements; `None` when it is empty.
pub(crate) fn range(start: i64, stop: i64, length: usize) -> Option<(usize, usize)> {
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    let from = |at: i64| {
        if at < 0 {
            at.saturating_add(length)
        } else {
            at
        }
    };
    let (start, stop) = (from(start).max(0), from(stop).min(length - 1));
    if start > stop || stop < 0 {
        return None;
    }
    Some((usize::try_from(start).ok()?, usize::try_from(stop).ok()?))
}

/// Options of the commands that read a structure or the store piece by piece.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    pub(crate) pattern: Option<Glob>,
    pub(crate) count: Option<usize>,
    pub(crate) kind: Option<Bytes>,
}

// === impl Scan ===

impl Scan {
    pub(crate) fn read(mut args: &[Bytes], with_type: bool) -> Result<Self, Fault> {
        let mut scan = Self::default();
        while let [name, value, rest @ ..] = args {
            if is(name, "match") {
                scan.pattern = Some(Glob::new(value)?);
            } else if is(name, "count") {
                let count = usize::try_from(integer(value)?).ok();
                scan.count = Some(count.filter(|count| *count > 0).ok_or(Fault::SYNTAX)?);
            } else if is(name, "type") && with_type {
                scan.kind = Some(value.clone());
            } else {
                return Err(Fault::SYNTAX);
            }
            args = rest;
        }
        match args {
            [] => Ok(scan),
            _ => Err(Fault::SYNTAX),
        }
    }

    pub(crate) async fn takes(&self, name: &[u8], turn: &mut Turn) -> bool {
        match &self.pattern {
            Some(pattern) => pattern.matches(name, turn).await,
            None => true,
        }
    }
}

/// Where a scan goes on: 0 at the beginning.
pub(crate) fn cursor(word: &[u8]) -> Result<u64, Fault> {
    let text = std::str::from_utf8(word).ok();
    text.and_then(|text| text.parse().ok())
        .ok_or(Fault::of("ERR invalid cursor"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn ranges_count_from_both_ends() {
        for (start, stop, expected) in [
            (0, -1, Some((0, 4))),
            (-2, -1, Some((3, 4))),
            (-100, 1, Some((0, 1))),
            (2, 100, Some((2, 4))),
            (3, 2, None),
            (5, 9, None),
            (0, -6, None),
            (i64::MIN, i64::MAX, Some((0, 4))),
        ] {
            assert_eq!(super::range(start, stop, 5), expected, "{start} {stop}");
        }
        assert_eq!(super::range(0, -1, 0), None);
    }
}
