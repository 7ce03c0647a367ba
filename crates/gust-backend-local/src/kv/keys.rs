//! How keys and values lie in the one tree.
//!
//! | key | value |
//! |---|---|
//! | `d` project `0` store `0` key | format, version, expiry, bytes |
//! | `v` project `0` store `0` | the store's last version |
//! | `e` expiry, then the data key | nothing: an index for the sweeper |
//! | `c` | the last commit's number |
//!
//! Names never contain a zero byte, so no name and key can be read as another's.

use std::sync::Arc;

use fjall::Slice;
use gust_backend::changes::Watched;
use gust_types::{Error, Label, ProjectName, Result};

use crate::queue::keys::topic;

const DATA: u8 = b'd';
const VERSION: u8 = b'v';
const EXPIRY: u8 = b'e';
/// Key of the last commit's number.
pub(crate) const COMMIT: &[u8] = b"c";

const FORMAT: u8 = 1;
const HEADER: usize = 17;

/// A store's place in the tree.
#[derive(Debug, Clone)]
pub(crate) struct StoreKey {
    data: Arc<[u8]>,
    /// The topic that its changes go to.
    stream: Arc<[u8]>,
}

impl StoreKey {
    pub(crate) fn new(project: &ProjectName, name: &Label) -> Self {
        let mut key = vec![DATA];
        for part in [project.as_str(), name.as_str()] {
            key.extend_from_slice(part.as_bytes());
            key.push(0);
        }
        let stream = topic(project, &Watched::Kv(name.clone()).topic());
        Self {
            data: key.into(),
            stream: stream.into(),
        }
    }

    /// The store that a data key is of. Stores that the platform keeps for itself have no changes to tell of.
    pub(crate) fn of(data: &[u8]) -> Option<Self> {
        let mut parts = data.strip_prefix(&[DATA])?.splitn(3, |byte| *byte == 0);
        let mut part = || std::str::from_utf8(parts.next()?).ok();
        let (project, name) = (part()?, part()?);
        Some(Self::new(
            &ProjectName::new(project).ok()?,
            &Label::new(name).ok()?,
        ))
    }

    /// The name of the topic that its changes go to.
    pub(crate) fn stream(&self) -> &Arc<[u8]> {
        &self.stream
    }

    /// The source of its events.
    pub(crate) fn source(&self) -> String {
        let mut parts = self.data.split(|byte| *byte == 0);
        let name = parts.nth(1).unwrap_or_default();
        format!("/kv/{}", String::from_utf8_lossy(name))
    }

    /// The key of a value; with `""`, the start of all of them.
    pub(crate) fn data(&self, key: &str) -> Vec<u8> {
        let mut data = Vec::with_capacity(self.data.len() + key.len());
        data.extend_from_slice(&self.data);
        data.extend_from_slice(key.as_bytes());
        data
    }

    /// The key of the version counter.
    pub(crate) fn version(&self) -> Vec<u8> {
        let mut key = self.data.to_vec();
        key[0] = VERSION;
        key
    }

    /// The caller's key in a data key of this store.
    pub(crate) fn own(&self, data: &[u8]) -> Result<String> {
        data.strip_prefix(&self.data[..])
            .and_then(|key| String::from_utf8(key.to_vec()).ok())
            .ok_or_else(|| Error::internal("a stored key is not one of its store's"))
    }
}

impl PartialEq for StoreKey {
    fn eq(&self, other: &Self) -> bool {
        self.data == other.data
    }
}

impl Eq for StoreKey {}

impl std::hash::Hash for StoreKey {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.data.hash(state);
    }
}

/// What the version counters of a project's stores begin with.
pub(crate) fn stores(project: &ProjectName) -> Vec<u8> {
    let mut key = vec![VERSION];
    key.extend_from_slice(project.as_str().as_bytes());
    key.push(0);
    key
}

/// The index entry of a value that expires.
pub(crate) fn expiry(expires_us: u64, data: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(9 + data.len());
    key.push(EXPIRY);
    key.extend_from_slice(&expires_us.to_be_bytes());
    key.extend_from_slice(data);
    key
}

