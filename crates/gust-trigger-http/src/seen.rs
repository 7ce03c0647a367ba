//! What a source remembers of the answers it has had: marks of what it saw, and what to ask with.

use std::{collections::HashSet, fmt};

use bytes::Bytes;
use gust_types::Digest;
use serde::{Deserialize, Serialize};

/// Elements that are known again. The newest answer's are always among them, since it has no more.
pub(crate) const MOST: usize = 4096;
/// Bytes of a tag that is repeated to the server.
const TAG: usize = 1024;

/// The beginning of a digest: what something is known again by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Mark([u8; 8]);

/// What a server's answer says to ask with the next time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tags {
    pub(crate) etag: Option<String>,
    pub(crate) modified: Option<String>,
}

/// What was seen so far.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Seen {
    of: String,
    pub(crate) tags: Tags,
    /// How often there was something new.
    pub(crate) changes: u64,
    /// Those of the newest answer at the end.
    marks: Vec<Mark>,
}

/// As it is written down.
#[derive(Serialize, Deserialize)]
struct Written {
    of: String,
    tags: Tags,
    changes: u64,
    marks: String,
}

// === impl Mark ===

impl Mark {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let hex = Digest::of(bytes).hex();
        let mut mark = [0; 8];
        let start = hex.get(..16).unwrap_or_default();
        let _ = hex::decode_to_slice(start, &mut mark);
        Self(mark)
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

// === impl Tags ===

impl Tags {
    pub(crate) fn of(headers: &http::HeaderMap) -> Self {
        let text = |name| {
            let value = headers.get(name)?.to_str().ok()?;
            (value.len() <= TAG).then(|| value.to_owned())
        };
        Self {
            etag: text(http::header::ETAG),
            modified: text(http::header::LAST_MODIFIED),
        }
    }
}

// === impl Seen ===

impl Seen {
    pub(crate) fn new(of: &str) -> Self {
        Self {
            of: of.to_owned(),
            tags: Tags::default(),
            changes: 0,
            marks: Vec::new(),
        }
    }

    /// What was written down, if it is of the same page.
    pub(crate) fn read(bytes: &[u8], of: &str) -> Option<Self> {
        let written: Written = serde_json::from_slice(bytes).ok()?;
        let marks = hex::decode(&written.marks).ok()?;
        let marks = marks
            .chunks_exact(8)
            .filter_map(|mark| mark.try_into().ok());
        (written.of == of).then(|| Self {
            of: written.of,
            tags: written.tags,
            changes: written.changes,
            marks: marks.map(Mark).collect(),
        })
    }

    pub(crate) fn written(&self) -> Bytes {
        let marks: Vec<u8> = self.marks.iter().flat_map(|mark| mark.0).collect();
        let written = Written {
            of: self.of.clone(),
            tags: self.tags.clone(),
            changes: self.changes,
            marks: hex::encode(marks),
        };
        serde_json::to_vec(&written).unwrap_or_default().into()
    }

    pub(crate) fn has(&self, mark: Mark) -> bool {
        self.marks.contains(&mark)
    }

    pub(crate) fn is_last(&self, mark: Mark) -> bool {
        self.marks.last() == Some(&mark)
    }

    /// All of an answer was seen.
    pub(crate) fn see(&mut self, marks: impl Iterator<Item = Mark>, changed: bool) {
        let newest: Vec<Mark> = marks.collect();
        let now: HashSet<Mark> = newest.iter().copied().collect();
        self.marks.retain(|mark| !now.contains(mark));
        self.marks.extend(newest);
        let over = self.marks.len().saturating_sub(MOST);
        self.marks.drain(..over);
        self.changes += u64::from(changed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_seen_is_known_again_after_it_was_written_down() {
        let mut seen = Seen::new("page");
        let mark = |n: usize| Mark::of(n.to_string().as_bytes());
        seen.see((0..MOST).map(mark), true);
        seen.see((MOST - 1..MOST + 10).map(mark), true);
        assert!(!seen.has(mark(9)) && seen.has(mark(11)) && seen.has(mark(MOST + 9)));
        seen.tags.etag = Some("\"x\"".repeat(300));
        let written = seen.written();
        assert!(written.len() < gust_trigger::MEMORY);
        assert_eq!(Seen::read(&written, "page").unwrap(), seen);
        assert_eq!(Seen::read(&written, "another page"), None);
        assert_eq!(Seen::read(b"nonsense", "page"), None);
    }
}
