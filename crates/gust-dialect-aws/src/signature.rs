//! Signatures: AWS4-HMAC-SHA256 in the head of a request, over its method, path, headers and body.
//!
//! What is looked at here is what was signed: a header that says what is asked for (`x-amz-target`) has to be among the
//! signed ones, the body's hash is taken of the bytes that came, and a path or query that could be read in two ways is
//! refused.

use chrono::NaiveDateTime;
use hmac::{Hmac, Mac as _};
use http::{HeaderMap, HeaderName, Method, Uri, header};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::fault::{Code, Result};

/// Clocks may differ by so much, in seconds.
const SKEW: i64 = 900;
const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const BODY: &str = "x-amz-content-sha256";

/// How a request says it is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Signed {
    /// The access key.
    pub(crate) key: String,
    /// The region that it is for: any name is one.
    pub(crate) region: String,
    /// The service that it is for.
    pub(crate) service: String,
    date: String,
    stamp: String,
    names: String,
    signature: String,
}

// === impl Signed ===

impl Signed {
    /// Reads a head. What cannot be good whatever the secret is goes no further.
    pub(crate) fn read(headers: &HeaderMap, uri: &Uri, now_us: u64) -> Result<Self> {
        plain(uri)?;
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            let missing = headers.get(header::AUTHORIZATION).is_none();
            return Err(match missing {
                true => Code::UNSIGNED.says("The request is not signed."),
                false => Code::INCOMPLETE.says("The request is signed twice."),
            });
        };
        let value = value.to_str().unwrap_or_default();
        let Some(rest) = value.strip_prefix(ALGORITHM) else {
            return Err(Code::INCOMPLETE.says(format!("Sign with {ALGORITHM}.")));
        };
        let part = |name: &str| {
            let mut parts = rest.split([',', ' ']).map(str::trim);
            let found = parts.find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
            let found = found.filter(|value| !value.is_empty());
            found.ok_or_else(|| Code::INCOMPLETE.says(format!("Authorization has no {name}.")))
        };
        let scope: Vec<_> = part("Credential")?.split('/').collect();
        let &[key, date, region, service, "aws4_request"] = &scope[..] else {
            return Err(
                Code::INCOMPLETE.says("Credential has to be KEY/DATE/REGION/SERVICE/aws4_request.")
            );
        };
        let signed = Self {
            key: key.to_owned(),
            region: region.to_owned(),
            service: service.to_owned(),
            date: date.to_owned(),
            stamp: stamp(headers)?,
            names: part("SignedHeaders")?.to_owned(),
            signature: part("Signature")?.to_owned(),
        };
        signed.timely(now_us)?;
        signed.covers(headers)?;
        Ok(signed)
    }

    fn timely(&self, now_us: u64) -> Result<()> {
        let odd = || Code::INCOMPLETE.says("X-Amz-Date has to be like 20260405T173100Z.");
        let at = NaiveDateTime::parse_from_str(&self.stamp, "%Y%m%dT%H%M%SZ").map_err(|_| odd())?;
        if self.stamp.get(..8) != Some(&self.date) {
            return Err(Code::SIGNATURE.says("Credential is not of the day of X-Amz-Date."));
        }
        let now = i64::try_from(now_us / 1_000_000).unwrap_or(i64::MAX);
        let behind = now.saturating_sub(at.and_utc().timestamp());
        match behind.abs() > SKEW {
            true => Err(Code::SIGNATURE.says(format!(
                "Signature expired: {} is {behind} seconds away from the node's clock.",
                self.stamp
            ))),
            false => Ok(()),
        }
    }

    /// The host and every header of Amazon's must be signed, and what is signed must be there.
    fn covers(&self, headers: &HeaderMap) -> Result<()> {
        let signed: Vec<_> = self.names.split(';').collect();
        let sorted = signed.is_sorted_by(|a, b| a < b);
        let there = signed.iter().find(|name| !headers.contains_key(**name));
        if let Some(name) = there {
            return Err(Code::SIGNATURE.says(format!("This signed header is not there: {name}")));
        }
        if !sorted
            || signed
                .iter()
                .any(|name| name.chars().any(|c| c.is_ascii_uppercase()))
        {
            return Err(Code::INCOMPLETE.says("SignedHeaders are in small letters, sorted."));
        }
        let ours = headers.keys().map(HeaderName::as_str);
        let mut ours = ours
            .filter(|name| name.starts_with("x-amz-"))
            .chain(["host"]);
        match ours.find(|name| !signed.contains(name)) {
            Some(name) => Err(Code::SIGNATURE.says(format!("This header is not signed: {name}"))),
            None => Ok(()),
        }
    }

    /// The hash that a head says its body has: so the head alone tells who signed.
    pub(crate) fn said(headers: &HeaderMap) -> Result<Option<&str>> {
        let Some(said) = headers.get(BODY) else {
            return Ok(None);
        };
        let hash = said.to_str().ok().filter(|said| said.len() == 64);
        let hash = hash.ok_or_else(|| {
            Code::SIGNATURE.says(format!("{BODY} has to be the SHA-256 of the body in hex."))
        });
        hash.map(Some)
    }

    /// Whether the signature is that of a secret over this request, whose body has this hash.
    pub(crate) fn verify(
        &self,
        secret: &str,
        (method, uri, headers): (&Method, &Uri, &HeaderMap),
        hash: &str,
    ) -> Result<()> {
        let mut lines = String::new();
        for name in self.names.split(';') {
            lines.push_str(name);
            lines.push(':');
            lines.push_str(&value(headers, name)?);
            lines.push('\n');
        }
        let names = &self.names;
        let path = uri.path();
        let canonical = format!("{method}\n{path}\n\n{lines}\n{names}\n{hash}");
        let scope = format!(
            "{}/{}/{}/aws4_request",
            self.date, self.region, self.service
        );
        let hash = hex::encode(Sha256::digest(canonical.as_bytes()));
        let text = format!("{ALGORITHM}\n{}\n{scope}\n{hash}", self.stamp);
        let mut key = hmac(format!("AWS4{secret}").as_bytes(), &self.date);
        for part in [&self.region, &self.service, "aws4_request"] {
            key = hmac(&key, part);
        }
        let wanted = hex::encode(hmac(&key, &text));
        match bool::from(wanted.as_bytes().ct_eq(self.signature.as_bytes())) {
            true => Ok(()),
            false => Err(Code::SIGNATURE.says(
                "The request signature we calculated does not match the signature you provided. \
                 Check your secret and your signing method.",
            )),
        }
    }
}

