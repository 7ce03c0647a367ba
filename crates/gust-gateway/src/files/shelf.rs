//! Small files in memory, by digest: whatever is here is right for ever. The oldest leave when there are too many bytes.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use gust_types::Digest;
use parking_lot::Mutex;

/// Larger files are streamed from the disk.
const LARGEST: u64 = 64 * 1024;
/// All of them together.
const ROOM: usize = 16 << 20;

#[derive(Default)]
pub(super) struct Shelf(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    files: HashMap<Digest, Bytes>,
    order: VecDeque<Digest>,
    bytes: usize,
}

// === impl Shelf ===

impl Shelf {
    /// Whether a file of this size is kept.
    pub(super) fn takes(size: u64) -> bool {
        size <= LARGEST
    }

    pub(super) fn get(&self, digest: &Digest) -> Option<Bytes> {
        self.0.lock().files.get(digest).cloned()
    }

    pub(super) fn put(&self, digest: Digest, bytes: Bytes) {
        let mut kept = self.0.lock();
        let size = bytes.len();
        if kept.files.insert(digest, bytes).is_some() {
            return;
        }
        kept.bytes += size;
        kept.order.push_back(digest);
        while kept.bytes > ROOM {
            let Some(oldest) = kept.order.pop_front() else {
                return;
            };
            let gone = kept.files.remove(&oldest).map_or(0, |bytes| bytes.len());
            kept.bytes -= gone;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_files_make_room() {
        let shelf = Shelf::default();
        let file = Bytes::from(vec![7; LARGEST as usize]);
        for n in 0..1000u32 {
            shelf.put(Digest::of(&n.to_le_bytes()), file.clone());
            assert!(shelf.0.lock().bytes <= ROOM);
        }
        assert!(shelf.get(&Digest::of(&999u32.to_le_bytes())).is_some());
        assert!(shelf.get(&Digest::of(&0u32.to_le_bytes())).is_none());
        let again = Digest::of(&999u32.to_le_bytes());
        let before = shelf.0.lock().bytes;
        shelf.put(again, file);
        assert_eq!(
            shelf.0.lock().bytes,
            before,
            "the same file twice takes its room once"
        );
    }
}
