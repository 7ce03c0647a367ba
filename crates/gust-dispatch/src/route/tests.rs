use gust_types::route::{RoutePattern, Segment};
use http::Request;
use proptest::prelude::*;

use super::{host, match_path};
use crate::tests::kit::{App, World, runtime};

// === the trie against a matcher that is plainly right ===

/// The segments of a path, or `None` for what is no path.
fn segments(path: &str) -> Option<Vec<&str>> {
    let rest = path.strip_prefix('/')?;
    if rest.is_empty() {
        return Some(Vec::new());
    }
    Some(rest.strip_suffix('/').unwrap_or(rest).split('/').collect())
}

fn same(literal: &str, segment: &str) -> bool {
    // Escapes are equal in either case, nothing else is.
    let lower = |text: &str| {
        let bytes = text.as_bytes();
        let escaped = |i: usize| {
            (1..=2).any(|back| {
                i >= back && bytes[i - back] == b'%' && (back == 1 || bytes[i - 1] != b'%')
            })
        };
        (0..bytes.len())
            .map(|i| {
                if escaped(i) {
                    bytes[i].to_ascii_lowercase()
                } else {
                    bytes[i]
                }
            })
            .collect::<Vec<_>>()
    };
    lower(literal) == lower(segment)
}

/// How specific each segment of a match is: lower is better. `None` when the pattern does not match.
fn rank(pattern: &RoutePattern, path: &[&str]) -> Option<(Vec<u8>, Vec<String>)> {
    let fixed = pattern.segments();
    let fits = fixed.len() == path.len() || pattern.wildcard() && fixed.len() < path.len();
    if !fits {
        return None;
    }
    let (mut rank, mut values) = (Vec::new(), Vec::new());
    for (segment, part) in fixed.iter().zip(path) {
        match segment {
            Segment::Literal(text) if same(text, part) => rank.push(0),
            Segment::Param(_) if !part.is_empty() => {
                values.push((*part).to_owned());
                rank.push(1);
            }
            _ => return None,
        }
    }
    rank.push(if pattern.wildcard() { 3 } else { 2 });
    Some((rank, values))
}

fn naive(patterns: &[&str], path: &str) -> Option<(usize, Vec<String>)> {
    let path = segments(path)?;
    let mut shapes = std::collections::HashSet::new();
    patterns
        .iter()
        .enumerate()
        .filter_map(|(i, text)| Some((i, RoutePattern::parse(text).ok()?)))
        .filter(|(_, pattern)| shapes.insert(pattern.shape()))
        .filter_map(|(i, pattern)| rank(&pattern, &path).map(|(rank, values)| (rank, i, values)))
        .min()
        .map(|(_, i, values)| (i, values))
}

fn pattern() -> impl Strategy<Value = String> {
    let segment = prop_oneof![
        "[ab]",
        "[ab]{2}",
        Just("%2F".to_owned()),
        Just(":x".to_owned()),
        Just(":y".to_owned()),
        Just(":z".to_owned())
    ];
    let end = prop_oneof![Just(""), Just("/"), Just("/..."), Just("/*")];
    (prop::collection::vec(segment, 0..5), end).prop_map(|(parts, end)| {
        let mut text: String = parts.iter().map(|part| format!("/{part}")).collect();
        text.push_str(end);
        if text.is_empty() {
            "/".to_owned()
        } else {
            text
        }
    })
}

