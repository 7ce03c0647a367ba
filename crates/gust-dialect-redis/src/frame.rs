//! Requests as they come over the wire: arrays of bulk strings, or lines of words.
//!
//! Nothing is parsed twice and nothing is taken in that was not allowed before: a length is checked where it stands, and
//! room is made only for bytes that have come.

use bytes::{Buf as _, Bytes, BytesMut};

/// A request: the command's name and its arguments; never empty.
pub(crate) type Request = Vec<Bytes>;

/// What a request may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Words.
    pub(crate) words: usize,
    /// Bytes of a word.
    pub(crate) word: usize,
    /// Bytes of all words, with what it takes to keep them.
    pub(crate) bytes: usize,
}

/// Bytes of a line: a request of words, or a length.
const LINE: usize = 64 << 10;
/// Bytes of a length in digits.
const LENGTH: usize = 32;
/// What a word costs beside its bytes.
const WORD: usize = 64;
/// Words below this many bytes are copied, so that they do not keep everything that came with them.
const COPIED: usize = 16 << 10;

/// What has come of a request so far.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    words: Vec<Bytes>,
    bytes: usize,
    /// Words of an array that are still to come; 0 between requests.
    missing: usize,
    /// Bytes of the word that is to come.
    word: Option<usize>,
    /// Bytes in which there is no end of a line.
    looked: usize,
}

/// Why the bytes are no request, in the words of Redis. Nothing behind them can be understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) String);

fn malformed<T>(text: impl Into<String>) -> Result<T, Malformed> {
    Err(Malformed(text.into()))
}

// === impl Parser ===

impl Parser {
    /// The next request, if all of it is there. Takes what it understands out of `heard`.
    pub(crate) fn next(
        &mut self,
        heard: &mut BytesMut,
        limits: &Limits,
    ) -> Result<Option<Request>, Malformed> {
        loop {
            if self.missing == 0 {
                match heard.first() {
                    None => return Ok(None),
                    Some(b'*') => match self.array(heard, limits)? {
                        Some(()) => continue,
                        None => return Ok(None),
                    },
                    Some(_) => match self.inline(heard, limits)? {
                        Some(words) if words.is_empty() => continue,
                        line => return Ok(line),
                    },
                }
            }
            if self.one(heard, limits)?.is_none() {
                return Ok(None);
            }
            if self.missing == 0 {
                self.bytes = 0;
                return Ok(Some(std::mem::take(&mut self.words)));
            }
        }
    }

    /// Bytes that the request under way takes.
    pub(crate) fn held(&self) -> usize {
        self.bytes
    }

    /// Whether a request has begun and is not all there.
    pub(crate) fn is_under_way(&self) -> bool {
        self.missing > 0
    }

    fn array(&mut self, heard: &mut BytesMut, limits: &Limits) -> Result<Option<()>, Malformed> {
        let Some(line) = self.line(heard, LENGTH, "too big mbulk count string")? else {
            return Ok(None);
        };
        let count = number(line.get(1..).unwrap_or_default());
        let Some(count) = count.filter(|count| *count <= 1 << 30) else {
            return malformed("invalid multibulk length");
        };
        let count = usize::try_from(count).unwrap_or(0);
        if count > limits.words {
            return malformed("invalid multibulk length");
        }
        self.missing = count;
        self.words = Vec::with_capacity(count.min(64));
        Ok(Some(()))
    }

    fn one(&mut self, heard: &mut BytesMut, limits: &Limits) -> Result<Option<()>, Malformed> {
        let length = match self.word {
            Some(length) => length,
            None => {
                let Some(length) = self.length(heard, limits)? else {
                    return Ok(None);
                };
                self.word = Some(length);
                length
            }
        };
        if heard.len() < length + 2 {
            return Ok(None);
        }
        let word = match length < COPIED {
            true => {
                let word = Bytes::copy_from_slice(heard.get(..length).unwrap_or_default());
                heard.advance(length);
                word
            }
            false => heard.split_to(length).freeze(),
        };
        // As Redis has it, what ends a word is not looked at.
        heard.advance(2);
        self.words.push(word);
        self.word = None;
        self.missing -= 1;
        Ok(Some(()))
    }

