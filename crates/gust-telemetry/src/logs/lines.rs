//! Bytes to lines. Guests write in pieces of their own; a line is joined per call and stream, and every buffer is bounded.

use std::collections::HashMap;

use gust_types::{FunctionKey, call::CallId};

use super::{Chunk, Stream};

/// A longer line is cut into lines of this size.
pub(super) const MAX_LINE: usize = 16 * 1024;
/// Unfinished lines held at once, in number and in bytes; beyond it all of them are let go as they are.
const MAX_PARTIAL: usize = 4096;
const MAX_PARTIAL_BYTES: usize = 8 << 20;
/// An unfinished line that gets nothing more for this long is a line.
pub(super) const PATIENCE_US: u64 = 1_000_000;

/// A line whose text is complete.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Joined {
    pub(super) key: FunctionKey,
    pub(super) revision: u64,
    pub(super) call: CallId,
    pub(super) stream: Stream,
    pub(super) time_us: u64,
    pub(super) text: String,
}

/// The lines under way.
#[derive(Default)]
pub(super) struct Joiner {
    partial: HashMap<(CallId, Stream), Partial>,
    bytes: usize,
}

/// The beginning of a line.
struct Partial {
    key: FunctionKey,
    revision: u64,
    began_us: u64,
    touched_us: u64,
    bytes: Vec<u8>,
}

// === impl Joiner ===

impl Joiner {
    /// Takes a chunk and emits every line that it completes.
    pub(super) fn push(&mut self, chunk: &Chunk, emit: &mut impl FnMut(Joined)) {
        let mut rest: &[u8] = &chunk.bytes;
        while let Some(end) = rest.iter().position(|b| *b == b'\n') {
            let (line, after) = (&rest[..end], &rest[end + 1..]);
            rest = after;
            match self.take(chunk) {
                Some(mut partial) => {
                    partial.bytes.extend_from_slice(line);
                    partial.emit(chunk, emit);
                }
                None => emit_pieces(chunk, chunk.time_us, line, emit),
            }
        }
        if !rest.is_empty() {
            self.keep(chunk, rest, emit);
        }
        if chunk.stream == Stream::Platform {
            // Our own words come whole.
            self.end(chunk, emit);
        }
    }

    /// Whether a line is under way.
    pub(super) fn is_empty(&self) -> bool {
        self.partial.is_empty()
    }

    /// Emits the lines that nothing was added to since `before_us`.
    pub(super) fn expire(&mut self, before_us: u64, emit: &mut impl FnMut(Joined)) {
        let old: Vec<_> = self
            .partial
            .iter()
            .filter(|(_, partial)| partial.touched_us < before_us)
            .map(|(at, _)| *at)
            .collect();
        for at in old {
            if let Some(partial) = self.partial.remove(&at) {
                self.bytes -= partial.bytes.len();
                partial.emit_as(at, emit);
            }
        }
    }

    fn take(&mut self, chunk: &Chunk) -> Option<Partial> {
        let found = self.partial.remove(&(chunk.call, chunk.stream))?;
        self.bytes -= found.bytes.len();
        Some(found)
    }

    fn end(&mut self, chunk: &Chunk, emit: &mut impl FnMut(Joined)) {
        if let Some(partial) = self.take(chunk) {
            partial.emit(chunk, emit);
        }
    }

    fn keep(&mut self, chunk: &Chunk, rest: &[u8], emit: &mut impl FnMut(Joined)) {
        let mut partial = self.take(chunk).unwrap_or_else(|| Partial {
            key: chunk.key.clone(),
            revision: chunk.revision,
            began_us: chunk.time_us,
            touched_us: 0,
            bytes: Vec::new(),
        });
        partial.touched_us = chunk.time_us;
        partial.bytes.extend_from_slice(rest);
        while partial.bytes.len() > MAX_LINE {
            let after = partial.bytes.split_off(cut(&partial.bytes));
            emit_piece(chunk, partial.began_us, &partial.bytes, emit);
            partial.bytes = after;
            partial.began_us = chunk.time_us;
        }
        if self.partial.len() >= MAX_PARTIAL || self.bytes + partial.bytes.len() > MAX_PARTIAL_BYTES
        {
            self.expire(u64::MAX, emit);
        }
        self.bytes += partial.bytes.len();
        self.partial.insert((chunk.call, chunk.stream), partial);
    }
}

impl Partial {
    fn emit(self, chunk: &Chunk, emit: &mut impl FnMut(Joined)) {
        self.emit_as((chunk.call, chunk.stream), emit);
    }

    fn emit_as(self, (call, stream): (CallId, Stream), emit: &mut impl FnMut(Joined)) {
        let chunk = Chunk {
            key: self.key,
            revision: self.revision,
            call,
            stream,
            time_us: self.began_us,
            bytes: Box::default(),
        };
        emit_pieces(&chunk, self.began_us, &self.bytes, emit);
    }
}

