//! `wasi:http/incoming-handler@0.2`: a call straight onto a stack of its own.

use wasmtime_wasi_http::{
    WasiHttpView as _,
    p2::bindings::http::types::{ErrorCode, Scheme},
};

use crate::{
    drive::Exit,
    fault::Fault,
    live::{Entry, Live},
    work::{Job, wasi_body},
};

/// Serves a call until the guest returns.
pub(crate) async fn run(mut live: Live, job: Job) -> Exit {
    let result = serve(&mut live, job).await;
    Exit { live, result }
}

async fn serve(live: &mut Live, job: Job) -> wasmtime::Result<()> {
    let Entry::Http02(proxy) = &live.entry else {
        return Ok(());
    };
    let Job {
        request,
        context,
        seat,
    } = job;
    let guest = live.store.data_mut();
    guest.enter(context);
    let (mut parts, body) = request.into_parts();
    if parts.uri.authority().is_none() && !parts.headers.contains_key(http::header::HOST) {
        // A guest asks for the authority; a request of HTTP/1.0 need not have one.
        let localhost = http::HeaderValue::from_static("localhost");
        parts.headers.insert(http::header::HOST, localhost);
    }
    let scheme = match parts.uri.scheme_str() {
        Some("https") => Scheme::Https,
        _ => Scheme::Http,
    };
    let request = http::Request::from_parts(parts, wasi_body(body));
    let request = guest.http().new_incoming_request(scheme, request)?;
    let outparam = guest
        .http()
        .new_response_outparam_from_callback(move |answer| {
            seat.put(answer.map_err(|code| refusal(&code)));
        })?;
    proxy
        .wasi_http_incoming_handler()
        .call_handle(&mut live.store, request, outparam)
        .await
}

fn refusal(code: &ErrorCode) -> Fault {
    let mut fault = Fault::failed("the function answered with an error instead of a response");
    fault.note = format!("the function answered with an error: {code:?}");
    fault
}