    fn length(
        &mut self,
        heard: &mut BytesMut,
        limits: &Limits,
    ) -> Result<Option<usize>, Malformed> {
        match heard.first() {
            Some(b'$') => {}
            Some(other) => {
                let other = char::from(*other).escape_default();
                return malformed(format!("expected '$', got '{other}'"));
            }
            None => return Ok(None),
        }
        let Some(line) = self.line(heard, LENGTH, "too big bulk count string")? else {
            return Ok(None);
        };
        let length = number(line.get(1..).unwrap_or_default());
        let length = length.and_then(|length| usize::try_from(length).ok());
        let Some(length) = length.filter(|length| *length <= limits.word) else {
            return malformed("invalid bulk length");
        };
        self.bytes += length + WORD;
        if self.bytes > limits.bytes {
            return malformed("the request is too big");
        }
        Ok(Some(length))
    }

    /// A line without its end, taken out of what was heard.
    fn line(
        &mut self,
        heard: &mut BytesMut,
        most: usize,
        else_: &str,
    ) -> Result<Option<BytesMut>, Malformed> {
        let end = heard.len().min(most);
        let fresh = heard.get(self.looked..end).unwrap_or_default();
        let Some(end) = fresh.iter().position(|byte| *byte == b'\n') else {
            self.looked = end;
            return match heard.len() >= most {
                true => malformed(else_),
                false => Ok(None),
            };
        };
        let end = self.looked + end;
        self.looked = 0;
        let mut line = heard.split_to(end + 1);
        line.truncate(end);
        if line.last() == Some(&b'\r') {
            line.truncate(end - 1);
        }
        Ok(Some(line))
    }

    /// A request of words in one line, some of them perhaps quoted.
    fn inline(
        &mut self,
        heard: &mut BytesMut,
        limits: &Limits,
    ) -> Result<Option<Request>, Malformed> {
        let Some(line) = self.line(heard, LINE, "too big inline request")? else {
            return Ok(None);
        };
        let Some(words) = split(&line) else {
            return malformed("unbalanced quotes in request");
        };
        let bytes: usize = words.iter().map(|word| word.len() + WORD).sum();
        if words.len() > limits.words || bytes > limits.bytes {
            return malformed("too big inline request");
        }
        Ok(Some(words.into_iter().map(Bytes::from).collect()))
    }
}

fn number(digits: &[u8]) -> Option<i64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The words of a line; `None` when quotes do not match.
fn split(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut rest = line.iter().copied().peekable();
    loop {
        while rest.next_if(u8::is_ascii_whitespace).is_some() {}
        let Some(first) = rest.peek().copied() else {
            return Some(words);
        };
        let mut word = Vec::new();
        let mut next = Some(first);
        while let Some(byte) = next {
            if byte.is_ascii_whitespace() {
                break;
            }
            rest.next();
            match byte {
                b'"' | b'\'' => {
                    quoted(byte, &mut rest, &mut word)?;
                    // A word ends with its quotes.
                    if rest.peek().is_some_and(|byte| !byte.is_ascii_whitespace()) {
                        return None;
                    }
                }
                byte => word.push(byte),
            }
            next = rest.peek().copied();
        }
        words.push(word);
    }
}

type Line<'a> = std::iter::Peekable<std::iter::Copied<std::slice::Iter<'a, u8>>>;

fn quoted(quote: u8, rest: &mut Line<'_>, word: &mut Vec<u8>) -> Option<()> {
    loop {
        match (rest.next()?, quote) {
            (byte, quote) if byte == quote => return Some(()),
            (b'\\', b'\'') => match rest.next_if_eq(&b'\'') {
                Some(byte) => word.push(byte),
                None => word.push(b'\\'),
            },
            (b'\\', _) => match rest.next()? {
                b'n' => word.push(b'\n'),
                b'r' => word.push(b'\r'),
                b't' => word.push(b'\t'),
                b'b' => word.push(8),
                b'a' => word.push(7),
                b'x' => hexadecimal(rest, word),
                byte => word.push(byte),
            },
            (byte, _) => word.push(byte),
        }
    }
}

