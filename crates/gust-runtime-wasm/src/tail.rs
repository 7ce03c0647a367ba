//! A guest that works on after its answer: a task drives it, within the call's limits.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use crate::{
    account::Account,
    drive::{Drive, Turn},
    fault::Fault,
};

/// The work after the answer.
struct Tail {
    drive: Option<Drive>,
    account: Account,
    timer: Pin<Box<tokio::time::Sleep>>,
}

/// Lets the guest finish. The call is over when it has.
pub(crate) fn spawn(drive: Drive, account: Account, deadline: Instant) {
    if tokio::runtime::Handle::try_current().is_err() {
        // The node is going down: nobody is left to drive the guest.
        drop(drive);
        return;
    }
    gust_task::spawn(
        "guest tail",
        Tail {
            drive: Some(drive),
            account,
            timer: Box::pin(tokio::time::sleep_until(deadline.into())),
        },
    );
}

impl Future for Tail {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let Some(drive) = &mut this.drive else {
            return Poll::Ready(());
        };
        drive.bell.hold(cx.waker());
        let turn = drive.turn();
        this.account.cpu = drive.cpu();
        let fault = match turn {
            Turn::Ended(exit) => {
                drive.bell.release();
                this.drive = None;
                // The fault is in the function's log; the caller has had the answer.
                let _ = this.account.exit(*exit);
                return Poll::Ready(());
            }
            Turn::Spent => Fault::cpu(&this.account.resident.revision.spec.limits),
            Turn::Panicked => Fault::panicked(),
            Turn::Parked | Turn::Yielded => {
                let again = matches!(turn, Turn::Yielded);
                if drive.bell.release() || again {
                    cx.waker().wake_by_ref();
                }
                if this.timer.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                Fault::wall()
            }
        };
        this.drive = None;
        this.account.fault(&fault);
        Poll::Ready(())
    }
}
