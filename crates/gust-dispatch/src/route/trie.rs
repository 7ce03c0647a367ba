//! Matching a path against an app's patterns, without allocating.
//!
//! Left to right, a literal segment beats a parameter beats a wildcard; where the better branch leads nowhere the next
//! one is tried, so the most specific pattern that matches is found. Paths are compared as they came, percent-encoded:
//! nothing is decoded, `..` is a segment like any other, and an empty segment (`//`) only matches under a wildcard.

use std::borrow::Cow;

use gust_types::route::{RoutePattern, Segment};

/// The most parameters of one pattern.
pub const MAX_PARAMS: usize = 16;

/// Patterns, arranged for finding. Each carries the number it was inserted with.
#[derive(Debug, Default)]
pub struct Trie {
    nodes: Vec<Node>,
}

#[derive(Debug, Default)]
struct Node {
    /// Sorted by segment.
    literals: Vec<(Box<str>, usize)>,
    param: Option<usize>,
    /// The pattern that ends here.
    end: Option<usize>,
    /// The pattern whose wildcard starts here.
    wild: Option<usize>,
}

/// Where the parameters of a match lie in the path.
#[derive(Debug, Clone, Copy, Default)]
pub struct Captures {
    spans: [(u32, u32); MAX_PARAMS],
    len: usize,
}

/// A match.
#[derive(Debug, Clone, Copy)]
pub struct Hit {
    /// The number the pattern was inserted with.
    pub pattern: usize,
    /// Its parameters, in the pattern's order.
    pub captures: Captures,
    /// Where the wildcard's part of the path starts, its slash included; the path's length without a wildcard.
    pub rest: usize,
}

// === impl Trie ===

impl Trie {
    /// An empty trie.
    pub fn new() -> Self {
        Self {
            nodes: vec![Node::default()],
        }
    }

    /// Adds a pattern under a number. `Err` has the number of a pattern that matches exactly the same paths.
    /// A pattern has at most [`MAX_PARAMS`] parameters; the values of further ones are not kept.
    pub fn insert(&mut self, pattern: &RoutePattern, number: usize) -> Result<(), usize> {
        let mut at = 0;
        for segment in pattern.segments() {
            at = self.child(at, segment);
        }
        let Some(node) = self.nodes.get_mut(at) else {
            return Ok(());
        };
        let slot = if pattern.wildcard() {
            &mut node.wild
        } else {
            &mut node.end
        };
        match *slot {
            Some(taken) => Err(taken),
            None => {
                *slot = Some(number);
                Ok(())
            }
        }
    }

    fn child(&mut self, at: usize, segment: &Segment) -> usize {
        let fresh = self.nodes.len();
        let Some(node) = self.nodes.get_mut(at) else {
            return at;
        };
        let found = match segment {
            Segment::Param(_) => *node.param.get_or_insert(fresh),
            Segment::Literal(text) => {
                match node
                    .literals
                    .binary_search_by(|(name, _)| name.as_ref().cmp(text))
                {
                    Ok(i) => node.literals.get(i).map_or(fresh, |(_, child)| *child),
                    Err(i) => {
                        node.literals.insert(i, (text.as_str().into(), fresh));
                        fresh
                    }
                }
            }
        };
        if found == fresh {
            self.nodes.push(Node::default());
        }
        found
    }

    /// The most specific pattern that matches.
    pub fn find(&self, path: &str) -> Option<Hit> {
        if !path.starts_with('/') || u32::try_from(path.len()).is_err() {
            return None;
        }
        let mut search = Search {
            trie: self,
            path,
            captures: Captures::default(),
        };
        // `/` has no segments; otherwise one slash at the end means nothing.
        let end = match path.len() {
            1 => None,
            n if path.ends_with('/') => Some(n - 1),
            n => Some(n),
        };
        let (pattern, rest) = search.descend(0, end.map(|end| (1, end)))?;
        Some(Hit {
            pattern,
            captures: search.captures,
            rest,
        })
    }
}

struct Search<'a> {
    trie: &'a Trie,
    path: &'a str,
    captures: Captures,
}

impl Search<'_> {
    /// `todo` is the part of the path below this node, without its leading slash; `None` when nothing is left. Goes no
    /// deeper than the trie, so a long path costs no stack, and visits each node once at most.
    fn descend(&mut self, at: usize, todo: Option<(usize, usize)>) -> Option<(usize, usize)> {
        let node = self.trie.nodes.get(at)?;
        let Some((start, end)) = todo else {
            let slash = usize::from(self.path.ends_with('/'));
            return node
                .end
                .map(|number| (number, self.path.len()))
                .or_else(|| Some((node.wild?, self.path.len() - slash)));
        };
        let left = self.path.get(start..end)?;
        let length = left.find('/').unwrap_or(left.len());
        let segment = left.get(..length)?;
        let below = (length < left.len()).then_some((start + length + 1, end));
        if let Some(child) = node.literal(segment)
            && let Some(found) = self.descend(child, below)
        {
            return Some(found);
        }
        if let Some(child) = node.param
            && !segment.is_empty()
        {
            let depth = self.captures.len;
            self.captures.push(start, start + length);
            if let Some(found) = self.descend(child, below) {
                return Some(found);
            }
            self.captures.len = depth;
        }
        node.wild.map(|number| (number, start - 1))
    }
}

// === impl Node ===

impl Node {
    fn literal(&self, segment: &str) -> Option<usize> {
        if self.literals.is_empty() {
            return None;
        }
        let segment = upper_escapes(segment);
        let i = self
            .literals
            .binary_search_by(|(name, _)| name.as_ref().cmp(segment.as_ref()))
            .ok()?;
        self.literals.get(i).map(|(_, child)| *child)
    }
}

/// Patterns carry their escapes in capitals; a caller may write `%e4` for `%E4`.
fn upper_escapes(segment: &str) -> Cow<'_, str> {
    if !segment.contains('%') {
        return Cow::Borrowed(segment);
    }
    let mut upper = String::with_capacity(segment.len());
    let mut digits = 0_u8;
    for c in segment.chars() {
        let escaped = digits > 0;
        digits = if c == '%' {
            2
        } else {
            digits.saturating_sub(1)
        };
        upper.push(if escaped { c.to_ascii_uppercase() } else { c });
    }
    Cow::Owned(upper)
}

// === impl Captures ===

impl Captures {
    fn push(&mut self, start: usize, end: usize) {
        // Offsets fit: `find` refuses paths that do not.
        if let Some(slot) = self.spans.get_mut(self.len) {
            *slot = (start as u32, end as u32);
            self.len += 1;
        }
    }

    /// The values, taken from the path that was matched.
    pub fn values<'p>(&self, path: &'p str) -> impl Iterator<Item = &'p str> {
        let spans = self.spans;
        (0..self.len).filter_map(move |i| {
            let (start, end) = *spans.get(i)?;
            path.get(start as usize..end as usize)
        })
    }
}
