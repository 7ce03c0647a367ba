//! Any headers and body at a webhook of any scheme: never a panic, nothing is taken that the secret did not sign, and
//! what is taken is an event that survives its way into a queue.
#![no_main]

use bytes::Bytes;
use gust_backend::desk::{Hook, Secrets};
use gust_events::{
    message,
    webhook::{self, Arrival, Request},
};
use gust_types::{
    AppName, FunctionName, Kind, Label, ProjectName,
    trigger::{HmacAlgorithm, HmacEncoding, HmacSpec, WebhookScheme, WebhookSpec},
};
use http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;

const NOW_US: u64 = 1_492_774_577_000_000;

fuzz_target!(|bytes: &[u8]| {
    let Some((first, rest)) = bytes.split_first() else {
        return;
    };
    let head = rest.windows(2).position(|two| two == b"\n\n");
    let (head, body) = match head {
        Some(end) => (&rest[..end], &rest[end + 2..]),
        None => (rest, &[][..]),
    };
    let mut headers = HeaderMap::new();
    for line in head.split(|b| *b == b'\n').take(20) {
        let Some(colon) = line.iter().position(|b| *b == b':') else {
            continue;
        };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    let signed = first % 5 != 4;
    let hook = hook(*first, signed);
    webhook::check(&hook.spec).expect("a spec that can be");
    let arrival = Arrival {
        now_us: NOW_US,
        id: "made up".to_owned(),
        trace: None,
    };
    let body = Bytes::copy_from_slice(body);
    match webhook::read(&hook, &headers, &body, arrival) {
        Ok(Request::Event(event, key)) => {
            // The secret below is in no seed: what it signed can only be guessed.
            assert!(!signed, "taken without a signature");
            assert!(key.is_none_or(|key| key.len() <= 256));
            assert!(message::of_event(&event).size() <= body.len() + (64 << 10));
        }
        Ok(Request::Challenge(_)) => panic!("answered without a signature"),
        Err(error) => {
            assert!(matches!(error.kind, Kind::Denied | Kind::Invalid));
            assert!(!error.message.contains("hush"));
        }
    }
});

fn hook(first: u8, signed: bool) -> Hook {
    let hmac = HmacSpec {
        header: "x-signature".to_owned(),
        prefix: if first & 0x80 != 0 { "v1=" } else { "" }.to_owned(),
        encoding: match first & 0x40 {
            0 => HmacEncoding::Hex,
            _ => HmacEncoding::Base64,
        },
        algorithm: match first & 0x20 {
            0 => HmacAlgorithm::Sha256,
            _ => HmacAlgorithm::Sha512,
        },
    };
    let scheme = match first % 5 {
        0 => WebhookScheme::Github,
        1 => WebhookScheme::Stripe,
        2 => WebhookScheme::Slack,
        3 => WebhookScheme::Hmac(hmac),
        _ => WebhookScheme::None,
    };
    let own = matches!(scheme, WebhookScheme::Hmac(_) | WebhookScheme::None);
    Hook {
        project: ProjectName::default_project(),
        app: AppName::new("shop").expect("a name"),
        function: FunctionName::new("take").expect("a name"),
        trigger: Label::new("it").expect("a name"),
        spec: WebhookSpec {
            path: "/hooks/it".to_owned(),
            secrets: if signed { vec!["{{ it }}".to_owned()] } else { Vec::new() },
            scheme,
            tolerance: None,
            id_header: own.then(|| "x-id".to_owned()),
            event_header: own.then(|| "x-event".to_owned()),
        },
        secrets: Secrets(if signed {
            vec!["hush, hush, whisper who dares".to_owned()]
        } else {
            Vec::new()
        }),
    }
}
