//! Patterns, as Redis has them: `*`, `?`, `[a-c]`, `[^a]`, and `\` before what is meant as it stands.
//!
//! Easily overlooked: a pattern comes from outside, and so do the names. Only the last star is ever tried again, so that no pattern
//! takes longer than its length times the name's; a class takes one step; and others get the thread in between.

use bytes::Bytes;

use crate::{fault::Fault, turn::Turn};

/// Bytes of a pattern, and of a channel's name.
pub(crate) const LONGEST: usize = 1024;
/// Steps taken at once.
const AT_ONCE: usize = 16 << 10;

/// A pattern that is ready for many names.
#[derive(Debug)]
pub(crate) struct Glob {
    text: Bytes,
    steps: Vec<Step>,
    /// The bytes of each class, a bit for each.
    classes: Vec<[u64; 4]>,
}

/// What a pattern wants next.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// Any bytes.
    Star,
    Any,
    Byte(u8),
    /// One of those of this class.
    Class(u16),
}

/// How far a comparison has come.
struct Matching<'a> {
    glob: &'a Glob,
    steps: &'a [Step],
    name: &'a [u8],
    /// Where to go on when it does not match: behind the last star, one byte of the name further.
    again: Option<(&'a [Step], &'a [u8])>,
}

/// Refuses a name of a channel that is too long.
pub(crate) fn channel(name: &[u8]) -> Result<(), Fault> {
    short(name, "the name of a channel")
}

fn short(text: &[u8], what: &str) -> Result<(), Fault> {
    if text.len() <= LONGEST {
        return Ok(());
    }
    Err(Fault::new(format!(
        "ERR {what} has at most {LONGEST} bytes, this one has {}",
        text.len()
    )))
}

// === impl Glob ===

impl Glob {
    pub(crate) fn new(text: &Bytes) -> Result<Self, Fault> {
        short(text, "a pattern")?;
        let (mut steps, mut classes) = (Vec::with_capacity(text.len()), Vec::new());
        let mut rest = &text[..];
        while let [byte, behind @ ..] = rest {
            let (step, behind) = match (byte, behind) {
                (b'*', _) => (Step::Star, behind),
                (b'?', _) => (Step::Any, behind),
                (b'[', _) => {
                    let (class, behind) = class(behind);
                    classes.push(class);
                    let last = u16::try_from(classes.len() - 1).unwrap_or(u16::MAX);
                    (Step::Class(last), behind)
                }
                (b'\\', [exact, behind @ ..]) => (Step::Byte(*exact), behind),
                (exact, _) => (Step::Byte(*exact), behind),
            };
            steps.push(step);
            rest = behind;
        }
        let text = text.clone();
        Ok(Self {
            text,
            steps,
            classes,
        })
    }

    /// As it was written.
    pub(crate) fn text(&self) -> &Bytes {
        &self.text
    }

    /// Whether a name is of this pattern.
    pub(crate) async fn matches(&self, name: &[u8], turn: &mut Turn) -> bool {
        let mut matching = self.begin(name);
        loop {
            let mut left = AT_ONCE;
            let found = matching.go(&mut left);
            turn.spend(AT_ONCE - left).await;
            if let Some(found) = found {
                return found;
            }
        }
    }

    /// The same at once, for short names.
    pub(crate) fn matches_short(&self, name: &str) -> bool {
        let mut left = usize::MAX;
        let found = self.begin(name.as_bytes()).go(&mut left);
        found.unwrap_or(false)
    }

    fn begin<'a>(&'a self, name: &'a [u8]) -> Matching<'a> {
        Matching {
            glob: self,
            steps: &self.steps,
            name,
            again: None,
        }
    }

    fn takes(&self, step: Step, byte: u8) -> bool {
        match step {
            Step::Star | Step::Any => true,
            Step::Byte(wanted) => wanted == byte,
            Step::Class(at) => {
                let class = self.classes.get(usize::from(at));
                let bits = class.and_then(|class| class.get(usize::from(byte / 64)));
                bits.is_some_and(|bits| bits >> (byte % 64) & 1 == 1)
            }
        }
    }
}

// === impl Matching ===

impl Matching<'_> {
    /// Goes on for so many steps; `None` when they were not enough.
    fn go(&mut self, left: &mut usize) -> Option<bool> {
        loop {
            *left = left.checked_sub(1)?;
            match (self.steps, self.name) {
                ([Step::Star, steps @ ..], name) => {
                    self.steps = steps;
                    self.again = Some((steps, name));
                }
                ([], []) => return Some(true),
                ([step, steps @ ..], [byte, name @ ..]) if self.glob.takes(*step, *byte) => {
                    (self.steps, self.name) = (steps, name);
                }
                _ => match self.again {
                    Some((behind, [_, rest @ ..])) => {
                        self.again = Some((behind, rest));
                        (self.steps, self.name) = (behind, rest);
                    }
                    _ => return Some(false),
                },
            }
        }
    }
}

/// The bytes of a class, and the pattern behind it. One that is not closed ends with the pattern.
fn class(text: &[u8]) -> ([u64; 4], &[u8]) {
    let (is_not, mut text) = match text {
        [b'^', rest @ ..] => (true, rest),
        text => (false, text),
    };
    let mut bits = [0; 4];
    let rest = loop {
        text = match text {
            [] => break text,
            [b']', rest @ ..] => break rest,
            [b'\\', exact, rest @ ..] => {
                add(&mut bits, *exact, *exact);
                rest
            }
            [from, b'-', to, rest @ ..] => {
                add(&mut bits, *from.min(to), *from.max(to));
                rest
            }
            [exact, rest @ ..] => {
                add(&mut bits, *exact, *exact);
                rest
            }
        };
    };
    if is_not {
        bits = bits.map(|bits: u64| !bits);
    }
    (bits, rest)
}

fn add(bits: &mut [u64; 4], from: u8, to: u8) {
    for byte in from..=to {
        if let Some(bits) = bits.get_mut(usize::from(byte / 64)) {
            *bits |= 1 << (byte % 64);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use gust_task::clock;

    use super::*;

    fn glob(text: &str) -> Glob {
        Glob::new(&Bytes::from(text.to_owned())).unwrap()
    }

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
            let found = glob(pattern).matches_short(name);
            assert_eq!(found, expected, "{pattern} {name}");
        }
    }

    /// Each takes as many steps as there can be, and somebody else has the thread meanwhile.
    #[tokio::test]
    async fn hostile_patterns_take_turns() {
        assert!(Glob::new(&Bytes::from(vec![b'*'; LONGEST + 1])).is_err());
        let others = gust_task::spawn("others", async {
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
        });
        let begun = clock::now();
        let mut turn = Turn::default();
        let name = vec![b'a'; 20_000];
        for pattern in [
            "*".to_owned() + &"a".repeat(500) + "b",
            "*".to_owned() + &"[^b]".repeat(200) + "b",
            "a*".repeat(500) + "b",
        ] {
            assert!(!glob(&pattern).matches(&name, &mut turn).await);
        }
        // A class is one step, however long it is written.
        let class = "*[".to_owned() + &"a-c".repeat(300) + "]b";
        assert!(!glob(&class).matches(&name, &mut turn).await);
        assert!(others.is_finished(), "nobody else had a turn");
        assert!(begun.elapsed() < Duration::from_secs(20));
    }
}
