//! Text into tokens, tokens into statements.
//!
//! PostgreSQL's strings (`E'..'`, `$tag$..$tag$`) and nested comments are understood beside SQLite's quotes
//! (`` `x` ``, `[x]`). A token's text is what SQLite may be given.

use std::borrow::Cow;

use crate::error::Fault;

/// Tokens of all statements of one message: what they take of memory has a bound.
const TOKENS: usize = 200_000;
/// Comments inside comments.
const NESTED: usize = 64;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A keyword or a name without quotes.
    Word,
    /// A name in quotes.
    Quoted,
    /// A string, in SQLite's spelling.
    Text,
    /// A number, or bytes in hexadecimal (`X'..'`).
    Number,
    /// `$n`.
    Parameter(u16),
    /// `::`.
    Cast,
    /// Any other sign, one at a time.
    Sign,
}

/// A piece of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub(crate) kind: Kind,
    pub(crate) text: Cow<'a, str>,
    /// Whether anything stood between it and the one before.
    pub(crate) apart: bool,
}

/// One statement; never without a token.
pub(crate) type Statement<'a> = Vec<Token<'a>>;

// === impl Token ===

impl Token<'_> {
    /// Whether it is this keyword, given in small letters.
    pub(crate) fn is(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.text.eq_ignore_ascii_case(word)
    }

    /// Whether it is this sign.
    pub(crate) fn is_sign(&self, sign: &str) -> bool {
        self.kind == Kind::Sign && self.text == sign
    }

    /// The name it is, without quotes; names without quotes as they stand.
    pub(crate) fn name(&self) -> Option<String> {
        match self.kind {
            Kind::Word => Some(self.text.to_string()),
            Kind::Quoted => {
                let text = &*self.text;
                let inner = text.get(1..text.len().saturating_sub(1)).unwrap_or("");
                Some(match text.chars().next() {
                    Some('"') => inner.replace("\"\"", "\""),
                    Some('`') => inner.replace("``", "`"),
                    _ => inner.to_owned(),
                })
            }
            _ => None,
        }
    }

    /// What a string says.
    pub(crate) fn string(&self) -> Option<String> {
        let inner = self.text.strip_prefix('\'')?.strip_suffix('\'')?;
        (self.kind == Kind::Text).then(|| inner.replace("''", "'"))
    }
}

/// The statements of a text. Those without a token are left out.
pub(crate) fn split(text: &str) -> Result<Vec<Statement<'_>>, Fault> {
    let mut statements = Vec::new();
    let mut statement = Statement::new();
    let mut body = Body::default();
    for token in tokens(text)? {
        if token.is_sign(";") && !body.is_open() {
            if !statement.is_empty() {
                statements.push(std::mem::take(&mut statement));
            }
            body = Body::default();
            continue;
        }
        body.see(&statement, &token);
        statement.push(token);
    }
    if !statement.is_empty() {
        statements.push(statement);
    }
    Ok(statements)
}

/// Where a trigger's statements stand, whose semicolons end no statement of ours.
#[derive(Default)]
struct Body {
    /// The statement makes a trigger.
    trigger: bool,
    /// BEGINs and CASEs without their END.
    depth: usize,
}

impl Body {
    fn is_open(&self) -> bool {
        self.depth > 0
    }

    fn see(&mut self, before: &Statement<'_>, token: &Token<'_>) {
        if before.len() < 3 && token.is("trigger") {
            self.trigger = before.first().is_some_and(|first| first.is("create"));
        }
        if !self.trigger || before.last().is_some_and(|last| last.is_sign(".")) {
            return;
        }
        if token.is("begin") && self.depth == 0 || token.is("case") {
            self.depth += 1;
        } else if token.is("end") {
            self.depth = self.depth.saturating_sub(1);
        }
    }
}

/// The tokens of a text, semicolons among them.
pub(crate) fn tokens(text: &str) -> Result<Vec<Token<'_>>, Fault> {
    let mut lexer = Lexer {
        rest: text,
        array: false,
    };
    let mut tokens = Vec::new();
    loop {
        let apart = lexer.skip()?;
        let Some((kind, text)) = lexer.next()? else {
            return Ok(tokens);
        };
        if tokens.len() >= TOKENS {
            let text = format!("a statement has more parts than {TOKENS}");
            return Err(Fault::new("54001", text).hint("send it in several"));
        }
        let token = Token { kind, text, apart };
        lexer.array = token.is("array") && lexer.rest.starts_with('[');
        tokens.push(token);
    }
}

struct Lexer<'a> {
    rest: &'a str,
    /// `ARRAY` before the next bracket, which then begins no name.
    array: bool,
}

type Piece<'a> = Result<(Kind, Cow<'a, str>), Fault>;

