//! `Range: bytes=…`, a single range of it.

/// The part of a representation that a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All of it: no range, one we do not serve (several ranges, another unit), or a malformed one.
    Whole,
    /// From the first to the last byte, both included.
    Bytes(u64, u64),
    /// A range that this representation does not have.
    None,
}

/// Reads a `Range` header against a representation of `size` bytes. RFC 9110 lets a server ignore what it does not serve.
pub fn range(header: &[u8], size: u64) -> Part {
    let Some(spec) = strip_unit(header) else {
        return Part::Whole;
    };
    let Some(dash) = spec.iter().position(|b| *b == b'-') else {
        return Part::Whole;
    };
    let (first, last) = spec.split_at(dash);
    let last = last.get(1..).unwrap_or_default();
    match (number(first), number(last)) {
        (Number::Is(first), _) if first >= size && !matches!(number(last), Number::Not) => {
            Part::None
        }
        (Number::Is(first), Number::Is(last)) if first <= last => {
            Part::Bytes(first, last.min(size - 1))
        }
        (Number::Is(first), Number::Empty) => Part::Bytes(first, size - 1),
        (Number::Empty, Number::Is(0)) => Part::None,
        (Number::Empty, Number::Is(_)) if size == 0 => Part::None,
        (Number::Empty, Number::Is(suffix)) => Part::Bytes(size.saturating_sub(suffix), size - 1),
        _ => Part::Whole,
    }
}

fn strip_unit(header: &[u8]) -> Option<&[u8]> {
    let (unit, spec) = header.split_at_checked(6)?;
    let spec = spec.trim_ascii();
    (unit.eq_ignore_ascii_case(b"bytes=") && !spec.contains(&b',')).then_some(spec)
}

enum Number {
    Is(u64),
    Empty,
    Not,
}

/// A number too large to count is as good as the largest.
fn number(digits: &[u8]) -> Number {
    if digits.is_empty() {
        return Number::Empty;
    }
    let mut value = 0u64;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return Number::Not;
        }
        value = value
            .saturating_mul(10)
            .saturating_add(u64::from(digit - b'0'));
    }
    Number::Is(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_against_the_size() {
        let check = |header: &str, size: u64, expected: Part| {
            assert_eq!(
                range(header.as_bytes(), size),
                expected,
                "{header} of {size}"
            );
        };
        check("bytes=0-0", 10, Part::Bytes(0, 0));
        check("bytes=2-5", 10, Part::Bytes(2, 5));
        check("bytes=2-", 10, Part::Bytes(2, 9));
        check("bytes=-3", 10, Part::Bytes(7, 9));
        check("bytes=-30", 10, Part::Bytes(0, 9));
        check("BYTES=5-500", 10, Part::Bytes(5, 9));
        check("bytes=0-99999999999999999999999", 10, Part::Bytes(0, 9));
        check("bytes=10-", 10, Part::None);
        check("bytes=10-20", 10, Part::None);
        check("bytes=-0", 10, Part::None);
        check("bytes=0-", 0, Part::None);
        check("bytes=-5", 0, Part::None);
        for whole in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=5-2",
            "bytes=a-b",
            "bytes=1-2,4-5",
            "items=0-1",
            "bytes=99-x",
        ] {
            check(whole, 10, Part::Whole);
        }
    }
}
