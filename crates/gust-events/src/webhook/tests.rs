//! The vendors' own examples, what is refused, and anything at all.

use gust_backend::desk::Secrets;
use gust_types::{
    AppName, FunctionName, Kind, Label, ProjectName, Span,
    trigger::{HmacAlgorithm, HmacEncoding, HmacSpec},
};
use proptest::prelude::*;

use super::*;

/// In seconds; the requests below are signed at such a time.
const NOW: u64 = 1_492_774_577;

fn spec(scheme: WebhookScheme) -> WebhookSpec {
    WebhookSpec {
        path: "/hooks/it".to_owned(),
        secrets: match scheme {
            WebhookScheme::None => Vec::new(),
            _ => vec!["{{ it }}".to_owned()],
        },
        scheme,
        tolerance: None,
        id_header: None,
        event_header: None,
    }
}

fn hmac(prefix: &str, encoding: HmacEncoding, algorithm: HmacAlgorithm) -> WebhookScheme {
    WebhookScheme::Hmac(HmacSpec {
        header: "x-signature".to_owned(),
        prefix: prefix.to_owned(),
        encoding,
        algorithm,
    })
}

fn serving(spec: WebhookSpec, secrets: &[&str]) -> Hook {
    Hook {
        project: ProjectName::default_project(),
        app: AppName::new("shop").unwrap(),
        function: FunctionName::new("take").unwrap(),
        trigger: Label::new("it").unwrap(),
        spec,
        secrets: Secrets(secrets.iter().map(|s| (*s).to_owned()).collect()),
    }
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(*name, value.parse().unwrap());
    }
    headers
}

fn at(seconds: u64) -> Arrival {
    Arrival {
        now_us: seconds * 1_000_000,
        id: "made up".to_owned(),
        trace: None,
    }
}

