//! The one path, as one function. A door has done `accept` (parse, limit, id, deadline) and asked for `route`; events
//! come in by the same door.

use std::sync::Arc;

use gust_backend::unit::Unit;
use gust_task::clock;
use gust_telemetry::Stage;
use gust_types::{Call, Reply, Result};
use http::Method;

use crate::{
    FunctionEntry, Refused,
    acquire::acquire,
    admit::{Asks, admit},
    call::{call, deadline, outgoing},
    settle::Scope,
};

/// Walks a routed call through the remaining stages. With `unit` what it writes belongs to that.
pub(crate) async fn walk(
    mut call_in: Call,
    routed: &Arc<FunctionEntry>,
    unit: Option<&Arc<Unit>>,
) -> Result<Reply> {
    let path = &routed.engine.parts.metrics;
    let (arrived, trace, depth) = (clock::now(), call_in.trace, call_in.origin.hops);
    // Waiting has one end for both queues, the function's and the node's.
    let until = call_in.deadline.min(arrived + routed.limits().queue_time.0);

    // admit before acquire: a call that its function has no room for must not take one of the node's places.
    let admitted = admit(routed, Asks::of(&call_in), arrived, until).await?;
    let entered = clock::now();
    path.stage(Stage::Admit, &trace, arrived, entered);

    // From here on there is a record, written when the last who takes part lets go of the scope.
    let queued = entered.saturating_duration_since(arrived);
    let scope = Scope::open(admitted.entry, &call_in, arrived, queued);
    // What a function may take counts from here: how long its callers queue is not its doing.
    let deadline = deadline(&call_in, entered, scope.entry.limits().wall_time.0);
    call_in.deadline = deadline;

    // acquire after admit, and as late as possible: an instance is the dearest thing a call can hold.
    let acquired = match acquire(&scope.entry, depth, entered, until, deadline, unit).await {
        Ok(acquired) => acquired,
        Err(error) if Refused::of(&error).is_some() => {
            scope.void();
            return Err(error);
        }
        Err(error) => {
            scope.failed(&error, clock::now());
            return Err(error);
        }
    };
    let held = clock::now();
    path.stage(Stage::Acquire, &trace, entered, held);
    scope.acquired(&acquired, queued, held);

    // call: the permit and the instance go with it, and come back through settle when the guest is done.
    let head = call_in.request.method() == Method::HEAD;
    let answer = call(&scope, acquired, admitted.permit, call_in).await;
    let headed = clock::now();
    path.stage(Stage::Call, &trace, held, headed);
    answer
        .and_then(|reply| outgoing(&scope, reply, head, held, headed))
        .inspect_err(|error| scope.failed(error, headed))
}
