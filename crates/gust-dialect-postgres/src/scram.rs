//! SCRAM-SHA-256 (RFC 7677), the server's side: the client proves that it has the key's secret, and so do we.

use std::collections::HashMap;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use gust_backend::keys::AccessKey;
use gust_task::ids;
use hmac::{Hmac, Mac as _};
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// The name of the mechanism.
pub(crate) const MECHANISM: &str = "SCRAM-SHA-256";
/// Rounds; some clients refuse fewer. Secrets are random, so that more would add nothing.
const ROUNDS: u32 = 4096;
/// Verifiers that are kept.
const KEPT: usize = 1024;

type Hash = [u8; 32];

/// What a proof is held against.
#[derive(Clone)]
struct Verifier {
    /// Of which secret.
    secret: Hash,
    stored_key: Hash,
    server_key: Hash,
}

/// Verifiers of keys, so that a login costs its rounds once.
pub(crate) struct Verifiers {
    /// What salts are made of: an id has one for as long as the process runs, whether there is such a key or not.
    seed: String,
    kept: Mutex<HashMap<String, Verifier>>,
}

/// A login under way.
pub(crate) struct Exchange {
    user: String,
    nonce: String,
    /// The client's first message without its head, and ours.
    said: String,
    head: String,
}

// === impl Verifiers ===

impl Verifiers {
    pub(crate) fn new() -> Self {
        Self {
            seed: ids::secret(),
            kept: Mutex::new(HashMap::new()),
        }
    }

    fn salt(&self, user: &str) -> Vec<u8> {
        let salt = mac(self.seed.as_bytes(), user.as_bytes());
        salt.iter().take(16).copied().collect()
    }

    /// What a proof is held against, and whether it had to be made.
    async fn of(&self, user: &str, secret: String) -> Option<(Verifier, bool)> {
        let hash: Hash = Sha256::digest(secret.as_bytes()).into();
        if let Some(kept) = self
            .kept
            .lock()
            .get(user)
            .filter(|kept| kept.secret == hash)
        {
            return Some((kept.clone(), false));
        }
        let salt = self.salt(user);
        let made = tokio::task::spawn_blocking(move || verifier(hash, &secret, &salt));
        let made = made.await.ok()?;
        let mut kept = self.kept.lock();
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(user.to_owned(), made.clone());
        Some((made, true))
    }

    /// Takes the time of a verifier that is made, of a secret that nobody has.
    async fn stretch_for_nothing(&self, user: &str) {
        let (seed, salt) = (self.seed.clone(), self.salt(user));
        let made = tokio::task::spawn_blocking(move || verifier(Hash::default(), &seed, &salt));
        let _ = made.await;
    }

    /// Answers the client's first message.
    pub(crate) fn begin(&self, user: &str, first: &[u8]) -> Option<(Exchange, String)> {
        let first = std::str::from_utf8(first).ok()?;
        // No channel to bind to, whether the client could or not.
        let head = ["n,,", "y,,"]
            .into_iter()
            .find(|head| first.starts_with(head))?;
        let bare = first.strip_prefix(head)?;
        let nonce = bare.split(',').find_map(|part| part.strip_prefix("r="))?;
        if nonce.len() < 8 || bare.starts_with("m=") {
            return None;
        }
        let nonce = format!("{nonce}{}", ids::secret());
        let salt = BASE64_STANDARD.encode(self.salt(user));
        let answer = format!("r={nonce},s={salt},i={ROUNDS}");
        let exchange = Exchange {
            user: user.to_owned(),
            nonce,
            said: format!("{bare},{answer}"),
            head: BASE64_STANDARD.encode(head),
        };
        Some((exchange, answer))
    }

    /// Checks the client's last message; answers with our own proof.
    pub(crate) async fn end(
        &self,
        exchange: Exchange,
        last: &[u8],
        key: Option<AccessKey>,
    ) -> Option<String> {
        let last = std::str::from_utf8(last).ok()?;
        let (without, proof) = last.rsplit_once(",p=")?;
        let mut parts = without.split(',');
        let bound = parts.next()?.strip_prefix("c=")? == exchange.head;
        let ours = parts.next()?.strip_prefix("r=")? == exchange.nonce;
        let proof: Hash = BASE64_STANDARD.decode(proof).ok()?.try_into().ok()?;
        let Some(key) = key else {
            self.stretch_for_nothing(&exchange.user).await;
            return None;
        };
        let (verifier, stretched) = self.of(&exchange.user, key.secret).await?;
        let said = format!("{},{without}", exchange.said);
        let signature = mac(&verifier.stored_key, said.as_bytes());
        let client_key: Vec<u8> = proof.iter().zip(signature).map(|(a, b)| a ^ b).collect();
        let stored: Hash = Sha256::digest(client_key).into();
        let good = bool::from(stored.ct_eq(&verifier.stored_key));
        let proof = mac(&verifier.server_key, said.as_bytes());
        if !(good && bound && ours) {
            // A refusal costs its rounds once, whatever was kept: else its time would tell which keys there are.
            if !stretched {
                self.stretch_for_nothing(&exchange.user).await;
            }
            return None;
        }
        Some(format!("v={}", BASE64_STANDARD.encode(proof)))
    }
}

fn verifier(hash: Hash, secret: &str, salt: &[u8]) -> Verifier {
    let salted = stretched(secret.as_bytes(), salt);
    Verifier {
        secret: hash,
        stored_key: Sha256::digest(mac(&salted, b"Client Key")).into(),
        server_key: mac(&salted, b"Server Key"),
    }
}

/// PBKDF2 for one block.
fn stretched(secret: &[u8], salt: &[u8]) -> Hash {
    let keyed = keyed(secret);
    let first = keyed
        .clone()
        .chain_update(salt)
        .chain_update(1u32.to_be_bytes());
    let mut last: Hash = first.finalize().into_bytes().into();
    let mut all = last;
    for _ in 1..ROUNDS {
        last = keyed
            .clone()
            .chain_update(last)
            .finalize()
            .into_bytes()
            .into();
        for (all, last) in all.iter_mut().zip(last) {
            *all ^= last;
        }
    }
    all
}

fn mac(key: &[u8], data: &[u8]) -> Hash {
    keyed(key).chain_update(data).finalize().into_bytes().into()
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of any length")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use gust_task::clock;
    use gust_types::ProjectName;

    use super::*;

    /// How long a refusal takes at least, of a few.
    async fn refused(verifiers: &Verifiers, user: &str, key: Option<AccessKey>) -> Duration {
        let mut least = Duration::MAX;
        for _ in 0..5 {
            let (exchange, _) = verifiers.begin(user, b"n,,n=,r=0123456789").unwrap();
            let proof = BASE64_STANDARD.encode([7; 32]);
            let last = format!("c=biws,r={},p={proof}", exchange.nonce);
            let began = clock::now();
            let end = verifiers.end(exchange, last.as_bytes(), key.clone()).await;
            least = least.min(began.elapsed());
            assert_eq!(end, None);
        }
        least
    }

    #[tokio::test]
    async fn a_refusal_takes_as_long_whether_there_is_such_a_key_or_not() {
        let verifiers = Verifiers::new();
        let key = AccessKey {
            project: ProjectName::default_project(),
            secret: "secret".to_owned(),
        };
        let began = clock::now();
        stretched(b"secret", b"salt");
        stretched(b"secret", b"salt");
        let rounds = began.elapsed() / 2;
        for (user, key) in [("ONE", Some(key)), ("NOBODY", None)] {
            let took = refused(&verifiers, user, key).await;
            assert!(took > rounds / 4, "{user}: {took:?} of {rounds:?}");
        }
    }
}
