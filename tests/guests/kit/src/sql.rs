//! Parameters of a statement from a query string: the name says the type, the order is kept.

use crate::Path;

/// `?i=1&r=1.5&t=text&b=bytes&n` are these five; other names are left out.
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
        "b" => Some(Param::Blob(value.clone().into_bytes())),
        "n" => Some(Param::Null),
        _ => None,
    };
    path.query.iter().filter_map(param).collect()
}
