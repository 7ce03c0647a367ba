//! Patterns of LIKE: `%` is any text, `_` any one character.

/// A read pattern: what stands between its `%`, at least one part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    first: Part,
    /// After the first `%`, without the last.
    middle: Vec<Part>,
    last: Option<Part>,
}

/// A part without `%`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Part(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// Any one character.
    One,
}

// === impl Pattern ===

impl Pattern {
    pub(super) fn new(text: &str) -> Self {
        let mut parts = Vec::new();
        let mut part = Part::default();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            let escaped = chars.next_if(|next| c == '\\' && matches!(next, '%' | '_'));
            match (c, escaped) {
                (_, Some(next)) => part.push(next),
                ('%', None) => parts.push(std::mem::take(&mut part)),
                ('_', None) => part.0.push(Piece::One),
                (c, None) => part.push(c),
            }
        }
        let mut parts = parts.into_iter();
        let Some(first) = parts.next() else {
            return Self {
                first: part,
                middle: Vec::new(),
                last: None,
            };
        };
        Self {
            first,
            middle: parts.filter(|part| !part.0.is_empty()).collect(),
            last: Some(part),
        }
    }

    /// Does the text match? `spend` is told what it takes, and may end it.
    pub(super) fn matches<E>(
        &self,
        text: &str,
        mut spend: impl FnMut(usize) -> Result<(), E>,
    ) -> Result<bool, E> {
        spend(text.len())?;
        let Some(rest) = self.first.strip_from(text) else {
            return Ok(false);
        };
        let Some(last) = &self.last else {
            return Ok(rest.is_empty());
        };
        let Some(mut rest) = last.strip_from_end(rest) else {
            return Ok(false);
        };
        // The first place for each part leaves most to those behind it.
        for part in &self.middle {
            match part.find_in(rest, &mut spend)? {
                Some(after) => rest = after,
                None => return Ok(false),
            }
        }
        Ok(true)
    }
}

// === impl Part ===

impl Part {
    fn push(&mut self, c: char) {
        match self.0.last_mut() {
            Some(Piece::Text(text)) => text.push(c),
            _ => self.0.push(Piece::Text(c.to_string())),
        }
    }

    /// What follows it, when the text starts with it.
    fn strip_from<'t>(&self, text: &'t str) -> Option<&'t str> {
        self.0.iter().try_fold(text, |rest, piece| match piece {
            Piece::Text(text) => rest.strip_prefix(text.as_str()),
            Piece::One => without_first(rest),
        })
    }

    /// What precedes it, when the text ends with it.
    fn strip_from_end<'t>(&self, text: &'t str) -> Option<&'t str> {
        self.0
            .iter()
            .rev()
            .try_fold(text, |rest, piece| match piece {
                Piece::Text(text) => rest.strip_suffix(text.as_str()),
                Piece::One => {
                    let mut chars = rest.chars();
                    chars.next_back().map(|_| chars.as_str())
                }
            })
    }

    /// What follows the first place where it is.
    fn find_in<'t, E>(
        &self,
        text: &'t str,
        spend: &mut impl FnMut(usize) -> Result<(), E>,
    ) -> Result<Option<&'t str>, E> {
        spend(text.len())?;
        if let [Piece::Text(only)] = self.0.as_slice() {
            return Ok(text.split_once(only.as_str()).map(|(_, rest)| rest));
        }
        let mut rest = text;
        loop {
            if let Some(Piece::Text(start)) = self.0.first() {
                match rest.find(start.as_str()).and_then(|at| rest.get(at..)) {
                    Some(there) => rest = there,
                    None => return Ok(None),
                }
            }
            // Each try may look at as much text as the part is long.
            spend(self.len())?;
            if let Some(after) = self.strip_from(rest) {
                return Ok(Some(after));
            }
            match without_first(rest) {
                Some(next) => rest = next,
                None => return Ok(None),
            }
        }
    }

    fn len(&self) -> usize {
        let pieces = self.0.iter().map(|piece| match piece {
            Piece::Text(text) => text.len(),
            Piece::One => 1,
        });
        pieces.sum()
    }
}

fn without_first(text: &str) -> Option<&str> {
    let mut chars = text.chars();
    chars.next().map(|_| chars.as_str())
}
