//! Calls per second from one address: a token bucket each, in a table of bounded size.
//!
//! A bucket holds one second's worth and is full again after a second without calls, so one that old can be forgotten
//! without anyone noticing. When the table is full of younger ones, new addresses share a single bucket: under a flood
//! from very many addresses strangers get less, and memory stays what it is.

use std::{
    collections::HashMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// Addresses remembered per function.
const MAX_ADDRESSES: usize = 4096;
/// A full table is looked through for old buckets this often at most.
const TIDY_EVERY: Duration = Duration::from_millis(100);
const SECOND: Duration = Duration::from_secs(1);

/// The rates of one function's callers.
#[derive(Default)]
pub(crate) struct Rates(Mutex<Buckets>);

#[derive(Default)]
struct Buckets {
    by_address: HashMap<u128, Bucket>,
    crowd: Option<Bucket>,
    tidied: Option<Instant>,
}

#[derive(Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

// === impl Rates ===

impl Rates {
    /// Takes a token for this caller; false when it has none. `rate` is tokens per second, at least 1.
    pub(crate) fn take(&self, peer: IpAddr, rate: u32, now: Instant) -> bool {
        self.0.lock().take(subject(peer), f64::from(rate), now)
    }
}

/// Whoever has an IPv6 address has 2^64 of them: the network counts, not the host.
fn subject(peer: IpAddr) -> u128 {
    match peer.to_canonical() {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address) & !u128::from(u64::MAX) | 1 << 63,
    }
}

impl Buckets {
    fn take(&mut self, subject: u128, rate: f64, now: Instant) -> bool {
        let fresh = Bucket {
            tokens: rate,
            at: now,
        };
        if let Some(bucket) = self.by_address.get_mut(&subject) {
            return bucket.take(rate, now);
        }
        if self.by_address.len() >= MAX_ADDRESSES {
            self.tidy(now);
        }
        if self.by_address.len() >= MAX_ADDRESSES {
            return self.crowd.get_or_insert(fresh).take(rate, now);
        }
        self.by_address
            .entry(subject)
            .or_insert(fresh)
            .take(rate, now)
    }

    fn tidy(&mut self, now: Instant) {
        let recently = |at: Instant| now.saturating_duration_since(at) < TIDY_EVERY;
        if self.tidied.is_some_and(recently) {
            return;
        }
        self.tidied = Some(now);
        self.by_address
            .retain(|_, bucket| now.saturating_duration_since(bucket.at) < SECOND);
    }
}

impl Bucket {
    fn take(&mut self, rate: f64, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        let tokens = (self.tokens + passed * rate).min(rate);
        self.at = now.max(self.at);
        self.tokens = if tokens >= 1.0 { tokens - 1.0 } else { tokens };
        tokens >= 1.0
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    #[test]
    fn a_caller_has_one_seconds_worth_and_earns_more() {
        let rates = Rates::default();
        let start = gust_task::clock::now();
        let peer = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let other = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
        for _ in 0..5 {
            assert!(rates.take(peer, 5, start));
        }
        assert!(!rates.take(peer, 5, start));
        assert!(rates.take(other, 5, start), "others are not concerned");
        let later = start + Duration::from_millis(210);
        assert!(rates.take(peer, 5, later));
        assert!(!rates.take(peer, 5, later));
    }

    #[test]
    fn a_network_of_addresses_is_one_caller() {
        let rates = Rates::default();
        let now = gust_task::clock::now();
        let host = |n| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, n));
        assert!(rates.take(host(1), 1, now));
        assert!(!rates.take(host(2), 1, now));
    }

    #[test]
    fn the_table_is_bounded_and_forgets() {
        let rates = Rates::default();
        let now = gust_task::clock::now();
        let peer = |n: u32| IpAddr::V4(Ipv4Addr::from(n));
        for n in 0..MAX_ADDRESSES as u32 {
            assert!(rates.take(peer(n), 1, now));
        }
        assert!(rates.take(peer(900_000), 1, now), "the first of the crowd");
        assert!(!rates.take(peer(900_001), 1, now), "the crowd shares");
        assert_eq!(rates.0.lock().by_address.len(), MAX_ADDRESSES);
        let later = now + SECOND;
        assert!(rates.take(peer(900_002), 1, later));
        assert_eq!(rates.0.lock().by_address.len(), 1);
    }
}
