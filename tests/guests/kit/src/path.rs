//! A request's path, taken apart at `/`, `?`, `&` and `%`.

/// `/kv/default/a%20b?value=1` as segments and query pairs, all decoded.
#[derive(Clone)]
pub struct Path {
    pub segments: Vec<String>,
    pub query: Vec<(String, String)>,
}

impl Path {
    pub fn parse(path_with_query: &str) -> Self {
        let (path, query) = path_with_query
            .split_once('?')
            .unwrap_or((path_with_query, ""));
        let segments = path
            .split('/')
            .filter(|s| !s.is_empty())
            .map(|s| decode(s, false));
        let pairs = query.split('&').filter(|p| !p.is_empty());
        let pairs = pairs.map(|p| p.split_once('=').unwrap_or((p, "")));
        Self {
            segments: segments.collect(),
            query: pairs
                .map(|(k, v)| (decode(k, true), decode(v, true)))
                .collect(),
        }
    }

    /// The segments as a slice to match on.
    pub fn parts(&self) -> Vec<&str> {
        self.segments.iter().map(String::as_str).collect()
    }

    /// The first value of a query name.
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(k, _)| k == name)
            .map(|(_, v)| v.as_str())
    }
}

fn decode(text: &str, plus_is_space: bool) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match (
            first,
            escaped.and_then(|hex| u8::from_str_radix(hex, 16).ok()),
        ) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[2..];
                continue;
            }
            (b'+', _) if plus_is_space => bytes.push(b' '),
            (byte, _) => bytes.push(*byte),
        }
        rest = tail;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
