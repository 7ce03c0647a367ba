//! From letters to words.

use std::borrow::Cow;

use super::{parse::Wrong, shown};

/// A word and where it starts.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token<'t> {
    pub(super) at: usize,
    pub(super) end: usize,
    pub(super) word: Word<'t>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Word<'t> {
    /// Letters and digits: a keyword, an attribute or a function.
    Name(&'t str),
    /// Digits alone.
    Digits(&'t str),
    /// A string without its quotes and escapes.
    Text(Cow<'t, str>),
    /// `(`, `,`, `<=` and so on.
    Sign(&'static str),
    /// Nothing follows.
    End,
}

/// Longer ones first.
const SIGNS: [&str; 15] = [
    "!=", "<>", ">=", "<=", "<", ">", "=", "+", "-", "*", "/", "%", "(", ")", ",",
];

const SPACE: [char; 4] = [' ', '\t', '\r', '\n'];

/// The word at or after this place.
pub(super) fn next(text: &str, from: usize) -> Result<Token<'_>, Wrong> {
    let rest = text.get(from..).unwrap_or_default();
    let trimmed = rest.trim_start_matches(SPACE);
    let at = from + (rest.len() - trimmed.len());
    let token = |word, len| {
        let end = at + len;
        Ok(Token { at, end, word })
    };
    let Some(first) = trimmed.chars().next() else {
        return token(Word::End, 0);
    };
    if first == '\'' || first == '"' {
        let (text, len) = string(trimmed, first).ok_or_else(|| Wrong {
            at,
            expected: "the end of a string",
            found: "the end of the expression".to_owned(),
        })?;
        return token(Word::Text(text), len);
    }
    if let Some(sign) = SIGNS.iter().find(|sign| trimmed.starts_with(**sign)) {
        return token(Word::Sign(sign), sign.len());
    }
    let end = trimmed
        .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .unwrap_or(trimmed.len());
    match trimmed.get(..end) {
        Some(name) if !name.is_empty() && !name.starts_with('_') => {
            let digits = name.bytes().all(|b| b.is_ascii_digit());
            let word = if digits { Word::Digits } else { Word::Name };
            token(word(name), end)
        }
        _ => Err(Wrong {
            at,
            expected: "an attribute, a value or an operator",
            found: format!("{:?}", first.to_string()),
        }),
    }
}

/// A string's content, and its length with quotes. The quote itself may be in it, after a backslash or doubled.
fn string(text: &str, quote: char) -> Option<(Cow<'_, str>, usize)> {
    let body = text.strip_prefix(quote)?;
    let mut read = String::new();
    let mut plain = true;
    let mut chars = body.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let escaped = match chars.peek() {
            Some((_, next)) if c == '\\' => Some(*next),
            Some((_, next)) if c == quote && *next == quote => Some(*next),
            _ => None,
        };
        match escaped {
            None if c == quote => {
                let text = match plain {
                    true => Cow::Borrowed(body.get(..at)?),
                    false => Cow::Owned(read),
                };
                return Some((text, at + 2));
            }
            None => read.push(c),
            Some(next) => {
                chars.next();
                if next == quote {
                    plain = false;
                } else {
                    read.push(c);
                }
                read.push(next);
            }
        }
    }
    None
}

// === impl Word ===

impl Word<'_> {
    /// For people.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Name(text) | Self::Digits(text) => shown(text),
            Self::Sign(text) => shown(text),
            Self::Text(text) => format!("the string {}", shown(text)),
            Self::End => "the end of the expression".to_owned(),
        }
    }

    /// Is it this keyword, in whatever letters?
    pub(super) fn is(&self, keyword: &str) -> bool {
        matches!(self, Self::Name(name) if name.eq_ignore_ascii_case(keyword))
    }
}
