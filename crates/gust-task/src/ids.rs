//! Ids and random numbers.

use gust_types::call::CallId;
use rand::{Rng as _, RngCore as _};

use crate::clock;

/// A new call id: 48 bits of Unix milliseconds, 80 random bits.
#[inline]
pub fn call_id() -> CallId {
    let millis = u128::from(clock::unix_micros() / 1000) & ((1 << 48) - 1);
    let random = rand::rng().random::<u128>() & ((1 << 80) - 1);
    CallId(millis << 80 | random)
}

/// A random number, for span ids and jitter; never 0.
#[inline]
pub fn random_u64() -> u64 {
    rand::rng().next_u64().max(1)
}

/// A secret of 256 random bits from the operating system's generator, as 64 hex digits.
pub fn secret() -> String {
    let mut bytes = [0u8; 32];
    rand::rng().fill_bytes(&mut bytes);
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
