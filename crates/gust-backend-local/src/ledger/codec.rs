//! Records as bytes: about fifty of them each.
//!
//! A block is a length and a CRC-32 (both `u32`, little-endian) and a payload of entries. An entry is a name (`1`: a number
//! and the function's three names) or a record (`2`: the function by its number, the call id, then varints). Numbers are
//! given once a file, so a file is read from its start. A field is never taken away or reordered: that is another format,
//! with another magic number in the file's head.

use std::{collections::HashMap, sync::Arc};

use gust_types::{
    AppName, FunctionKey, FunctionName, Outcome, ProjectName, Usage,
    call::{CallId, Trigger},
    usage::{HostCalls, Phases, Start},
};

const NAME: u8 = 1;
const RECORD: u8 = 2;

/// Bytes before a block's payload.
pub(super) const HEAD: usize = 8;
/// The largest payload that is believed.
pub(super) const LARGEST: usize = 64 << 20;

const TRIGGERS: [Trigger; 8] = [
    Trigger::Http,
    Trigger::Internal,
    Trigger::Invoke,
    Trigger::Health,
    Trigger::Queue,
    Trigger::Topic,
    Trigger::Schedule,
    Trigger::Async,
];
const STARTS: [Start; 4] = [Start::Cold, Start::Warm, Start::Reused, Start::None];

/// Writes blocks of one file.
#[derive(Default)]
pub(super) struct Encoder {
    numbers: HashMap<Arc<FunctionKey>, u64>,
}

/// Reads blocks of one file.
#[derive(Default)]
pub(super) struct Decoder {
    names: HashMap<u64, Arc<FunctionKey>>,
}

/// A block that is not what it says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Damaged;

// === impl Encoder ===

impl Encoder {
    /// A block of these records. Forget what it named with [`Encoder::forget`] when it could not be written.
    pub(super) fn block(&mut self, records: &[Usage]) -> Vec<u8> {
        let mut block = Vec::with_capacity(HEAD + records.len() * 64);
        block.extend_from_slice(&[0; HEAD]);
        let mut last_us = 0;
        for usage in records {
            let number = self.number(&usage.function, &mut block);
            record(&mut block, usage, number, last_us);
            last_us = usage.start_us;
        }
        let length = (block.len() - HEAD) as u32;
        let sum = crc32fast::hash(&block[HEAD..]);
        block[..4].copy_from_slice(&length.to_le_bytes());
        block[4..HEAD].copy_from_slice(&sum.to_le_bytes());
        block
    }

    /// How many names are known; hand it to [`Encoder::forget`].
    pub(super) fn known(&self) -> usize {
        self.numbers.len()
    }

    /// Forgets the names that came after these.
    pub(super) fn forget(&mut self, known: usize) {
        self.numbers.retain(|_, number| *number < known as u64);
    }

    fn number(&mut self, function: &Arc<FunctionKey>, block: &mut Vec<u8>) -> u64 {
        if let Some(number) = self.numbers.get(function) {
            return *number;
        }
        let number = self.numbers.len() as u64;
        self.numbers.insert(function.clone(), number);
        block.push(NAME);
        varint(block, number);
        for name in [
            function.project.as_str(),
            function.app.as_str(),
            function.function.as_str(),
        ] {
            varint(block, name.len() as u64);
            block.extend_from_slice(name.as_bytes());
        }
        number
    }
}

