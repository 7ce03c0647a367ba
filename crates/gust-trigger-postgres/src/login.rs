//! Logging in: SCRAM-SHA-256 (RFC 7677), and the ways that were before it.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use gust_types::{Error, Result};
use hmac::{Hmac, Mac as _};
use md5::Md5;
use sha2::{Digest as _, Sha256};

/// The name of the one way with messages to and fro.
pub(crate) const SCRAM: &str = "SCRAM-SHA-256";
/// Rounds that a server may ask for: it is we who compute them.
const ROUNDS: u32 = 200_000;

/// A login under way.
pub(crate) struct Scram {
    password: String,
    nonce: String,
    /// What the server has to prove in the end that it knows the password too.
    proof: Option<[u8; 32]>,
}

/// The password as older servers want it.
pub(crate) fn md5(user: &str, password: &str, salt: &[u8]) -> String {
    let inner = hex::encode(
        Md5::new()
            .chain_update(password)
            .chain_update(user)
            .finalize(),
    );
    let outer = Md5::new().chain_update(inner).chain_update(salt).finalize();
    format!("md5{}", hex::encode(outer))
}

// === impl Scram ===

impl Scram {
    pub(crate) fn new(password: String, nonce: String) -> Self {
        Self {
            password,
            nonce,
            proof: None,
        }
    }

    pub(crate) fn first(&self) -> String {
        format!("n,,{}", self.bare())
    }

    /// The user was named before.
    fn bare(&self) -> String {
        format!("n=,r={}", self.nonce)
    }

    /// The answer to what the server says first.
    pub(crate) fn answer(&mut self, first: &[u8]) -> Result<String> {
        let first = std::str::from_utf8(first).map_err(|_| strange())?;
        let of = |name: &str| {
            let mut parts = first.split(',');
            parts
                .find_map(|part| part.strip_prefix(name))
                .ok_or_else(strange)
        };
        let (nonce, salt, rounds) = (of("r=")?, of("s=")?, of("i=")?);
        let salt = BASE64_STANDARD.decode(salt).map_err(|_| strange())?;
        let rounds: u32 = rounds.parse().map_err(|_| strange())?;
        // One that is not ours would be an answer to somebody else.
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err(strange());
        }
        if rounds == 0 || rounds > ROUNDS {
            return Err(Error::unavailable(format!(
                "postgres asks for more than {ROUNDS} rounds to log in: {rounds}"
            )));
        }
        let salted = salted(self.password.as_bytes(), &salt, rounds)?;
        let key = mac(&salted, b"Client Key")?;
        let stored: [u8; 32] = Sha256::digest(key).into();
        let end = format!("c=biws,r={nonce}");
        let all = format!("{},{first},{end}", self.bare());
        let signature = mac(&stored, all.as_bytes())?;
        let proof: Vec<u8> = key.iter().zip(signature).map(|(a, b)| a ^ b).collect();
        self.proof = Some(mac(&mac(&salted, b"Server Key")?, all.as_bytes())?);
        Ok(format!("{end},p={}", BASE64_STANDARD.encode(proof)))
    }

    /// Whether the server has proved itself.
    pub(crate) fn check(&self, last: &[u8]) -> Result<()> {
        let last = last.strip_prefix(b"v=").ok_or_else(strange)?;
        let last = BASE64_STANDARD.decode(last).map_err(|_| strange())?;
        match self.proof.is_some_and(|proof| proof[..] == last[..]) {
            true => Ok(()),
            false => Err(
                Error::unavailable("postgres does not know the password itself")
                    .hint("something else answers at this address"),
            ),
        }
    }
}

fn strange() -> Error {
    Error::unavailable("postgres logs in in another way than SCRAM-SHA-256")
}

fn salted(password: &[u8], salt: &[u8], rounds: u32) -> Result<[u8; 32]> {
    let keyed = keyed(password)?;
    let first = keyed
        .clone()
        .chain_update(salt)
        .chain_update(1_u32.to_be_bytes());
    let mut last: [u8; 32] = first.finalize().into_bytes().into();
    let mut sum = last;
    for _ in 1..rounds {
        last = keyed
            .clone()
            .chain_update(last)
            .finalize()
            .into_bytes()
            .into();
        sum.iter_mut()
            .zip(last)
            .for_each(|(sum, next)| *sum ^= next);
    }
    Ok(sum)
}

fn mac(key: &[u8], bytes: &[u8]) -> Result<[u8; 32]> {
    Ok(keyed(key)?
        .chain_update(bytes)
        .finalize()
        .into_bytes()
        .into())
}

fn keyed(key: &[u8]) -> Result<Hmac<Sha256>> {
    Hmac::new_from_slice(key).map_err(|_| Error::internal("no key of any length"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7677, where the user is named in the messages.
    #[test]
    fn the_rounds_are_those_of_the_standard() {
        let salt = BASE64_STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let salted = salted(b"pencil", &salt, 4096).unwrap();
        let all = "n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let proof = mac(&mac(&salted, b"Server Key").unwrap(), all.as_bytes()).unwrap();
        assert_eq!(
            BASE64_STANDARD.encode(proof),
            "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
        );
    }

    #[test]
    fn what_a_server_may_not_say_is_refused() {
        let mut scram = Scram::new("p".into(), "abc".into());
        for first in [
            &b"r=abcd,s=AAAA"[..],
            b"r=abc,s=AAAA,i=1",
            b"r=other,s=AAAA,i=1",
            b"r=abcd,s=AAAA,i=0",
            b"r=abcd,s=AAAA,i=4000000000",
            b"r=abcd,s=?,i=1",
            b"\xff",
        ] {
            assert!(scram.answer(first).is_err(), "{first:?}");
        }
        assert!(scram.check(b"v=AAAA").is_err());
        assert!(scram.answer(b"r=abcd,s=AAAA,i=2").is_ok());
        assert!(scram.check(b"v=AAAA").is_err());
        assert!(scram.check(b"e=no").is_err());
    }

    #[test]
    fn older_servers_are_known() {
        assert_eq!(
            md5("me", "pw", b"abcd"),
            "md55e78257b7332240798e1a1538f094d6e"
        );
    }
}
