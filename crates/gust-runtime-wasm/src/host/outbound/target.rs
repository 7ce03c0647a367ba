//! Where a request goes, read from its URI.

use http::{Uri, uri::Scheme};
use wasmtime_wasi_http::Error;

/// Stands for the app itself where a guest's toolchain insists on a host.
pub(crate) const OWN_HOST: &str = "self.alt";

/// Suffixes of functions of the same app.
const PEERS: [&str; 2] = [".spin.internal", ".gust.internal"];

/// Where a request goes.
#[derive(Debug, PartialEq)]
pub(super) enum Target {
    /// The app's own routes.
    Own,
    /// Another function of the app; the whole host name.
    Peer(String),
    /// Somewhere else.
    Network(Origin),
}

/// A server on the network.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Origin {
    pub(super) https: bool,
    /// Lower case, without the dot at the end and without the brackets of an IPv6 address.
    pub(super) host: String,
    pub(super) port: u16,
}

// === impl Target ===

impl Target {
    pub(super) fn of(uri: &Uri) -> Result<Self, Error> {
        let https = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP => false,
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            None => true,
            Some(_) => return Err(Error::HttpProtocolError),
        };
        let host = uri.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        if host.is_empty() || host == OWN_HOST || host == "self" {
            return Ok(Self::Own);
        }
        if PEERS.iter().any(|suffix| host.ends_with(suffix)) {
            return Ok(Self::Peer(host));
        }
        let port = match uri.authority().and_then(|a| a.port()) {
            Some(port) => port.as_u16(),
            None if https => 443,
            None => 80,
        };
        Ok(Self::Network(Origin { https, host, port }))
    }
}

// === impl Origin ===

impl Origin {
    pub(super) fn scheme(&self) -> &'static str {
        if self.https { "https" } else { "http" }
    }

    /// As in a host header: the port only where it is not the scheme's own.
    pub(super) fn authority(&self) -> String {
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        match (self.https, self.port) {
            (true, 443) | (false, 80) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }
}

/// The function that a peer's host name means.
pub(super) fn peer(host: &str) -> Option<&str> {
    PEERS.iter().find_map(|suffix| host.strip_suffix(suffix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(https: bool, host: &str, port: u16) -> Target {
        let host = host.to_owned();
        Target::Network(Origin { https, host, port })
    }

    #[test]
    fn uris_name_their_target() {
        for (uri, target) in [
            ("http://Example.com/x", network(false, "example.com", 80)),
            ("https://example.com./", network(true, "example.com", 443)),
            (
                "https://u:p@example.com:8443/",
                network(true, "example.com", 8443),
            ),
            ("http://[::1]:81/", network(false, "::1", 81)),
            ("http://self.alt/x", Target::Own),
            ("/x", Target::Own),
            (
                "http://b.spin.internal/x",
                Target::Peer("b.spin.internal".into()),
            ),
            (
                "http://b.gust.internal:80/",
                Target::Peer("b.gust.internal".into()),
            ),
        ] {
            assert_eq!(Target::of(&uri.parse().unwrap()).unwrap(), target, "{uri}");
        }
        assert!(Target::of(&"ftp://example.com/".parse().unwrap()).is_err());
    }

    #[test]
    fn authorities_are_as_browsers_write_them() {
        for (uri, authority) in [
            ("http://a.b:80/", "a.b"),
            ("https://a.b:80/", "a.b:80"),
            ("https://[::1]/", "[::1]"),
            ("http://[::1]:8080/", "[::1]:8080"),
        ] {
            let Ok(Target::Network(origin)) = Target::of(&uri.parse().unwrap()) else {
                panic!("{uri}");
            };
            assert_eq!(origin.authority(), authority);
        }
    }
}
