//! What a key holds, and how it stands in a key-value store.
//!
//! A string is its bytes, so that functions and Redis clients see the same value. Everything else is one value too: [`MAGIC`], a
//! letter for the kind, then the elements, each with its length before it, in the order of their bytes (a list in its own).
//! A string that begins with the magic is written behind the magic and an `s`. There is exactly one way to write a value, and bytes
//! that are not written so are a string, whoever wrote them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::{BufMut as _, Bytes, BytesMut};

/// What everything but a plain string begins with.
pub(crate) const MAGIC: [u8; 4] = [0, 0xff, b'R', 0xfe];

/// What an element takes in memory beside its bytes, about.
pub(crate) const ELEMENT: usize = 64;

/// What a key holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    String(Bytes),
    Hash(Hash),
    List(List),
    Set(Set),
    Zset(Zset),
}

pub(crate) type Hash = BTreeMap<Bytes, Bytes>;
pub(crate) type List = VecDeque<Bytes>;
pub(crate) type Set = BTreeSet<Bytes>;

/// Members and their scores; none is NaN.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Zset(pub(crate) BTreeMap<Bytes, f64>);

/// One of the kinds of value.
pub(crate) trait Kind: Sized {
    fn of(value: &Value) -> Option<&Self>;
    fn of_mut(value: &mut Value) -> Option<&mut Self>;
    fn empty() -> Value;
}

macro_rules! kinds {
    ($($kind:ident($type:ty)),*) => {
        $(impl Kind for $type {
            fn of(value: &Value) -> Option<&Self> {
                match value {
                    Value::$kind(inner) => Some(inner),
                    _ => None,
                }
            }

            fn of_mut(value: &mut Value) -> Option<&mut Self> {
                match value {
                    Value::$kind(inner) => Some(inner),
                    _ => None,
                }
            }

            fn empty() -> Value {
                Value::$kind(<$type>::default())
            }
        })*
    };
}

kinds!(String(Bytes), Hash(Hash), List(List), Set(Set), Zset(Zset));

// === impl Value ===

impl Value {
    /// Its type's name.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::String(_) => "string",
            Self::Hash(_) => "hash",
            Self::List(_) => "list",
            Self::Set(_) => "set",
            Self::Zset(_) => "zset",
        }
    }

    /// Whether it is a structure without elements, which is none at all.
    pub(crate) fn is_nothing(&self) -> bool {
        match self {
            Self::String(_) => false,
            Self::Hash(hash) => hash.is_empty(),
            Self::List(list) => list.is_empty(),
            Self::Set(set) => set.is_empty(),
            Self::Zset(zset) => zset.0.is_empty(),
        }
    }

    /// Bytes that it takes, written, at least.
    pub(crate) fn size(&self) -> usize {
        let one = |bytes: &Bytes| bytes.len() + 1;
        match self {
            Self::String(bytes) => bytes.len(),
            Self::Hash(hash) => hash.iter().map(|(f, v)| one(f) + one(v)).sum(),
            Self::List(list) => list.iter().map(one).sum(),
            Self::Set(set) => set.iter().map(one).sum(),
            Self::Zset(zset) => zset.0.keys().map(|m| one(m) + 8).sum(),
        }
    }

    /// As it stands in the store.
    pub(crate) fn encode(&self) -> Bytes {
        let mut to = BytesMut::new();
        let mut begin = |letter: u8| {
            to.put_slice(&MAGIC);
            to.put_u8(letter);
        };
        match self {
            Self::String(bytes) if !bytes.starts_with(&MAGIC) => return bytes.clone(),
            Self::String(bytes) => {
                begin(b's');
                to.put_slice(bytes);
            }
            Self::Hash(hash) => {
                begin(b'h');
                for (field, value) in hash {
                    put(field, &mut to);
                    put(value, &mut to);
                }
            }
            Self::List(list) => {
                begin(b'l');
                list.iter().for_each(|item| put(item, &mut to));
            }
            Self::Set(set) => {
                begin(b'e');
                set.iter().for_each(|member| put(member, &mut to));
            }
            Self::Zset(zset) => {
                begin(b'z');
                for (member, score) in &zset.0 {
                    put(member, &mut to);
                    to.put_f64(*score);
                }
            }
        }
        to.freeze()
    }

    /// What bytes in the store are. Elements are parts of them, not copies.
    pub(crate) fn decode(bytes: Bytes) -> Self {
        match structure(&bytes) {
            Some(value) => value,
            None => Self::String(bytes),
        }
    }
}

fn put(bytes: &Bytes, to: &mut BytesMut) {
    let mut length = bytes.len();
    while length >= 0x80 {
        to.put_u8(length as u8 | 0x80);
        length >>= 7;
    }
    to.put_u8(length as u8);
    to.put_slice(bytes);
}

fn structure(bytes: &Bytes) -> Option<Value> {
    let letter = *bytes.strip_prefix(&MAGIC)?.first()?;
    let mut from = Reader(bytes.slice(MAGIC.len() + 1..));
    let value = match letter {
        b's' if from.0.starts_with(&MAGIC) => return Some(Value::String(from.0)),
        b'h' => {
            let mut hash = Hash::new();
            while from.is_more() {
                let field = from.next()?;
                let value = from.next()?;
                ascends(hash.last_key_value().map(|(last, _)| last), &field)?;
                hash.insert(field, value);
            }
            Value::Hash(hash)
        }
        b'l' => {
            let mut list = List::new();
            while from.is_more() {
                list.push_back(from.next()?);
            }
            Value::List(list)
        }
        b'e' => {
            let mut set = Set::new();
            while from.is_more() {
                let member = from.next()?;
                ascends(set.last(), &member)?;
                set.insert(member);
            }
            Value::Set(set)
        }
        b'z' => {
            let mut zset = Zset::default();
            while from.is_more() {
                let member = from.next()?;
                let score = from.score()?;
                ascends(zset.0.last_key_value().map(|(last, _)| last), &member)?;
                zset.0.insert(member, score);
            }
            Value::Zset(zset)
        }
        _ => return None,
    };
    (!value.is_nothing()).then_some(value)
}