fn record(block: &mut Vec<u8>, usage: &Usage, number: u64, last_us: u64) {
    block.push(RECORD);
    varint(block, number);
    block.extend_from_slice(&usage.call.0.to_le_bytes());
    let trigger = match usage.trigger {
        Trigger::Http => 0,
        Trigger::Internal => 1,
        Trigger::Invoke => 2,
        Trigger::Health => 3,
        Trigger::Queue => 4,
        Trigger::Topic => 5,
        Trigger::Schedule => 6,
        Trigger::Async => 7,
    };
    let start = match usage.start {
        Start::Cold => 0,
        Start::Warm => 1,
        Start::Reused => 2,
        Start::None => 3,
    };
    let outcome = Outcome::ALL.iter().position(|o| *o == usage.outcome);
    block.extend_from_slice(&[trigger, start, outcome.unwrap_or_default() as u8]);
    for number in [
        usage.revision,
        zigzag(usage.start_us.wrapping_sub(last_us) as i64),
        usage.wall_us,
        usage.cpu_us,
        usage.memory_peak,
        usage.memory_mb_ms,
        usage.bytes_in,
        usage.bytes_out,
        u64::from(usage.host.kv),
        u64::from(usage.host.sql),
        u64::from(usage.host.http_out),
        u64::from(usage.status),
        u64::from(usage.phases.queue_us),
        u64::from(usage.phases.map_us),
        u64::from(usage.phases.link_us),
        u64::from(usage.phases.instantiate_us),
        u64::from(usage.phases.first_byte_us),
    ] {
        varint(block, number);
    }
}

// === impl Decoder ===

impl Decoder {
    /// The records of a payload whose sum is right.
    pub(super) fn payload(&mut self, payload: &[u8]) -> Result<Vec<Usage>, Damaged> {
        let mut bytes = Bytes(payload);
        let mut records = Vec::new();
        let mut last_us = 0;
        while !bytes.0.is_empty() {
            match bytes.byte()? {
                NAME => self.name(&mut bytes)?,
                RECORD => {
                    let usage = self.record(&mut bytes, last_us)?;
                    last_us = usage.start_us;
                    records.push(usage);
                }
                _ => return Err(Damaged),
            }
        }
        Ok(records)
    }

    fn name(&mut self, bytes: &mut Bytes<'_>) -> Result<(), Damaged> {
        let number = bytes.varint()?;
        let key = FunctionKey {
            project: ProjectName::new(bytes.text()?).map_err(|_| Damaged)?,
            app: AppName::new(bytes.text()?).map_err(|_| Damaged)?,
            function: FunctionName::new(bytes.text()?).map_err(|_| Damaged)?,
        };
        self.names.insert(number, Arc::new(key));
        Ok(())
    }

    fn record(&self, bytes: &mut Bytes<'_>, last_us: u64) -> Result<Usage, Damaged> {
        let function = self.names.get(&bytes.varint()?).ok_or(Damaged)?.clone();
        let call = CallId(u128::from_le_bytes(bytes.array()?));
        let [trigger, start, outcome] = bytes.array()?;
        Ok(Usage {
            call,
            function,
            trigger: pick(&TRIGGERS, trigger)?,
            start: pick(&STARTS, start)?,
            outcome: pick(&Outcome::ALL, outcome)?,
            // The order of the fields below is the order of the bytes.
            revision: bytes.varint()?,
            start_us: last_us.wrapping_add(unzigzag(bytes.varint()?) as u64),
            wall_us: bytes.varint()?,
            cpu_us: bytes.varint()?,
            memory_peak: bytes.varint()?,
            memory_mb_ms: bytes.varint()?,
            bytes_in: bytes.varint()?,
            bytes_out: bytes.varint()?,
            host: HostCalls {
                kv: bytes.small()?,
                sql: bytes.small()?,
                http_out: bytes.small()?,
            },
            status: u16::try_from(bytes.varint()?).map_err(|_| Damaged)?,
            phases: Phases {
                queue_us: bytes.small()?,
                map_us: bytes.small()?,
                link_us: bytes.small()?,
                instantiate_us: bytes.small()?,
                first_byte_us: bytes.small()?,
            },
        })
    }
}

fn pick<T: Copy>(all: &[T], number: u8) -> Result<T, Damaged> {
    all.get(usize::from(number)).copied().ok_or(Damaged)
}

