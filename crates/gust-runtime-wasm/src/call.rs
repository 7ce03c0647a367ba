//! A call as its caller awaits it: the guest is polled right here, by the task that waits for the answer.
//!
//! No task is spawned and no channel crossed for a call that answers at once, which is most of them. A small body is
//! collected while the guest runs and answered whole. When the guest has to wait with its head given, the rest goes
//! into a body that drives the guest on ([`crate::stream`]); when it works on after its answer, or when other calls
//! come into the instance while it waits, a task takes over ([`crate::coach`]).

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use gust_runtime::Done;
use gust_task::clock;
use gust_types::{BoxFuture, Call, Error, Reply, Result};

use crate::{
    account::Account,
    coach,
    drive::{Drive, Exit, Turn},
    fault::Fault,
    gather::Gathered,
    live::Live,
    resident::Resident,
    ride::Ride,
    seat::Seat,
    share::Shared,
    stream, work,
};

/// A guest that yields is polled again at once this often and for this long after the call began. The Rust SDKs yield
/// once a call; without the repetition that puts a request at the end of the thread's queue, and as many instances are
/// in flight as connections are ready. Beyond it a guest that computes would hold the thread for several ticks.
const REPEATS: u8 = 2;
const REPEAT_WITHIN: Duration = Duration::from_micros(if cfg!(debug_assertions) {
    // Unoptimised, everything takes twenty times as long.
    4000
} else {
    200
});

/// A call in an instance that was idle.
pub(crate) fn start(
    live: Live,
    resident: Arc<Resident>,
    call: Call,
    done: Done,
) -> BoxFuture<'static, Result<Reply>> {
    Box::pin(Attended::Inline(Inline::new(live, resident, call, done)))
}

/// Driven here, or, once others have come in, by a coach.
enum Attended {
    Inline(Inline),
    Riding(Ride),
}

/// A call that drives its guest, from its request to the head of its answer.
struct Inline {
    /// Dropped before the account: see there.
    drive: Option<Drive>,
    account: Account,
    seat: Arc<Seat>,
    shared: Option<Arc<Shared>>,
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
    /// To be cut off.
    Lost(Fault),
}

// === impl Inline ===

impl Inline {
    fn new(live: Live, resident: Arc<Resident>, call: Call, done: Done) -> Self {
        let begun = clock::now();
        let seat = Arc::new(Seat::default());
        let last_words = Some(live.last_words.clone());
        let mut account = Account::new(done, resident.clone(), last_words, seat.clone(), call.id);
        account.cpu = live.spent;
        let deadline = call.deadline;
        let shared = live.shared.clone();
        if let Some(shared) = &shared {
            shared.begin(deadline);
        }
        let bell = (live.bell.clone(), live.waker.clone());
        let words = live.last_words.clone();
        let spent = live.spent;
        let drive = Drive::new(
            work::start(live, call, seat.clone()),
            bell,
            words,
            spent,
            resident.revision.spec.limits.cpu_time.0,
            resident.ticker.run(),
            shared.clone(),
        );
        Self {
            drive: Some(drive),
            account,
            seat,
            shared,
            gathered: None,
            begun,
            deadline,
            repeats: 0,
            timer: None,
        }
    }

    /// The instance as others may come to know it: shared from the start, or from now on.
    fn shared(&mut self, drive: &Drive) -> Arc<Shared> {
        let shared = self.shared.take();
        shared.unwrap_or_else(|| self.account.solo(drive, self.deadline))
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
                Turn::Spent => return Ok(State::Lost(Fault::cpu(drive.cpu_limit()))),
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
        if exit.result.is_err() {
            // Nothing of the answer is out yet, so a guest that crashed behind its answer has none.
            let shared = self.shared.as_deref();
            let fault = self.account.exit(exit, shared).err();
            let fault = fault.unwrap_or_else(Fault::silent);
            self.lose(&fault);
            return Err(fault.error());
        }
        match self.gathered.take() {
            Some(Gathered::Refused(fault)) => {
                drop(exit);
                self.account.fault(&fault);
                Err(fault.error())
            }
            Some(answer) => {
                self.account
                    .exit(exit, None)
                    .map_err(|fault| fault.error())?;
                Ok(answer.into_reply())
            }
            None => {
                drop(exit);
                let fault = Fault::silent();
                self.account.fault(&fault);
                Err(fault.error())
            }
        }
    }

