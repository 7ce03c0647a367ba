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
            Local,
        ),
        (
            "http://*.spin.internal",
            "http",
            "b.spin.internal",
            80,
            Named,
        ),
        ("http://localhost", "http", "localhost", 80, Local),
        ("http://db", "http", "db", 80, Local),
        ("http://nas.lan", "http", "nas.lan", 80, Local),
        ("http://localhost.com", "http", "localhost.com", 80, Named),
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

fn reaches(patterns: &[&str], blocked: &[&str], host: &str, address: &str) -> bool {
    let owned = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
    let blocked = Blocked::parse(&owned(blocked)).unwrap();
    let list = Outbound::parse(&owned(patterns)).unwrap().without(&blocked);
    let verdict = list.check("http", host, 80);
    list.check_address(verdict, "http", address.parse().unwrap(), 80)
}

/// Whoever holds a domain may let its names point anywhere.
#[test]
fn names_reach_private_addresses_only_when_they_are_plainly_local() {
    for (pattern, host, address, expected) in [
        ("http://a.example.com", "a.example.com", "192.0.9.1", true),
        ("http://a.example.com", "a.example.com", "127.0.0.1", false),
        ("http://a.example.com", "a.example.com", "10.1.2.3", false),
        (
            "http://a.example.com",
            "a.example.com",
            "169.254.169.254",
            false,
        ),
        (
            "http://a.example.com",
            "a.example.com",
            "::ffff:10.1.2.3",
            false,
        ),
        ("http://*.example.com", "a.example.com", "192.0.9.1", true),
        ("http://*.example.com", "a.example.com", "127.0.0.1", false),
        ("http://*.internal", "a.internal", "10.1.2.3", false),
        ("http://localhost", "localhost", "127.0.0.1", true),
        ("http://localhost", "localhost", "::1", true),
        ("http://db", "db", "10.1.2.3", true),
        ("http://db.svc.internal", "db.svc.internal", "fd00::7", true),
        ("http://x.home.arpa", "x.home.arpa", "192.168.1.1", true),
        // Not even these: a name server on the way may be the guest's friend.
        (
            "http://metadata.internal",
            "metadata.internal",
            "169.254.169.254",
            false,
        ),
        (
            "http://metadata.internal",
            "metadata.internal",
            "::ffff:169.254.169.254",
            false,
        ),
        (
            "http://metadata.internal",
            "metadata.internal",
            "64:ff9b::a9fe:a9fe",
            false,
        ),
        (
            "http://metadata.internal",
            "metadata.internal",
            "fd00:ec2::254",
            false,
        ),
        (
            "http://169.254.169.254",
            "169.254.169.254",
            "169.254.169.254",
            true,
        ),
        (
            "http://169.254.0.0/16",
            "169.254.169.254",
            "169.254.169.254",
            true,
        ),
        (
            "http://[fd00:ec2::254]",
            "fd00:ec2::254",
            "fd00:ec2::254",
            true,
        ),
    ] {
        let found = reaches(&[pattern], &[], host, address);
        assert_eq!(found, expected, "{pattern} {host} {address}");
    }
    let both = ["http://a.example.com", "http://10.0.0.0/8"];
    assert!(reaches(&both, &[], "a.example.com", "10.1.2.3"));
}

#[test]
fn what_is_blocked_is_reached_by_nothing() {
    for (pattern, host, address) in [
        ("http://10.1.2.3", "10.1.2.3", "10.1.2.3"),
        ("http://10.0.0.0/8", "10.1.2.3", "10.1.2.3"),
        ("http://db.internal", "db.internal", "10.1.2.3"),
        ("http://10.1.2.3", "::ffff:10.1.2.3", "::ffff:10.1.2.3"),
        ("http://*.example.com", "a.example.com", "192.0.9.1"),
        ("*://*:*", "a.example.com", "192.0.9.1"),
        ("*://*:*", "a.example.com", "64:ff9b::c000:901"),
    ] {
        let [v4, mapped] = [
            &["10.0.0.0/8", "192.0.9.1"],
            &["::ffff:10.0.0.0/104", "::ffff:192.0.9.1"],
        ];
        for blocked in [v4, mapped] {
            let found = reaches(&[pattern], blocked, host, address);
            assert!(!found, "{pattern} {host} {address} {blocked:?}");
        }
        let found = reaches(&[pattern], &["203.0.113.0/24"], host, address);
        assert!(found, "{pattern} {host} {address}");
    }
}

#[test]
fn malformed_networks_are_named() {
    for bad in ["10.0.0/8", "10.0.0.0/33", "", "example.com"] {
        let error = Blocked::parse(&[bad.to_owned()]).unwrap_err();
        assert!(error.message.contains(bad), "{}", error.message);
    }
}

#[test]
fn sockets_are_for_schemes_that_sockets_have() {
    for (pattern, expected) in [
        ("https://api.example.com", false),
        ("redis://cache:6379", false),
        ("self", false),
        ("tcp://db:5432", true),
        ("udp://10.0.0.1:53", true),
        ("*://*:*", true),
    ] {
        let list = Outbound::parse(&[pattern.to_owned()]).unwrap();
        assert_eq!(list.opens_sockets(), expected, "{pattern}");
    }
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
