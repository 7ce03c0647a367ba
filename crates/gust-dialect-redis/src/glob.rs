//! Patterns, as Redis has them: `*`, `?`, `[a-c]`, `[^a]`, and `\` before what is meant as it stands.
//!
//! Easily overlooked: a pattern comes from outside. Only the last star is ever tried again, so that no pattern takes longer than its
//! length times the name's.

/// Whether a name is of this pattern.
pub(crate) fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut pattern, mut name) = (pattern, name);
    // Where to go on when it does not match: behind the last star, one byte of the name further.
    let mut again: Option<(&[u8], &[u8])> = None;
    loop {
        if let Some(rest) = pattern.strip_prefix(b"*") {
            pattern = rest;
            again = Some((rest, name));
            continue;
        }
        match one(pattern, name) {
            Some(_) if pattern.is_empty() => return true,
            Some((rest_pattern, rest_name)) => (pattern, name) = (rest_pattern, rest_name),
            None => match again {
                Some((behind, [_, rest @ ..])) => {
                    again = Some((behind, rest));
                    (pattern, name) = (behind, rest);
                }
                _ => return false,
            },
        }
    }
}

type Rest<'a> = (&'a [u8], &'a [u8]);

/// One step of the pattern against one byte; both at their end match too.
fn one<'a>(pattern: &'a [u8], name: &'a [u8]) -> Option<Rest<'a>> {
    match (pattern, name) {
        ([], []) => Some((pattern, name)),
        ([], _) | (_, []) => None,
        ([b'?', rest @ ..], [_, name @ ..]) => Some((rest, name)),
        ([b'[', class @ ..], [byte, name @ ..]) => {
            let (is_in, rest) = within(class, *byte);
            is_in.then_some((rest, name))
        }
        ([b'\\', wanted, rest @ ..], [byte, name @ ..])
        | ([wanted, rest @ ..], [byte, name @ ..]) => (wanted == byte).then_some((rest, name)),
    }
}

/// Whether a byte is in a class of bytes, and the pattern behind the class. One that is not closed ends with the pattern.
fn within(class: &[u8], byte: u8) -> (bool, &[u8]) {
    let (is_not, mut class) = match class {
        [b'^', rest @ ..] => (true, rest),
        class => (false, class),
    };
    let mut found = false;
    loop {
        class = match class {
            [] => return (found != is_not, class),
            [b']', rest @ ..] => return (found != is_not, rest),
            [b'\\', exact, rest @ ..] => {
                found |= *exact == byte;
                rest
            }
            [from, b'-', to, rest @ ..] => {
                let (from, to) = (from.min(to), from.max(to));
                found |= (*from..=*to).contains(&byte);
                rest
            }
            [exact, rest @ ..] => {
                found |= *exact == byte;
                rest
            }
        };
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn patterns_match_as_those_of_redis() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("h?llo", "hello", true),
            ("h?llo", "hllo", false),
            ("h*llo", "heeello", true),
            ("h[ae]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[^e]llo", "hbllo", true),
            ("h[a-b]llo", "hbllo", true),
            ("h[b-a]llo", "hbllo", true),
            ("a\\*", "a*", true),
            ("a\\*", "ab", false),
            ("[\\]]", "]", true),
            ("a[bc", "ab", true),
            ("user:*:name", "user:1:2:name", true),
            ("*a*b*c", "xxaxxbxxc", true),
            ("*键*", "一键二", true),
        ] {
            let found = super::matches(pattern.as_bytes(), name.as_bytes());
            assert_eq!(found, expected, "{pattern} {name}");
        }
        let hostile = "a*".repeat(500) + "b";
        assert!(!super::matches(hostile.as_bytes(), &[b'a'; 5000]));
    }
}
