//! Drives a guest that no call drives: one that works on after its answer, and one with several calls in it.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use crate::{
    account::Account,
    drive::{Drive, Exit, Turn},
    fault::Fault,
    share::Shared,
};

/// The task that drives.
struct Coach {
    drive: Option<Drive>,
    /// `None` for an instance that takes one call at a time.
    shared: Option<Arc<Shared>>,
    /// The account of the one call, when it is not shared.
    only: Option<Account>,
    deadline: Instant,
    timer: Pin<Box<tokio::time::Sleep>>,
}

/// The call has its whole answer; its guest works on. The call is over when the guest is.
/// In an instance that may be shared the account rides already.
pub(crate) fn finish(
    drive: Drive,
    account: Account,
    shared: Option<Arc<Shared>>,
    deadline: Instant,
) {
    match shared {
        Some(shared) => {
            take_over(drive, shared, deadline);
            account.leave();
        }
        None => spawn(drive, None, Some(account), deadline),
    }
}

/// Several calls are in, or about to be. The call that has driven until now rides already.
pub(crate) fn take_over(mut drive: Drive, shared: Arc<Shared>, deadline: Instant) {
    drive.restart_clock();
    shared.coach();
    spawn(drive, Some(shared), None, deadline);
}

fn spawn(drive: Drive, shared: Option<Arc<Shared>>, only: Option<Account>, deadline: Instant) {
    if tokio::runtime::Handle::try_current().is_err() {
        // The node is going down: nobody is left to drive the guest.
        drop(drive);
        if let Some(shared) = shared {
            shared.lose(&Fault::neighbour());
        }
        return;
    }
    let coach = Coach {
        drive: Some(drive),
        shared,
        only,
        deadline,
        timer: Box::pin(tokio::time::sleep_until(deadline.into())),
    };
    gust_task::spawn("guest", coach);
}

// === impl Coach ===

impl Coach {
    /// One turn of the guest. `Err` when it has to be cut off.
    fn turn(&mut self, cx: &mut Context<'_>) -> Result<Poll<Exit>, Fault> {
        let Some(drive) = &mut self.drive else {
            return Err(Fault::panicked());
        };
        drive.bell.hold(cx.waker());
        let before = drive.cpu();
        let turn = drive.turn();
        let took = drive.cpu() - before;
        let used = match (&self.shared, &mut self.only) {
            (Some(shared), _) => shared.charge(took),
            (None, Some(account)) => {
                account.cpu = drive.cpu();
                drive.cpu()
            }
            (None, None) => drive.cpu(),
        };
        match turn {
            Turn::Ended(exit) => {
                drive.bell.release();
                return Ok(Poll::Ready(*exit));
            }
            Turn::Panicked => return Err(Fault::panicked()),
            Turn::Spent => return Err(Fault::cpu(drive.cpu_limit())),
            _ if used >= drive.cpu_limit() => return Err(Fault::cpu(drive.cpu_limit())),
            Turn::Yielded => cx.waker().wake_by_ref(),
            Turn::Parked => {
                // Of several calls, none may compute for longer than the limit at a stretch, nor in sum.
                if let Some(shared) = &self.shared {
                    drive.restart_clock();
                    shared.park(true);
                }
            }
        }
        if drive.bell.release() {
            cx.waker().wake_by_ref();
        }
        Ok(Poll::Pending)
    }

    fn past_deadline(&mut self, cx: &mut Context<'_>) -> bool {
        if let Some(later) = self.shared.as_ref().and_then(|shared| shared.deadline())
            && later > self.deadline
        {
            self.deadline = later;
            self.timer.as_mut().reset(later.into());
        }
        self.timer.as_mut().poll(cx).is_ready()
    }

    /// The guest's side is over. Whoever was last hands the instance back.
    fn end(&mut self, exit: Exit) {
        self.drive = None;
        let last = match &self.shared {
            Some(shared) => shared.take_last(),
            None => self.only.take(),
        };
        let fault = match last {
            Some(mut last) => last.exit(exit).err(),
            None => exit.result.err().map(|error| Fault::crashed(&error)),
        };
        if let (Some(shared), Some(fault)) = (&self.shared, fault) {
            shared.lose(&fault);
        }
    }

    fn cut_off(&mut self, fault: &Fault) {
        self.drive = None;
        let last = self.shared.as_ref().and_then(|shared| shared.take_last());
        for mut account in last.into_iter().chain(self.only.take()) {
            account.fault(fault);
        }
        if let Some(shared) = &self.shared {
            shared.lose(fault);
        }
    }
}

impl Future for Coach {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(shared) = &self.shared {
            shared.park(false);
        }
        let fault = match self.turn(cx) {
            Ok(Poll::Ready(exit)) => {
                self.end(exit);
                return Poll::Ready(());
            }
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
        if self.drive.take().is_some() {
            // The task was dropped: the node is going down.
            if let Some(shared) = &self.shared {
                drop(shared.take_last());
                shared.lose(&Fault::neighbour());
            }
        }
    }
}
