//! A body that drives its guest: whoever asks for the next frame gives the guest its next turn.
//!
//! So a slow reader slows the guest down, and one that goes away cuts it off. A reader that neither asks nor goes away
//! is the ticker's business: at the deadline it ends the guest and wakes the reader.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Instant,
};

use bytes::Bytes;
use gust_types::{Error, Reply};
use http_body::{Body as _, Frame};
use http_body_util::BodyExt as _;
use parking_lot::Mutex;
use wasmtime_wasi_http::{Error as HttpError, WasiBody};

use crate::{
    account::Account,
    coach,
    drive::{Drive, Exit, Turn},
    fault::Fault,
    gather::{Gathered, Head, Pieces},
    share::{Holder, Shared},
    ticker::Overdue,
};

/// The body.
struct Stream {
    pieces: Pieces,
    body: WasiBody,
    side: Arc<Mutex<Side>>,
    /// True once the last frame is out.
    over: bool,
}

/// The guest's side, which the ticker may end and a coach may take over.
struct Side {
    /// Dropped before the account. `None` when the guest is done, or when a coach drives.
    driver: Option<Driver>,
    account: Option<Account>,
    fault: Option<Fault>,
    reader: Option<Waker>,
    deadline: Instant,
}

/// A guest that this body drives.
pub(crate) struct Driver {
    pub(crate) drive: Drive,
    pub(crate) shared: Option<Arc<Shared>>,
}

/// An answer whose guest is still at work; without a driver, one of several in its instance.
pub(crate) fn reply(
    answer: Gathered,
    driver: Option<Driver>,
    account: Account,
    deadline: Instant,
) -> Reply {
    let Gathered::Head(head) = answer else {
        return answer.into_reply();
    };
    let Head {
        parts,
        pieces,
        body,
    } = *head;
    let ticker = account.resident.ticker.clone();
    let shared = driver.as_ref().and_then(|driver| driver.shared.clone());
    let side = Arc::new(Mutex::new(Side {
        driver,
        account: Some(account),
        fault: None,
        reader: None,
        deadline,
    }));
    let overdue: Arc<dyn Overdue> = side.clone();
    ticker.end_at(deadline, Arc::downgrade(&overdue));
    if let Some(shared) = shared {
        let holder: Arc<dyn Holder> = side.clone();
        shared.held_by(Arc::downgrade(&holder));
        // Until somebody asks for the body the guest rests, whether it has more to do or not.
        shared.park(true);
        if shared.has_company() {
            side.lock().let_go();
        }
    }
    let body = Stream {
        pieces,
        body,
        side,
        over: false,
    };
    http::Response::from_parts(parts, body.boxed_unsync())
}

/// An error of a body, in the words of the seam.
pub(crate) fn body_error(error: &HttpError) -> Error {
    Error::failed(format!("the function broke off its answer: {error}"))
}

// === impl Stream ===

impl Stream {
    /// What is there already: gathered pieces, then the body's own.
    fn ready(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        if let Some(frame) = self.pieces.next() {
            return Poll::Ready(Some(Ok(frame)));
        }
        match self.pieces.end.take() {
            Some(Ok(())) => Poll::Ready(None),
            Some(Err(error)) => Poll::Ready(Some(Err(error))),
            None => Pin::new(&mut self.body).poll_frame(cx),
        }
    }

    /// The body has ended by itself. The guest may work on.
    fn end(&mut self) -> Result<(), Error> {
        self.over = true;
        let mut side = self.side.lock();
        if let Some(fault) = side.lost() {
            side.close(&fault);
            return Err(fault.error());
        }
        side.finish();
        Ok(())
    }

    /// The guest broke its body off.
    fn broken(&mut self, error: &HttpError) -> Error {
        self.over = true;
        let mut side = self.side.lock();
        let fault = side
            .lost()
            .unwrap_or_else(|| Fault::failed(body_error(error).message));
        side.close(&fault);
        fault.error()
    }
}

impl http_body::Body for Stream {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        if this.over {
            return Poll::Ready(None);
        }
        // After a turn the body is looked at once more before the reader waits.
        let mut waiting = false;
        loop {
            match this.ready(cx) {
                Poll::Ready(Some(Ok(frame))) => return Poll::Ready(Some(Ok(frame))),
                Poll::Ready(Some(Err(error))) => {
                    return Poll::Ready(Some(Err(this.broken(&error))));
                }
                Poll::Ready(None) => return Poll::Ready(this.end().err().map(Err)),
                Poll::Pending if waiting => return Poll::Pending,
                Poll::Pending => {}
            }
            let mut side = this.side.lock();
            if let Some(fault) = side.fault.take() {
                drop(side);
                this.over = true;
                return Poll::Ready(Some(Err(fault.error())));
            }
            waiting = !side.turn(cx);
        }
    }

    fn is_end_stream(&self) -> bool {
        self.over
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        // A reader that knows the length does not ask for the end.
        let whole = self.pieces.data.is_empty()
            && self.pieces.trailers.is_none()
            && (self.body.is_end_stream() || self.body.size_hint().exact() == Some(0));
        if whole {
            let _ = self.end();
            return;
        }
        let mut side = self.side.lock();
        side.cut_off();
        side.account = None;
    }
}

