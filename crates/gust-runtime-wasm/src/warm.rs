//! After a start, reads what first calls will need: the records of prepared files, and the files themselves into the
//! kernel's page cache. A first call then waits for no disk.
//!
//! It runs beside everything else, on one thread that stands back, newest files first, and ends by itself. The cache is
//! the kernel's: it takes the memory back when something else needs it. As every byte is read anyway, it is compared
//! with its checksum; a file that the disk has spoilt is removed here, before a call meets it, and compiled again.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use gust_types::{ByteSize, Error, Result};

use crate::shelf::Shelf;

/// Read ahead at most this much, and at most this part of the memory that is to be had.
const MOST: ByteSize = ByteSize::mib(1024);
const PART: u64 = 4;
/// Between two pauses, so that the disk is not ours alone.
const STRIDE: ByteSize = ByteSize::mib(16);
const PAUSE: Duration = Duration::from_millis(5);
/// How far the thread stands back, as `nice` counts.
const NICE: i32 = 10;

/// Starts. It ends early when the shelf is gone.
pub(crate) fn start(shelf: &Arc<Shelf>) -> Result<()> {
    let shelf = Arc::downgrade(shelf);
    std::thread::Builder::new()
        .name("gust-warm".to_owned())
        .spawn(move || {
            // On Linux this is the thread's own niceness.
            let _ = rustix::process::nice(NICE);
            run(&shelf, budget());
        })
        .map_err(|e| Error::internal("cannot start the thread that reads ahead").because(e))?;
    Ok(())
}

fn budget() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    MOST.0.min(available(&text) / PART)
}

/// Bytes that programs can have without swapping, out of `/proc/meminfo`; none when it does not say.
fn available(meminfo: &str) -> u64 {
    let line = meminfo
        .lines()
        .find_map(|l| l.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|l| l.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or(0).saturating_mul(1024)
}

/// Reads records, and files while the sum of their sizes stays within `budget`. Returns how much it read of files.
fn run(shelf: &Weak<Shelf>, budget: u64) -> u64 {
    let newest = shelf.upgrade().map(|shelf| shelf.newest());
    let (mut read, mut since) = (0, 0);
    for artifact in newest.into_iter().flatten() {
        let Some(shelf) = shelf.upgrade() else { break };
        let Some(record) = shelf.find(&artifact, false) else {
            continue;
        };
        if read + record.size > budget {
            continue;
        }
        if shelf.find(&artifact, true).is_none() {
            shelf.remove(&artifact);
        }
        read += record.size;
        since += record.size;
        if since >= STRIDE.0 {
            since = 0;
            drop(shelf);
            std::thread::sleep(PAUSE);
        }
    }
    read
}

#[cfg(test)]
mod tests {
    use gust_types::Digest;

    use super::*;
    use crate::{Lane, Settings, contract::Contract, engine::Engines, shelf::Findings};

    fn put(shelf: &Shelf, bytes: &[u8]) -> Digest {
        let artifact = Digest::of(bytes);
        let findings = Findings {
            contract: Contract::Http03,
            export: "handler".to_owned(),
            lane: Lane::P3,
            missing: Vec::new(),
            initial_memory: 0,
            initial_table: 0,
            core_instances: 1,
        };
        shelf.put(&artifact, bytes, findings).unwrap();
        artifact
    }

    #[test]
    fn reads_within_the_budget_and_removes_what_the_disk_spoilt() {
        let folder = tempfile::tempdir().unwrap();
        let engines = Engines::new(&Settings::default()).unwrap();
        let path = folder.path().join("prepared");
        let open = || Arc::new(Shelf::open(path.clone(), &engines).unwrap());
        let shelf = open();
        let (good, spoilt) = (put(&shelf, &[1; 1000]), put(&shelf, &[2; 1000]));
        // The identity still fits: as if the disk had lost bytes without a write.
        let record = shelf.code(&spoilt).with_extension("json");
        let text = std::fs::read_to_string(&record).unwrap();
        let sum = format!("\"checksum\":{}", crc32fast::hash(&[2; 1000]));
        assert!(text.contains(&sum), "{text}");
        std::fs::write(&record, text.replace(&sum, "\"checksum\":1")).unwrap();

        let shelf = open();
        assert_eq!(run(&Arc::downgrade(&shelf), 500), 0, "nothing fits");
        assert!(shelf.code(&spoilt).exists());
        assert_eq!(run(&Arc::downgrade(&shelf), 5000), 2000);
        assert!(shelf.find(&good, true).is_some());
        assert!(!shelf.code(&spoilt).exists());
        assert_eq!(run(&Arc::downgrade(&shelf), 5000), 1000);
    }

    #[test]
    fn knows_the_memory_of_the_machine() {
        assert_eq!(
            available("MemFree: 1 kB\nMemAvailable:   20 kB\n"),
            20 * 1024
        );
        assert_eq!(available("nothing of the kind"), 0);
        assert!(budget() > 0);
    }
}