/// What is left to read.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Damaged> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Damaged)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Damaged> {
        self.take(N)?.try_into().map_err(|_| Damaged)
    }

    fn byte(&mut self) -> Result<u8, Damaged> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn varint(&mut self) -> Result<u64, Damaged> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Damaged)
    }

    fn small(&mut self) -> Result<u32, Damaged> {
        u32::try_from(self.varint()?).map_err(|_| Damaged)
    }

    fn text(&mut self) -> Result<&'a str, Damaged> {
        let length = self.varint()?;
        let bytes = self.take(usize::try_from(length).map_err(|_| Damaged)?)?;
        std::str::from_utf8(bytes).map_err(|_| Damaged)
    }
}

fn varint(to: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        to.push(number as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

fn zigzag(number: i64) -> u64 {
    (number << 1 ^ number >> 63) as u64
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

#[cfg(test)]
mod tests {
    use gust_meter::suite::{NOON_US, usage};

    use super::*;

    #[test]
    fn records_read_back_as_they_were() {
        let mut records: Vec<_> = (0..200u64)
            .map(|n| {
                usage(
                    "app",
                    ["f", "g", "h"][(n % 3) as usize],
                    n * n * n,
                    NOON_US - n * 77,
                )
            })
            .collect();
        let mut extreme = usage("app", "f", 0, u64::MAX);
        extreme.wall_us = u64::MAX;
        extreme.status = u16::MAX;
        extreme.phases.queue_us = u32::MAX;
        extreme.call = CallId(u128::MAX);
        records.push(extreme);
        records.push(usage("app", "f", 0, 0));
        let mut encoder = Encoder::default();
        let mut decoder = Decoder::default();
        for part in records.chunks(33) {
            let block = encoder.block(part);
            assert_eq!(decoder.payload(&block[HEAD..]), Ok(part.to_vec()));
        }
        let block = encoder.block(&records[..100]);
        assert!(
            block.len() / 100 < 64,
            "{} bytes a record",
            block.len() / 100
        );
    }

    #[test]
    fn names_of_a_block_that_was_not_written_are_given_again() {
        let mut encoder = Encoder::default();
        let first = encoder.block(&[usage("app", "f", 1, 1)]);
        let known = encoder.known();
        encoder.block(&[usage("app", "g", 2, 2)]);
        encoder.forget(known);
        let again = encoder.block(&[usage("app", "g", 2, 2), usage("app", "f", 3, 3)]);
        let mut decoder = Decoder::default();
        assert!(decoder.payload(&first[HEAD..]).is_ok());
        assert_eq!(decoder.payload(&again[HEAD..]).map(|r| r.len()), Ok(2));
    }

    #[test]
    fn any_bytes_are_read_without_a_panic() {
        let records: Vec<_> = (0..20).map(|n| usage("app", "f", n, NOON_US)).collect();
        let block = Encoder::default().block(&records);
        let mut random = 1u64;
        for _ in 0..20_000 {
            let mut payload = block[HEAD..].to_vec();
            for _ in 0..3 {
                random = random.wrapping_mul(6364136223846793005).wrapping_add(1);
                let at = (random >> 33) as usize % payload.len();
                payload[at] = (random >> 20) as u8;
            }
            // What it makes of them does not matter: the sum keeps damaged blocks away.
            let _ = Decoder::default().payload(&payload);
        }
    }

    #[test]
    fn damage_never_reads_as_a_record() {
        let block = Encoder::default().block(&[usage("app", "f", 9, 9)]);
        let payload = &block[HEAD..];
        for end in 1..payload.len() {
            assert_eq!(
                Decoder::default()
                    .payload(&payload[..end])
                    .ok()
                    .filter(|r| !r.is_empty()),
                None
            );
        }
        assert!(Decoder::default().payload(&[9]).is_err());
        assert!(
            Decoder::default().payload(&[RECORD, 5]).is_err(),
            "a number without a name"
        );
    }
}