fn path() -> impl Strategy<Value = String> {
    let segment = prop_oneof![
        4 => "[ab]{1,2}",
        1 => Just(String::new()),
        1 => Just("%2f".to_owned()),
        1 => Just("..".to_owned()),
        1 => Just("%00".to_owned())
    ];
    (prop::collection::vec(segment, 0..6), any::<bool>()).prop_map(|(parts, slash)| {
        let text: String = parts.iter().map(|part| format!("/{part}")).collect();
        if slash || text.is_empty() {
            text + "/"
        } else {
            text
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_trie_finds_what_a_plain_matcher_finds(
        patterns in prop::collection::vec(pattern(), 0..12),
        path in path(),
    ) {
        let patterns: Vec<_> = patterns.iter().map(String::as_str).collect();
        prop_assert_eq!(match_path(&patterns, &path), naive(&patterns, &path));
    }

    #[test]
    fn nothing_makes_it_panic(patterns in prop::collection::vec(any::<String>(), 0..4), path in any::<String>()) {
        let patterns: Vec<_> = patterns.iter().map(String::as_str).collect();
        match_path(&patterns, &path);
    }
}

#[test]
fn the_most_specific_pattern_wins() {
    let patterns = [
        "/...",
        "/",
        "/users/:id",
        "/users/me",
        "/users/:id/posts/...",
        "/users/me/posts/new",
        "/one/...",
        "/one/two/...",
        "/a/:x/d",
        "/a/b/c",
        "/caf%c3%a9",
    ];
    for (path, pattern, values) in [
        ("/", "/", vec![]),
        ("/users/7", "/users/:id", vec!["7"]),
        ("/users/7/", "/users/:id", vec!["7"]),
        ("/users/me", "/users/me", vec![]),
        ("/users/me/posts/old", "/users/:id/posts/...", vec!["me"]),
        ("/users/me/posts/new", "/users/me/posts/new", vec![]),
        ("/users/", "/...", vec![]),
        ("/one", "/one/...", vec![]),
        ("/one/two", "/one/two/...", vec![]),
        ("/one/three/two", "/one/...", vec![]),
        ("/a/b/d", "/a/:x/d", vec!["b"]),
        ("/a/b/e", "/...", vec![]),
        ("//", "/...", vec![]),
        ("/a//d", "/...", vec![]),
        ("/users/..", "/users/:id", vec![".."]),
        ("/users/%00", "/users/:id", vec!["%00"]),
        ("/caf%C3%A9", "/caf%c3%a9", vec![]),
        ("/caf%c3%a9", "/caf%c3%a9", vec![]),
    ] {
        let (number, found) = match_path(&patterns, path).unwrap();
        assert_eq!(
            (patterns[number], found),
            (pattern, values.iter().map(|v| (*v).to_owned()).collect()),
            "{path}"
        );
    }
    for path in ["", "*", "users", "http://x/"] {
        assert_eq!(match_path(&patterns, path), None, "{path}");
    }
}

#[test]
fn a_long_path_costs_no_stack() {
    let path = "/a".repeat(1 << 20);
    assert_eq!(match_path(&["/a/a/a/..."], &path), Some((0, vec![])));
    assert_eq!(match_path(&["/a/a/a"], &path), None);
}

// === hosts ===

#[test]
fn a_host_loses_its_port_and_dot() {
    for (text, bare) in [
        ("app.test", "app.test"),
        ("app.test:8080", "app.test"),
        ("app.test.", "app.test"),
        ("app.test.:80", "app.test"),
        ("user:pass@app.test:1", "app.test"),
        ("[::1]:8080", "[::1]"),
        ("[::1]", "[::1]"),
        ("app.test:", "app.test"),
        ("", ""),
        (":", ""),
    ] {
        assert_eq!(host::bare(text), bare, "{text}");
    }
    assert!(host::is_internal("A.Spin.Internal:80"));
    assert!(host::is_internal("b.gust.internal."));
    assert!(!host::is_internal("spin.internal.example.com"));
}

/// Deploys, then says which function of which app a URL leads to.
async fn leads(apps: &[App], urls: &[(&str, Option<&str>)]) {
    let world = World::new(runtime(1));
    for app in apps {
        world.deploy(app);
    }
    for (url, expected) in urls {
        let (head, ()) = Request::get(*url).body(()).unwrap().into_parts();
        let found = world
            .dispatcher
            .route(&head)
            .ok()
            .map(|routed| match routed.function() {
                Some(entry) => entry.key().to_string(),
                None => "fixed".to_owned(),
            });
        assert_eq!(found.as_deref(), *expected, "{url}");
    }
}

#[tokio::test]
async fn hosts_lead_to_apps_and_functions() {
    let apps = [
        App::new("shop")
            .function("cart")
            .function("pay")
            .route(None, "pay")
            .host("www.shop.com"),
        App::new("blog").project("acme").function("post"),
        // Also readable as a function `shop` of an app `acme`, which does not exist.
        App::new("shop").project("acme").function("cart"),
    ];
    leads(
        &apps,
        &[
            ("http://shop.test/cart", Some("default/shop/cart")),
            ("http://SHOP.Test:8080/cart/x", Some("default/shop/cart")),
            ("http://www.shop.com/cart", Some("default/shop/cart")),
            (
                "http://cart.shop.test/anything/at/all",
                Some("default/shop/cart"),
            ),
            ("http://pay.shop.test/", None),
            ("http://shop.test/nothing", None),
            ("http://blog.acme.test/post", Some("acme/blog/post")),
            ("http://post.blog.acme.test/", Some("acme/blog/post")),
            ("http://shop.acme.test/cart", Some("acme/shop/cart")),
            ("http://x.post.blog.acme.test/", None),
            ("http://blog.test/post", None),
            ("http://test/", None),
            ("http://other.com/cart", None),
            ("http://127.0.0.1:80/cart", None),
            ("http://shop.test/.well-known/spin/health", Some("fixed")),
            ("http://cart.shop.test/.well-known/spin/info", Some("fixed")),
            ("http://cart.shop.test/.well-known/spin/other", None),
        ],
    )
    .await;
}

#[tokio::test]
async fn any_host_is_a_fallback() {
    let apps = [
        App::new("up").function("f").host("*"),
        App::new("shop").function("cart"),
    ];
    leads(
        &apps,
        &[
            ("http://127.0.0.1:3000/f", Some("default/up/f")),
            ("http://[::1]:3000/f", Some("default/up/f")),
            ("/f", Some("default/up/f")),
            ("http://shop.test/cart", Some("default/shop/cart")),
            ("http://shop.test/f", None),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_host_is_claimed_once() {
    let world = World::new(runtime(1));
    let deploy = |app: App| {
        world
            .dispatcher
            .deploy(app.deployment())
            .map_err(|e| e.kind)
    };
    let conflict = Err(gust_types::Kind::Conflict);
    deploy(App::new("y").function("x").function("p").route(None, "p")).unwrap();
    // `x.y.test` is function `x` of app `y` already; `p` is private and claims nothing.
    assert_eq!(deploy(App::new("x").project("y").function("f")), conflict);
    deploy(App::new("p").project("y").function("f")).unwrap();
    assert_eq!(
        deploy(App::new("y").function("p")),
        conflict,
        "the other way round"
    );
    deploy(App::new("one").function("f").host("*")).unwrap();
    assert_eq!(deploy(App::new("two").function("f").host("*")), conflict);
    deploy(App::new("one").function("f").host("*")).unwrap();
    let denied = Err(gust_types::Kind::Denied);
    assert_eq!(deploy(App::new("z").function("f").host("y.test")), denied);
    assert_eq!(
        deploy(App::new("z").function("f").host("a.spin.internal")),
        denied
    );
    for bad in ["", "a b", "a..b", "https://a.com", "a.com:80", "*.a.com"] {
        assert_eq!(
            deploy(App::new("z").function("f").host(bad)),
            Err(gust_types::Kind::Invalid),
            "{bad}"
        );
    }
    // What is given up can be taken.
    deploy(App::new("one").function("f").host("www.a.com")).unwrap();
    assert_eq!(
        deploy(App::new("two").function("f").host("www.a.com")),
        conflict
    );
    deploy(App::new("one").function("f")).unwrap();
    deploy(App::new("two").function("f").host("www.a.com").host("*")).unwrap();
}