/// `\xNN`; without two digits it is an `x`.
fn hexadecimal(rest: &mut Line<'_>, word: &mut Vec<u8>) {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let mut ahead = rest.clone();
    let digits = ahead
        .next()
        .and_then(digit)
        .zip(ahead.next().and_then(digit));
    match digits {
        Some((high, low)) => {
            word.push((high * 16 + low) as u8);
            *rest = ahead;
        }
        None => word.push(b'x'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        words: 100,
        word: 1 << 20,
        bytes: 1 << 21,
    };

    /// All that is understood, given in pieces of this size, and why it ends.
    fn all(bytes: &[u8], step: usize) -> (Vec<Vec<String>>, Option<String>) {
        let (mut parser, mut heard, mut found) = (Parser::default(), BytesMut::new(), Vec::new());
        for piece in bytes.chunks(step) {
            heard.extend_from_slice(piece);
            loop {
                match parser.next(&mut heard, &LIMITS) {
                    Ok(Some(words)) => {
                        let text = |w: &Bytes| String::from_utf8_lossy(w).into_owned();
                        found.push(words.iter().map(text).collect());
                    }
                    Ok(None) => break,
                    Err(Malformed(why)) => return (found, Some(why)),
                }
            }
        }
        (found, None)
    }

    #[track_caller]
    fn check(bytes: &[u8], expected: &[&[&str]], why: Option<&str>) {
        for step in [1, 2, 7, bytes.len().max(1)] {
            let (found, ended) = all(bytes, step);
            assert_eq!(found, expected, "{step}");
            assert_eq!(ended.as_deref(), why, "{step}");
        }
    }

    #[test]
    fn arrays_and_lines_are_requests() {
        check(
            b"*2\r\n$3\r\nGET\r\n$3\r\nfoo\r\n",
            &[&["GET", "foo"]],
            None,
        );
        check(b"*1\r\n$0\r\n\r\n", &[&[""]], None);
        check(b"*0\r\n*-1\r\n\r\n \r\nPING\n", &[&["PING"]], None);
        check(
            "SET 键 \"a b\\x41\\n\"\r\n".as_bytes(),
            &[&["SET", "键", "a bA\n"]],
            None,
        );
        check(
            b"SET 'it\\'s' \"\\xzz\\\"\"\r\n",
            &[&["SET", "it's", "xzz\""]],
            None,
        );
        check(b"*2\r\n$3\r\nGET\r\n$3\r\nfo", &[], None);
    }

    #[test]
    fn what_is_malformed_says_why() {
        check(b"*x\r\n", &[], Some("invalid multibulk length"));
        check(b"*101\r\n", &[], Some("invalid multibulk length"));
        check(
            b"*99999999999999999999\r\n",
            &[],
            Some("invalid multibulk length"),
        );
        check(b"*1\r\n:3\r\n", &[], Some("expected '$', got ':'"));
        check(b"*1\r\n$-1\r\n", &[], Some("invalid bulk length"));
        check(b"*1\r\n$1048577\r\n", &[], Some("invalid bulk length"));
        check(b"*3\r\n$1048576\r\n", &[], None);
        check(b"SET \"a\r\n", &[], Some("unbalanced quotes in request"));
        check(b"SET \"a\"b\r\n", &[], Some("unbalanced quotes in request"));
        let long = [b'1'; LENGTH + 1];
        check(
            &[&b"*"[..], &long].concat(),
            &[],
            Some("too big mbulk count string"),
        );
        let line = vec![b'a'; LINE + 1];
        check(&line, &[], Some("too big inline request"));
    }

    #[test]
    fn a_request_is_bounded_as_a_whole() {
        let mut bytes = b"*3\r\n".to_vec();
        for _ in 0..2 {
            bytes.extend(b"$1048576\r\n");
            bytes.resize(bytes.len() + (1 << 20), b'v');
            bytes.extend(b"\r\n");
        }
        let (found, why) = all(&bytes, 1 << 16);
        assert!(found.is_empty());
        assert_eq!(why.as_deref(), Some("the request is too big"));
    }
}
