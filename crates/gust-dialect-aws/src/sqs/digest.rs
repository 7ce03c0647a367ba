//! The MD5s that clients compare.

use std::collections::BTreeMap;

use md5::{Digest as _, Md5};

use super::message::{Attribute, Datum};

/// Of a body.
pub(crate) fn body(text: &str) -> String {
    hex::encode(Md5::digest(text.as_bytes()))
}

/// Of attributes, by name: each name, type and value with its length before it; `None` when there are none.
pub(crate) fn attributes(all: &BTreeMap<String, Attribute>) -> Option<String> {
    if all.is_empty() {
        return None;
    }
    let mut hash = Md5::new();
    let add = |hash: &mut Md5, bytes: &[u8]| {
        hash.update((bytes.len() as u32).to_be_bytes());
        hash.update(bytes);
    };
    for (name, attribute) in all {
        add(&mut hash, name.as_bytes());
        add(&mut hash, attribute.kind.as_bytes());
        let (kind, bytes): (u8, &[u8]) = match &attribute.value {
            Datum::Text(text) => (1, text.as_bytes()),
            Datum::Bytes(bytes) => (2, bytes),
        };
        hash.update([kind]);
        add(&mut hash, bytes);
    }
    Some(hex::encode(hash.finalize()))
}
