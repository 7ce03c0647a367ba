//! Which hosts a function may reach: `scheme://host[:port]` patterns.
//!
//! Each part may be `*`; the host may be `*.example.com`, an IP address or a CIDR block; the port may be a number, a
//! range `8000..9000` or `*`. Private networks need to be named: a wildcard host never matches a private address.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::Error;

/// One allowed destination.
#[derive(Debug, Clone, PartialEq)]
pub struct Allowed {
    scheme: Option<String>,
    host: HostPattern,
    ports: Ports,
}

#[derive(Debug, Clone, PartialEq)]
enum HostPattern {
    Any,
    Exact(String),
    Subdomains(String),
    Network(IpNet),
    /// The app's own routes.
    Own,
}

#[derive(Debug, Clone, PartialEq)]
enum Ports {
    Any,
    Default,
    Range(u16, u16),
}

/// The destinations of one function.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outbound(Vec<Allowed>);

/// What the list says of a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Named (exactly, by subdomain or by network): private addresses are fine too.
    Named,
    /// Matched by a wildcard only: public addresses only.
    Wildcard,
    /// Not on the list.
    Denied,
}

// === impl Outbound ===

impl Outbound {
    /// Parses each pattern.
    pub fn parse(patterns: &[String]) -> Result<Self, Error> {
        patterns
            .iter()
            .map(|p| Allowed::parse(p))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// May this function speak `scheme` to this host name (or literal address) and port?
    pub fn check(&self, scheme: &str, host: &str, port: u16) -> Verdict {
        let host = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .trim_end_matches('.')
            .to_ascii_lowercase();
        let mut verdict = Verdict::Denied;
        for allowed in &self.0 {
            match allowed.check(scheme, &host, port) {
                Verdict::Named => return Verdict::Named,
                Verdict::Wildcard => verdict = Verdict::Wildcard,
                Verdict::Denied => {}
            }
        }
        verdict
    }

    /// May it reach this resolved address, on a connection to `scheme`, `port`, allowed for its name with `verdict`?
    pub fn check_address(
        &self,
        verdict: Verdict,
        scheme: &str,
        address: IpAddr,
        port: u16,
    ) -> bool {
        match verdict {
            Verdict::Named => true,
            _ if self
                .0
                .iter()
                .any(|a| a.names_address(scheme, address, port)) =>
            {
                true
            }
            Verdict::Wildcard => !is_private(address),
            Verdict::Denied => false,
        }
    }

    /// May it call its own app by relative URL?
    pub fn allows_own(&self) -> bool {
        self.0.iter().any(|a| a.host == HostPattern::Own)
    }

    /// The host names that are allowed by their full name for this scheme and port. Whoever checks a bare address
    /// (a socket) resolves them.
    pub fn names(&self, scheme: &str, port: u16) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(move |allowed| {
            let scheme_fits = allowed.scheme.as_deref().is_none_or(|s| s == scheme);
            match &allowed.host {
                HostPattern::Exact(name) if scheme_fits && allowed.ports.matches(scheme, port) => {
                    Some(name.as_str())
                }
                _ => None,
            }
        })
    }

