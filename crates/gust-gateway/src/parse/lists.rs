//! Headers that are lists.

/// The tokens of a comma-separated header, trimmed, without empty ones.
pub fn tokens(header: &[u8]) -> impl Iterator<Item = &[u8]> {
    header
        .split(|b| *b == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|token| !token.is_empty())
}

/// Whether an `If-None-Match` or `If-Match` header names this tag, which comes with its quotes. `weak` comparison lets
/// `W/"x"` stand for `"x"`. Our own tags hold no comma, so that splitting at commas cannot make one up.
pub fn etag_listed(header: &[u8], tag: &[u8], weak: bool) -> bool {
    tokens(header).any(|token| {
        let bare = match token.strip_prefix(b"W/") {
            Some(bare) if weak => bare,
            _ => token,
        };
        bare == tag || token == b"*"
    })
}

/// Whether errors should be written in JSON for a client with this `Accept` header: when it names a JSON type and does
/// not want pages instead, as browsers do.
pub fn accepts_json(header: &[u8]) -> bool {
    let mut json = false;
    for item in tokens(header) {
        let kind = item
            .split(|b| *b == b';')
            .next()
            .unwrap_or_default()
            .trim_ascii();
        if kind.eq_ignore_ascii_case(b"text/html") {
            return false;
        }
        json |= kind.eq_ignore_ascii_case(b"application/json")
            || kind.len() >= 5
                && kind
                    .get(kind.len() - 5..)
                    .is_some_and(|end| end.eq_ignore_ascii_case(b"+json"));
    }
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_found_in_lists() {
        let tag = br#""abc""#;
        for header in [r#""abc""#, r#""x", "abc""#, r#"W/"abc""#, "*", r#" "abc" "#] {
            assert!(etag_listed(header.as_bytes(), tag, true), "{header}");
        }
        for header in ["", "abc", r#""ab""#, r#""abcd""#, r#"w/"abc""#] {
            assert!(!etag_listed(header.as_bytes(), tag, true), "{header}");
        }
        assert!(!etag_listed(br#"W/"abc""#, tag, false));
    }

    #[test]
    fn json_is_for_those_who_name_it() {
        for header in [
            "application/json",
            "text/plain, application/problem+json;q=0.5",
            "Application/JSON",
        ] {
            assert!(accepts_json(header.as_bytes()), "{header}");
        }
        for header in ["", "*/*", "text/html,application/json", "json", "+jso"] {
            assert!(!accepts_json(header.as_bytes()), "{header}");
        }
    }
}
