//! Answers, and how they stand on the wire in both versions of the protocol.

use bytes::Bytes;

use crate::number;

/// What a command answers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Reply {
    /// `+OK` and the like.
    Status(&'static str),
    Error(String),
    Int(i64),
    Double(f64),
    Bulk(Bytes),
    /// No value where there would be one.
    Null,
    /// No list where there would be one.
    NullArray,
    Array(Vec<Reply>),
    Map(Vec<(Reply, Reply)>),
    Set(Vec<Reply>),
    /// Members, each with what belongs to it: pairs in RESP3, one flat list in RESP2.
    Pairs(Vec<(Reply, Reply)>),
    /// What comes unasked.
    Push(Vec<Reply>),
    /// Several answers to one request, as subscriptions have them.
    Several(Vec<Reply>),
}

/// The version of the protocol that a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Version {
    #[default]
    Two,
    Three,
}

// === impl Reply ===

impl Reply {
    pub(crate) const OK: Self = Self::Status("OK");
    pub(crate) const ZERO: Self = Self::Int(0);

    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Bulk(Bytes::from(text.into()))
    }

    pub(crate) fn word(text: &'static str) -> Self {
        Self::Bulk(Bytes::from_static(text.as_bytes()))
    }

    /// A number of things.
    pub(crate) fn count(count: usize) -> Self {
        Self::Int(i64::try_from(count).unwrap_or(i64::MAX))
    }

    pub(crate) fn maybe(bulk: Option<&Bytes>) -> Self {
        bulk.map_or(Self::Null, |bulk| Self::Bulk(bulk.clone()))
    }

    pub(crate) fn bulks<'a>(bulks: impl IntoIterator<Item = &'a Bytes>) -> Vec<Self> {
        let bulks = bulks.into_iter();
        bulks.map(|bulk| Self::Bulk(bulk.clone())).collect()
    }

    /// Bytes that it takes, about.
    pub(crate) fn size(&self) -> usize {
        let all = |items: &[Self]| items.iter().map(Self::size).sum::<usize>();
        let pair = |(first, second): &(Self, Self)| first.size() + second.size();
        32 + match self {
            Self::Error(text) => text.len(),
            Self::Bulk(bytes) => bytes.len(),
            Self::Array(items) | Self::Set(items) | Self::Push(items) | Self::Several(items) => {
                all(items)
            }
            Self::Map(pairs) | Self::Pairs(pairs) => pairs.iter().map(pair).sum(),
            _ => 0,
        }
    }

    /// Writes it down.
    pub(crate) fn write(&self, version: Version, to: &mut Vec<u8>) {
        let three = version == Version::Three;
        match self {
            Self::Status(text) => line(b'+', text, to),
            Self::Error(text) => line(b'-', text, to),
            Self::Int(number) => line(b':', &number.to_string(), to),
            Self::Double(number) if three => line(b',', &number::show(*number), to),
            Self::Double(number) => bulk(number::show(*number).as_bytes(), to),
            Self::Bulk(bytes) => bulk(bytes, to),
            Self::Null | Self::NullArray if three => to.extend_from_slice(b"_\r\n"),
            Self::Null => to.extend_from_slice(b"$-1\r\n"),
            Self::NullArray => to.extend_from_slice(b"*-1\r\n"),
            Self::Array(items) => list(b'*', items, version, to),
            Self::Set(items) => list(if three { b'~' } else { b'*' }, items, version, to),
            Self::Push(items) => list(if three { b'>' } else { b'*' }, items, version, to),
            Self::Map(pairs) => {
                match three {
                    true => count(b'%', pairs.len(), to),
                    false => count(b'*', pairs.len() * 2, to),
                }
                flat(pairs, version, to);
            }
            Self::Pairs(pairs) if three => {
                count(b'*', pairs.len(), to);
                for (first, second) in pairs {
                    count(b'*', 2, to);
                    first.write(version, to);
                    second.write(version, to);
                }
            }
            Self::Pairs(pairs) => {
                count(b'*', pairs.len() * 2, to);
                flat(pairs, version, to);
            }
            Self::Several(items) => items.iter().for_each(|item| item.write(version, to)),
        }
    }
}

fn flat(pairs: &[(Reply, Reply)], version: Version, to: &mut Vec<u8>) {
    for (first, second) in pairs {
        first.write(version, to);
        second.write(version, to);
    }
}

fn list(kind: u8, items: &[Reply], version: Version, to: &mut Vec<u8>) {
    count(kind, items.len(), to);
    items.iter().for_each(|item| item.write(version, to));
}

fn count(kind: u8, count: usize, to: &mut Vec<u8>) {
    line(kind, &count.to_string(), to);
}

/// A line; what would end it early is made a space.
fn line(kind: u8, text: &str, to: &mut Vec<u8>) {
    to.push(kind);
    to.extend(text.bytes().map(|byte| match byte {
        b'\r' | b'\n' => b' ',
        byte => byte,
    }));
    to.extend_from_slice(b"\r\n");
}

fn bulk(bytes: &[u8], to: &mut Vec<u8>) {
    count(b'$', bytes.len(), to);
    to.extend_from_slice(bytes);
    to.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(reply: Reply, two: &str, three: &str) {
        for (version, expected) in [(Version::Two, two), (Version::Three, three)] {
            let mut written = Vec::new();
            reply.write(version, &mut written);
            assert_eq!(String::from_utf8_lossy(&written), expected);
        }
    }

    #[test]
    fn both_versions_are_written() {
        check(Reply::OK, "+OK\r\n", "+OK\r\n");
        check(Reply::Null, "$-1\r\n", "_\r\n");
        check(Reply::NullArray, "*-1\r\n", "_\r\n");
        check(Reply::Double(1.5), "$3\r\n1.5\r\n", ",1.5\r\n");
        check(Reply::Double(f64::INFINITY), "$3\r\ninf\r\n", ",inf\r\n");
        let pair = || vec![(Reply::word("a"), Reply::Int(1))];
        check(
            Reply::Map(pair()),
            "*2\r\n$1\r\na\r\n:1\r\n",
            "%1\r\n$1\r\na\r\n:1\r\n",
        );
        check(
            Reply::Pairs(pair()),
            "*2\r\n$1\r\na\r\n:1\r\n",
            "*1\r\n*2\r\n$1\r\na\r\n:1\r\n",
        );
        check(
            Reply::Set(vec![Reply::Int(1)]),
            "*1\r\n:1\r\n",
            "~1\r\n:1\r\n",
        );
        check(
            Reply::Push(vec![Reply::Int(1)]),
            "*1\r\n:1\r\n",
            ">1\r\n:1\r\n",
        );
        check(
            Reply::Error("ERR a\r\nb".into()),
            "-ERR a  b\r\n",
            "-ERR a  b\r\n",
        );
    }
}
