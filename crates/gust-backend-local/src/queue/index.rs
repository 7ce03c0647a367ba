//! What the index says of a message, so that settling one needs not read it.

use bytes::BufMut as _;
use gust_backend::queue::MessageId;
use gust_types::Result;

use super::{codec::damaged, keys::Place};

/// The value of an entry that can be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// How often it was taken.
    pub(super) attempts: u32,
    /// A consumer has it, or had it until its time was up.
    pub(super) taken: bool,
    /// Bytes of the message.
    pub(super) size: u32,
    /// Empty when it has none.
    pub(super) group: String,
}

/// The value of a message behind the first of its group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Blocked {
    pub(super) place: Place,
    pub(super) size: u32,
}

impl Entry {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut to = Vec::with_capacity(9 + self.group.len());
        to.put_u8(u8::from(self.taken));
        to.put_u32(self.attempts);
        to.put_u32(self.size);
        to.extend_from_slice(self.group.as_bytes());
        to
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self> {
        let (taken, rest) = bytes.split_first().ok_or_else(damaged)?;
        let (attempts, rest) = rest.split_first_chunk().ok_or_else(damaged)?;
        let (size, group) = rest.split_first_chunk().ok_or_else(damaged)?;
        Ok(Self {
            taken: *taken == 1,
            attempts: u32::from_be_bytes(*attempts),
            size: u32::from_be_bytes(*size),
            group: std::str::from_utf8(group)
                .map_err(|_| damaged())?
                .to_owned(),
        })
    }
}

impl Blocked {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut to = Vec::with_capacity(13);
        to.put_u8(self.place.priority);
        to.put_u64(self.place.at_us);
        to.put_u32(self.size);
        to
    }

    pub(super) fn decode(bytes: &[u8], id: MessageId) -> Result<Self> {
        let (priority, rest) = bytes.split_first().ok_or_else(damaged)?;
        let (at_us, size) = rest.split_first_chunk().ok_or_else(damaged)?;
        Ok(Self {
            place: Place {
                priority: *priority,
                at_us: u64::from_be_bytes(*at_us),
                id,
            },
            size: u32::from_be_bytes(size.try_into().map_err(|_| damaged())?),
        })
    }
}
