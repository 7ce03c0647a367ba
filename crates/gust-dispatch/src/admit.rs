//! admit: may this call run, and if so, when?
//!
//! In this order, cheapest and most final first: the project's budget, the length the request declares, the caller's
//! rate, the function's own concurrency. Who finds no room waits in the function's queue, first come first served, up
//! to the queue's length and for no longer than its time; whoever hangs up leaves it, since a dropped future is a
//! caller that went away.

mod lane;
mod rate;

use std::{net::IpAddr, sync::Arc, time::Instant};

use arc_swap::ArcSwapOption;
use gust_types::{Call, Error, Result, call::Trigger};
use http_body::Body as _;

use crate::{FunctionEntry, Refusal, call::declared_length};
pub(crate) use lane::{Lane, Permit};

/// What dispatch knows of a project.
#[derive(Default)]
pub(crate) struct Tenant {
    /// Why its calls are refused, when they are.
    pub(crate) refusal: ArcSwapOption<String>,
}

/// What admission looks at in a call.
pub(crate) struct Asks {
    /// The address whose rate counts: that of a caller from outside.
    peer: Option<IpAddr>,
    /// Bytes that the request's body has at least, by its own word.
    length: u64,
}

/// A call that may run.
pub(crate) struct Admitted {
    /// Its share of the function's concurrency, given back when the guest is done.
    pub(crate) permit: Permit,
    /// The revision that serves it: the one it was routed to, or the current one when that was replaced meanwhile.
    pub(crate) entry: Arc<FunctionEntry>,
}

/// Lets a call in, now or in its turn. `until` is when waiting ends.
pub(crate) async fn admit(
    entry: &Arc<FunctionEntry>,
    asks: Asks,
    now: Instant,
    until: Instant,
) -> Result<Admitted> {
    let lane = &entry.lane;
    lane.tally.entered();
    first_look(entry, &asks, now)?;
    let permit = match lane.enter() {
        Some(permit) => permit,
        None => lane
            .wait(entry.limits().queue, until)
            .await
            .map_err(|why| refused(entry, why).of_function(entry.key()))?,
    };
    match current(entry) {
        Some(entry) => Ok(Admitted { permit, entry }),
        None => {
            lane.tally.refused();
            Err(Error::not_found(format!(
                "the function was removed: {}",
                entry.key()
            )))
        }
    }
}

/// Whether a call may be taken over that is made later: then it comes here again, without its caller's address.
pub(crate) fn may_come_later(entry: &FunctionEntry, asks: &Asks, now: Instant) -> Result<()> {
    entry.lane.tally.entered();
    first_look(entry, asks, now)?;
    entry.lane.tally.left();
    Ok(())
}

/// What turns a call away before it waits for anything.
fn first_look(entry: &FunctionEntry, asks: &Asks, now: Instant) -> Result<()> {
    if let Some(text) = entry.tenant.refusal.load().as_deref() {
        return Err(refused(entry, Refusal::Budget).error(text.as_str()));
    }
    if asks.length > entry.limits().request_body.bytes() {
        return Err(refused(entry, Refusal::BodyTooLarge).of_function(entry.key()));
    }
    let rate = entry.limits().rate;
    if rate > 0
        && let Some(peer) = asks.peer
        && !entry.lane.rate.take(peer, rate, now)
    {
        return Err(refused(entry, Refusal::Rate).of_function(entry.key()));
    }
    Ok(())
}

/// Counts a refusal.
fn refused(entry: &FunctionEntry, why: Refusal) -> Refusal {
    entry.lane.tally.refused();
    entry.metrics.refused(why.into());
    why
}

impl Asks {
    pub(crate) fn of(call: &Call) -> Self {
        let outside = call.origin.trigger == Trigger::Http;
        let declared = declared_length(call.request.headers()).unwrap_or(0);
        Self {
            peer: call.origin.peer.filter(|_| outside).map(|peer| peer.ip()),
            length: call.request.body().size_hint().lower().max(declared),
        }
    }
}

/// Time passes on the way here and in the queue: a revision that was replaced meanwhile takes no new calls.
fn current(entry: &Arc<FunctionEntry>) -> Option<Arc<FunctionEntry>> {
    if entry.pool.is_retired() {
        entry.lane.current()
    } else {
        Some(entry.clone())
    }
}
