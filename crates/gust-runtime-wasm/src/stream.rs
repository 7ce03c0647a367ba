//! A body that drives its guest: whoever asks for the next frame gives the guest its next turn.
//!
//! So a slow reader slows the guest down, and one that goes away cuts it off. A reader that neither asks nor goes away
//! is the ticker's business: at the deadline it ends the guest and wakes the reader.

use std::{
    pin::Pin,
    sync::{Arc, Weak},
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
    drive::{Drive, Turn},
    fault::Fault,
    gather::{Gathered, Head, Pieces},
    tail,
    ticker::Overdue,
};

/// The body.
struct Stream {
    pieces: Pieces,
    body: WasiBody,
    side: Arc<Mutex<Side>>,
    deadline: Instant,
    /// True once the last frame is out.
    over: bool,
}

/// The guest's side, which the ticker may end.
struct Side {
    /// Dropped before the account.
    drive: Option<Drive>,
    account: Option<Account>,
    fault: Option<Fault>,
    reader: Option<Waker>,
}

/// An answer whose guest is still at work.
pub(crate) fn reply(answer: Gathered, drive: Drive, account: Account, deadline: Instant) -> Reply {
    let Gathered::Head(head) = answer else {
        return answer.into_reply();
    };
    let Head {
        parts,
        pieces,
        body,
    } = *head;
    let ticker = account.resident.ticker.clone();
    let side = Arc::new(Mutex::new(Side {
        drive: Some(drive),
        account: Some(account),
        fault: None,
        reader: None,
    }));
    let overdue: Arc<dyn Overdue> = side.clone();
    ticker.end_at(deadline, Arc::downgrade(&overdue) as Weak<dyn Overdue>);
    let body = Stream {
        pieces,
        body,
        side,
        deadline,
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
        if let Some(fault) = side.fault.take() {
            return Err(fault.error());
        }
        if let (Some(drive), Some(account)) = (side.drive.take(), side.account.take()) {
            drop(side);
            tail::spawn(drive, account, self.deadline);
        }
        Ok(())
    }

    /// The guest broke its body off.
    fn broken(&mut self, error: &HttpError) -> Error {
        self.over = true;
        let mut side = self.side.lock();
        let fault = side
            .fault
            .take()
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
        side.drive = None;
        side.account = None;
    }
}

// === impl Side ===

impl Side {
    /// Gives the guest a turn. True when it is worth looking at the body again.
    fn turn(&mut self, cx: &mut Context<'_>) -> bool {
        let (Some(drive), Some(account)) = (&mut self.drive, &mut self.account) else {
            self.reader = Some(cx.waker().clone());
            return false;
        };
        drive.bell.hold(cx.waker());
        let turn = drive.turn();
        account.cpu = drive.cpu();
        match turn {
            Turn::Ended(exit) => {
                drive.bell.release();
                self.drive = None;
                self.fault = account.exit(*exit).err();
                self.account = None;
                true
            }
            Turn::Spent => {
                let fault = Fault::cpu(&account.resident.revision.spec.limits);
                self.close(&fault);
                self.fault = Some(fault);
                true
            }
            Turn::Panicked => {
                let fault = Fault::panicked();
                self.close(&fault);
                self.fault = Some(fault);
                true
            }
            Turn::Yielded | Turn::Parked => {
                let again = matches!(turn, Turn::Yielded);
                if drive.bell.release() || again {
                    cx.waker().wake_by_ref();
                }
                if self
                    .reader
                    .as_ref()
                    .is_none_or(|r| !r.will_wake(cx.waker()))
                {
                    self.reader = Some(cx.waker().clone());
                }
                false
            }
        }
    }

    /// Cuts the guest off and says why.
    fn close(&mut self, fault: &Fault) {
        self.drive = None;
        if let Some(mut account) = self.account.take() {
            account.fault(fault);
        }
    }
}

impl Overdue for Mutex<Side> {
    fn end(&self) -> bool {
        let Some(mut side) = self.try_lock() else {
            return false;
        };
        if side.drive.is_some() {
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