    /// True when nothing at all is allowed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

// === impl Allowed ===

impl Allowed {
    fn parse(pattern: &str) -> Result<Self, Error> {
        let fault = |why: &str| {
            Error::invalid(format!("outbound host {why}: {pattern:?}"))
                .hint("write it as scheme://host[:port], for example \"https://api.example.com\" or \"postgres://10.0.0.0/8:5432\"")
        };
        let pattern = pattern.trim();
        if pattern == "self" {
            return Ok(Self {
                scheme: None,
                host: HostPattern::Own,
                ports: Ports::Any,
            });
        }
        let (scheme, rest) = pattern
            .split_once("://")
            .ok_or_else(|| fault("has no scheme"))?;
        if scheme.is_empty()
            || !(scheme == "*"
                || scheme
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b)))
        {
            return Err(fault("has a malformed scheme"));
        }
        let scheme = (scheme != "*").then(|| scheme.to_ascii_lowercase());
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = split_port(rest);
        let ports = match port {
            None if scheme.is_none() => Ports::Any,
            None => Ports::Default,
            Some("*") => Ports::Any,
            Some(text) => Ports::parse(text).ok_or_else(|| fault("has a malformed port"))?,
        };
        let host = HostPattern::parse(host).ok_or_else(|| fault("has a malformed host"))?;
        Ok(Self {
            scheme,
            host,
            ports,
        })
    }

    fn check(&self, scheme: &str, host: &str, port: u16) -> Verdict {
        if self.scheme.as_deref().is_some_and(|s| s != scheme) || !self.ports.matches(scheme, port)
        {
            return Verdict::Denied;
        }
        match &self.host {
            HostPattern::Any => Verdict::Wildcard,
            HostPattern::Exact(name) if name == host => Verdict::Named,
            HostPattern::Own if host == "self.alt" || host == "self" => Verdict::Named,
            HostPattern::Subdomains(parent)
                if host
                    .strip_suffix(parent.as_str())
                    .is_some_and(|h| h.ends_with('.')) =>
            {
                Verdict::Named
            }
            HostPattern::Network(net)
                if host
                    .parse::<IpAddr>()
                    .is_ok_and(|ip| net.contains(&canonical(ip))) =>
            {
                Verdict::Named
            }
            _ => Verdict::Denied,
        }
    }

    fn names_address(&self, scheme: &str, address: IpAddr, port: u16) -> bool {
        let HostPattern::Network(net) = &self.host else {
            return false;
        };
        self.scheme.as_deref().is_none_or(|s| s == scheme)
            && self.ports.matches(scheme, port)
            && net.contains(&canonical(address))
    }
}

impl HostPattern {
    fn parse(host: &str) -> Option<Self> {
        if host == "*" {
            return Some(Self::Any);
        }
        if host == "self" {
            return Some(Self::Own);
        }
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(net) = bare.parse::<IpNet>() {
            return Some(Self::Network(net));
        }
        if let Ok(ip) = bare.parse::<IpAddr>() {
            return Some(Self::Network(IpNet::from(ip)));
        }
        let (name, subdomains) = match host.strip_prefix("*.") {
            Some(parent) => (parent, true),
            None => (host, false),
        };
        let valid = !name.is_empty()
            && name.split('.').all(|l| {
                !l.is_empty()
                    && l.len() <= 63
                    && l.bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            });
        let name = name.to_ascii_lowercase();
        let pattern = if subdomains {
            Self::Subdomains(name)
        } else {
            Self::Exact(name)
        };
        valid.then_some(pattern)
    }
}

impl Ports {
    fn parse(text: &str) -> Option<Self> {
        if let Some((low, high)) = text.split_once("..") {
            let (low, high) = (low.parse().ok()?, high.parse::<u16>().ok()?);
            return (low < high).then_some(Self::Range(low, high - 1));
        }
        text.parse().ok().map(|p| Self::Range(p, p))
    }

    fn matches(&self, scheme: &str, port: u16) -> bool {
        match self {
            Ports::Any => true,
            Ports::Default => default_port(scheme).is_none_or(|p| p == port),
            Ports::Range(low, high) => (*low..=*high).contains(&port),
        }
    }
}

/// Splits `host:port`, minding IPv6 brackets and CIDR blocks.
fn split_port(text: &str) -> (&str, Option<&str>) {
    let after_bracket = text.rfind(']').map_or(0, |i| i + 1);
    match text[after_bracket..].rfind(':') {
        // A bare IPv6 address has more than one colon and no port.
        Some(i) if after_bracket > 0 || !text[..after_bracket + i].contains(':') => {
            let i = after_bracket + i;
            (&text[..i], Some(&text[i + 1..]))
        }
        _ => (text, None),
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    Some(match scheme {
        "http" | "ws" => 80,
        "https" | "wss" => 443,
        "postgres" | "postgresql" => 5432,
        "mysql" => 3306,
        "redis" => 6379,
        "mqtt" => 1883,
        _ => return None,
    })
}

fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// Addresses that are not on the public internet: loopback, private, link-local, shared, documentation, multicast, unspecified.
pub fn is_private(address: IpAddr) -> bool {
    match canonical(address) {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_loopback()
                || v4.is_private()
                || v4.is_link_local()
                || v4.is_unspecified()
                || v4.is_broadcast()
                || v4.is_documentation()
                || v4.is_multicast()
                || a == 0
                || a >= 240
                || (a == 100 && (64..128).contains(&b))
                || (a == 198 && (b == 18 || b == 19))
                || v4.octets()[..3] == [192, 0, 0]
        }
        IpAddr::V6(v6) => {
            let s = v6.segments();
            // NAT64 (RFC 6052) and 6to4 (RFC 3056) carry an IPv4 address that decides.
            if s[0] == 0x64 && s[1] == 0xff9b {
                return s[2] != 0 || is_private(embedded(s[6], s[7]));
            }
            if s[0] == 0x2002 {
                return is_private(embedded(s[1], s[2]));
            }
            v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_multicast()
                || (s[0] & 0xfe00) == 0xfc00
                || (s[0] & 0xffc0) == 0xfe80
                || (s[0] & 0xffc0) == 0xfec0
                || (s[0] == 0x2001 && s[1] == 0xdb8)
                || s[..6] == [0; 6]
        }
    }
}

