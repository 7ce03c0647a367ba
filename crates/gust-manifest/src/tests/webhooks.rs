//! `webhook = { … }` of a trigger.

use gust_types::trigger::{
    HmacAlgorithm, HmacEncoding, HmacSpec, TriggerSource, WebhookScheme, WebhookSpec,
};

use super::{gust_fault, with};
use crate::parse_gust;

fn app(webhook: &str) -> String {
    with(&format!(
        "[variables]\nhush = {{ required = true, secret = true }}\nopen = {{ default = \"x\" }}\n\n[[trigger]]\nfunction = \"hello\"\nwebhook = {{ {webhook} }}\n"
    ))
}

const GITHUB: &str = r#"path = "/hooks/it", scheme = "github", secret = "{{ hush }}""#;

#[test]
fn a_webhook_arrives_and_closes_its_function() {
    let (spec, _) = parse_gust(&app(GITHUB)).unwrap();
    let wanted = WebhookSpec {
        path: "/hooks/it".to_owned(),
        scheme: WebhookScheme::Github,
        secrets: vec!["{{ hush }}".to_owned()],
        tolerance: None,
        id_header: None,
        event_header: None,
    };
    let source = &spec.events.triggers[0].source;
    assert_eq!(*source, TriggerSource::Webhook(wanted));
    // Private: otherwise anybody could call it without a signature.
    assert_eq!(spec.routes.len(), 1);
    assert_eq!(spec.routes[0].path, None);
    let open = app(GITHUB).replacen("source =", "route = \"/open\"\nsource =", 1);
    let (spec, _) = parse_gust(&open).unwrap();
    assert_eq!(spec.routes[0].path.as_deref(), Some("/open"));
    let json = serde_json::to_string(&spec).unwrap();
    let read: gust_types::AppSpec = serde_json::from_str(&json).unwrap();
    assert_eq!(read, spec);
}

#[test]
fn others_say_how_they_sign() {
    let text = r#"path = "/h", scheme = "hmac", secret = ["{{ hush }}", "{{hush}}"], header = "x-sig", prefix = "v1=", encoding = "base64", algorithm = "sha512", id_header = "x-id", event_header = "x-topic""#;
    let (spec, _) = parse_gust(&app(text)).unwrap();
    let TriggerSource::Webhook(webhook) = &spec.events.triggers[0].source else {
        panic!("{:?}", spec.events);
    };
    let hmac = HmacSpec {
        header: "x-sig".to_owned(),
        prefix: "v1=".to_owned(),
        encoding: HmacEncoding::Base64,
        algorithm: HmacAlgorithm::Sha512,
    };
    assert_eq!(webhook.scheme, WebhookScheme::Hmac(hmac));
    assert_eq!(webhook.secrets.len(), 2);
    assert_eq!(webhook.id_header.as_deref(), Some("x-id"));
    assert!(parse_gust(&app(r#"path = "/h", scheme = "none""#)).is_ok());
}

#[test]
fn what_means_nothing_is_refused() {
    for (text, wanted) in [
        (r#"scheme = "none""#, "`path`"),
        (r#"path = "/h""#, "`scheme`"),
        (r#"path = "h", scheme = "none""#, "start with"),
        (r#"path = "/h/:id", scheme = "none""#, "one path"),
        (r#"path = "/h/...", scheme = "none""#, "one path"),
        (r#"path = "/h", scheme = "gitlab""#, "none of its words"),
        (r#"path = "/h", scheme = "github""#, "`secret`"),
        (r#"path = "/h", scheme = "github", secret = []"#, "`secret`"),
        (
            r#"path = "/h", scheme = "github", secret = "abc""#,
            "not written down",
        ),
        (
            r#"path = "/h", scheme = "github", secret = "x{{ hush }}""#,
            "not written down",
        ),
        (
            r#"path = "/h", scheme = "github", secret = "{{ open }}""#,
            "is not secret: `open`",
        ),
        (
            r#"path = "/h", scheme = "github", secret = "{{ hussh }}""#,
            "did you mean `hush`",
        ),
        (
            r#"path = "/h", scheme = "none", secret = "{{ hush }}""#,
            "`secret` means nothing",
        ),
        (
            r#"path = "/h", scheme = "github", secret = "{{ hush }}", tolerance = "1m""#,
            "`tolerance` means nothing",
        ),
        (
            r#"path = "/h", scheme = "slack", secret = "{{ hush }}", tolerance = "0s""#,
            "tolerance",
        ),
        (
            r#"path = "/h", scheme = "slack", secret = "{{ hush }}", id_header = "x""#,
            "`id_header` means nothing",
        ),
        (
            r#"path = "/h", scheme = "hmac", secret = "{{ hush }}""#,
            "`header`",
        ),
        (
            r#"path = "/h", scheme = "none", secrets = 1"#,
            "did you mean `secret`",
        ),
    ] {
        let fault = gust_fault(&app(text));
        assert!(fault.contains(wanted), "{text}\n{fault}");
    }
    let twice = app(GITHUB)
        + "\n[[trigger]]\nfunction = \"hello\"\nname = \"b\"\nwebhook = { path = \"/hooks/it/\", scheme = \"none\" }\n";
    assert!(gust_fault(&twice).contains("the same route"));
    let routed = app(GITHUB).replacen("source =", "route = \"/hooks/it\"\nsource =", 1);
    assert!(gust_fault(&routed).contains("claim the same route"));
    let both = app(GITHUB).replacen("webhook =", "rate = \"1m\"\nwebhook =", 1);
    assert!(gust_fault(&both).contains("exactly one of"));
}
