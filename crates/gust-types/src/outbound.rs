//! Which hosts a function may reach: `scheme://host[:port]` patterns.
//!
//! Each part may be `*`; the host may be `*.example.com`, an IP address or a CIDR block; the port may be a number, a
//! range `8000..9000` or `*`.
//!
//! Private networks need to be named, by address or network, or by a name that is plainly local (`localhost`, `db`,
//! `x.internal`). Any other name, and any wildcard, reaches public addresses only: what a name points to is decided by
//! whoever holds its domain, and may change between two look-ups. Link-local addresses, where clouds keep the
//! credentials of their machines, are reached by address or network alone.

use std::{net::IpAddr, sync::Arc};

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
pub struct Outbound {
    allowed: Vec<Allowed>,
    blocked: Blocked,
}

/// Networks that no function reaches, whatever its list says: the operator's word.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Blocked(Arc<[IpNet]>);

/// What the list says of a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Named exactly, by a name that is plainly local: private addresses are fine too.
    Local,
    /// Named (exactly, by subdomain or by network): public addresses, and those of networks on the list.
    Named,
    /// Matched by a wildcard for all hosts: the same addresses.
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
            .map(|allowed| Self {
                allowed,
                blocked: Blocked::default(),
            })
    }

    /// The same list, without what the operator blocks.
    #[must_use]
    pub fn without(self, blocked: &Blocked) -> Self {
        Self {
            blocked: blocked.clone(),
            ..self
        }
    }

    /// May this function speak `scheme` to this host name (or literal address) and port?
    pub fn check(&self, scheme: &str, host: &str, port: u16) -> Verdict {
        let host = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .trim_end_matches('.')
            .to_ascii_lowercase();
        let mut verdict = Verdict::Denied;
        for allowed in &self.allowed {
            match allowed.check(scheme, &host, port) {
                Verdict::Local => return Verdict::Local,
                Verdict::Named => verdict = Verdict::Named,
                Verdict::Wildcard if verdict == Verdict::Denied => verdict = Verdict::Wildcard,
                Verdict::Wildcard | Verdict::Denied => {}
            }
        }
        verdict
    }

    /// May it reach this resolved address, on a connection to `scheme`, `port`, allowed for its name with `verdict`?
    /// The operator's word is first, so that no entry of the list gets around it.
    pub fn check_address(
        &self,
        verdict: Verdict,
        scheme: &str,
        address: IpAddr,
        port: u16,
    ) -> bool {
        if self.blocked.contains(address) {
            return false;
        }
        let mut named = self.allowed.iter();
        if named.any(|a| a.names_address(scheme, address, port)) {
            return true;
        }
        match verdict {
            Verdict::Local => !may_hold_credentials(address),
            Verdict::Named | Verdict::Wildcard => !is_private(address),
            Verdict::Denied => false,
        }
    }

    /// May it call its own app by relative URL?
    pub fn allows_own(&self) -> bool {
        self.allowed.iter().any(|a| a.host == HostPattern::Own)
    }

    /// Is there anything on the list that a bare socket may reach, or that names are looked up for?
    pub fn opens_sockets(&self) -> bool {
        self.allowed.iter().any(|allowed| {
            allowed.host != HostPattern::Own
                && matches!(allowed.scheme.as_deref(), None | Some("tcp" | "udp"))
        })
    }

    /// The host names that are allowed by their full name for this scheme and port. Whoever checks a bare address
    /// (a socket) resolves them.
    pub fn names(&self, scheme: &str, port: u16) -> impl Iterator<Item = &str> {
        self.allowed.iter().filter_map(move |allowed| {
            let scheme_fits = allowed.scheme.as_deref().is_none_or(|s| s == scheme);
            match &allowed.host {
                HostPattern::Exact(name) if scheme_fits && allowed.ports.matches(scheme, port) => {
                    Some(name.as_str())
                }
                _ => None,
            }
        })
    }
}

// === impl Blocked ===

impl Blocked {
    /// Parses each network; a single address is a network of one.
    pub fn parse(networks: &[String]) -> Result<Self, Error> {
        let parsed = networks.iter().map(|text| {
            network(text.trim()).ok_or_else(|| {
                Error::invalid(format!("not a network in CIDR form: {text:?}"))
                    .hint("write it like \"10.0.0.0/8\", \"fd00::/8\" or \"192.0.2.7\"")
            })
        });
        parsed.collect::<Result<_, _>>().map(Self)
    }

    /// Is this address in one of them, in whatever form it is written?
    pub fn contains(&self, address: IpAddr) -> bool {
        let forms = [
            Some(address),
            Some(carried(address)),
            match carried(address) {
                IpAddr::V4(v4) => Some(v4.to_ipv6_mapped().into()),
                IpAddr::V6(_) => None,
            },
        ];
        let mut forms = forms.iter().flatten();
        forms.any(|form| self.0.iter().any(|net| net.contains(form)))
    }
}

impl TryFrom<Vec<String>> for Blocked {
    type Error = Error;

    fn try_from(networks: Vec<String>) -> Result<Self, Error> {
        Self::parse(&networks)
    }
}

impl From<Blocked> for Vec<String> {
    fn from(blocked: Blocked) -> Self {
        blocked.0.iter().map(ToString::to_string).collect()
    }
}

// === impl Verdict ===

impl Verdict {
    /// On the list by more than a wildcard for all hosts.
    pub fn is_named(self) -> bool {
        matches!(self, Verdict::Local | Verdict::Named)
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
            HostPattern::Exact(name) if name == host && is_local(name) => Verdict::Local,
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
        if let Some(net) = network(bare) {
            return Some(Self::Network(net));
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

/// A network in CIDR form, or a single address.
fn network(text: &str) -> Option<IpNet> {
    let address = || text.parse::<IpAddr>().map(IpNet::from);
    text.parse().or_else(|_| address()).ok()
}

/// Whether a name can mean nothing but something nearby: no registry sells it, so no stranger decides what it points to.
fn is_local(name: &str) -> bool {
    const SUFFIXES: [&str; 5] = [".localhost", ".internal", ".local", ".lan", ".home.arpa"];
    !name.contains('.') || SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
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

/// Link-local addresses and the one that a cloud uses beside them: any process of a machine is given the machine's own
/// credentials there.
fn may_hold_credentials(address: IpAddr) -> bool {
    match carried(address) {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.segments() == [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254],
    }
}

/// The IPv4 address that an IPv6 address stands for: mapped, by NAT64 (RFC 6052) or by 6to4 (RFC 3056). Others are as
/// they are.
fn carried(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = canonical(address) else {
        return canonical(address);
    };
    match v6.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
        [0x2002, high, low, ..] => embedded(high, low),
        _ => address,
    }
}

/// Addresses that are not on the public internet: loopback, private, link-local, shared, documentation, multicast, unspecified.
pub fn is_private(address: IpAddr) -> bool {
    match carried(address) {
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
            // What is left of NAT64's prefix is for local use (RFC 8215).
            (s[0] == 0x64 && s[1] == 0xff9b)
                || v6.is_loopback()
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
mod tests;
