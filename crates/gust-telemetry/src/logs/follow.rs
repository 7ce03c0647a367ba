//! Followers: each has its own bounded queue, so that a slow one loses its own lines only, and is told how many.

use std::sync::Arc;

use tokio::sync::mpsc::{Receiver, Sender, channel, error::TrySendError};

use super::{Filter, Line};

/// Lines that may wait for one follower.
const BACKLOG: usize = 1024;

/// What a follower gets.
#[derive(Debug, Clone, PartialEq)]
pub enum Followed {
    /// A line.
    Line(Arc<Line>),
    /// It was too slow, and this many lines are not coming.
    Missed(u64),
}

/// The follower's end. Dropping it ends following.
#[derive(Debug)]
pub struct Follow(Receiver<Followed>);

/// The writer's end.
pub(super) struct Follower {
    filter: Filter,
    to: Sender<Followed>,
    missed: u64,
}

pub(super) fn pair(filter: Filter) -> (Follower, Follow) {
    let (to, from) = channel(BACKLOG);
    let follower = Follower {
        filter,
        to,
        missed: 0,
    };
    (follower, Follow(from))
}

// === impl Follow ===

impl Follow {
    /// The next line, in order. `None` when the log has ended. Cancel safe.
    pub async fn next(&mut self) -> Option<Followed> {
        self.0.recv().await
    }
}

// === impl Follower ===

impl Follower {
    pub(super) fn wants(&self, line: &Line) -> bool {
        self.filter.matches(line)
    }

    /// Hands a line over, or counts it as missed. False when nobody is there any more.
    pub(super) fn offer(&mut self, line: &Arc<Line>) -> bool {
        if !self.confess() {
            return false;
        }
        if self.missed == 0 {
            match self.to.try_send(Followed::Line(line.clone())) {
                Ok(()) => return true,
                Err(TrySendError::Closed(_)) => return false,
                Err(TrySendError::Full(_)) => {}
            }
        }
        self.missed += 1;
        true
    }

    /// Says what was missed as soon as there is room to. False when nobody is there any more.
    pub(super) fn confess(&mut self) -> bool {
        if self.missed > 0 && self.to.try_send(Followed::Missed(self.missed)).is_ok() {
            self.missed = 0;
        }
        !self.to.is_closed()
    }
}
