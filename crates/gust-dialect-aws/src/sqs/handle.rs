//! What stands for one taking of a message: a receipt, sealed for its queue, so that nobody can make one up.
//!
//! Whoever puts the time off until which a message is theirs has a new receipt in the queue's eyes, and goes on with the old
//! handle in SQS's. So what became of receipts is kept in mind, for as many as there is room, and looked up in the queue for
//! the others ([`Handles::settle`]).

use std::{collections::HashMap, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use bytes::Bytes;
use gust_backend::{
    Backends,
    desk::doors,
    kv::{Condition, KvExt as _, PutOptions},
    queue::{MessageId, Queue, Receipt, Seen, Verdict},
};
use gust_task::{clock, ids};
use gust_types::{Kind, Label, ProjectName};
use hmac::{Hmac, Mac as _};
use parking_lot::Mutex;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use super::Named;
use crate::{
    fault::{Code, Fault, Result},
    gate::Call,
};

/// Receipts that are kept in mind.
const MOST: usize = 64 << 10;
/// For how long a deletion may come twice whose message was hidden for longer than at first, in microseconds.
const TWICE_US: u64 = 60_000_000;
const VERSION: u8 = 1;
/// Bytes of a receipt, and of its seal.
const RECEIPT: usize = 22;
const SEAL: usize = 16;

type Taking = (ProjectName, Label, MessageId, u32);

/// The secrets of projects, and receipts that are not what they were.
#[derive(Default)]
pub(crate) struct Handles {
    secrets: Mutex<HashMap<ProjectName, Arc<[u8]>>>,
    moved: Mutex<HashMap<Taking, u64>>,
}

/// What seals and opens handles of one queue.
pub(crate) struct Seal {
    secret: Arc<[u8]>,
    of: String,
}

/// What became of one taking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settled {
    Done,
    /// Somebody else took the message since.
    Late,
    /// The message is gone.
    Gone,
}

// === impl Seal ===

impl Seal {
    pub(crate) fn close(&self, receipt: Receipt) -> String {
        let mut bytes = plain(receipt);
        let seal = self.seal(&bytes);
        bytes.extend_from_slice(&seal);
        BASE64.encode(bytes)
    }

    pub(crate) fn open(&self, handle: &str) -> Result<Receipt> {
        let bytes = BASE64.decode(handle).ok();
        let receipt = bytes.and_then(|bytes| {
            let (plain, seal) = bytes.split_at_checked(RECEIPT)?;
            let good = bool::from(self.seal(plain).ct_eq(seal));
            good.then(|| read(plain)).flatten()
        });
        receipt.ok_or_else(|| invalid(handle))
    }

    fn seal(&self, bytes: &[u8]) -> Vec<u8> {
        #[expect(clippy::expect_used, reason = "a key of any length is one")]
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.secret).expect("any length");
        mac.update(self.of.as_bytes());
        mac.update(&[0]);
        mac.update(bytes);
        let mut seal = mac.finalize().into_bytes().to_vec();
        seal.truncate(SEAL);
        seal
    }
}

fn invalid(handle: &str) -> Fault {
    let handle: String = handle.chars().take(100).collect();
    Code::HANDLE.says(format!(
        "The input receipt handle {handle:?} is not a valid receipt handle."
    ))
}

fn plain(receipt: Receipt) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    bytes.extend(receipt.id.0.to_be_bytes());
    bytes.extend(receipt.attempt.to_be_bytes());
    bytes.extend(receipt.until_us.to_be_bytes());
    bytes.push(receipt.priority);
    bytes
}

fn read(bytes: &[u8]) -> Option<Receipt> {
    let (version, rest) = bytes.split_first()?;
    let (id, rest) = rest.split_first_chunk()?;
    let (attempt, rest) = rest.split_first_chunk()?;
    let (until_us, rest) = rest.split_first_chunk()?;
    let &[priority] = rest else { return None };
    (*version == VERSION).then_some(Receipt {
        id: MessageId(u64::from_be_bytes(*id)),
        attempt: u32::from_be_bytes(*attempt),
        until_us: u64::from_be_bytes(*until_us),
        priority,
    })
}

// === impl Handles ===

impl Handles {
    /// What seals handles of this queue.
    pub(crate) async fn seal(&self, call: &Call<'_>, named: &Named) -> Result<Seal> {
        let known = self.secrets.lock().get(&call.project).cloned();
        let secret = match known {
            Some(secret) => secret,
            None => {
                let secret = secret(&*call.door.parts.backends, &call.project).await?;
                let mut secrets = self.secrets.lock();
                secrets.insert(call.project.clone(), secret.clone());
                secret
            }
        };
        let of = named.label.to_string();
        Ok(Seal { secret, of })
    }

    /// Settles takings, whatever their receipts have become since. One answer each.
    pub(crate) async fn settle(
        &self,
        call: &Call<'_>,
        named: &Named,
        wanted: Vec<(Receipt, Verdict)>,
    ) -> Result<Vec<Settled>> {
        let queue = call.open(named)?;
        let current = wanted.iter().map(|(receipt, verdict)| {
            let receipt = self.current(&call.project, &named.label, *receipt);
            (receipt, verdict.clone())
        });
        let answers = queue.settle(current.collect()).await?;
        let mut settled = Vec::with_capacity(wanted.len());
        for ((receipt, verdict), answer) in wanted.into_iter().zip(answers) {
            let answer = match answer {
                Err(error) if error.kind == Kind::NotFound => {
                    again(&*queue, receipt, verdict.clone()).await?
                }
                answer => Ok(answer?),
            };
            settled.push(match answer {
                Ok(now) => {
                    self.keep(&call.project, &named.label, receipt, now, &verdict);
                    Settled::Done
                }
                Err(settled) => settled,
            });
        }
        Ok(settled)
    }

