//! How anything is said: data on stdout, everything else on stderr.

use std::io::{ErrorKind, IsTerminal as _, Write as _};

use gust_types::{Error, Result};
use serde::Serialize;
use unicode_width::UnicodeWidthStr as _;

/// Writes data. A reader that has gone away (`gust ls | head -1`) is no fault.
pub(crate) fn out(bytes: &[u8]) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => gone(),
        Err(error) => Err(Error::unavailable("cannot write to stdout").because(error)),
    }
}

#[expect(clippy::exit, reason = "nobody reads on: there is nothing left to do")]
fn gone() -> ! {
    std::process::exit(0)
}

/// Writes a line of data.
pub(crate) fn line(text: &str) -> Result<()> {
    out(format!("{text}\n").as_bytes())
}

/// Writes one JSON document.
pub(crate) fn json<T: Serialize>(value: &T) -> Result<()> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|e| Error::internal("cannot write json").because(e))?;
    line(&text)
}

/// Says something on stderr.
pub(crate) fn say(text: &str) {
    // Nowhere is left to report to when stderr is gone.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Asks for something on stderr, on the line where it is typed.
pub(crate) fn prompt(text: &str) {
    let mut to = std::io::stderr().lock();
    let _ = write!(to, "{text}").and_then(|()| to.flush());
}

/// Something to look at; the command goes on.
pub(crate) fn warn(text: &str) {
    say(&format!("warning: {text}"));
}

/// An error with its causes and what to do next.
pub(crate) fn error(error: &Error) {
    say(&describe(error));
}

fn describe(error: &Error) -> String {
    let mut text = format!("error: {}", error.message);
    let mut last = error.message.clone();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        let message = cause.to_string();
        // Some libraries repeat their cause; a person needs to read it once.
        if !last.contains(&message) {
            text.push_str(&format!(
                "\n  cause: {}",
                message.trim_end().replace('\n', "\n  ")
            ));
        }
        last = message;
        next = cause.source();
    }
    if let Some(hint) = &error.hint {
        text.push_str(&format!("\nhint: {hint}"));
    }
    text
}

/// A guest's output may not steer the terminal of who reads it.
pub(crate) fn printable(text: &str) -> String {
    text.replace(|c: char| c.is_control() && c != '\t', "\u{fffd}")
}

/// Whether progress is drawn or told in lines.
pub(crate) fn stderr_is_terminal() -> bool {
    std::io::stderr().is_terminal()
}

/// Columns of text. The first row is the heading.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
    right: Vec<usize>,
}

// === impl Table ===