impl<'a> Lexer<'a> {
    /// Leaves out space and comments; answers whether there were any.
    fn skip(&mut self) -> Result<bool, Fault> {
        let before = self.rest.len();
        loop {
            self.rest = self.rest.trim_start_matches(|c: char| {
                c.is_ascii_whitespace() || c == '\u{b}' || c == '\u{feff}'
            });
            if let Some(comment) = self.rest.strip_prefix("--") {
                self.rest = comment
                    .find(['\n', '\r'])
                    .map_or("", |end| comment.split_at(end).1);
            } else if self.rest.starts_with("/*") {
                self.rest = past_comment(self.rest)?;
            } else {
                return Ok(self.rest.len() < before);
            }
        }
    }

    fn next(&mut self) -> Result<Option<(Kind, Cow<'a, str>)>, Fault> {
        let Some(first) = self.rest.chars().next() else {
            return Ok(None);
        };
        let second = self.rest.as_bytes().get(1).copied().unwrap_or(0);
        let piece = match first {
            '\'' => self.quoted('\'', '\'', Kind::Text),
            '"' => self.quoted('"', '"', Kind::Quoted),
            '`' => self.quoted('`', '`', Kind::Quoted),
            '[' if self.array => {
                self.array = false;
                Ok((Kind::Sign, self.take(1)))
            }
            '[' => self.bracketed(),
            'e' | 'E' if second == b'\'' => self.escaped(),
            'x' | 'X' if second == b'\'' => self.prefixed(),
            'b' | 'B' | 'n' | 'N' if second == b'\'' => Err(refused(first)),
            'u' | 'U'
                if second == b'&' && matches!(self.rest.as_bytes().get(2), Some(b'\'' | b'"')) =>
            {
                Err(refused(first))
            }
            '$' => self.dollar(),
            ':' if second == b':' => Ok((Kind::Cast, self.take(2))),
            '0'..='9' => Ok((Kind::Number, self.number())),
            '.' if second.is_ascii_digit() => Ok((Kind::Number, self.number())),
            c if starts_word(c) => {
                let end = self
                    .rest
                    .find(|c| c != '$' && !continues_word(c))
                    .unwrap_or(self.rest.len());
                Ok((Kind::Word, self.take(end)))
            }
            c => Ok((Kind::Sign, self.take(c.len_utf8()))),
        };
        piece.map(Some)
    }

    fn take(&mut self, bytes: usize) -> Cow<'a, str> {
        let (taken, rest) = self.rest.split_at(bytes);
        self.rest = rest;
        Cow::Borrowed(taken)
    }

    /// Something between quotes, which stand twice where they are meant.
    fn quoted(&mut self, open: char, close: char, kind: Kind) -> Piece<'a> {
        let mut from = open.len_utf8();
        loop {
            let after = self.rest.get(from..).unwrap_or("");
            let end = from + after.find(close).ok_or_else(|| unterminated(open))? + 1;
            if !self.rest.get(end..).unwrap_or("").starts_with(close) {
                return Ok((kind, self.take(end)));
            }
            from = end + 1;
        }
    }

    fn bracketed(&mut self) -> Piece<'a> {
        let end = self.rest.find(']').ok_or_else(|| unterminated('['))?;
        Ok((Kind::Quoted, self.take(end + 1)))
    }

    /// `X'..'`.
    fn prefixed(&mut self) -> Piece<'a> {
        let whole = self.rest;
        self.rest = whole.get(1..).unwrap_or("");
        let (_, text) = self.quoted('\'', '\'', Kind::Number)?;
        let whole = whole.get(..=text.len()).unwrap_or("");
        Ok((Kind::Number, Cow::Borrowed(whole)))
    }

    /// `E'..'`: backslashes mean something.
    fn escaped(&mut self) -> Piece<'a> {
        let inner = self.rest.get(2..).unwrap_or("");
        let mut said = String::from("'");
        let mut chars = inner.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '\'' if inner.get(at + 1..).unwrap_or("").starts_with('\'') => {
                    chars.next();
                    said.push_str("''");
                }
                '\'' => {
                    self.rest = inner.get(at + 1..).unwrap_or("");
                    said.push('\'');
                    return Ok((Kind::Text, Cow::Owned(said)));
                }
                '\\' => match escape(&mut chars)? {
                    '\'' => said.push_str("''"),
                    c => said.push(c),
                },
                c => said.push(c),
            }
        }
        Err(unterminated('\''))
    }

    /// `$n`, or a string between `$tag$` and `$tag$`.
    fn dollar(&mut self) -> Piece<'a> {
        let after = self.rest.get(1..).unwrap_or("");
        if after.starts_with(|c: char| c.is_ascii_digit()) {
            let end = after
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(after.len());
            let n = after.get(..end).and_then(|n| n.parse().ok());
            let n = n.filter(|n| (1..=32_766u16).contains(n));
            let n = n.ok_or_else(|| Fault::new("42P02", "there is no such parameter"))?;
            return Ok((Kind::Parameter(n), self.take(end + 1)));
        }
        let end = after.find(|c: char| c == '$' || !continues_word(c));
        let tag = match end {
            Some(end) if after.get(end..).unwrap_or("").starts_with('$') => end + 2,
            _ => return Ok((Kind::Sign, self.take(1))),
        };
        let (tag, inner) = self.rest.split_at(tag);
        let end = inner.find(tag).ok_or_else(|| unterminated('$'))?;
        let said = inner.get(..end).unwrap_or("");
        self.rest = inner.get(end + tag.len()..).unwrap_or("");
        Ok((Kind::Text, Cow::Owned(quote(said))))
    }

    /// Digits with what may stand among them.
    fn number(&mut self) -> Cow<'a, str> {
        let mut before = ' ';
        let end = self.rest.find(|c: char| {
            let sign = matches!(c, '+' | '-') && matches!(before, 'e' | 'E');
            let hexadecimal = self.rest.starts_with("0x") || self.rest.starts_with("0X");
            let more = c.is_ascii_alphanumeric() || c == '.' || c == '_' || sign && !hexadecimal;
            before = c;
            !more
        });
        self.take(end.unwrap_or(self.rest.len()))
    }
}

