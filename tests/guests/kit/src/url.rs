//! A URL in the three parts that outbound HTTP asks for.

pub struct Url {
    pub scheme: String,
    pub authority: String,
    pub path_with_query: String,
}

impl Url {
    pub fn parse(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let path_with_query = if path.starts_with('/') {
            path.into()
        } else {
            format!("/{path}")
        };
        Some(Self {
            scheme: scheme.into(),
            authority: authority.into(),
            path_with_query,
        })
    }
}
