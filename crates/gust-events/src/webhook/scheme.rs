//! How each scheme signs: where the signature stands, and over which bytes it goes.

use std::time::Duration;

use gust_types::{
    Error, Result,
    trigger::{HmacSpec, WebhookScheme, WebhookSpec},
};
use http::HeaderMap;

use super::{
    signature::{Algorithm, Encoding, any_good, decode},
    tolerance,
};

/// Signatures of one request that are looked at: while a secret is changed there are two.
const MAX_SIGNATURES: usize = 8;
/// Digits of a time in seconds.
const MAX_DIGITS: usize = 12;

/// The bytes of the signature that was found good; `None` where nothing is signed.
pub(super) fn check(
    spec: &WebhookSpec,
    secrets: &[String],
    headers: &HeaderMap,
    body: &[u8],
    now_us: u64,
) -> Result<Option<Vec<u8>>> {
    let sha256 = Algorithm::Sha256;
    match &spec.scheme {
        WebhookScheme::None => Ok(None),
        WebhookScheme::Github => {
            let text = header(headers, "x-hub-signature-256")?;
            let signatures = one(text, "sha256=", Encoding::Hex, sha256)?;
            good(sha256, secrets, &[body], signatures)
        }
        WebhookScheme::Hmac(hmac) => generic(hmac, secrets, headers, body),
        WebhookScheme::Slack => {
            let time = header(headers, "x-slack-request-timestamp")?;
            let text = header(headers, "x-slack-signature")?;
            let signatures = one(text, "v0=", Encoding::Hex, sha256)?;
            let signed = [&b"v0:"[..], time.as_bytes(), b":", body];
            let found = good(sha256, secrets, &signed, signatures)?;
            in_time(time, tolerance(spec), now_us)?;
            Ok(found)
        }
        WebhookScheme::Stripe => {
            let Stripe { time, signatures } = stripe(header(headers, "stripe-signature")?)?;
            let found = good(sha256, secrets, &[time.as_bytes(), b".", body], signatures)?;
            in_time(time, tolerance(spec), now_us)?;
            Ok(found)
        }
    }
}

fn generic(
    hmac: &HmacSpec,
    secrets: &[String],
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Option<Vec<u8>>> {
    let text = header(headers, &hmac.header)?;
    let signatures = one(text, &hmac.prefix, hmac.encoding, hmac.algorithm)?;
    good(hmac.algorithm, secrets, &[body], signatures)
}

fn good(
    algorithm: Algorithm,
    secrets: &[String],
    signed: &[&[u8]],
    signatures: Vec<Vec<u8>>,
) -> Result<Option<Vec<u8>>> {
    match any_good(algorithm, secrets, signed, signatures) {
        Some(found) => Ok(Some(found)),
        None => Err(denied("the signature of the request is not valid")
            .hint("is the secret the same on both sides, and the body as it was signed?")),
    }
}

fn denied(text: impl Into<String>) -> Error {
    Error::denied(text)
}

/// A header that is there once.
fn header<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a str> {
    let mut found = headers.get_all(name).iter();
    match (found.next(), found.next()) {
        (Some(one), None) => one
            .to_str()
            .map_err(|_| denied(format!("a header of the signature is malformed: {name}"))),
        (None, _) => Err(denied(format!(
            "the request is not signed, a header is missing: {name}"
        ))),
        (Some(_), Some(_)) => Err(denied(format!("a header is there twice: {name}"))),
    }
}

/// The one signature that stands behind a prefix.
fn one(text: &str, prefix: &str, encoding: Encoding, algorithm: Algorithm) -> Result<Vec<Vec<u8>>> {
    let written = text.trim().strip_prefix(prefix);
    let signature = written.and_then(|text| decode(text, encoding, algorithm));
    match signature {
        Some(signature) => Ok(vec![signature]),
        None => Err(denied("the signature of the request is malformed")),
    }
}

/// `t=1492774577,v1=5257a8…,v1=…,v0=…`.
struct Stripe<'a> {
    time: &'a str,
    signatures: Vec<Vec<u8>>,
}

/// Other schemes than `v1` are passed over, as the vendor says; a time that is there twice is nobody's.
fn stripe(text: &str) -> Result<Stripe<'_>> {
    let malformed = || denied("the signature of the request is malformed");
    let mut time = None;
    let mut signatures = Vec::new();
    for part in text.split(',') {
        let Some((name, value)) = part.trim().split_once('=') else {
            return Err(malformed());
        };
        match name {
            "t" if time.is_some() => return Err(malformed()),
            "t" => time = Some(value),
            "v1" if signatures.len() < MAX_SIGNATURES => {
                signatures.extend(decode(value, Encoding::Hex, Algorithm::Sha256));
            }
            _ => {}
        }
    }
    match time {
        Some(time) if !signatures.is_empty() => Ok(Stripe { time, signatures }),
        _ => Err(malformed()),
    }
}

/// Asked once the signature is good: a stranger learns nothing of times.
fn in_time(text: &str, tolerance: Duration, now_us: u64) -> Result<()> {
    let digits = text.len() <= MAX_DIGITS && text.bytes().all(|b| b.is_ascii_digit());
    let signed_us = text.parse::<u64>().ok().filter(|_| digits);
    let Some(signed_us) = signed_us.map(|seconds| seconds * 1_000_000) else {
        return Err(denied("the time of the signature is malformed"));
    };
    if u128::from(signed_us.abs_diff(now_us)) <= tolerance.as_micros() {
        return Ok(());
    }
    let where_it_is = match signed_us < now_us {
        true => "older than the webhook's tolerance",
        false => "ahead of the clock by more than the webhook's tolerance",
    };
    let tolerance = gust_types::Span(tolerance);
    Err(
        denied(format!("the signature is {where_it_is} of {tolerance}"))
            .hint("send it again with a new signature; are both clocks right?"),
    )
}
