//! `wasi:http/handler@0.3`: calls in the component model's event loop.

use std::{future::poll_fn, pin::pin, task::Poll};

use futures::{StreamExt as _, stream::FuturesUnordered};

use wasmtime::component::Accessor;
use wasmtime_wasi_http::{
    WasiHttpView as _,
    p3::{
        Request,
        bindings::{Service, http::types::ErrorCode},
    },
};

use crate::{
    drive::Exit,
    fault::Fault,
    guest::Guest,
    live::{Entry, Live},
    share::Shared,
    work::{Job, wasi_body},
};

/// Serves a call, and those that come in while it is under way, until the guest has nothing left to do.
pub(crate) async fn run(mut live: Live, job: Job) -> Exit {
    let shared = live.shared.clone();
    let result = match &live.entry {
        Entry::Http03(service) => live
            .store
            .run_concurrent(async |guest| attend(guest, service, job, shared.as_deref()).await)
            .await
            .flatten(),
        _ => Ok(()),
    };
    Exit { live, result }
}

/// Serves, then waits for the guest's own tasks.
async fn attend(
    guest: &Accessor<Guest>,
    service: &Service,
    job: Job,
    shared: Option<&Shared>,
) -> wasmtime::Result<()> {
    let mut first = pin!(serve(guest, service, job, shared.is_some()));
    let mut served = false;
    // Made only when a second call comes in.
    let mut more = None;
    let function = *service.wasi_http_handler().func_handle().func();
    poll_fn(|cx| {
        if let Some(shared) = shared
            && shared.is_asked()
            && guest
                .poll_ready_for_concurrent_call(function, cx)
                .is_ready()
        {
            shared.answer();
        }
        if !served {
            served = ready_ok(first.as_mut().poll(cx))?;
        }
        while let Some(job) = shared.and_then(Shared::next_job) {
            more.get_or_insert_with(FuturesUnordered::new).push(serve(
                guest,
                service,
                job,
                shared.is_some(),
            ));
        }
        if let Some(more) = &mut more {
            while let Poll::Ready(Some(result)) = more.poll_next_unpin(cx) {
                result?;
            }
        }
        if !served || more.as_ref().is_some_and(|more| !more.is_empty()) {
            return Poll::Pending;
        }
        if guest.poll_no_interesting_tasks(cx).is_pending() {
            return Poll::Pending;
        }
        match shared {
            Some(shared) if !shared.may_end() => Poll::Pending,
            _ => Poll::Ready(Ok(())),
        }
    })
    .await
}

/// True when it is done, false when not yet.
fn ready_ok(polled: Poll<wasmtime::Result<()>>) -> wasmtime::Result<bool> {
    match polled {
        Poll::Ready(result) => result.map(|()| true),
        Poll::Pending => Ok(false),
    }
}

/// Hands the request in and the response out. The response's body is pumped by the event loop from then on.
async fn serve(
    guest: &Accessor<Guest>,
    service: &Service,
    job: Job,
    several: bool,
) -> wasmtime::Result<()> {
    let Job {
        request,
        context,
        seat,
    } = job;
    let (parts, body) = request.into_parts();
    let authority = Job::authority(&parts);
    let id = context.id;
    let (request, sent) = guest.with(|mut access| {
        let data = access.get();
        match several {
            true => data.enter_beside(context),
            false => data.enter(context),
        }
        let headers = wasmtime_wasi_http::FieldMap::new_immutable(&mut data.scope, parts.headers);
        let uri = parts.uri.into_parts();
        let (request, sent) = Request::new(
            parts.method,
            uri.scheme.or(Some(http::uri::Scheme::HTTP)),
            authority,
            uri.path_and_query,
            headers,
            None,
            wasi_body(body),
        );
        wasmtime::error::Ok((data.table.push(request)?, sent))
    })?;
    let response = service
        .wasi_http_handler()
        .call_handle(guest, request)
        .await?;
    if several {
        let counts = guest.with(|mut access| {
            let scope = &mut access.get().scope;
            scope.answered(id);
            scope.take_counts()
        });
        seat.count(counts);
    }
    match response {
        Ok(response) => {
            let response = guest.with(|mut access| {
                let response = access.get().http().table.delete(response)?;
                response.into_http(&mut access, sent)
            })?;
            seat.put(Ok(response));
        }
        Err(code) => seat.put(Err(refusal(&code))),
    }
    Ok(())
}

fn refusal(code: &ErrorCode) -> Fault {
    let mut fault = Fault::failed("the function answered with an error instead of a response");
    fault.note = format!("the function answered with an error: {code:?}");
    fault
}