/// Whether the hash that the head said is that of the body.
pub(crate) fn same(said: &str, hash: &str) -> Result<()> {
    match said == hash {
        true => Ok(()),
        false => Err(Code::SIGNATURE.says(format!("{BODY} is not the hash of the body."))),
    }
}

/// What could be signed in one way and read in another: clients of these services have no use for it.
fn plain(uri: &Uri) -> Result<()> {
    let query = uri.query().unwrap_or_default();
    if query.to_ascii_lowercase().contains("x-amz-signature") {
        return Err(Code::INCOMPLETE.says("Signed URLs are not served here; sign in the head."));
    }
    if !query.is_empty() {
        return Err(Code::INCOMPLETE.says("A query is not served here; send a form."));
    }
    let path = uri.path();
    let fits = |c: char| c.is_ascii_alphanumeric() || "/-_.~".contains(c);
    let dots = path.split('/').any(|part| part == "." || part == "..");
    if !path.chars().all(fits) || dots || path.contains("//") {
        return Err(Code::ADDRESS.says("The path is not that of a queue."));
    }
    Ok(())
}

/// When the request was signed.
fn stamp(headers: &HeaderMap) -> Result<String> {
    let stamp = headers.get("x-amz-date").and_then(|at| at.to_str().ok());
    let stamp = stamp.ok_or_else(|| Code::INCOMPLETE.says("X-Amz-Date is not there."))?;
    Ok(stamp.to_owned())
}

/// The values of a header as they are signed: trimmed, runs of spaces as one, with commas between.
fn value(headers: &HeaderMap, name: &str) -> Result<String> {
    let mut all = Vec::new();
    for value in headers.get_all(name) {
        let text = std::str::from_utf8(value.as_bytes());
        let text = text.map_err(|_| Code::SIGNATURE.says(format!("Not UTF-8: {name}")))?;
        let words: Vec<_> = text.split(' ').filter(|word| !word.is_empty()).collect();
        all.push(words.join(" "));
    }
    Ok(all.join(","))
}

fn hmac(key: &[u8], text: &str) -> [u8; 32] {
    #[expect(clippy::expect_used, reason = "a key of any length is one")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example `post-vanilla` of Amazon's own test suite for this signature, at its time.
    #[test]
    fn amazons_own_example_is_good() {
        let mut headers = HeaderMap::new();
        headers.insert("host", "example.amazonaws.com".parse().unwrap());
        headers.insert("x-amz-date", "20150830T123600Z".parse().unwrap());
        let authorization = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
             SignedHeaders=host;x-amz-date, \
             Signature=5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b";
        headers.insert("authorization", authorization.parse().unwrap());
        let at = 1_440_938_160_000_000;
        let uri = Uri::from_static("/");
        let signed = Signed::read(&headers, &uri, at).unwrap();
        let head = (&Method::POST, &uri, &headers);
        let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
        let hash = |body: &str| hex::encode(Sha256::digest(body));
        signed.verify(secret, head, &hash("")).unwrap();
        assert!(signed.verify(secret, head, &hash("x")).is_err());
        assert!(signed.verify("other", head, &hash("")).is_err());
        assert!(
            signed
                .verify(secret, (&Method::PUT, &uri, &headers), &hash(""))
                .is_err()
        );
        for late in [at + 901_000_000, at - 901_000_000] {
            assert!(Signed::read(&headers, &uri, late).is_err());
        }
        // A header that says something and is not signed.
        headers.insert("x-amz-target", "AmazonSQS.PurgeQueue".parse().unwrap());
        let error = Signed::read(&headers, &uri, at).unwrap_err();
        assert!(error.message.contains("x-amz-target"), "{error:?}");
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        let headers = HeaderMap::new();
        for uri in [
            "/?X-Amz-Signature=1",
            "/?Action=ListQueues",
            "/%2e%2e/q",
            "/a/../q",
            "//q",
        ] {
            let error = Signed::read(&headers, &uri.parse().unwrap(), 0).unwrap_err();
            assert_ne!(error.code, Code::UNSIGNED, "{uri}");
        }
        let error = Signed::read(&headers, &Uri::from_static("/1/q.fifo"), 0).unwrap_err();
        assert_eq!(error.code, Code::UNSIGNED);
    }
}