fn ascends(last: Option<&Bytes>, next: &Bytes) -> Option<()> {
    last.is_none_or(|last| last < next).then_some(())
}

/// A length, and how many bytes it is written in. Only the shortest way to write it is one.
fn length(bytes: &[u8]) -> Option<(usize, usize)> {
    let (mut length, mut read) = (0usize, 0);
    loop {
        let byte = *bytes.get(read)?;
        length |= usize::from(byte & 0x7f).checked_shl(7 * read as u32)?;
        read += 1;
        match byte {
            0 if read > 1 => return None,
            0..0x80 => return Some((length, read)),
            _ if read > 4 => return None,
            _ => {}
        }
    }
}

/// How many elements bytes in the store have, at most: what [`Value::decode`] makes of them takes [`ELEMENT`] bytes for each.
pub(crate) fn elements(bytes: &[u8]) -> usize {
    let Some([letter, rest @ ..]) = bytes.strip_prefix(&MAGIC) else {
        return 0;
    };
    let more = match letter {
        b'h' | b'l' | b'e' => 0,
        b'z' => 8,
        _ => return 0,
    };
    let (mut rest, mut count) = (rest, 0);
    while let Some((length, read)) = length(rest) {
        count += 1;
        match read
            .checked_add(length)
            .and_then(|end| rest.get(end + more..))
        {
            Some(behind) => rest = behind,
            None => break,
        }
    }
    count
}

struct Reader(Bytes);

// === impl Reader ===

impl Reader {
    fn is_more(&self) -> bool {
        !self.0.is_empty()
    }

    fn next(&mut self) -> Option<Bytes> {
        let (length, read) = length(&self.0)?;
        let end = read
            .checked_add(length)
            .filter(|end| *end <= self.0.len())?;
        let bytes = self.0.slice(read..end);
        self.0 = self.0.slice(end..);
        Some(bytes)
    }

    fn score(&mut self) -> Option<f64> {
        let bytes = self.0.first_chunk::<8>()?;
        let score = f64::from_be_bytes(*bytes);
        self.0 = self.0.slice(8..);
        (!score.is_nan()).then_some(score)
    }
}

// === impl Zset ===

impl Zset {
    /// By score, then by member.
    pub(crate) fn sorted(&self) -> Vec<(&Bytes, f64)> {
        let mut all: Vec<_> = self
            .0
            .iter()
            .map(|(member, score)| (member, *score))
            .collect();
        // Stable, and the members are in order already. 0 and -0 are one score.
        all.sort_by(|(_, a), (_, b)| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
        all
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    fn values() -> Vec<Value> {
        let long = Bytes::from(vec![7; 20_000]);
        vec![
            Value::String(bytes("")),
            Value::String(bytes("值")),
            Value::String(Bytes::from_static(&MAGIC)),
            Value::String(Value::Set([bytes("a")].into()).encode()),
            Value::Hash([(bytes("f"), long.clone()), (bytes(""), bytes("v"))].into()),
            Value::List([bytes("b"), bytes("a"), bytes("b"), long].into()),
            Value::Set([bytes("b"), bytes("a")].into()),
            Value::Zset(Zset(
                [(bytes("m"), -1.5), (bytes("n"), f64::INFINITY)].into(),
            )),
        ]
    }

    #[test]
    fn values_read_back_and_strings_are_their_bytes() {
        for value in values() {
            let written = value.encode();
            assert_eq!(Value::decode(written.clone()), value);
            assert!(written.len() >= value.size());
            let there = match &value {
                Value::String(_) => 0,
                Value::Hash(hash) => hash.len() * 2,
                Value::List(list) => list.len(),
                Value::Set(set) => set.len(),
                Value::Zset(zset) => zset.0.len(),
            };
            assert_eq!(elements(&written), there);
        }
        assert_eq!(values()[1].encode(), bytes("值"));
    }

    #[test]
    fn what_is_not_written_so_is_a_string() {
        for value in values() {
            let written = value.encode();
            for cut in 0..written.len().min(64) {
                let cut = written.slice(..cut);
                // A list cut between two elements is a shorter list; all others are strings, byte for byte.
                assert_eq!(
                    Value::decode(cut.clone()).encode().is_empty(),
                    cut.is_empty()
                );
            }
        }
        let of = |rest: &[u8]| Bytes::from([&MAGIC, rest].concat());
        for bad in [
            &b"h"[..],
            b"?",
            b"h\x01a",
            b"e\x01b\x01a",
            b"e\x01a\x01a",
            b"e\x81\x00a",
            b"l\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            b"l\xff\xff\xff\xff\x7fa",
            b"z\x01a\x7f\xf8\0\0\0\0\0\0",
            b"sabc",
        ] {
            assert_eq!(Value::decode(of(bad)), Value::String(of(bad)), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_some_value(letter in "[shlez?]", rest in prop::collection::vec(any::<u8>(), 0..60)) {
            let bytes = Bytes::from([&MAGIC, letter.as_bytes(), &rest].concat());
            let value = Value::decode(bytes.clone());
            prop_assert_eq!(Value::decode(value.encode()), value.clone());
            if !matches!(value, Value::String(_)) {
                prop_assert_eq!(value.encode(), bytes);
            }
        }
    }
}
