//! Parameters of a statement from a query string: the name says the type, the order is kept.

use crate::Path;

/// `?i=1&r=1.5&t=text&b=00ff&n` are these five, bytes in hex; other names are left out.
pub enum Param {
    Integer(i64),
    Real(f64),
    Text(String),
    Blob(Vec<u8>),
    Null,
}

pub fn params(path: &Path) -> Vec<Param> {
    let param = |(name, value): &(String, String)| match name.as_str() {
        "i" => value.parse().ok().map(Param::Integer),
        "r" => value.parse().ok().map(Param::Real),
        "t" => Some(Param::Text(value.clone())),
        "b" => Some(Param::Blob(bytes(value))),
        "n" => Some(Param::Null),
        _ => None,
    };
    path.query.iter().filter_map(param).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    let pairs = hex
        .as_bytes()
        .chunks(2)
        .map(|pair| std::str::from_utf8(pair).unwrap_or_default());
    pairs
        .filter_map(|pair| u8::from_str_radix(pair, 16).ok())
        .collect()
}
