//! Reading back: the newest lines first, from the end of each file, no further than needed.

use std::{
    fs::{self, File},
    io::{self, Read as _, Seek as _, SeekFrom},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use gust_types::{Blame, Error, Kind, Result};

use super::{Filter, Line, files};

/// How much is read at once.
const BLOCK: u64 = 64 * 1024;

/// A line bears the time it was begun; it may stand this far behind lines that were begun after it.
const LATE_US: u64 = 600_000_000;

/// The newest `limit` lines that match and were written before line number `before`, oldest of them first.
pub(super) fn newest(
    root: &Path,
    kept: u32,
    filter: &Filter,
    limit: usize,
    before: u64,
) -> Result<Vec<Line>> {
    let mut found = Vec::new();
    for current in functions(root, filter) {
        let lines = of_function(&current, kept, filter, limit, before).map_err(|e| {
            Error::new(Kind::Internal, Blame::Platform, "cannot read the log").because(e)
        })?;
        found.extend(lines);
        if found.len() > 2 * limit {
            keep_newest(&mut found, limit);
        }
    }
    keep_newest(&mut found, limit);
    Ok(found)
}

fn keep_newest(lines: &mut Vec<Line>, limit: usize) {
    lines.sort_by_key(|line| line.n);
    lines.drain(..lines.len().saturating_sub(limit));
}

/// The current files of the functions that the filter names.
fn functions(root: &Path, filter: &Filter) -> Vec<PathBuf> {
    let project = root.join(filter.project.as_str());
    let below = |folder: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect()
    };
    let apps = match &filter.app {
        Some(app) => vec![project.join(app.as_str())],
        None => below(&project),
    };
    apps.iter()
        .flat_map(|app| match &filter.function {
            Some(function) => vec![app.join(format!("{function}.log"))],
            None => below(app),
        })
        // A function between two files has only an older one; it is found under the current one's name.
        .filter_map(|file| {
            let stem = file.file_name()?.to_str()?.split_once(".log")?.0.to_owned();
            Some(file.with_file_name(format!("{stem}.log")))
        })
        .collect::<std::collections::BTreeSet<_>>()
        .into_iter()
        .collect()
}

fn of_function(
    current: &Path,
    kept: u32,
    filter: &Filter,
    limit: usize,
    before: u64,
) -> io::Result<Vec<Line>> {
    let mut found = Vec::new();
    let mut seen = Vec::new();
    let call = filter.call.map(|call| call.to_string());
    for n in 0..kept.max(1) {
        let file = match File::open(files::older(current, n)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            opened => opened?,
        };
        // The writer may have renamed the file we have just read.
        let inode = file.metadata()?.ino();
        if seen.contains(&inode) {
            continue;
        }
        seen.push(inode);
        let mut lines = Backwards::new(file)?;
        while let Some(raw) = lines.next()? {
            if let Some(call) = &call
                && !contains(&raw, call.as_bytes())
            {
                continue;
            }
            let Ok(line) = serde_json::from_slice::<Line>(&raw) else {
                continue;
            };
            if line.n >= before {
                continue;
            }
            let too_old = line.time_us.saturating_add(LATE_US) < filter.since_us;
            if too_old || line.n <= filter.after || found.len() == limit {
                return Ok(found);
            }
            if filter.matches(&line) {
                found.push(line);
            }
        }
    }
    Ok(found)
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle)
}

/// The lines of a file from its last to its first.
struct Backwards {
    file: File,
    /// Everything from here on was read.
    at: u64,
    /// What was read and not given out; ends where the last given line began.
    held: Vec<u8>,
}

impl Backwards {
    fn new(file: File) -> io::Result<Self> {
        let at = file.metadata()?.len();
        Ok(Self {
            file,
            at,
            held: Vec::new(),
        })
    }

    fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut searched = 0;
        loop {
            // The line's own end is not the end of the line before it.
            let body = self.held.len().saturating_sub(1);
            let unsearched = &self.held[..body.saturating_sub(searched)];
            if let Some(end) = unsearched.iter().rposition(|b| *b == b'\n') {
                return Ok(Some(self.held.split_off(end + 1)));
            }
            if self.at == 0 {
                let last = std::mem::take(&mut self.held);
                return Ok((!last.is_empty()).then_some(last));
            }
            searched = body;
            self.more()?;
        }
    }

    fn more(&mut self) -> io::Result<()> {
        let size = self.at.min(BLOCK);
        self.at -= size;
        let mut block = vec![0; size as usize];
        self.file.seek(SeekFrom::Start(self.at))?;
        self.file.read_exact(&mut block)?;
        block.append(&mut self.held);
        self.held = block;
        Ok(())
    }
}
