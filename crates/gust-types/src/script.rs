//! Several statements in one text, taken apart as SQLite's own shell does it.

/// The statements of a script, without the semicolons between them. What has nothing but spaces and comments is none.
///
/// Semicolons in strings, names, comments and the bodies of triggers do not end one. A string that does not end takes the
/// rest of the text with it, so that whoever compiles it says what is wrong.
pub fn statements(script: &str) -> impl Iterator<Item = &str> {
    let mut rest = script;
    std::iter::from_fn(move || {
        loop {
            if rest.is_empty() {
                return None;
            }
            let (end, empty) = first(rest);
            let (statement, after) = rest.split_at(end);
            rest = after.strip_prefix(';').unwrap_or(after);
            if !empty {
                return Some(statement.trim());
            }
        }
    })
}

/// Whether a text is one or more whole statements: it ends with a semicolon, or with nothing but spaces and comments after
/// one.
pub fn is_whole(text: &str) -> bool {
    let mut rest = text;
    loop {
        let (end, empty) = first(rest);
        match rest.get(end..).and_then(|after| after.strip_prefix(';')) {
            Some(after) => rest = after,
            None => return empty && !is_open(rest),
        }
    }
}

/// The first word of a statement, in capitals.
pub fn verb(statement: &str) -> String {
    let mut tokens = Tokens(statement);
    match tokens.next() {
        Some((Token::Word(word), _)) => word.to_ascii_uppercase(),
        _ => String::new(),
    }
}

/// Whether a statement begins, ends or marks a transaction.
pub fn is_transaction(statement: &str) -> bool {
    const VERBS: [&str; 6] = ["BEGIN", "COMMIT", "END", "ROLLBACK", "SAVEPOINT", "RELEASE"];
    VERBS.contains(&verb(statement).as_str())
}

/// Where the first statement ends, and whether it is none.
fn first(text: &str) -> (usize, bool) {
    let mut tokens = Tokens(text);
    let mut seen = Seen::default();
    while let Some((token, rest)) = tokens.next() {
        let at = text.len() - rest.len() - 1;
        if seen.ends(&token) {
            return (at, seen.words == 0);
        }
    }
    (text.len(), seen.words == 0)
}

/// Whether a comment that began has not ended.
fn is_open(text: &str) -> bool {
    let mut tokens = Tokens(text);
    while tokens.next().is_some() {}
    tokens.0.starts_with("/*")
}

/// What of a statement matters for its end.
#[derive(Default)]
struct Seen {
    words: usize,
    /// How far `CREATE [TEMP] TRIGGER` has come.
    creates: bool,
    trigger: bool,
    /// In a trigger: the last token was a semicolon, or `END` behind one.
    semicolon: bool,
    end: bool,
}

enum Token<'a> {
    Word(&'a str),
    Semicolon,
    Other,
}

/// The tokens of a text that are neither spaces nor comments, each with what is behind it.
struct Tokens<'a>(&'a str);

// === impl Seen ===

impl Seen {
    fn ends(&mut self, token: &Token<'_>) -> bool {
        let is =
            |word: &str| matches!(token, Token::Word(found) if found.eq_ignore_ascii_case(word));
        if matches!(token, Token::Semicolon) {
            let ends = !self.trigger || self.end;
            self.end = false;
            self.semicolon = true;
            return ends;
        }
        self.words += 1;
        if self.trigger {
            self.end = self.semicolon && is("END");
        } else if self.creates {
            self.trigger = is("TRIGGER");
            self.creates = is("TEMP") || is("TEMPORARY");
        } else {
            let explains = self.words < 4 && (is("EXPLAIN") || is("QUERY") || is("PLAN"));
            self.creates = is("CREATE") && self.words <= 4;
            // A word that is neither ends the search.
            if !explains && !self.creates {
                self.words = self.words.max(4);
            }
        }
        self.semicolon = false;
        false
    }
}

// === impl Tokens ===

