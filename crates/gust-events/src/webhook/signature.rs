//! Keyed hashes, compared in constant time.

use base64::{
    Engine as _,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
pub(super) use gust_types::trigger::{HmacAlgorithm as Algorithm, HmacEncoding as Encoding};
use hmac::{Hmac, Mac as _};
use sha2::{Sha256, Sha512};
use subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq as _};

/// With padding or without: both are in use.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The bytes of a signature, if it is as long as this algorithm makes them.
pub(super) fn decode(text: &str, encoding: Encoding, algorithm: Algorithm) -> Option<Vec<u8>> {
    // Longer than any signature in any encoding.
    if text.len() > 256 {
        return None;
    }
    let bytes = match encoding {
        Encoding::Hex => hex::decode(text).ok()?,
        Encoding::Base64 => BASE64.decode(text).ok()?,
    };
    let length = match algorithm {
        Algorithm::Sha256 => 32,
        Algorithm::Sha512 => 64,
    };
    (bytes.len() == length).then_some(bytes)
}

/// The first of these signatures that one of the secrets makes over these bytes. Every secret is tried with every
/// signature, whatever was found before.
pub(super) fn any_good(
    algorithm: Algorithm,
    secrets: &[String],
    signed: &[&[u8]],
    signatures: Vec<Vec<u8>>,
) -> Option<Vec<u8>> {
    let made: Vec<_> = secrets
        .iter()
        // Anybody can sign with an empty one.
        .filter(|secret| !secret.is_empty())
        .filter_map(|secret| sign(algorithm, secret.as_bytes(), signed))
        .collect();
    let none = signatures.len() as u64;
    let mut found = none;
    for (number, signature) in (0u64..).zip(&signatures) {
        let mut good = Choice::from(0);
        for made in &made {
            good |= made.ct_eq(signature);
        }
        let first = good & found.ct_eq(&none);
        found.conditional_assign(&number, first);
    }
    let found = usize::try_from(found).ok()?;
    signatures.into_iter().nth(found)
}

/// `None` never happens: a key may have any length.
fn sign(algorithm: Algorithm, secret: &[u8], signed: &[&[u8]]) -> Option<Vec<u8>> {
    match algorithm {
        Algorithm::Sha256 => {
            let mut mac = Hmac::<Sha256>::new_from_slice(secret).ok()?;
            signed.iter().for_each(|part| mac.update(part));
            Some(mac.finalize().into_bytes().to_vec())
        }
        Algorithm::Sha512 => {
            let mut mac = Hmac::<Sha512>::new_from_slice(secret).ok()?;
            signed.iter().for_each(|part| mac.update(part));
            Some(mac.finalize().into_bytes().to_vec())
        }
    }
}
