//! Tables of names and values: a message's headers.

use gust_types::Result;

use crate::frame::{Fields, garbage};

/// Entries that are looked at.
const ENTRIES: usize = 256;

/// The entries of a table that can be said in one line, as text.
pub(crate) fn entries(table: Fields) -> Result<Vec<(String, String)>> {
    let mut rest = table;
    let mut found = Vec::new();
    while !rest.0.is_empty() {
        let name = rest.short()?;
        if let Some(value) = value(&mut rest)?
            && found.len() < ENTRIES
        {
            found.push((name, value));
        }
    }
    Ok(found)
}

/// A value that is one word; tables and lists within are passed over.
fn value(rest: &mut Fields) -> Result<Option<String>> {
    let number = |number: i64| Ok(Some(number.to_string()));
    match rest.u8()? {
        b't' => Ok(Some((rest.u8()? != 0).to_string())),
        b'b' => number((rest.u8()? as i8).into()),
        b'B' => number(rest.u8()?.into()),
        b's' | b'U' => number((rest.u16()? as i16).into()),
        b'u' => number(rest.u16()?.into()),
        b'I' => number((rest.u32()? as i32).into()),
        b'i' => number(rest.u32()?.into()),
        b'l' | b'L' => number(rest.u64()? as i64),
        b'S' => {
            let text = rest.long()?;
            Ok(String::from_utf8(text.to_vec()).ok())
        }
        b'f' => rest.bytes(4).map(|_| None),
        b'd' | b'T' => rest.bytes(8).map(|_| None),
        b'D' => rest.bytes(5).map(|_| None),
        b'x' | b'A' | b'F' => rest.long().map(|_| None),
        b'V' => Ok(None),
        _ => Err(garbage()),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn entries_are_read_and_what_is_no_word_is_passed_over() {
        let mut table = Vec::new();
        for (name, value) in [
            ("text", &b"S\0\0\0\x06\xe6\xad\xa3\xe6\x96\x87"[..]),
            ("yes", b"t\x01"),
            ("minus", b"I\xff\xff\xff\xff"),
            ("big", b"l\0\0\0\0\0\0\0\x07"),
            ("table", b"F\0\0\0\x04\x01aVV"),
            ("when", b"T\0\0\0\0\0\0\0\0"),
            ("void", b"V"),
            ("short", b"s\xff\xfe"),
        ] {
            table.push(name.len() as u8);
            table.extend_from_slice(name.as_bytes());
            table.extend_from_slice(value);
        }
        let found = entries(Fields(Bytes::from(table))).unwrap();
        let found: Vec<_> = found
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_str()))
            .collect();
        assert_eq!(
            found,
            [
                ("text", "正文"),
                ("yes", "true"),
                ("minus", "-1"),
                ("big", "7"),
                ("short", "-2")
            ]
        );
        for bad in [&b"\x01a"[..], b"\x01aS\0\0\0\x09x", b"\x09a", b"\x01a?"] {
            assert!(
                entries(Fields(Bytes::copy_from_slice(bad))).is_err(),
                "{bad:?}"
            );
        }
    }
}
