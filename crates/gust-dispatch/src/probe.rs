//! Calling a revision that is not routed yet, to see whether it is well.

use std::{sync::Arc, time::Duration};

use gust_task::{clock, ids};
use gust_telemetry::FunctionMetrics;
use gust_types::{
    Call, Error, Result, Revision,
    call::{Origin, Trace, Trigger, empty},
};
use http::{Request, header};
use http_body_util::BodyExt as _;

use crate::{
    FunctionEntry,
    admit::{Lane, Tenant},
    engine::Engine,
    path::walk,
    route::{Routed, Target, headers},
};

/// `GET path` must answer 2xx, body and all, within `timeout`. The call is on the record with the trigger `health`.
pub(crate) async fn probe(
    engine: &Arc<Engine>,
    revision: Arc<Revision>,
    host: &str,
    path: &str,
    timeout: Duration,
) -> Result<()> {
    // An entry of its own: its queue and its refusals are not the routed revision's.
    let entry = FunctionEntry::new(
        revision.clone(),
        Lane::new(1),
        Arc::<Tenant>::default(),
        engine.clone(),
        FunctionMetrics::unregistered(revision.key.clone()),
    );
    let answered = ask(&entry, host, path, timeout).await;
    entry.retire();
    answered
}

async fn ask(entry: &Arc<FunctionEntry>, host: &str, path: &str, timeout: Duration) -> Result<()> {
    let request = Request::get(path)
        .header(header::HOST, host)
        .body(empty())
        .map_err(|e| Error::invalid(format!("not a path: {path:?}")).because(e))?;
    let (mut head, body) = request.into_parts();
    let routed = Routed::whole(Target::Function(entry.clone()));
    headers::set(&routed, &head.uri, &mut head.headers, None);
    let call = Call {
        id: ids::call_id(),
        function: entry.key().clone(),
        origin: Origin {
            trigger: Trigger::Health,
            peer: None,
            hops: 0,
            cause: None,
        },
        deadline: clock::now() + timeout,
        trace: Trace::default(),
        request: Request::from_parts(head, body),
    };
    let failed = |why: String| {
        Error::failed(format!(
            "the health probe of {} failed: {why}",
            entry.key().function
        ))
    };
    let whole = async {
        let reply = walk(call, entry, None).await?;
        let (head, mut body) = reply.into_parts();
        while let Some(frame) = body.frame().await {
            frame?;
        }
        Ok(head.status)
    };
    let late = || failed(format!("no answer within {} ms", timeout.as_millis()));
    let answer: Result<_> = tokio::time::timeout(timeout, whole)
        .await
        .map_err(|_| late())?;
    match answer {
        Ok(status) if status.is_success() => Ok(()),
        Ok(status) => Err(failed(format!("{path} answered {status}"))),
        Err(error) => Err(failed(format!("{path} gave no answer")).because(error)),
    }
}