// === impl Side ===

impl Side {
    /// Gives the guest a turn. True when it is worth looking at the body again.
    fn turn(&mut self, cx: &mut Context<'_>) -> bool {
        self.let_go_if_due();
        let (Some(driver), Some(account)) = (&mut self.driver, &mut self.account) else {
            self.reader = Some(cx.waker().clone());
            return false;
        };
        let drive = &mut driver.drive;
        drive.bell.hold(cx.waker());
        let turn = drive.turn();
        account.cpu = drive.cpu();
        let fault = match turn {
            Turn::Ended(exit) => {
                drive.bell.release();
                self.end(*exit);
                return true;
            }
            Turn::Spent => Fault::cpu(drive.cpu_limit()),
            Turn::Panicked => Fault::panicked(),
            Turn::Yielded | Turn::Parked => {
                let again = matches!(turn, Turn::Yielded);
                if drive.bell.release() || again {
                    cx.waker().wake_by_ref();
                }
                self.wait(cx);
                self.let_go_if_due();
                return false;
            }
        };
        self.lose(&fault);
        self.close(&fault);
        self.fault = Some(fault);
        true
    }

    fn wait(&mut self, cx: &Context<'_>) {
        let known = self.reader.as_ref();
        if known.is_none_or(|reader| !reader.will_wake(cx.waker())) {
            self.reader = Some(cx.waker().clone());
        }
    }

    /// The guest is done; what it left of the body is still to be read.
    fn end(&mut self, exit: Exit) {
        let Some(mut account) = self.account.take() else {
            return;
        };
        let shared = self.driver.as_ref().and_then(|d| d.shared.as_deref());
        self.fault = account.exit(exit, shared).err();
        if let Some(fault) = self.fault.clone() {
            self.lose(&fault);
        }
        self.driver = None;
    }

    /// The body is out. The guest may work on.
    fn finish(&mut self) {
        self.let_go();
        if let Some(account) = self.account.take() {
            account.leave();
        }
    }

    /// Why there will be no more of the body, if it is not its end.
    fn lost(&mut self) -> Option<Fault> {
        let riding = || self.account.as_ref().and_then(Account::lost);
        self.fault.take().or_else(riding)
    }

    /// The guest is beyond help, for this call and whoever else is in.
    fn lose(&mut self, fault: &Fault) {
        if let Some(driver) = self.driver.take()
            && let Some(shared) = driver.shared
        {
            shared.lose(Some(driver.drive), fault);
        }
    }

    /// Drops the guest, unless others are in with it: then a coach takes over, and this call leaves early.
    fn cut_off(&mut self) {
        if let Some(driver) = self.driver.take()
            && let Some(shared) = driver.shared
            && let Some(account) = &mut self.account
            && !shared.close_if_alone()
        {
            account.ride(&shared);
            coach::take_over(driver.drive, shared, &account.resident.compute);
        }
    }

    /// Cuts the guest off and says why.
    fn close(&mut self, fault: &Fault) {
        self.cut_off();
        if let Some(mut account) = self.account.take() {
            account.fault(fault);
        }
    }

    /// Others are in or about to be, or the guest computes for long.
    fn let_go_if_due(&mut self) {
        let due = self.driver.as_ref().is_some_and(|driver| {
            let joined = driver.shared.as_ref().is_some_and(|s| s.has_company());
            joined || driver.drive.is_long()
        });
        if due {
            self.let_go();
        }
    }

    /// A coach drives from now on.
    fn let_go(&mut self) {
        let (Some(driver), Some(account)) = (self.driver.take(), &mut self.account) else {
            return;
        };
        let Driver { drive, shared } = driver;
        let shared = shared.unwrap_or_else(|| account.solo(&drive, self.deadline));
        account.board(&shared);
        let compute = &account.resident.compute;
        if drive.is_long() {
            coach::take_over_long(drive, shared, compute);
        } else {
            coach::take_over(drive, shared, compute);
        }
    }
}

impl Holder for Mutex<Side> {
    fn let_go(&self) {
        self.lock().let_go();
    }
}

impl Overdue for Mutex<Side> {
    fn end(&self) -> bool {
        let Some(mut side) = self.try_lock() else {
            return false;
        };
        if side.account.is_some() {
            let fault = Fault::wall();
            side.close(&fault);
            side.fault = Some(fault);
        }
        let reader = side.reader.take();
        drop(side);
        if let Some(reader) = reader {
            reader.wake();
        }
        true
    }
}