/// Expiry and data key of an index entry.
pub(crate) fn parse_expiry(key: &[u8]) -> Option<(u64, &[u8])> {
    let (expires, data) = key.strip_prefix(&[EXPIRY])?.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*expires), data))
}

/// The range of index entries that are due.
pub(crate) fn due(now_us: u64) -> std::ops::RangeInclusive<Vec<u8>> {
    expiry(0, &[])..=expiry(now_us, &[])
}

/// A value as it is stored.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) version: u64,
    /// 0 when it stays.
    pub(crate) expires_us: u64,
    bytes: Bytes,
}

#[derive(Debug, Clone)]
enum Bytes {
    /// With its header.
    Read(Slice),
    /// Without.
    New(bytes::Bytes),
}

impl Stored {
    pub(crate) fn new(version: u64, expires_us: Option<u64>, value: bytes::Bytes) -> Self {
        Self {
            version,
            // 0 is for values that stay, so a time of 0 becomes the next one, as long past.
            expires_us: expires_us.map_or(0, |at| at.max(1)),
            bytes: Bytes::New(value),
        }
    }

    pub(crate) fn decode(slice: Slice) -> Result<Self> {
        let fault = || Error::internal("a stored value is damaged");
        let (header, _) = slice.split_first_chunk::<HEADER>().ok_or_else(fault)?;
        if header[0] != FORMAT {
            return Err(fault());
        }
        let number = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&header[at..at + 8]);
            u64::from_be_bytes(bytes)
        };
        Ok(Self {
            version: number(1),
            expires_us: number(9),
            bytes: Bytes::Read(slice),
        })
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let value = self.as_slice();
        let mut stored = Vec::with_capacity(HEADER + value.len());
        stored.push(FORMAT);
        stored.extend_from_slice(&self.version.to_be_bytes());
        stored.extend_from_slice(&self.expires_us.to_be_bytes());
        stored.extend_from_slice(value);
        stored
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Read(slice) => &slice[HEADER..],
            Bytes::New(bytes) => bytes,
        }
    }

    pub(crate) fn value(&self) -> bytes::Bytes {
        match &self.bytes {
            Bytes::Read(slice) => super::bytes(&slice[HEADER..]),
            Bytes::New(bytes) => bytes.clone(),
        }
    }

    pub(crate) fn expires(&self) -> Option<u64> {
        (self.expires_us != 0).then_some(self.expires_us)
    }

    pub(crate) fn is_live(&self, now_us: u64) -> bool {
        self.expires_us == 0 || self.expires_us > now_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(project: &str, name: &str) -> StoreKey {
        StoreKey::new(
            &ProjectName::new(project).unwrap(),
            &Label::new(name).unwrap(),
        )
    }

    #[test]
    fn stores_never_share_a_key() {
        let stores = [
            store("a", "b"),
            store("ab", "b"),
            store("a", "bb"),
            store("b", "a"),
            store("a-b", "b"),
        ];
        for one in &stores {
            for other in &stores {
                let inside = one.data("x\u{0}b\u{0}").starts_with(&other.data(""));
                assert_eq!(inside, one == other);
                assert_eq!(one.version() == other.version(), one == other);
            }
        }
    }

    #[test]
    fn keys_and_values_read_back() {
        let store = store("default", "Main_1");
        for key in ["", "k", "\u{0}", "你好"] {
            let data = store.data(key);
            assert_eq!(store.own(&data).unwrap(), key);
            let of = StoreKey::of(&data).unwrap();
            assert_eq!((&of, of.stream()), (&store, store.stream()));
        }
        assert_eq!(store.source(), "/kv/Main_1");
        let value = Stored::new(7, Some(9), bytes::Bytes::from("v"));
        let read = Stored::decode(value.encode().into()).unwrap();
        assert_eq!((read.version, read.expires_us), (7, 9));
        assert_eq!(read.value(), value.value());
        for bad in [&b""[..], b"\x01short", b"\x02aaaaaaaabbbbbbbbv"] {
            assert!(Stored::decode(bad.into()).is_err());
        }
        let entry = expiry(5, b"data");
        assert_eq!(parse_expiry(&entry), Some((5, &b"data"[..])));
        assert!(due(6).contains(&entry) && !due(4).contains(&entry));
    }
}
