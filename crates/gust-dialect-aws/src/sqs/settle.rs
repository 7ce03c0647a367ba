//! Messages done with, and those that somebody is longer at.

use std::time::Duration;

use gust_backend::queue::{Receipt, Verdict};
use serde_json::{Value, json};

use super::{
    Named,
    batch::{self, Outcomes},
    handle::{Seal, Settled},
};
use crate::{
    fault::{Code, Fault, Result},
    gate::Call,
    params::Params,
};

/// The longest that a message is somebody's, in seconds: twelve hours.
pub(super) const LONGEST: i64 = 43_200;

pub(crate) async fn delete(call: &Call<'_>) -> Result<Value> {
    let named = call.queue().await?;
    let seal = call.door.handles.seal(call, &named).await?;
    let handle = call.params()?.need("ReceiptHandle")?;
    let receipt = seal.open(handle)?;
    in_time(call, &named, handle, receipt).await?;
    let wanted = vec![(receipt, Verdict::Done)];
    let settled = call.door.handles.settle(call, &named, wanted).await?;
    settled
        .into_iter()
        .try_for_each(|of| done(&named, handle, of))?;
    Ok(Value::Null)
}

/// As SQS has it, deleting what is gone is no fault. What somebody else took since is one where order counts; elsewhere the
/// sender is told that all is well, and the message comes again.
fn done(named: &Named, handle: &str, settled: Settled) -> Result<()> {
    match settled {
        Settled::Late if named.is_fifo() => Err(expired(handle)),
        Settled::Done | Settled::Late | Settled::Gone => Ok(()),
    }
}

fn expired(handle: &str) -> Fault {
    Fault::value("ReceiptHandle", handle, "The receipt handle has expired")
}

/// Where order counts, a handle is good for as long as the message is hidden: the message may be another's next, or in the
/// dead-letter queue by now.
async fn in_time(call: &Call<'_>, named: &Named, handle: &str, receipt: Receipt) -> Result<()> {
    if !named.is_fifo() {
        return Ok(());
    }
    let until = call.door.handles.until(call, named, receipt).await?;
    until.map(drop).ok_or_else(|| expired(handle))
}

pub(crate) async fn delete_batch(call: &Call<'_>) -> Result<Value> {
    let named = call.queue().await?;
    let seal = call.door.handles.seal(call, &named).await?;
    let read = |entry: &Params<'_>| Ok((opened(&seal, entry)?, Verdict::Done));
    let outcomes = batch(call, &named, read, |handle, settled| {
        done(&named, handle, settled)
    });
    outcomes.await
}

fn opened(seal: &Seal, params: &Params<'_>) -> Result<Receipt> {
    seal.open(params.need("ReceiptHandle")?)
}

pub(crate) async fn change(call: &Call<'_>) -> Result<Value> {
    let named = call.queue().await?;
    let seal = call.door.handles.seal(call, &named).await?;
    let params = call.params()?;
    let (receipt, verdict) = longer(&seal, &params)?;
    flying(call, &named, receipt).await?;
    let wanted = vec![(receipt, verdict)];
    let settled = call.door.handles.settle(call, &named, wanted).await?;
    let handle = params.need("ReceiptHandle")?;
    settled.into_iter().try_for_each(|of| changed(handle, of))?;
    Ok(Value::Null)
}

/// A receipt, and for how much longer from now; none at all means that anybody may take the message now.
fn longer(seal: &Seal, params: &Params<'_>) -> Result<(Receipt, Verdict)> {
    let secs = params.number("VisibilityTimeout", 0, LONGEST)?;
    let secs = secs.ok_or_else(|| Fault::missing("VisibilityTimeout"))?;
    let verdict = match secs {
        0 => Verdict::Again(Duration::ZERO),
        secs => Verdict::Extend(Duration::from_secs(secs.unsigned_abs())),
    };
    Ok((opened(seal, params)?, verdict))
}

/// Refuses what nobody has any more.
async fn flying(call: &Call<'_>, named: &Named, receipt: Receipt) -> Result<()> {
    match call.door.handles.until(call, named, receipt).await? {
        Some(_) => Ok(()),
        None => Err(Code::NOT_IN_FLIGHT.says("The message referred to is not in flight.")),
    }
}

fn changed(handle: &str, settled: Settled) -> Result<()> {
    match settled {
        Settled::Done => Ok(()),
        Settled::Late | Settled::Gone => Err(Fault::value(
            "ReceiptHandle",
            handle,
            "Message does not exist or is not available for visibility timeout change",
        )),
    }
}

pub(crate) async fn change_batch(call: &Call<'_>) -> Result<Value> {
    let named = call.queue().await?;
    let seal = call.door.handles.seal(call, &named).await?;
    let read = |entry: &Params<'_>| longer(&seal, entry);
    batch(call, &named, read, changed).await
}

/// Settles entries together. What cannot be read, or is nobody's any more, is refused by itself.
async fn batch(
    call: &Call<'_>,
    named: &Named,
    read: impl Fn(&Params<'_>) -> Result<(Receipt, Verdict)>,
    judge: impl Fn(&str, Settled) -> Result<()>,
) -> Result<Value> {
    let entries = batch::entries(&call.params()?, "Entries")?;
    let (mut outcomes, mut good) = (Outcomes::default(), Vec::new());
    for (id, entry) in &entries {
        let mut wanted = read(entry);
        if let Ok((receipt, verdict)) = &wanted {
            let handle = entry.text("ReceiptHandle")?.unwrap_or_default();
            let good = match verdict {
                Verdict::Done => in_time(call, named, handle, *receipt).await,
                _ => flying(call, named, *receipt).await,
            };
            wanted = good.and(wanted);
        }
        match wanted {
            Ok(wanted) => good.push((*id, entry, wanted)),
            Err(fault) => outcomes.bad(id, &fault),
        }
    }
    let wanted = good.iter().map(|(.., wanted)| wanted.clone()).collect();
    let settled = call.door.handles.settle(call, named, wanted).await?;
    for ((id, entry, _), settled) in good.into_iter().zip(settled) {
        let handle = entry.text("ReceiptHandle")?.unwrap_or_default();
        match judge(handle, settled) {
            Ok(()) => outcomes.good(json!({ "Id": id })),
            Err(fault) => outcomes.bad(id, &fault),
        }
    }
    Ok(outcomes.answer())
}
