//! Drives a guest that no call drives itself: one that works on after its answer, one with several calls in it, and
//! one that computes for long.
//!
//! The last kind moves to threads of its own that stand back behind those that serve (`nice`): the operating system then
//! keeps a guest that computes from disturbing the calls of others, which tasks on one thread could not.

use std::{
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::Instant,
};

use gust_types::{Error, Result};

use crate::{
    drive::{Drive, Exit, Turn},
    fault::Fault,
    share::Shared,
};

/// How far these threads stand back, as `nice` counts: a third of the time of a thread that serves.
const NICE: i32 = 5;

/// The threads for guests that compute for long. Started by the first of them.
#[derive(Clone, Default)]
pub(crate) struct Compute(Arc<Threads>);

#[derive(Default)]
struct Threads(OnceLock<Option<tokio::runtime::Runtime>>);

/// The task that drives.
struct Coach {
    drive: Option<Drive>,
    shared: Arc<Shared>,
    /// Where to go when the guest computes for long; `None` when it is there.
    compute: Option<Compute>,
    deadline: Instant,
    timer: Option<Pin<Box<tokio::time::Sleep>>>,
}

/// Takes a guest over. The call that has driven it until now rides already.
pub(crate) fn take_over(drive: Drive, shared: Arc<Shared>, compute: &Compute) {
    Coach::new(drive, shared, Some(compute.clone())).spawn();
}

/// Takes a guest over that computes for long.
pub(crate) fn take_over_long(drive: Drive, shared: Arc<Shared>, compute: &Compute) {
    Coach::new(drive, shared, None).spawn_on(compute);
}

// === impl Coach ===

impl Coach {
    fn new(mut drive: Drive, shared: Arc<Shared>, compute: Option<Compute>) -> Self {
        drive.restart_clock();
        shared.coach();
        Self {
            drive: Some(drive),
            deadline: shared.deadline(),
            shared,
            compute,
            timer: None,
        }
    }

    fn spawn(mut self) {
        if tokio::runtime::Handle::try_current().is_err() {
            // The node is going down: nobody is left to drive the guest.
            self.cut_off(&Fault::neighbour());
            return;
        }
        gust_task::spawn("guest", self);
    }

    fn spawn_on(mut self, compute: &Compute) {
        match compute.threads() {
            Some(threads) => {
                let _inside = threads.enter();
                gust_task::spawn("guest", self);
            }
            None => self.cut_off(&Fault::neighbour()),
        }
    }

    /// One turn of the guest. `Err` when it has to be cut off.
    fn turn(&mut self, cx: &mut Context<'_>) -> Result<Poll<Exit>, Fault> {
        let Some(drive) = &mut self.drive else {
            return Err(Fault::panicked());
        };
        drive.bell.hold(cx.waker());
        let before = drive.cpu();
        let turn = drive.turn();
        // Of several calls, none may compute for longer than the limit at a stretch, nor in sum.
        let over = self.shared.charge(
            drive.cpu() - before,
            drive.cpu_limit(),
            matches!(turn, Turn::Parked),
        );
        match turn {
            Turn::Ended(exit) => {
                drive.bell.release();
                return Ok(Poll::Ready(*exit));
            }
            Turn::Panicked => return Err(Fault::panicked()),
            Turn::Spent => return Err(Fault::cpu(drive.cpu_limit())),
            _ if over => return Err(Fault::cpu(drive.cpu_limit())),
            Turn::Yielded => cx.waker().wake_by_ref(),
            Turn::Parked => drive.restart_clock(),
        }
        if drive.bell.release() {
            cx.waker().wake_by_ref();
        }
        Ok(Poll::Pending)
    }

    fn past_deadline(&mut self, cx: &mut Context<'_>) -> bool {
        let deadline = self.shared.deadline();
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline.into())));
        if deadline > self.deadline {
            self.deadline = deadline;
            timer.as_mut().reset(deadline.into());
        }
        timer.as_mut().poll(cx).is_ready()
    }

    /// A guest that computes for long goes where that disturbs nobody. True when it has gone.
    fn moves(&mut self) -> bool {
        let long = self.drive.as_ref().is_some_and(Drive::is_long);
        let Some(compute) = self.compute.take_if(|_| long) else {
            return false;
        };
        if let Some(drive) = self.drive.take() {
            let moved = Coach {
                drive: Some(drive),
                shared: self.shared.clone(),
                compute: None,
                deadline: self.deadline,
                timer: None,
            };
            moved.spawn_on(&compute);
        }
        true
    }

    fn cut_off(&mut self, fault: &Fault) {
        self.shared.lose(self.drive.take(), fault);
    }
}

impl Future for Coach {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.shared.is_deserted() {
            self.cut_off(&Fault::neighbour());
            return Poll::Ready(());
        }
        let fault = match self.turn(cx) {
            Ok(Poll::Ready(exit)) => {
                self.drive = None;
                if exit.result.is_ok() {
                    self.shared.end(exit);
                } else {
                    self.shared.crash(exit);
                }
                return Poll::Ready(());
            }
            Ok(Poll::Pending) if self.moves() => return Poll::Ready(()),
            Ok(Poll::Pending) if self.past_deadline(cx) => Fault::wall(),
            Ok(Poll::Pending) => return Poll::Pending,
            Err(fault) => fault,
        };
        self.cut_off(&fault);
        Poll::Ready(())
    }
}

impl Drop for Coach {
    fn drop(&mut self) {
        if self.drive.is_some() {
            // The task was dropped: the node is going down.
            self.cut_off(&Fault::neighbour());
        }
    }
}

// === impl Compute ===

impl Compute {
    fn threads(&self) -> Option<&tokio::runtime::Runtime> {
        let start = || match start() {
            Ok(threads) => Some(threads),
            Err(error) => {
                tracing::error!(error = error.chain(), "guests that compute are cut off");
                None
            }
        };
        self.0.0.get_or_init(start).as_ref()
    }
}

fn start() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .thread_name("gust-compute")
        .enable_all()
        .on_thread_start(|| {
            // On Linux this is the thread's own niceness. Without it, guests that compute are merely felt more.
            let _ = rustix::process::nice(NICE);
        })
        .build()
        .map_err(|e| Error::internal("cannot start the computing threads").because(e))
}

impl Drop for Threads {
    fn drop(&mut self) {
        // A runtime that waits for its threads must not be dropped by a task.
        if let Some(Some(threads)) = self.0.take() {
            threads.shutdown_background();
        }
    }
}