impl<'a> Tokens<'a> {
    fn next(&mut self) -> Option<(Token<'a>, &'a str)> {
        loop {
            let text = self.0.trim_start();
            if let Some(comment) = text.strip_prefix("--") {
                self.0 = comment.split_once('\n').map_or("", |(_, rest)| rest);
            } else if let Some(comment) = text.strip_prefix("/*") {
                match comment.split_once("*/") {
                    Some((_, rest)) => self.0 = rest,
                    None => {
                        self.0 = text;
                        return None;
                    }
                }
            } else {
                self.0 = text;
                break;
            }
        }
        let first = self.0.chars().next()?;
        let word = |c: char| c.is_alphanumeric() || c == '_' || c == '$' || !c.is_ascii();
        let (token, length) = match first {
            ';' => (Token::Semicolon, 1),
            '\'' | '"' | '`' => (Token::Other, self.quoted(first)),
            '[' => (
                Token::Other,
                self.0.find(']').map_or(self.0.len(), |at| at + 1),
            ),
            c if word(c) => {
                let end = self.0.find(|c| !word(c)).unwrap_or(self.0.len());
                (Token::Word(self.0.get(..end)?), end)
            }
            c => (Token::Other, c.len_utf8()),
        };
        self.0 = self.0.get(length..)?;
        Some((token, self.0))
    }

    /// The length of what stands between two of these; two of them in it are one.
    fn quoted(&self, quote: char) -> usize {
        let mut at = 1;
        loop {
            let rest = self.0.get(at..).unwrap_or_default();
            match rest.find(quote) {
                None => return self.0.len(),
                Some(end)
                    if rest
                        .get(end + 1..)
                        .is_some_and(|rest| rest.starts_with(quote)) =>
                {
                    at += end + 2;
                }
                Some(end) => return at + end + 1,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(script: &str, expected: &[&str]) {
        let found: Vec<_> = statements(script).collect();
        assert_eq!(found, expected, "{script}");
    }

    #[test]
    fn statements_end_where_sqlite_ends_them() {
        check("", &[]);
        check(" ;; -- nothing;\n/* ; */ ;", &[]);
        check("select 1", &["select 1"]);
        check("select 1; select 2 ;", &["select 1", "select 2"]);
        check(
            "select ';', \"a;\"\"b\", `;`, [;] ; x",
            &["select ';', \"a;\"\"b\", `;`, [;]", "x"],
        );
        check(
            "select 'it''s; 你好'; -- a;b\nselect 2",
            &["select 'it''s; 你好'", "-- a;b\nselect 2"],
        );
        check("select 'open; select 2", &["select 'open; select 2"]);
        check(
            "select 1 /* open ; select 2",
            &["select 1 /* open ; select 2"],
        );
        let trigger = "create temp trigger t after insert on a begin select case when 1 then 2 end; delete from b; end";
        check(&format!("{trigger}; select 1"), &[trigger, "select 1"]);
        let explained = "explain query plan create trigger t after insert on a begin select 1; END";
        check(&format!("{explained};select 1"), &[explained, "select 1"]);
        check(
            "create table trigger_x (end int); select 1",
            &["create table trigger_x (end int)", "select 1"],
        );
        check(
            "select create, trigger; select 1",
            &["select create, trigger", "select 1"],
        );
    }

    #[test]
    fn a_line_is_whole_or_goes_on() {
        for (text, whole) in [
            ("select 1;", true),
            ("select 1; -- done", true),
            ("select 1", false),
            ("select ';", false),
            ("/* ;", false),
            ("", true),
            ("create trigger t after insert on a begin select 1;", false),
            (
                "create trigger t after insert on a begin select 1; end;",
                true,
            ),
        ] {
            assert_eq!(is_whole(text), whole, "{text}");
        }
    }

    #[test]
    fn verbs_are_found_behind_comments() {
        assert_eq!(verb("/* x */ -- y\n insert into t"), "INSERT");
        assert!(is_transaction(" begin immediate") && !is_transaction("select 'begin'"));
    }
}