impl Table {
    /// A table with this heading; the columns of `right` hold numbers.
    pub(crate) fn new(heading: &[&str], right: &[usize]) -> Self {
        let heading = heading.iter().map(|h| (*h).to_owned()).collect();
        Self {
            rows: vec![heading],
            right: right.to_vec(),
        }
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    pub(crate) fn print(&self) -> Result<()> {
        out(self.text().as_bytes())
    }

    pub(crate) fn text(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|i| {
                self.rows
                    .iter()
                    .filter_map(|r| r.get(i))
                    .map(|c| c.width())
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (i, cell) in row.iter().enumerate() {
                let pad = " ".repeat(widths[i] - cell.width());
                let between = if i == 0 { "" } else { "  " };
                match self.right.contains(&i) {
                    true => line.push_str(&format!("{between}{pad}{cell}")),
                    false => line.push_str(&format!("{between}{cell}{pad}")),
                }
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// Rows of comma-separated values.
pub(crate) fn csv(rows: &[Vec<String>]) -> Result<()> {
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> = row.iter().map(|cell| csv_cell(cell)).collect();
        text.push_str(&cells.join(","));
        text.push('\n');
    }
    out(text.as_bytes())
}

fn csv_cell(cell: &str) -> String {
    if cell.contains(['"', ',', '\n', '\r']) {
        return format!("\"{}\"", cell.replace('"', "\"\""));
    }
    cell.to_owned()
}

/// The names of everything in a document, in its order; what is in documents within it stands beside the rest.
pub(crate) fn names(document: &impl Serialize) -> Result<Vec<String>> {
    Ok(leaves(document)?
        .into_iter()
        .map(|(name, _)| name)
        .collect())
}

/// The values under these names, exact.
pub(crate) fn values(document: &impl Serialize) -> Result<Vec<String>> {
    Ok(leaves(document)?
        .into_iter()
        .map(|(_, value)| value)
        .collect())
}

fn leaves(document: &impl Serialize) -> Result<Vec<(String, String)>> {
    let value = serde_json::to_value(document)
        .map_err(|e| Error::internal("cannot write json").because(e))?;
    let mut found = Vec::new();
    gather("", value, &mut found);
    Ok(found)
}

fn gather(name: &str, value: serde_json::Value, found: &mut Vec<(String, String)>) {
    let text = match value {
        serde_json::Value::Object(fields) => {
            return fields.into_iter().for_each(|(n, v)| gather(&n, v, found));
        }
        serde_json::Value::Null => String::new(),
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    };
    found.push((name.to_owned(), text));
}

/// A count of bytes for people.
pub(crate) fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut value = n as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    match unit {
        0 => format!("{n} B"),
        _ if value < 9.995 => format!("{value:.2} {}", UNITS[unit]),
        _ if value < 99.95 => format!("{value:.1} {}", UNITS[unit]),
        _ => format!("{value:.0} {}", UNITS[unit]),
    }
}

/// A length of time for people.
pub(crate) fn micros(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..1_000_000 => format!("{:.1} ms", us as f64 / 1e3),
        1_000_000..60_000_000 => format!("{:.2} s", us as f64 / 1e6),
        _ => format!("{:.1} min", us as f64 / 6e7),
    }
}

/// How long ago that was, for people.
pub(crate) fn age(at_us: Option<u64>) -> String {
    match at_us {
        Some(at) => micros(gust_task::clock::unix_micros().saturating_sub(at)),
        None => "-".to_owned(),
    }
}

/// The beginning of a text on one line, so many letters of it.
pub(crate) fn beginning(text: &str, letters: usize) -> String {
    let mut shown: String = printable(text).chars().take(letters).collect();
    if text.chars().count() > letters {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_aligned_whatever_the_script() {
        let mut table = Table::new(&["NAME", "CALLS"], &[1]);
        table.row(vec!["你好".into(), "7".into()]);
        table.row(vec!["longer".into(), "1000".into()]);
        assert_eq!(
            table.text(),
            "NAME    CALLS\n你好        7\nlonger   1000\n"
        );
    }

    #[test]
    fn errors_tell_causes_once_and_the_hint_last() {
        let inner = std::io::Error::other("disk");
        let error = Error::unavailable("cannot write: x")
            .because(inner)
            .hint("make room");
        assert_eq!(
            describe(&error),
            "error: cannot write: x\n  cause: disk\nhint: make room"
        );
        let repeated = Error::invalid("bad: disk").because(std::io::Error::other("disk"));
        assert_eq!(describe(&repeated), "error: bad: disk");
    }

    #[test]
    fn quantities_are_short() {
        for (n, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.00 kB"),
            (12_345, "12.3 kB"),
            (999_999, "1.00 MB"),
            (123_456_789, "123 MB"),
        ] {
            assert_eq!(bytes(n), text);
        }
        for (us, text) in [
            (5, "5 µs"),
            (1_500, "1.5 ms"),
            (2_500_000, "2.50 s"),
            (90_000_000, "1.5 min"),
        ] {
            assert_eq!(micros(us), text);
        }
    }

    #[test]
    fn documents_within_documents_are_laid_flat() {
        let document = serde_json::json!({"b": 1, "a": {"x": "你", "y": null}, "c": u64::MAX});
        assert_eq!(names(&document).unwrap(), ["b", "x", "y", "c"]);
        assert_eq!(
            values(&document).unwrap(),
            ["1", "你", "", "18446744073709551615"]
        );
    }

    #[test]
    fn cells_with_commas_are_quoted() {
        assert_eq!(csv_cell("a,\"b\""), "\"a,\"\"b\"\"\"");
        assert_eq!(csv_cell("hello"), "hello");
    }
}
