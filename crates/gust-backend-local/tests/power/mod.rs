//! A disk that fails, and a power cut: what a process wrote and did not sync is taken away again.
//!
//! The process under test runs with `disk.c` between itself and its folder, which says what was written and what was
//! synced. After a failed sync the kernel may have dropped what was written and forgotten about it: a later sync that
//! succeeds does not bring it back, writing it again does. That is the strictest reading, and the one that holds here.

use std::{
    collections::HashMap,
    fs::{File, OpenOptions},
    io::{BufRead as _, BufReader},
    ops::Range,
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    process::Command,
};

/// The library that stands before the C library.
pub(crate) struct BadDisk {
    library: PathBuf,
    _folder: tempfile::TempDir,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Faults {
    /// Of 1,000 syncs, how many fail.
    pub(crate) fail: u32,
    /// How long a sync takes at most, in microseconds.
    pub(crate) slow: u32,
    /// Of 1,000 writes, how many are cut short.
    pub(crate) short: u32,
}

/// Bytes of a file that may not be on the disk.
#[derive(Debug, Clone, PartialEq)]
struct Loose {
    range: Range<u64>,
    /// Dropped after a failed sync.
    lost: bool,
}

impl BadDisk {
    /// Built with the C compiler; `None`, said aloud, where there is none.
    pub(crate) fn build() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let library = folder.path().join("disk.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/power/disk.c");
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([&library, &source])
            .args(["-ldl", "-lpthread"])
            .status();
        if built.is_ok_and(|status| status.success()) {
            let _folder = folder;
            return Some(Self { library, _folder });
        }
        eprintln!("skipped: a disk that fails needs the C compiler `cc`");
        None
    }

    /// Puts it between this command and the folder.
    pub(crate) fn stand_before(
        &self,
        command: &mut Command,
        folder: &Path,
        log: &Path,
        faults: Faults,
    ) {
        command
            .env("LD_PRELOAD", &self.library)
            .env("POWER_FOLDER", folder.canonicalize().unwrap())
            .env("POWER_LOG", log)
            .env("POWER_FAIL", faults.fail.to_string())
            .env("POWER_SLOW", faults.slow.to_string())
            .env("POWER_SHORT", faults.short.to_string());
    }
}

/// Takes away what was not on the disk: of each file, the loose bytes from a random point on (the one it falls into is
/// torn), or each loose piece by chance. Answers how many bytes went.
pub(crate) fn cut(folder: &Path, log: &Path, mut random: impl FnMut() -> u64) -> u64 {
    let loose = read(log);
    let mut files = Vec::new();
    list(folder, &mut files);
    let mut gone = 0;
    for path in files {
        let inode = path.metadata().unwrap().ino();
        let Some(mut pieces) = loose.get(&inode).cloned() else {
            continue;
        };
        if pieces.is_empty() {
            continue;
        }
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        // What was dropped is gone for certain.
        for piece in pieces.extract_if(.., |piece| piece.lost) {
            gone += zero(&file, piece.range);
        }
        if random().is_multiple_of(2) {
            for piece in pieces {
                if random().is_multiple_of(2) {
                    gone += zero(&file, piece.range);
                }
            }
            continue;
        }
        let bytes: u64 = pieces.iter().map(|p| p.range.end - p.range.start).sum();
        let mut keep = random() % (bytes + 1);
        for Loose { range, .. } in pieces {
            let kept = keep.min(range.end - range.start);
            keep -= kept;
            gone += zero(&file, range.start + kept..range.end);
        }
    }
    std::fs::remove_file(log).unwrap();
    gone
}

/// What is not known to be on the disk, by inode, in the order of writing.
fn read(log: &Path) -> HashMap<u64, Vec<Loose>> {
    let mut loose: HashMap<u64, Vec<Loose>> = HashMap::new();
    let Ok(log) = File::open(log) else {
        return loose;
    };
    for line in BufReader::new(log).lines() {
        let line = line.unwrap();
        let parts: Vec<&str> = line.split(' ').collect();
        let [what, inode, from, to] = parts[..] else {
            panic!("not understood: {line}");
        };
        let number = |text: &str| text.parse::<u64>().unwrap();
        let range = number(from)..number(to);
        let pieces = loose.entry(number(inode)).or_default();
        match what {
            "w" => {
                take_out(pieces, &range);
                pieces.push(Loose { range, lost: false });
            }
            // Bytes that are on the disk stay there when they are written once more.
            "r" => {
                let was_loose = take_out(pieces, &range);
                let again = was_loose
                    .into_iter()
                    .map(|range| Loose { range, lost: false });
                pieces.extend(again);
            }
            "s" => pieces.retain(|piece| piece.lost),
            "f" => pieces.iter_mut().for_each(|piece| piece.lost = true),
            _ => panic!("not understood: {line}"),
        }
    }
    loose
}

/// Takes a range out of the pieces; answers which parts of it were among them.
fn take_out(pieces: &mut Vec<Loose>, range: &Range<u64>) -> Vec<Range<u64>> {
    let mut out = Vec::new();
    let mut rest = Vec::with_capacity(pieces.len());
    for Loose { range: had, lost } in pieces.drain(..) {
        let common = had.start.max(range.start)..had.end.min(range.end);
        if common.is_empty() {
            rest.push(Loose { range: had, lost });
            continue;
        }
        for left in [had.start..common.start, common.end..had.end] {
            if !left.is_empty() {
                rest.push(Loose { range: left, lost });
            }
        }
        out.push(common);
    }
    *pieces = rest;
    out
}

fn zero(file: &File, range: Range<u64>) -> u64 {
    let end = range.end.min(file.metadata().unwrap().len());
    let mut at = range.start;
    while at < end {
        let len = (end - at).min(1 << 16);
        file.write_all_at(&vec![0; len as usize], at).unwrap();
        at += len;
    }
    end.saturating_sub(range.start)
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => list(&path, files),
            false => files.push(path),
        }
    }
}
