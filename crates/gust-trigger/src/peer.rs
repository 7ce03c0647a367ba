//! Who a source speaks to: an address out of a URL, and the name and password in it.

use std::fmt;

use gust_types::{Error, Result};
use percent_encoding::percent_decode_str;
use url::Url;

/// A scheme that a kind of source knows.
#[derive(Debug, Clone, Copy)]
pub struct Scheme {
    /// As it is written.
    pub name: &'static str,
    /// Where none is given.
    pub port: u16,
    /// Whether it is TLS.
    pub tls: bool,
}

/// Who a source speaks to. What is printed of it is safe to be seen.
#[derive(Clone, PartialEq)]
pub struct Peer {
    /// The scheme.
    pub scheme: &'static str,
    /// Host name or address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Whether to speak TLS.
    pub tls: bool,
    /// The name to log in with.
    pub user: Option<String>,
    /// The password or token.
    pub password: Option<String>,
    /// What follows the first slash.
    pub path: String,
    /// What follows the question mark, decoded.
    pub query: Vec<(String, String)>,
}

// === impl Peer ===

impl Peer {
    /// Reads a URL. Its errors do not repeat it.
    pub fn parse(url: &str, schemes: &[Scheme]) -> Result<Self> {
        let fault = |why: &str| {
            let written: Vec<_> = schemes
                .iter()
                .map(|s| format!("{}://host:{}", s.name, s.port))
                .collect();
            Error::invalid(format!("the url {why}"))
                .hint(format!("write it like {}", written.join(" or ")))
        };
        let url = Url::parse(url.trim()).map_err(|_| fault("cannot be read"))?;
        let scheme = schemes
            .iter()
            .find(|scheme| scheme.name == url.scheme())
            .ok_or_else(|| fault("has another scheme"))?;
        let host = url.host_str().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() || host.contains([' ', '%', ',']) {
            return Err(fault("has no host, or more than one"));
        }
        let decode = |text: &str| {
            let text = percent_decode_str(text).decode_utf8();
            text.map(|text| text.into_owned())
                .map_err(|_| fault("is not in UTF-8"))
        };
        let user = Some(decode(url.username())?).filter(|user| !user.is_empty());
        let password = url.password().map(decode).transpose()?;
        Ok(Self {
            scheme: scheme.name,
            host: host.to_ascii_lowercase(),
            port: url.port().unwrap_or(scheme.port),
            tls: scheme.tls,
            user,
            password,
            path: decode(url.path().trim_start_matches('/'))?,
            query: url.query_pairs().into_owned().collect(),
        })
    }

    /// Whether both are at the same host and port, spoken to in the same way.
    pub fn same_place(&self, other: &Self) -> bool {
        (self.tls, &self.host, self.port) == (other.tls, &other.host, other.port)
    }

    /// Refuses what follows the host when this kind makes nothing of it.
    pub fn without_path(self) -> Result<Self> {
        if self.path.is_empty() && self.query.is_empty() {
            return Ok(self);
        }
        Err(
            Error::invalid("the url ends with something that means nothing here")
                .hint(format!("end it with the port: {self}")),
        )
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host, port) = (self.scheme, &self.host, self.port);
        match host.contains(':') {
            true => write!(f, "{scheme}://[{host}]:{port}"),
            false => write!(f, "{scheme}://{host}:{port}"),
        }
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMES: &[Scheme] = &[
        Scheme {
            name: "redis",
            port: 6379,
            tls: false,
        },
        Scheme {
            name: "rediss",
            port: 6379,
            tls: true,
        },
    ];

    #[test]
    fn a_url_is_taken_apart() {
        let peer = Peer::parse("rediss://me:p%40ss@Db.Example.com:7000/2", SCHEMES).unwrap();
        assert_eq!((peer.host.as_str(), peer.port), ("db.example.com", 7000));
        assert_eq!(peer.user.as_deref(), Some("me"));
        assert_eq!(peer.password.as_deref(), Some("p@ss"));
        assert_eq!((peer.path.as_str(), peer.tls), ("2", true));
        assert_eq!(
            format!("{peer} {peer:?}"),
            "rediss://db.example.com:7000 rediss://db.example.com:7000"
        );
        let peer = Peer::parse("redis://[::1]", SCHEMES).unwrap();
        assert_eq!(peer.to_string(), "redis://[::1]:6379");
        assert_eq!(peer.user, None);
    }

    #[test]
    fn a_bad_url_is_refused_without_being_shown() {
        for bad in [
            "",
            "secret",
            "http://secret",
            "redis://",
            "redis://secret:x/",
            "redis:secret",
            "redis://a,secret/",
        ] {
            let error = Peer::parse(bad, SCHEMES).unwrap_err();
            let shown = format!("{error:?} {}", error.chain());
            assert!(!shown.contains("secret"), "{bad}: {shown}");
        }
        let peer = Peer::parse("redis://h/secret", SCHEMES).unwrap();
        let error = peer.without_path().unwrap_err();
        assert!(!format!("{error:?}").contains("secret"));
    }
}
