//! Route patterns: `/exact`, `/users/:id/posts`, and a trailing `/...` (or `/*`) that takes the rest of the path.
//!
//! Pure parsing, shared by the manifest (which refuses bad ones early) and by whoever matches requests. A trailing
//! slash means nothing: `/a` and `/a/` are one route, and `/a/...` matches `/a` itself too.

use std::fmt::Write as _;

use crate::Error;

/// The longest pattern, in bytes.
pub const MAX_PATTERN: usize = 1024;

/// The most segments of a pattern.
pub const MAX_SEGMENTS: usize = 64;

/// A checked pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoutePattern {
    text: String,
    segments: Vec<Segment>,
    wildcard: bool,
}

/// One part of a pattern, between two slashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// These bytes, percent-encoded the way a request line carries them (`/你` is kept as `%E4%BD%A0`).
    Literal(String),
    /// Any one segment that is not empty, remembered under this name.
    Param(String),
}

// === impl RoutePattern ===

impl RoutePattern {
    /// Checks a pattern and takes it apart.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let fault = |why: &str| {
            Error::invalid(format!("route {why}: {text:?}"))
                .hint("write it like \"/exact\", \"/users/:id\" or \"/prefix/...\"")
        };
        let rest = text
            .strip_prefix('/')
            .ok_or_else(|| fault("does not start with '/'"))?;
        if text.len() > MAX_PATTERN {
            return Err(fault("is longer than 1024 bytes"));
        }
        let (rest, wildcard) = match rest.strip_suffix("...").or_else(|| rest.strip_suffix('*')) {
            Some(prefix) if prefix.is_empty() || prefix.ends_with('/') => (prefix, true),
            _ => (rest, false),
        };
        if rest == "/" {
            return Err(fault("has an empty segment"));
        }
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let mut segments: Vec<Segment> = Vec::new();
        for part in rest.split('/').filter(|_| !rest.is_empty()) {
            let segment = Segment::parse(part).map_err(fault)?;
            if matches!(segment, Segment::Param(_)) && segments.contains(&segment) {
                return Err(fault("uses a parameter name twice"));
            }
            segments.push(segment);
        }
        if segments.len() > MAX_SEGMENTS {
            return Err(fault("has more than 64 segments"));
        }
        Ok(Self {
            text: text.to_owned(),
            segments,
            wildcard,
        })
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its segments, without the wildcard.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// True when it ends in `/...` or `/*`.
    pub fn wildcard(&self) -> bool {
        self.wildcard
    }

    /// A text that is equal for two patterns exactly when they match the same paths.
    pub fn shape(&self) -> String {
        let mut shape = String::with_capacity(self.text.len());
        for segment in &self.segments {
            match segment {
                Segment::Literal(text) => {
                    shape.push('/');
                    shape.push_str(text);
                }
                Segment::Param(_) => shape.push_str("/:"),
            }
        }
        shape.push_str(if self.wildcard { "/..." } else { "/" });
        shape
    }
}

// === impl Segment ===

impl Segment {
    fn parse(part: &str) -> Result<Self, &'static str> {
        if let Some(name) = part.strip_prefix(':') {
            let valid = !name.is_empty()
                && name
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
            return valid
                .then(|| Self::Param(name.to_owned()))
                .ok_or("has a malformed parameter name");
        }
        match part {
            "" => return Err("has an empty segment"),
            "." | ".." => return Err("has a '.' or '..' segment"),
            "..." | "*" => return Err("has a wildcard before its end"),
            _ => {}
        }
        if part
            .chars()
            .any(|c| c.is_control() || c.is_whitespace() || "?#*\\\"<>{}|^`".contains(c))
        {
            return Err("has a character that a path cannot have");
        }
        encode(part).map(Self::Literal)
    }
}

/// Percent-encodes what is not ASCII and writes existing escapes in capitals.
fn encode(part: &str) -> Result<String, &'static str> {
    let mut out = String::with_capacity(part.len());
    let mut bytes = part.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits = [bytes.next(), bytes.next()];
            let [Some(high), Some(low)] = digits.map(|d| d.filter(u8::is_ascii_hexdigit)) else {
                return Err("has a malformed percent escape");
            };
            out.push('%');
            out.push(char::from(high.to_ascii_uppercase()));
            out.push(char::from(low.to_ascii_uppercase()));
        } else if byte.is_ascii() {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_have_a_shape() {
        for (text, shape) in [
            ("/", "/"),
            ("/...", "/..."),
            ("/*", "/..."),
            ("/hello", "/hello/"),
            ("/hello/", "/hello/"),
            ("/users/:id", "/users/:/"),
            ("/users/:other/", "/users/:/"),
            ("/users/:id/posts/...", "/users/:/posts/..."),
            ("/你好", "/%E4%BD%A0%E5%A5%BD/"),
            ("/%e4%bd%a0%e5%a5%bd", "/%E4%BD%A0%E5%A5%BD/"),
            ("/v1.0/a...b", "/v1.0/a...b/"),
            ("/a...", "/a.../"),
        ] {
            assert_eq!(RoutePattern::parse(text).unwrap().shape(), shape, "{text}");
        }
    }

    #[test]
    fn malformed_patterns_are_refused() {
        for (text, why) in [
            ("", "start with"),
            ("hello", "start with"),
            ("//", "empty segment"),
            ("//...", "empty segment"),
            ("/a//b", "empty segment"),
            ("/.../a", "wildcard before"),
            ("/a*", "cannot have"),
            ("/a/../b", "'..'"),
            ("/:", "parameter name"),
            ("/:a b", "parameter name"),
            ("/:id/:id", "twice"),
            ("/a?b", "cannot have"),
            ("/a b", "cannot have"),
            ("/%g1", "percent"),
            ("/%4", "percent"),
            (&format!("/{}", "x".repeat(1024)), "1024"),
            (&"/x".repeat(65), "64 segments"),
        ] {
            let error = RoutePattern::parse(text).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
