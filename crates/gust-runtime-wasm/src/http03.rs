//! `wasi:http/handler@0.3`: calls in the component model's event loop.

use std::{future::poll_fn, pin::pin, task::Poll};

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
    work::{Job, wasi_body},
};

/// Serves a call until the guest has nothing left to do.
pub(crate) async fn run(mut live: Live, job: Job) -> Exit {
    let result = match &live.entry {
        Entry::Http03(service) => live
            .store
            .run_concurrent(async |guest| attend(guest, service, job).await)
            .await
            .flatten(),
        _ => Ok(()),
    };
    Exit { live, result }
}

/// Serves, then waits for the guest's own tasks.
async fn attend(guest: &Accessor<Guest>, service: &Service, job: Job) -> wasmtime::Result<()> {
    let mut serving = pin!(serve(guest, service, job));
    let mut served = false;
    poll_fn(|cx| {
        if !served {
            match serving.as_mut().poll(cx) {
                Poll::Ready(Ok(())) => served = true,
                other => return other,
            }
        }
        guest.poll_no_interesting_tasks(cx).map(Ok)
    })
    .await
}

/// Hands the request in and the response out. The response's body is pumped by the event loop from then on.
async fn serve(guest: &Accessor<Guest>, service: &Service, job: Job) -> wasmtime::Result<()> {
    let Job {
        request,
        context,
        seat,
    } = job;
    let (parts, body) = request.into_parts();
    let authority = Job::authority(&parts);
    let (request, sent) = guest.with(|mut access| {
        let data = access.get();
        data.enter(context);
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