    /// The guest waits, but there is an answer: hand it over, and the guest with it.
    fn hand_over(&mut self) -> Result<Reply> {
        let (Some(answer), Some(drive)) = (self.gathered.take(), self.drive.take()) else {
            return Err(Error::internal("a call was polled after its end"));
        };
        if let Gathered::Refused(fault) = answer {
            self.drive = Some(drive);
            self.cut_off();
            self.account.fault(&fault);
            return Err(fault.error());
        }
        if !answer.is_whole() {
            let driver = stream::Driver {
                drive,
                shared: self.shared.take(),
            };
            let account = self.account.hand_over();
            return Ok(stream::reply(answer, Some(driver), account, self.deadline));
        }
        let shared = self.shared(&drive);
        let mut account = self.account.hand_over();
        account.board(&shared);
        coach::take_over(drive, shared, &account.resident.compute.clone());
        account.leave();
        Ok(answer.into_reply())
    }

    /// Drops the guest, unless others are in with it: then a coach takes over, and this call leaves early.
    fn cut_off(&mut self) {
        let Some(drive) = self.drive.take() else {
            return;
        };
        if let Some(shared) = self.shared.take()
            && !shared.close_if_alone()
        {
            self.account.ride(&shared);
            coach::take_over(drive, shared, &self.account.resident.compute);
        }
    }

    /// The guest is beyond help, for this call and whoever else is in.
    fn lose(&mut self, fault: &Fault) {
        let drive = self.drive.take();
        if let Some(shared) = self.shared.take() {
            shared.lose(drive, fault);
        }
    }

    /// Others are in or about to be, or the guest computes for long: a coach takes over.
    fn board(&mut self) -> Option<Ride> {
        let long = self.drive.as_ref()?.is_long();
        let joined = self.shared.as_ref().is_some_and(|s| s.has_company());
        if !long && !joined {
            return None;
        }
        let drive = self.drive.take()?;
        let shared = self.shared(&drive);
        let mut account = self.account.hand_over();
        account.board(&shared);
        let compute = &account.resident.compute;
        if long {
            coach::take_over_long(drive, shared, compute);
        } else {
            coach::take_over(drive, shared, compute);
        }
        Some(Ride::board(account, self.seat.clone(), self.deadline))
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Reply>> {
        match self.run(cx)? {
            State::Ended(exit) => return Poll::Ready(self.ended(*exit)),
            State::Lost(fault) => {
                self.lose(&fault);
                self.account.fault(&fault);
                return Poll::Ready(Err(fault.error()));
            }
            State::Waiting if self.gathered.is_some() => return Poll::Ready(self.hand_over()),
            State::Waiting => {}
        }
        let end = self.deadline;
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(end.into())));
        if timer.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        let fault = Fault::wall();
        self.cut_off();
        self.account.fault(&fault);
        Poll::Ready(Err(fault.error()))
    }
}

impl Drop for Inline {
    fn drop(&mut self) {
        self.cut_off();
    }
}

impl Future for Attended {
    type Output = Result<Reply>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Reply>> {
        if let Self::Inline(inline) = &mut *self {
            let polled = match inline.board() {
                Some(ride) => {
                    *self = Self::Riding(ride);
                    return self.poll(cx);
                }
                None => inline.poll(cx),
            };
            if polled.is_ready() {
                return polled;
            }
            // Somebody may have come in while the guest had its turn.
            return match inline.board() {
                Some(ride) => {
                    *self = Self::Riding(ride);
                    self.poll(cx)
                }
                None => Poll::Pending,
            };
        }
        match &mut *self {
            Self::Riding(ride) => Pin::new(ride).poll(cx),
            Self::Inline(_) => Poll::Pending,
        }
    }
}