fn embedded(high: u16, low: u16) -> IpAddr {
    let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
    IpAddr::from([a, b, c, d])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(patterns: &[&str], scheme: &str, host: &str, port: u16) -> Verdict {
        let patterns: Vec<String> = patterns.iter().map(|p| (*p).to_owned()).collect();
        Outbound::parse(&patterns)
            .unwrap()
            .check(scheme, host, port)
    }

    #[test]
    fn patterns_decide() {
        use Verdict::*;
        for (pattern, scheme, host, port, verdict) in [
            (
                "https://api.example.com",
                "https",
                "api.example.com",
                443,
                Named,
            ),
            (
                "https://api.example.com",
                "https",
                "API.example.com.",
                443,
                Named,
            ),
            (
                "https://api.example.com",
                "http",
                "api.example.com",
                80,
                Denied,
            ),
            (
                "https://api.example.com",
                "https",
                "api.example.com",
                8443,
                Denied,
            ),
            (
                "https://api.example.com:8443",
                "https",
                "api.example.com",
                8443,
                Named,
            ),
            (
                "https://*.example.com",
                "https",
                "a.b.example.com",
                443,
                Named,
            ),
            ("https://*.example.com", "https", "example.com", 443, Denied),
            (
                "https://*.example.com",
                "https",
                "evilexample.com",
                443,
                Denied,
            ),
            ("*://*:*", "http", "anything", 1, Wildcard),
            ("http://*", "http", "127.0.0.1", 80, Wildcard),
            (
                "http://127.0.0.1:8000..9000",
                "http",
                "127.0.0.1",
                8999,
                Named,
            ),
            (
                "http://127.0.0.1:8000..9000",
                "http",
                "127.0.0.1",
                9000,
                Denied,
            ),
            ("http://10.0.0.0/8:*", "http", "10.1.2.3", 77, Named),
            ("http://10.0.0.0/8:*", "http", "11.1.2.3", 77, Denied),
            ("http://[::1]:80", "http", "[::1]", 80, Named),
            (
                "http://hello.spin.internal",
                "http",
                "hello.spin.internal",
                80,
                Named,
            ),
        ] {
            assert_eq!(
                check(&[pattern], scheme, host, port),
                verdict,
                "{pattern} {scheme}://{host}:{port}"
            );
        }
    }

    #[test]
    fn wildcards_never_reach_private_addresses() {
        let list = Outbound::parse(&["http://*:*".to_owned()]).unwrap();
        for private in [
            "127.0.0.1",
            "10.0.0.1",
            "169.254.169.254",
            "::1",
            "fd00::1",
            "::ffff:127.0.0.1",
            "100.64.0.1",
            "0.0.0.0",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
        ] {
            assert!(
                !list.check_address(Verdict::Wildcard, "http", private.parse().unwrap(), 80),
                "{private}"
            );
        }
        assert!(list.check_address(
            Verdict::Wildcard,
            "http",
            "93.184.216.34".parse().unwrap(),
            80
        ));
        let named =
            Outbound::parse(&["http://*:*".to_owned(), "http://10.0.0.0/8:80".to_owned()]).unwrap();
        assert!(named.check_address(Verdict::Wildcard, "http", "10.2.3.4".parse().unwrap(), 80));
    }

    #[test]
    fn malformed_patterns_are_refused() {
        for bad in [
            "",
            "example.com",
            "://x",
            "http://",
            "http://a..b",
            "http://x:99999",
            "http://x:9..3",
            "http://a b",
        ] {
            assert!(Outbound::parse(&[bad.to_owned()]).is_err(), "{bad}");
        }
    }
}
