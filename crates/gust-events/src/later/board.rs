//! Which calls are with their functions now, and who waits for the end of one. In memory: after a crash nothing is under
//! way and nobody waits.

use std::{collections::HashMap, sync::Arc};

use gust_task::Stop;
use gust_types::call::CallId;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Callers that wait for the end of a call at once.
const WAITERS: usize = 128;

#[derive(Default)]
pub(super) struct Board {
    running: Mutex<HashMap<CallId, Running>>,
    waiting: Mutex<HashMap<CallId, Arc<Notify>>>,
}

struct Running {
    attempt: u32,
    cancel: Stop,
}

/// A call is with its function for as long as this is there.
pub(super) struct Turn<'a> {
    board: &'a Board,
    id: CallId,
    cancel: Stop,
}

/// Somebody waits for the end of a call for as long as this is there.
pub(super) struct Seat<'a> {
    board: &'a Board,
    id: CallId,
    pub(super) ended: Arc<Notify>,
}

// === impl Board ===

impl Board {
    /// A call begins. From here on it can be cancelled, so its record is read after this.
    pub(super) fn begin(&self, id: CallId, attempt: u32) -> Turn<'_> {
        let cancel = Stop::new();
        let running = Running {
            attempt,
            cancel: cancel.clone(),
        };
        self.running.lock().insert(id, running);
        Turn {
            board: self,
            id,
            cancel,
        }
    }

    /// Which attempt is under way.
    pub(super) fn attempt(&self, id: CallId) -> Option<u32> {
        self.running.lock().get(&id).map(|running| running.attempt)
    }

    /// Ends a call that is under way. Whoever asks has it on record before.
    pub(super) fn cancel(&self, id: CallId) {
        if let Some(running) = self.running.lock().get(&id) {
            running.cancel.stop();
        }
    }

    /// Tells those who wait that the call is over, once that is on record.
    pub(super) fn over(&self, id: CallId) {
        if let Some(waiting) = self.waiting.lock().get(&id) {
            waiting.notify_waiters();
        }
    }

    /// `None` when too many wait already.
    pub(super) fn seat(&self, id: CallId) -> Option<Seat<'_>> {
        let mut waiting = self.waiting.lock();
        let taken: usize = waiting.values().map(|w| Arc::strong_count(w) - 1).sum();
        if taken >= WAITERS {
            return None;
        }
        let ended = waiting.entry(id).or_default().clone();
        Some(Seat {
            board: self,
            id,
            ended,
        })
    }
}

// === impl Turn, Seat ===

impl Turn<'_> {
    /// Ends when somebody does not want the call any more.
    pub(super) async fn cancelled(&self) {
        self.cancel.stopped().await;
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.board.running.lock().remove(&self.id);
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let mut waiting = self.board.waiting.lock();
        // The map's own, and ours.
        if Arc::strong_count(&self.ended) <= 2 {
            waiting.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_are_bounded_and_given_back() {
        let board = Board::default();
        let seats: Vec<_> = (0..WAITERS as u128)
            .map(|n| board.seat(CallId(n / 2)))
            .collect();
        assert!(seats.iter().all(Option::is_some));
        assert!(board.seat(CallId(7)).is_none());
        drop(seats);
        assert!(board.waiting.lock().is_empty());
        assert!(board.seat(CallId(7)).is_some());
    }

    #[tokio::test]
    async fn a_turn_can_be_cancelled_while_it_lasts() {
        let board = Board::default();
        board.cancel(CallId(1));
        let turn = board.begin(CallId(1), 3);
        assert_eq!(board.attempt(CallId(1)), Some(3));
        board.cancel(CallId(1));
        turn.cancelled().await;
        drop(turn);
        assert_eq!(board.attempt(CallId(1)), None);
    }
}
