//! Header fields as Spin 1 has them, pairs of texts in a list of any length, into a map within bounds.

use http::{HeaderMap, HeaderName, HeaderValue};

/// Bytes of a head, with what each field costs beside its text. As much as `wasi:http` allows a guest.
const HEAD: usize = 128 * 1024;
/// What a field costs beside its text, as HTTP/2 counts (RFC 9113, 6.5.2).
const FIELD: usize = 32;

/// Why such a list is no head of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unfit {
    Name,
    Value,
    TooLarge,
}

/// The map of a list of fields.
pub(crate) fn map(fields: Vec<(String, String)>) -> Result<HeaderMap, Unfit> {
    let mut map = HeaderMap::new();
    let mut size = 0;
    for (name, value) in fields {
        size += FIELD + name.len() + value.len();
        if size > HEAD {
            return Err(Unfit::TooLarge);
        }
        let name = HeaderName::try_from(name).map_err(|_| Unfit::Name)?;
        let value = HeaderValue::try_from(value).map_err(|_| Unfit::Value)?;
        // The map has a bound of its own, and panics at it unless asked to try.
        map.try_append(name, value).map_err(|_| Unfit::TooLarge)?;
    }
    Ok(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: impl Into<String>, value: impl Into<String>) -> (String, String) {
        (name.into(), value.into())
    }

    #[test]
    fn a_list_becomes_a_map_or_says_why_not() {
        let map = map(vec![field("A", "1"), field("a", "2"), field("b", "")]).unwrap();
        assert_eq!(map.get_all("a").iter().count(), 2);
        assert_eq!(map["b"], "");
        let many: Vec<_> = (0..100_000).map(|n| field(format!("x{n}"), "")).collect();
        let same: Vec<_> = (0..100_000).map(|_| field("x", "")).collect();
        let long = vec![field("x", "y".repeat(HEAD))];
        for (fields, unfit) in [
            (vec![field("a b", "")], Unfit::Name),
            (vec![field("a", "\n")], Unfit::Value),
            (many, Unfit::TooLarge),
            (same, Unfit::TooLarge),
            (long, Unfit::TooLarge),
        ] {
            assert_eq!(super::map(fields).unwrap_err(), unfit);
        }
    }
}