fn starts_word(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || !c.is_ascii()
}

fn continues_word(c: char) -> bool {
    starts_word(c) || c.is_ascii_digit()
}

/// What comes after a comment, which may have others in it.
fn past_comment(text: &str) -> Result<&str, Fault> {
    let mut depth = 0;
    let mut rest = text;
    while let Some(at) = rest.find(['/', '*']) {
        let here = rest.split_at(at).1;
        if let Some(after) = here.strip_prefix("/*") {
            depth += 1;
            rest = after;
        } else if let Some(after) = here.strip_prefix("*/") {
            depth -= 1;
            rest = after;
            if depth == 0 {
                return Ok(rest);
            }
        } else {
            rest = here.split_at(1).1;
        }
        if depth > NESTED {
            return Err(Fault::new(
                "54001",
                format!("comments are nested deeper than {NESTED}"),
            ));
        }
    }
    Err(Fault::new("42601", "unterminated /* comment"))
}

/// The character that a backslash and what follows it stand for.
fn escape(chars: &mut std::str::CharIndices<'_>) -> Result<char, Fault> {
    let wrong = || Fault::new("22025", "invalid escape in a string");
    let (_, c) = chars.next().ok_or_else(|| unterminated('\''))?;
    let mut digits = |first: u32, most: usize, radix: u32| {
        let (mut value, mut seen) = (first, 0);
        while seen < most {
            let next = chars.clone().next().and_then(|(_, c)| c.to_digit(radix));
            let Some(digit) = next else { break };
            chars.next();
            (value, seen) = (value * radix + digit, seen + 1);
        }
        (value, seen)
    };
    let code = match c {
        'b' => 8,
        'f' => 12,
        'n' => 10,
        'r' => 13,
        't' => 9,
        'x' => match digits(0, 2, 16) {
            (_, 0) => u32::from('x'),
            (value, _) => value,
        },
        'u' | 'U' => {
            let wanted = if c == 'u' { 4 } else { 8 };
            let (value, seen) = digits(0, 4, 16);
            let (low, more) = if wanted == 8 {
                digits(0, 4, 16)
            } else {
                (0, 0)
            };
            if seen + more != wanted {
                return Err(wrong());
            }
            if wanted == 8 {
                value << 16 | low
            } else {
                value
            }
        }
        '0'..='7' => digits(c.to_digit(8).unwrap_or(0), 2, 8).0,
        c => u32::from(c),
    };
    // A byte above ASCII is half a character, and 0 ends texts.
    let half = matches!(c, 'x' | '0'..='7') && code > 0x7f;
    char::from_u32(code)
        .filter(|c| *c != '\0' && !half)
        .ok_or_else(wrong)
}

/// A string in SQLite's spelling.
pub(crate) fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A name in SQLite's spelling.
pub(crate) fn quote_name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn unterminated(open: char) -> Fault {
    let what = match open {
        '\'' => "unterminated quoted string",
        '$' => "unterminated dollar-quoted string",
        _ => "unterminated quoted identifier",
    };
    Fault::new("42601", what)
}

fn refused(first: char) -> Fault {
    let text = format!("strings that begin with {first} are not served");
    Fault::new("0A000", text)
}
