//! A call that is one of several in its instance, from its request to the head of its answer.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use gust_runtime::Done;
use gust_types::{Call, Error, Reply, Result};

use crate::{
    account::Account, fault::Fault, gather::Gathered, resident::Resident, seat::Seat, share::Place,
    stream, work::Job,
};

/// The call. A coach drives the guest; this waits.
pub(crate) struct Ride {
    /// `Some` until the call is in.
    ticket: Option<(Place, Job)>,
    /// `Some` until the answer is handed over.
    account: Option<Account>,
    seat: Arc<Seat>,
    deadline: Instant,
    timer: Option<Pin<Box<tokio::time::Sleep>>>,
}

// === impl Ride ===

impl Ride {
    /// A call that comes into an instance beside others. It is in once it is polled.
    pub(crate) fn enter(place: Place, resident: Arc<Resident>, call: Call, done: Done) -> Self {
        let seat = Arc::new(Seat::default());
        let account = Account::new(done, resident, None, seat.clone(), call.id);
        Self {
            deadline: call.deadline,
            ticket: Some((place, Job::new(call, seat.clone()))),
            account: Some(account),
            seat,
            timer: None,
        }
    }

    /// A call that has driven until now.
    pub(crate) fn board(account: Account, seat: Arc<Seat>, deadline: Instant) -> Self {
        Self {
            ticket: None,
            account: Some(account),
            seat,
            deadline,
            timer: None,
        }
    }

    fn get_in(&mut self) {
        if let Some((place, job)) = self.ticket.take()
            && let Some(shared) = place.enter(job)
            && let Some(account) = &mut self.account
        {
            account.ride(&shared);
        }
    }

    fn fail(&mut self, fault: &Fault) -> Poll<Result<Reply>> {
        if let Some(mut account) = self.account.take() {
            account.fault(fault);
        }
        Poll::Ready(Err(fault.error()))
    }
}

impl Future for Ride {
    type Output = Result<Reply>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Reply>> {
        let this = &mut *self;
        this.get_in();
        if let Some(answer) = this.seat.take_or_wait(cx.waker()) {
            let mut gathered = Gathered::new(answer);
            gathered.advance(cx);
            if let Gathered::Refused(fault) = &gathered {
                return this.fail(fault);
            }
            let Some(account) = this.account.take() else {
                return Poll::Ready(Err(Error::internal("a call was polled after its end")));
            };
            if gathered.is_whole() {
                // It looks whole as well when the guest is gone.
                if let Some(fault) = account.lost() {
                    self.account = Some(account);
                    return self.fail(&fault);
                }
                account.leave();
                return Poll::Ready(Ok(gathered.into_reply()));
            }
            return Poll::Ready(Ok(stream::reply(gathered, None, account, this.deadline)));
        }
        let end = this.deadline;
        let timer = this
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(end.into())));
        match timer.as_mut().poll(cx) {
            Poll::Ready(()) => this.fail(&Fault::wall()),
            Poll::Pending => Poll::Pending,
        }
    }
}