#[track_caller]
fn kept(hook: &Hook, headers: &HeaderMap, body: &str, now: u64) -> (Event, Option<String>) {
    match read(
        hook,
        headers,
        &Bytes::copy_from_slice(body.as_bytes()),
        at(now),
    ) {
        Ok(Request::Event(event, key)) => (*event, key),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn refused(hook: &Hook, headers: &HeaderMap, body: &str, now: u64) -> String {
    let body = Bytes::copy_from_slice(body.as_bytes());
    let error = read(hook, headers, &body, at(now)).unwrap_err();
    assert_eq!(error.kind, Kind::Denied);
    error.message
}

/// <https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries>
const GITHUB: (&str, &str, &str) = (
    "It's a Secret to Everybody",
    "Hello, World!",
    "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
);

/// <https://docs.slack.dev/authentication/verifying-requests-from-slack>
const SLACK: (&str, &str, &str, u64) = (
    "8f742231b10e8888abcd99yyyzzz85a5",
    "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c",
    "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
    1_531_420_618,
);

/// The time of the vendor's example header; its secret and body are not published, so the hash was made with another
/// program.
const STRIPE: (&str, &str, &str) = (
    "whsec_test_secret",
    "{\n  \"id\": \"evt_test_webhook\",\n  \"object\": \"event\"\n}",
    "c2f890decbc5ede7c5060bb9a6d31e0626a4342bacb9aeae2adb1bcea72f9812",
);

#[test]
fn githubs_example_is_good() {
    let (secret, body, signature) = GITHUB;
    let hook = serving(spec(WebhookScheme::Github), &["another", secret]);
    let mut signed = headers(&[
        ("x-hub-signature-256", signature),
        ("x-github-delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958"),
        ("x-github-event", "issues"),
        ("content-type", "application/json"),
    ]);
    let (event, key) = kept(&hook, &signed, body, NOW);
    assert_eq!(event.kind(), RECEIVED);
    assert_eq!(event.id(), "72d3162e-cc78-11e3-81ab-4c9367dc0958");
    assert_eq!(event.source(), "/apps/shop/triggers/it");
    assert_eq!(event.time(), Some("2017-04-21T11:36:17.000000Z"));
    let of = |name: &str| event.attribute(name).unwrap().text().into_owned();
    assert_eq!((of(SCHEME), of(EVENT)), ("github".into(), "issues".into()));
    assert_eq!(event.datacontenttype(), Some("application/json"));
    assert_eq!(&event.data().unwrap().bytes[..], body.as_bytes());
    assert_eq!(key.unwrap(), "id 72d3162e-cc78-11e3-81ab-4c9367dc0958");
    // Without an id of its own it is known by its signature, however that is written.
    signed.remove("x-github-delivery");
    let upper = signature.to_uppercase().replace("SHA256", "sha256");
    let (_, first) = kept(&hook, &signed, body, NOW);
    signed.insert("x-hub-signature-256", upper.parse().unwrap());
    let (event, second) = kept(&hook, &signed, body, NOW);
    assert_eq!(first, second);
    assert_eq!(event.id(), &signature["sha256=".len()..]);
}

#[test]
fn slacks_example_is_good_in_time() {
    let (secret, body, signature, time) = SLACK;
    let hook = serving(spec(WebhookScheme::Slack), &[secret]);
    let stamp = time.to_string();
    let signed = headers(&[
        ("x-slack-signature", signature),
        ("x-slack-request-timestamp", &stamp),
    ]);
    for now in [time - 300, time, time + 300] {
        kept(&hook, &signed, body, now);
    }
    let late = refused(&hook, &signed, body, time + 301);
    assert!(late.contains("older") && late.contains("5m"), "{late}");
    let early = refused(&hook, &signed, body, time - 301);
    assert!(early.contains("ahead") && early.contains("5m"), "{early}");
    // Who changes the time, changes what was signed.
    let next = (time + 301).to_string();
    let moved = headers(&[
        ("x-slack-signature", signature),
        ("x-slack-request-timestamp", &next),
    ]);
    assert!(refused(&hook, &moved, body, time + 301).contains("not valid"));
}

#[test]
fn slacks_question_is_answered_and_its_events_have_an_id() {
    let hook = serving(spec(WebhookScheme::Slack), &["s"]);
    let time = NOW.to_string();
    let signed = |body: &str| {
        let signature = signed_with(b"s", format!("v0:{time}:{body}").as_bytes());
        headers(&[
            ("x-slack-signature", &format!("v0={signature}")),
            ("x-slack-request-timestamp", &time),
        ])
    };
    let asks = r#"{"token":"t","challenge":"3eZbrw1a","type":"url_verification"}"#;
    let body = Bytes::from_static(asks.as_bytes());
    let answer = read(&hook, &signed(asks), &body, at(NOW)).unwrap();
    assert_eq!(answer, Request::Challenge("3eZbrw1a".to_owned()));
    assert!(refused(&hook, &headers(&[]), asks, NOW).contains("not signed"));
    let told = r#"{"type":"event_callback","event_id":"Ev08","event":{"type":"message"},"challenge":"no"}"#;
    let (event, key) = kept(&hook, &signed(told), told, NOW);
    assert_eq!((event.id(), key.as_deref()), ("Ev08", Some("id Ev08")));
    assert_eq!(event.attribute(EVENT).unwrap().text(), "message");
}

#[test]
fn any_of_stripes_signatures_may_be_good() {
    let (secret, body, good) = STRIPE;
    let hook = serving(spec(WebhookScheme::Stripe), &[secret, "next"]);
    let wrong = "5257a869e7ecebeda32affa62cdca3fa51cad7e77a0e56ff536d0ce8e108d8bd";
    for text in [
        format!("t={NOW},v1={good}"),
        format!("t={NOW},v1={wrong},v1={good},v0={wrong}"),
        format!("v1={good}, t={NOW}"),
        format!("t={NOW},v1={good},v1={wrong},future=x"),
    ] {
        let signed = headers(&[("stripe-signature", &text)]);
        let (event, key) = kept(&hook, &signed, body, NOW);
        assert_eq!(event.id(), "evt_test_webhook", "{text}");
        assert_eq!(key.as_deref(), Some("id evt_test_webhook"));
    }
    for (text, why) in [
        (format!("t={NOW},v1={wrong}"), "not valid"),
        (format!("t={NOW},v0={good}"), "malformed"),
        (format!("v1={good}"), "malformed"),
        (format!("t={NOW},t={NOW},v1={good}"), "malformed"),
        (format!("t=0{NOW},v1={good}"), "not valid"),
        (format!("t={NOW},v1={}", &good[..63]), "malformed"),
        ("t".to_owned(), "malformed"),
        (String::new(), "malformed"),
    ] {
        let signed = headers(&[("stripe-signature", &text)]);
        let said = refused(&hook, &signed, body, NOW);
        assert!(said.contains(why), "{text}: {said}");
    }
    let signed = headers(&[("stripe-signature", &format!("t={NOW},v1={good}"))]);
    assert!(refused(&hook, &signed, body, NOW + 301).contains("tolerance of 5m"));
    let patient = serving(
        WebhookSpec {
            tolerance: Some(Span::secs(600)),
            ..hook.spec
        },
        &[secret],
    );
    kept(&patient, &signed, body, NOW + 301);
}

#[test]
fn others_say_how_they_sign() {
    let sha512 = "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cdedaa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854";
    for (scheme, secret, body, signature) in [
        // RFC 4231, test case 1.
        (
            hmac("", HmacEncoding::Hex, HmacAlgorithm::Sha512),
            "\u{b}".repeat(20),
            "Hi There",
            sha512.to_owned(),
        ),
        (
            hmac("sha512=", HmacEncoding::Hex, HmacAlgorithm::Sha512),
            "\u{b}".repeat(20),
            "Hi There",
            format!("sha512={sha512}"),
        ),
        (
            hmac("", HmacEncoding::Base64, HmacAlgorithm::Sha256),
            "hush".to_owned(),
            r#"{"id":1}"#,
            "VnKUjZsLuN5iZWjn5EntcBVCF9kMN43LglzCE1/GSeY=".to_owned(),
        ),
        (
            hmac("", HmacEncoding::Base64, HmacAlgorithm::Sha256),
            "hush".to_owned(),
            r#"{"id":1}"#,
            "VnKUjZsLuN5iZWjn5EntcBVCF9kMN43LglzCE1/GSeY".to_owned(),
        ),
    ] {
        let spec = WebhookSpec {
            id_header: Some("x-id".to_owned()),
            event_header: Some("X-Topic".to_owned()),
            ..spec(scheme)
        };
        let hook = serving(spec, &[&secret]);
        let signed = headers(&[
            ("x-signature", &signature),
            ("x-id", "7"),
            ("x-topic", "orders/create"),
        ]);
        let (event, key) = kept(&hook, &signed, body, NOW);
        assert_eq!((event.id(), key.as_deref()), ("7", Some("id 7")));
        assert_eq!(event.attribute(EVENT).unwrap().text(), "orders/create");
        assert!(refused(&hook, &signed, "other", NOW).contains("not valid"));
    }
}

#[test]
fn what_is_not_signed_as_agreed_is_refused_and_learns_nothing() {
    let (secret, body, signature) = GITHUB;
    let hook = serving(spec(WebhookScheme::Github), &[secret]);
    let half = &signature[..40];
    for (given, why) in [
        (headers(&[]), "not signed"),
        (headers(&[("x-hub-signature", signature)]), "not signed"),
        (headers(&[("x-hub-signature-256", "")]), "malformed"),
        (headers(&[("x-hub-signature-256", half)]), "malformed"),
        (
            headers(&[("x-hub-signature-256", &signature[7..])]),
            "malformed",
        ),
        (
            headers(&[
                ("x-hub-signature-256", signature),
                ("x-hub-signature-256", signature),
            ]),
            "twice",
        ),
    ] {
        let said = refused(&hook, &given, body, NOW);
        assert!(said.contains(why), "{said}");
        assert!(!said.contains(secret) && !said.contains("757107"), "{said}");
    }
    let signed = headers(&[("x-hub-signature-256", signature)]);
    assert!(refused(&hook, &signed, "Hello, World", NOW).contains("not valid"));
    // An empty secret is none: anybody could sign with it.
    let empty = serving(spec(WebhookScheme::Github), &["", ""]);
    let forged = format!("sha256={}", signed_with(b"", body.as_bytes()));
    let forged = headers(&[("x-hub-signature-256", &forged)]);
    assert!(refused(&empty, &forged, body, NOW).contains("not valid"));
    assert!(!format!("{hook:?}").contains(secret));
}

#[test]
fn unsigned_requests_are_taken_where_that_was_asked_for() {
    let hook = serving(spec(WebhookScheme::None), &[]);
    let (event, key) = kept(&hook, &headers(&[]), "", NOW);
    assert_eq!((event.id(), key), ("made up", None));
    assert!(event.data().is_none());
}

#[test]
fn specs_that_cannot_be_are_refused() {
    let good = spec(WebhookScheme::Stripe);
    assert!(check(&good).is_ok());
    let with = |change: &dyn Fn(&mut WebhookSpec)| {
        let mut spec = good.clone();
        change(&mut spec);
        check(&spec).unwrap_err().message
    };
    for (change, why) in [
        (
            &(|s: &mut WebhookSpec| s.path = "/hooks/:id".to_owned()) as &dyn Fn(&mut WebhookSpec),
            "one path",
        ),
        (&|s| s.path = "/hooks/...".to_owned(), "one path"),
        (&|s| s.path = "hooks".to_owned(), "start with"),
        (&|s| s.secrets.clear(), "1 to 8 secrets"),
        (&|s| s.secrets = vec![String::new(); 9], "1 to 8 secrets"),
        (&|s| s.tolerance = Some(Span::secs(0)), "from 1s to 1d"),
        (&|s| s.tolerance = Some(Span::secs(86_401)), "from 1s to 1d"),
        (
            &|s| s.id_header = Some("x-id".to_owned()),
            "knows its headers",
        ),
        (
            &|s| {
                s.scheme = WebhookScheme::Github;
                s.tolerance = Some(Span::secs(5));
            },
            "signs no time",
        ),
        (&|s| s.scheme = WebhookScheme::None, "no secrets"),
        (
            &|s| {
                s.scheme = hmac("", HmacEncoding::Hex, HmacAlgorithm::Sha256);
                s.id_header = Some("not a header".to_owned());
            },
            "not the name of a header",
        ),
        (
            &|s| s.scheme = hmac("a b", HmacEncoding::Hex, HmacAlgorithm::Sha256),
            "beginning",
        ),
    ] {
        let said = with(change);
        assert!(said.contains(why), "{said}");
    }
}

#[test]
fn a_repetition_is_known_for_as_long_as_its_signature_is_good() {
    let long = WebhookSpec {
        tolerance: Some(Span::secs(80_000)),
        ..spec(WebhookScheme::Slack)
    };
    assert_eq!(memory(&long), Duration::from_secs(160_000));
    assert_eq!(memory(&spec(WebhookScheme::Github)), DAY);
    let hmac = spec(hmac("", HmacEncoding::Hex, HmacAlgorithm::Sha256));
    assert_eq!(memory(&hmac), SHORT * 2);
}

fn signed_with(secret: &[u8], signed: &[u8]) -> String {
    use hmac::Mac as _;
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(secret).unwrap();
    mac.update(signed);
    hex::encode(mac.finalize().into_bytes())
}

proptest! {
    #[test]
    fn what_was_signed_is_good_and_nothing_else(
        body in proptest::collection::vec(any::<u8>(), 0..200),
        secret in "[ -~]{1,40}",
        at_byte in any::<prop::sample::Index>(),
        bit in 0u8..8,
        skew in -400i64..400,
    ) {
        let time = NOW.checked_add_signed(skew).unwrap();
        let mut signed = format!("{time}.").into_bytes();
        signed.extend(&body);
        let good = signed_with(secret.as_bytes(), &signed);
        let hook = serving(spec(WebhookScheme::Stripe), &[&secret]);
        let header = headers(&[("stripe-signature", &format!("t={time},v1={good}"))]);
        let answer = read(&hook, &header, &Bytes::from(body.clone()), at(NOW));
        prop_assert_eq!(answer.is_ok(), skew.abs() <= 300);
        if !body.is_empty() {
            let mut other = body.clone();
            other[at_byte.index(body.len())] ^= 1 << bit;
            let answer = read(&hook, &header, &Bytes::from(other), at(time));
            prop_assert_eq!(answer.unwrap_err().kind, Kind::Denied);
        }
    }

    #[test]
    fn any_header_is_read_without_a_panic(text in "\\PC{0,120}", body in "\\PC{0,200}") {
        for (scheme, name) in [
            (WebhookScheme::Github, "x-hub-signature-256"),
            (WebhookScheme::Stripe, "stripe-signature"),
            (WebhookScheme::Slack, "x-slack-signature"),
            (hmac("v1=", HmacEncoding::Base64, HmacAlgorithm::Sha512), "x-signature"),
        ] {
            let mut given = headers(&[("x-slack-request-timestamp", "1492774577")]);
            if let Ok(value) = text.parse() {
                given.insert(name, value);
            }
            let hook = serving(spec(scheme), &["s"]);
            let answer = read(&hook, &given, &Bytes::from(body.clone()), at(NOW));
            prop_assert!(answer.is_err());
        }
        let _ = Peek::of(body.as_bytes());
    }
}
