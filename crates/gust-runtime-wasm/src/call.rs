//! A call as its caller awaits it: the guest is polled right here, by the task that waits for the answer.
//!
//! No task is spawned and no channel crossed for a call that answers at once, which is most of them. A small body is
//! collected while the guest runs and answered whole. When the guest has to wait with its head given, the rest goes
//! into a body that drives the guest on ([`crate::stream`]); when it works on after its answer, a task takes over.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use gust_runtime::Done;
use gust_task::clock;
use gust_types::{Call, Error, Reply, Result};

use crate::{
    account::Account,
    drive::{Drive, Exit, Turn},
    fault::Fault,
    gather::Gathered,
    live::Live,
    resident::Resident,
    seat::Seat,
    stream, tail, work,
};

/// A guest that yields is polled again at once this often and for this long after the call began. The Rust SDKs yield
/// once a call; without the repetition that puts a request at the end of the thread's queue, and as many copies are in
/// flight as connections are ready. Beyond it a guest that computes would hold the thread for several ticks.
const REPEATS: u8 = 2;
const REPEAT_WITHIN: Duration = Duration::from_micros(if cfg!(debug_assertions) {
    // Unoptimised, everything takes twenty times as long.
    4000
} else {
    200
});

/// A call, from its request to the head of its answer.
pub(crate) struct Inline {
    /// Dropped before the account: see there.
    drive: Option<Drive>,
    account: Account,
    seat: Arc<Seat>,
    gathered: Option<Gathered>,
    begun: Instant,
    deadline: Instant,
    repeats: u8,
    timer: Option<Pin<Box<tokio::time::Sleep>>>,
}

/// What the guest has come to after a turn.
enum State {
    /// Done with everything.
    Ended(Box<Exit>),
    /// Waiting for something outside, or for its next turn.
    Waiting,
    /// Cut off or crashed beyond what an exit can tell.
    Lost(Fault),
}

// === impl Inline ===

impl Inline {
    pub(crate) fn new(live: Live, resident: Arc<Resident>, call: Call, done: Done) -> Self {
        let begun = clock::now();
        let seat = Arc::new(Seat::default());
        let mut account = Account::new(done, resident.clone(), live.last_words.clone(), call.id);
        account.cpu = live.spent;
        let deadline = call.deadline;
        let bell = (live.bell.clone(), live.waker.clone());
        let spent = live.spent;
        let drive = Drive::new(
            work::start(live, call, seat.clone()),
            bell,
            spent,
            resident.revision.spec.limits.cpu_time.0,
            resident.ticker.run(),
        );
        Self {
            drive: Some(drive),
            account,
            seat,
            gathered: None,
            begun,
            deadline,
            repeats: 0,
            timer: None,
        }
    }

    /// Polls the guest until it is done or waits, and gathers what it answers.
    fn run(&mut self, cx: &mut Context<'_>) -> Result<State> {
        let Some(drive) = &mut self.drive else {
            return Err(Error::internal("a call was polled after its end"));
        };
        drive.bell.hold(cx.waker());
        loop {
            let turn = drive.turn();
            self.account.cpu = drive.cpu();
            if self.gathered.is_none()
                && let Some(answer) = self.seat.take()
            {
                self.gathered = Some(Gathered::new(answer));
            }
            // Taking from the body may be what the guest waits for, and rings the bell.
            let moved = match &mut self.gathered {
                Some(gathered) => gathered.advance(cx),
                None => false,
            };
            match turn {
                Turn::Ended(exit) => {
                    drive.bell.release();
                    return Ok(State::Ended(exit));
                }
                Turn::Spent => {
                    return Ok(State::Lost(Fault::cpu(
                        &self.account.resident.revision.spec.limits,
                    )));
                }
                Turn::Panicked => return Ok(State::Lost(Fault::panicked())),
                Turn::Parked if moved && drive.bell.take() => continue,
                Turn::Parked => {}
                Turn::Yielded => {
                    if self.repeats < REPEATS && self.begun.elapsed() < REPEAT_WITHIN {
                        self.repeats += 1;
                        continue;
                    }
                    cx.waker().wake_by_ref();
                }
            }
            if drive.bell.release() {
                cx.waker().wake_by_ref();
            }
            return Ok(State::Waiting);
        }
    }

    /// The guest is done: whole answer, rest of an answer, or none.
    fn ended(&mut self, exit: Exit) -> Result<Reply> {
        self.drive = None;
        let gathered = self.gathered.take();
        match gathered {
            Some(Gathered::Refused(fault)) => {
                drop(exit);
                self.account.fault(&fault);
                Err(fault.error())
            }
            // Nothing of it is out yet, so a guest that crashed behind its answer has none.
            Some(answer) => {
                self.account.exit(exit).map_err(|fault| fault.error())?;
                Ok(answer.into_reply())
            }
            None => {
                if exit.result.is_err() {
                    return Err(self
                        .account
                        .exit(exit)
                        .err()
                        .unwrap_or_else(Fault::silent)
                        .error());
                }
                drop(exit);
                let fault = Fault::silent();
                self.account.fault(&fault);
                Err(fault.error())
            }
        }
    }

    /// The guest waits, but there is an answer: hand it over, and the guest with it.
    fn hand_over(mut self: Pin<&mut Self>) -> Option<Result<Reply>> {
        let this = &mut *self;
        let answer = this.gathered.take()?;
        let drive = this.drive.take()?;
        let account = this.account.hand_over();
        if let Gathered::Refused(fault) = answer {
            let mut account = account;
            drop(drive);
            account.fault(&fault);
            return Some(Err(fault.error()));
        }
        if answer.is_whole() {
            tail::spawn(drive, account, this.deadline);
            return Some(Ok(answer.into_reply()));
        }
        Some(Ok(stream::reply(answer, drive, account, this.deadline)))
    }

    fn lost(&mut self, fault: &Fault) -> Result<Reply> {
        self.drive = None;
        self.account.fault(fault);
        Err(fault.error())
    }
}

impl Future for Inline {
    type Output = Result<Reply>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Reply>> {
        match self.run(cx)? {
            State::Ended(exit) => return Poll::Ready(self.ended(*exit)),
            State::Lost(fault) => return Poll::Ready(self.lost(&fault)),
            State::Waiting => {}
        }
        if self.gathered.is_some()
            && let Some(reply) = self.as_mut().hand_over()
        {
            return Poll::Ready(reply);
        }
        let end = self.deadline;
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(end.into())));
        match timer.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(self.lost(&Fault::wall())),
            Poll::Pending => Poll::Pending,
        }
    }
}
