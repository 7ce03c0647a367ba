//! Faults in a manifest: where they are, what they are, what to do, and how that is printed.

use std::{fmt, ops::Range};

use gust_types::{Blame, Error, Kind};
use unicode_width::UnicodeWidthChar;

/// The most faults that one error carries; the rest are counted.
pub const MAX_FAULTS: usize = 20;

/// The widest excerpt, in columns of a terminal.
const MAX_EXCERPT: usize = 120;

/// A manifest that cannot be used, with every fault that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestError {
    /// The manifest, as the caller named it.
    pub file: String,
    /// What went wrong as a whole.
    pub kind: Kind,
    /// In the order of their place; never empty.
    pub faults: Vec<Fault>,
    /// How many more there were.
    pub more: usize,
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where, if it has a place in the file.
    pub place: Option<Place>,
    /// Lower case, no full stop.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
}

/// A place in the manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Counts from 1.
    pub line: usize,
    /// Counts characters from 1.
    pub column: usize,
    /// The line, shortened when it is long.
    pub text: String,
    /// Columns of a terminal before the fault in `text`.
    pub indent: usize,
    /// Columns of a terminal that the fault takes in `text`; at least 1.
    pub width: usize,
}

// === impl ManifestError ===

impl ManifestError {
    /// An error about the file as a whole.
    pub fn whole(file: impl Into<String>, kind: Kind, message: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            kind,
            faults: vec![Fault {
                place: None,
                message: message.into(),
                hint: None,
            }],
            more: 0,
        }
    }

    /// Adds what to do next to the last fault.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        if let Some(fault) = self.faults.last_mut() {
            fault.hint = Some(hint.into());
        }
        self
    }
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, fault) in self.faults.iter().enumerate() {
            if i > 0 {
                f.write_str("\n\n")?;
            }
            fault.print(f, &self.file)?;
        }
        if self.more > 0 {
            write!(f, "\n\nand {} more", self.more)?;
        }
        Ok(())
    }
}

impl std::error::Error for ManifestError {}

impl From<ManifestError> for Error {
    fn from(error: ManifestError) -> Self {
        Error::new(error.kind, Blame::Caller, error.to_string())
    }
}

// === impl Fault ===

impl Fault {
    fn print(&self, f: &mut fmt::Formatter<'_>, file: &str) -> fmt::Result {
        match &self.place {
            None => write!(f, "{file}: {}", self.message)?,
            Some(place) => {
                writeln!(
                    f,
                    "{file}:{}:{}: {}",
                    place.line, place.column, self.message
                )?;
                place.print(f)?;
            }
        }
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

// === impl Place ===

impl Place {
    /// Finds a byte range in the text of the manifest.
    pub(crate) fn find(text: &str, span: &Range<usize>) -> Self {
        let start = floor(text, span.start);
        let before = &text[..start];
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |i| start + i);
        let line = text[line_start..line_end].trim_end_matches('\r');
        let head = &line[..(start - line_start).min(line.len())];
        let end = floor(text, span.end).saturating_sub(line_start);
        let marked = &line[head.len()..end.clamp(head.len(), line.len())];
        let (text, indent) = excerpt(line, head);
        let room = columns(&text).saturating_sub(indent);
        Self {
            line: before.matches('\n').count() + 1,
            column: head.chars().count() + 1,
            width: columns(marked).min(room).max(1),
            text,
            indent,
        }
    }

    fn print(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        let (indent, carets) = (" ".repeat(self.indent), "^".repeat(self.width));
        writeln!(f, " {margin} |")?;
        writeln!(f, " {number} | {}", self.text)?;
        write!(f, " {margin} | {indent}{carets}")
    }
}

/// The part of the line around the fault that fits, made safe to print, and the columns before the fault in it.
fn excerpt(line: &str, head: &str) -> (String, usize) {
    let mut skipped = 0;
    if columns(line) > MAX_EXCERPT && columns(head) > MAX_EXCERPT / 2 {
        let mut kept = 0;
        skipped = head
            .char_indices()
            .rev()
            .find(|(_, c)| {
                kept += width(*c);
                kept > MAX_EXCERPT / 2
            })
            .map_or(0, |(i, c)| i + c.len_utf8());
    }
    let mut text = String::from(if skipped > 0 { "…" } else { "" });
    let indent = columns(&text) + columns(&head[skipped..]);
    let mut used = columns(&text);
    for c in line[skipped..].chars() {
        if used + width(c) > MAX_EXCERPT {
            text.push('…');
            break;
        }
        used += width(c);
        match c {
            '\t' => text.push_str("    "),
            c if c.is_control() => text.push('\u{fffd}'),
            c => text.push(c),
        }
    }
    (text, indent)
}

fn columns(text: &str) -> usize {
    text.chars().map(width).sum()
}

fn width(c: char) -> usize {
    match c {
        '\t' => 4,
        c if c.is_control() => 1,
        c => c.width().unwrap_or(0),
    }
}

fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}