fn emit_pieces(from: &Chunk, time_us: u64, mut line: &[u8], emit: &mut impl FnMut(Joined)) {
    if let Some(bare) = line.strip_suffix(b"\r") {
        line = bare;
    }
    while line.len() > MAX_LINE {
        let (piece, rest) = line.split_at(cut(line));
        emit_piece(from, time_us, piece, emit);
        line = rest;
    }
    emit_piece(from, time_us, line, emit);
}

fn emit_piece(from: &Chunk, time_us: u64, piece: &[u8], emit: &mut impl FnMut(Joined)) {
    emit(Joined {
        key: from.key.clone(),
        revision: from.revision,
        call: from.call,
        stream: from.stream,
        time_us,
        text: String::from_utf8_lossy(piece).into_owned(),
    });
}

/// Where to cut a long line: at the limit, or a little before it when a character would be split.
fn cut(line: &[u8]) -> usize {
    let within_character = |at: &usize| line.get(*at).is_some_and(|b| b & 0xC0 == 0x80);
    (MAX_LINE - 3..=MAX_LINE)
        .rev()
        .find(|at| !within_character(at))
        .unwrap_or(MAX_LINE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::tests::key;

    fn chunk(call: u128, stream: Stream, time_us: u64, bytes: &[u8]) -> Chunk {
        Chunk {
            key: key("f"),
            revision: 1,
            call: CallId(call),
            stream,
            time_us,
            bytes: bytes.into(),
        }
    }

    fn check(chunks: &[(u128, &[u8])], expected: &[(u128, &str)]) {
        let mut joiner = Joiner::default();
        let mut got = Vec::new();
        for (at, (call, bytes)) in chunks.iter().enumerate() {
            let chunk = chunk(*call, Stream::Stdout, at as u64, bytes);
            joiner.push(&chunk, &mut |line| got.push((line.call.0, line.text)));
        }
        joiner.expire(u64::MAX, &mut |line| got.push((line.call.0, line.text)));
        let expected: Vec<_> = expected
            .iter()
            .map(|(c, t)| (*c, (*t).to_owned()))
            .collect();
        assert_eq!(got, expected);
        assert_eq!((joiner.bytes, joiner.partial.len()), (0, 0));
    }

    #[test]
    fn bytes_become_lines() {
        check(
            &[(1, b"a\nb\r\n\nc")],
            &[(1, "a"), (1, "b"), (1, ""), (1, "c")],
        );
        check(&[(1, b"he"), (1, b"ll"), (1, b"o\n")], &[(1, "hello")]);
        check(
            &[(1, b"one "), (2, b"two\n"), (1, b"more\n")],
            &[(2, "two"), (1, "one more")],
        );
        check(&[(1, b"\xff\xfe ok\n")], &[(1, "\u{fffd}\u{fffd} ok")]);
    }

    #[test]
    fn a_character_split_between_writes_is_whole_again() {
        check(&[(1, b"\xe4\xbd"), (1, b"\xa0\n")], &[(1, "你")]);
    }

    #[test]
    fn long_lines_are_cut_between_characters() {
        let long = "你".repeat(MAX_LINE / 3 + 10);
        let mut got = Vec::new();
        let mut joiner = Joiner::default();
        for piece in long.as_bytes().chunks(1000) {
            joiner.push(&chunk(1, Stream::Stdout, 0, piece), &mut |line| {
                got.push(line.text)
            });
        }
        joiner.push(&chunk(1, Stream::Stdout, 0, b"\n"), &mut |line| {
            got.push(line.text)
        });
        assert_eq!(got.len(), 2);
        assert!(got.iter().all(|text| text.len() <= MAX_LINE));
        assert_eq!(got.concat(), long, "nothing is lost and nothing replaced");

        got.clear();
        let whole = [long.as_bytes(), b"\n"].concat();
        joiner.push(&chunk(1, Stream::Stdout, 0, &whole), &mut |line| {
            got.push(line.text)
        });
        assert_eq!(got.concat(), long, "the same when it comes in one piece");
    }

    #[test]
    fn unfinished_lines_are_bounded_and_expire() {
        let mut joiner = Joiner::default();
        let mut lines = 0;
        for call in 0..(MAX_PARTIAL as u128 + 1) {
            joiner.push(&chunk(call, Stream::Stderr, call as u64, b"x"), &mut |_| {
                lines += 1
            });
        }
        assert_eq!(lines, MAX_PARTIAL, "all were let go when one too many came");
        assert_eq!(joiner.partial.len(), 1);
        joiner.expire(PATIENCE_US, &mut |_| lines += 1);
        assert!(joiner.is_empty());
        let big = vec![b'y'; MAX_LINE];
        for call in 0..1000 {
            joiner.push(&chunk(call, Stream::Stdout, 0, &big), &mut |_| ());
            assert!(joiner.bytes <= MAX_PARTIAL_BYTES);
        }
    }

    #[test]
    fn the_platforms_words_need_no_line_end() {
        let mut got = Vec::new();
        let mut joiner = Joiner::default();
        joiner.push(&chunk(1, Stream::Platform, 0, b"trapped"), &mut |line| {
            got.push(line.text)
        });
        assert_eq!(got, ["trapped"]);
    }
}
