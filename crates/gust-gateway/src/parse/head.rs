//! Request heads as they came over the wire, where the HTTP library has already smoothed things over.

/// What a raw head says about where its message ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Framing {
    /// How many `Content-Length` lines it has.
    pub lengths: usize,
    /// How many `Transfer-Encoding` lines it has.
    pub codings: usize,
    /// It has a folded line or a carriage return that does not end one.
    pub odd: bool,
}

/// The framing of the head that `captured` begins with, when it is whole and belongs to this request. Bytes that were
/// pipelined behind another request are not captured from their beginning; nothing is said about those.
pub fn framing(captured: &[u8], method: &[u8], path: &[u8]) -> Option<Framing> {
    let mut lines = Lines(captured);
    let first = loop {
        match lines.next()? {
            // Some clients send an empty line after a body.
            b"" => continue,
            line => break line,
        }
    };
    let target = first.strip_prefix(method)?.strip_prefix(b" ")?;
    if !path.is_empty() && !target.windows(path.len()).any(|window| window == path) {
        return None;
    }
    let mut found = Framing::default();
    for line in &mut lines {
        if line.is_empty() {
            return Some(found);
        }
        found.odd |= matches!(line.first(), Some(b' ' | b'\t')) || line.contains(&b'\r');
        let name = line.split(|b| *b == b':').next().unwrap_or_default();
        found.lengths += usize::from(name.eq_ignore_ascii_case(b"content-length"));
        found.codings += usize::from(name.eq_ignore_ascii_case(b"transfer-encoding"));
    }
    None
}

/// Lines without their ends, which are `\r\n` or `\n`; what follows the last end is not a line.
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let end = self.0.iter().position(|b| *b == b'\n')?;
        let (line, rest) = self.0.split_at_checked(end)?;
        self.0 = rest.get(1..)?;
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }
}

/// Whether this can be the value of a `Host` header: a name or an address, and a port perhaps. May be empty, as RFC
/// 9110 has it. User info, spaces, slashes and anything beyond ASCII are not for hosts.
pub fn is_host(value: &[u8]) -> bool {
    if value.len() > 300 {
        return false;
    }
    let (name, port) = match value.strip_prefix(b"[") {
        Some(rest) => match rest.iter().position(|b| *b == b']') {
            Some(end) => {
                let (address, after) = rest.split_at(end);
                let address = address
                    .iter()
                    .all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.'));
                if !address || end == 0 {
                    return false;
                }
                (&b"v6"[..], after.get(1..).unwrap_or_default())
            }
            None => return false,
        },
        None => match value.iter().position(|b| *b == b':') {
            Some(colon) => value.split_at(colon),
            None => (value, &b""[..]),
        },
    };
    let name = name
        .iter()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~'));
    let port = match port.strip_prefix(b":") {
        Some(digits) => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        None => port.is_empty(),
    };
    name && port
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_raw_head_tells_what_was_smoothed_over() {
        let check = |head: &str, expected: Option<(usize, usize, bool)>| {
            let found =
                framing(head.as_bytes(), b"POST", b"/a").map(|f| (f.lengths, f.codings, f.odd));
            assert_eq!(found, expected, "{head:?}");
        };
        check("POST /a HTTP/1.1\r\nhost: x\r\n\r\n", Some((0, 0, false)));
        check(
            "\r\n\r\nPOST /a HTTP/1.1\r\nContent-Length: 1\r\n\r\nx",
            Some((1, 0, false)),
        );
        check(
            "POST /a HTTP/1.1\r\nCONTENT-LENGTH: 1\r\ntransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
            Some((2, 1, false)),
        );
        check("POST /a HTTP/1.1\r\na: b\r\n c\r\n\r\n", Some((0, 0, true)));
        check("POST /a HTTP/1.1\r\na: b\rc\r\n\r\n", Some((0, 0, true)));
        check(
            "POST /a HTTP/1.1\nContent-Length: 1\n\n",
            Some((1, 0, false)),
        );
        // A body that looks like a header is behind the head's end.
        check(
            "POST /a HTTP/1.1\r\n\r\nContent-Length: 1\r\n\r\n",
            Some((0, 0, false)),
        );
        // Not whole, or another request's.
        check("POST /a HTTP/1.1\r\nContent-Length: 1\r\n", None);
        check("GET /a HTTP/1.1\r\n\r\n", None);
        check("POST /b HTTP/1.1\r\n\r\n", None);
        check("", None);
    }

    #[test]
    fn hosts_are_names_or_addresses_with_a_port() {
        for good in [
            "",
            "a",
            "a.b:80",
            "A-1_b.c.",
            "127.0.0.1:8080",
            "[::1]",
            "[::1]:80",
            "[::ffff:1.2.3.4]:1",
            "a:",
        ] {
            assert!(is_host(good.as_bytes()), "{good}");
        }
        for bad in [
            "a b", "a/b", "u@h", "a:b", "a:123456", "[::1", "[]", "[::1]x", "a,b", "é", "a\0",
            "http://a",
        ] {
            assert!(!is_host(bad.as_bytes()), "{bad}");
        }
        assert!(!is_host(&[b'a'; 301]));
    }
}
