//! Who is there, and how a statement of theirs is stopped from another connection: by a number and a secret.

use std::collections::HashMap;

use gust_task::ids;
use parking_lot::Mutex;
use subtle::ConstantTimeEq as _;
use tokio::sync::watch;

/// Sessions that have logged in.
#[derive(Default)]
pub(crate) struct Sessions(Mutex<HashMap<u32, (u32, watch::Sender<()>)>>);

/// A session's ear for requests to stop what it runs.
#[derive(Clone)]
pub(crate) struct Ear(watch::Receiver<()>);

/// What a client needs to stop its statement.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ticket {
    pub(crate) session: u32,
    pub(crate) secret: u32,
}

// === impl Sessions ===

impl Sessions {
    /// A ticket for one more, if they are fewer than this.
    pub(crate) fn enter(&self, most: usize) -> Option<(Ticket, Ear)> {
        let (sender, receiver) = watch::channel(());
        let mut all = self.0.lock();
        if all.len() >= most {
            return None;
        }
        let secret = ids::random_u64() as u32;
        // A number that is positive, as process numbers are.
        let session = loop {
            let session = (ids::random_u64() as u32) & (i32::MAX as u32);
            if session > 0 && !all.contains_key(&session) {
                break session;
            }
        };
        all.insert(session, (secret, sender));
        Some((Ticket { session, secret }, Ear(receiver)))
    }

    pub(crate) fn leave(&self, session: u32) {
        self.0.lock().remove(&session);
    }

    /// Stops what this session runs now, if the secret is right.
    pub(crate) fn cancel(&self, ticket: Ticket) {
        let all = self.0.lock();
        let Some((secret, sender)) = all.get(&ticket.session) else {
            return;
        };
        if bool::from(secret.to_be_bytes().ct_eq(&ticket.secret.to_be_bytes())) {
            let _ = sender.send(());
        }
    }
}

// === impl Ear ===

impl Ear {
    /// A statement begins: what was asked before does not concern it.
    pub(crate) fn listen(&mut self) {
        self.0.borrow_and_update();
    }

    /// Ends when the statement is to stop.
    pub(crate) async fn stopped(mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