    /// Until when a taking's message is its consumer's, Unix microseconds; `None` when it is not any more.
    pub(crate) async fn until(
        &self,
        call: &Call<'_>,
        named: &Named,
        receipt: Receipt,
    ) -> Result<Option<u64>> {
        let now_us = clock::unix_micros();
        let known = self.current(&call.project, &named.label, receipt);
        if known.until_us > now_us {
            return Ok(Some(known.until_us));
        }
        let seen = look(&*call.open(named)?, receipt.id).await?;
        let at_us = seen.filter(|seen| seen.attempts == receipt.attempt);
        Ok(at_us.and_then(|seen| seen.at_us).filter(|at| *at > now_us))
    }

    fn current(&self, project: &ProjectName, queue: &Label, receipt: Receipt) -> Receipt {
        let moved = self.moved.lock();
        let taking = (project.clone(), queue.clone(), receipt.id, receipt.attempt);
        let until_us = moved.get(&taking).copied().unwrap_or(receipt.until_us);
        Receipt {
            until_us,
            ..receipt
        }
    }

    fn keep(
        &self,
        project: &ProjectName,
        queue: &Label,
        receipt: Receipt,
        now: Receipt,
        verdict: &Verdict,
    ) {
        let taking = (project.clone(), queue.clone(), receipt.id, receipt.attempt);
        let mut moved = self.moved.lock();
        if *verdict == Verdict::Done {
            // Who was not told deletes once more.
            let soon_us = clock::unix_micros() + TWICE_US;
            moved.entry(taking).and_modify(|until| *until = soon_us);
            return;
        }
        if moved.len() >= MOST {
            let now_us = clock::unix_micros();
            moved.retain(|_, until_us| *until_us > now_us);
        }
        if moved.len() < MOST {
            moved.insert(taking, now.until_us);
        }
    }
}

/// The secret of a project, which is made when it is first asked for.
async fn secret(backends: &dyn Backends, project: &ProjectName) -> Result<Arc<[u8]>> {
    const KEY: &str = "h/secret";
    let store = doors(backends, project)?;
    let fresh = PutOptions {
        condition: Condition::Absent,
        ..PutOptions::default()
    };
    if let Some(found) = store.get(KEY).await? {
        return Ok(found.value.to_vec().into());
    }
    let secret = Bytes::from(ids::secret());
    match store.put_with(KEY, secret.clone(), fresh).await {
        Ok(_) => return Ok(secret.to_vec().into()),
        Err(error) if error.kind == Kind::Conflict => {}
        Err(error) => return Err(error.into()),
    }
    let found = store.get(KEY).await?;
    let found = found.ok_or_else(|| Code::INTERNAL.says("a secret is not where it was put"))?;
    Ok(found.value.to_vec().into())
}

/// Once more, for a receipt that is not what it was: the queue tells what it is now.
async fn again(
    queue: &dyn Queue,
    receipt: Receipt,
    verdict: Verdict,
) -> Result<std::result::Result<Receipt, Settled>> {
    let Some(seen) = look(queue, receipt.id).await? else {
        return Ok(Err(Settled::Gone));
    };
    let Some(until_us) = seen.at_us.filter(|_| seen.attempts == receipt.attempt) else {
        return Ok(Err(Settled::Late));
    };
    let now = Receipt {
        until_us,
        ..receipt
    };
    let answers = queue.settle(vec![(now, verdict)]).await?;
    match answers.into_iter().next() {
        Some(Ok(receipt)) => Ok(Ok(receipt)),
        Some(Err(error)) if error.kind != Kind::NotFound => Err(error.into()),
        _ => Ok(Err(Settled::Late)),
    }
}

async fn look(queue: &dyn Queue, id: MessageId) -> Result<Option<Seen>> {
    let before = id.0.checked_sub(1).map(MessageId);
    let seen = queue.peek(before, 1).await?.into_iter().next();
    Ok(seen.filter(|seen| seen.id == id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_makes_a_handle_up() {
        let seal = |of: &str| Seal {
            secret: Arc::from(*b"secret"),
            of: of.to_owned(),
        };
        let receipt = Receipt {
            id: MessageId(7),
            attempt: 2,
            until_us: 3,
            priority: 1,
        };
        let handle = seal("jobs").close(receipt);
        assert_eq!(seal("jobs").open(&handle).unwrap(), receipt);
        assert!(seal("others").open(&handle).is_err());
        let mut bytes = BASE64.decode(&handle).unwrap();
        bytes[8] ^= 1;
        let longer = format!("{handle}AA");
        for bad in [
            BASE64.encode(&bytes),
            String::new(),
            "nonsense".to_owned(),
            longer,
        ] {
            let fault = seal("jobs").open(&bad).unwrap_err();
            assert_eq!(fault.code, Code::HANDLE);
        }
    }
}
