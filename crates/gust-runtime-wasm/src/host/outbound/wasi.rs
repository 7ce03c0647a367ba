//! `wasi:http/outgoing-handler@0.2` and `wasi:http/client@0.3`, as wasmtime has them but for one thing: a request
//! without an authority goes to the app itself instead of failing on its malformed URI. Linked by hand for that.

use http::uri::{Authority, PathAndQuery};
use wasmtime::component::{Accessor, Linker, Resource};
use wasmtime_wasi_http::{
    RequestOptions, WasiHttp, WasiHttpCtxView, WasiHttpView as _,
    p2::{
        self,
        bindings::http::{outgoing_handler::Host as _, types as types02},
        types::{HostFutureIncomingResponse, HostOutgoingRequest},
    },
    p3::{
        self,
        bindings::http::{client::HostWithStore, types as types03},
    },
};

use super::target::OWN_HOST;
use crate::{Lane, guest::Guest};

/// Adds `wasi:http` in all versions that the lane has.
pub(crate) fn add_to_linker(linker: &mut Linker<Guest>, lane: Lane) -> wasmtime::Result<()> {
    let options = p2::bindings::LinkOptions::default();
    types02::add_to_linker::<_, WasiHttp>(linker, &(&options).into(), Guest::http)?;
    linker
        .instance("wasi:http/outgoing-handler@0.2.12")?
        .func_wrap("handle", |mut store, (request, options)| {
            Ok((handle(store.data_mut().http(), request, options)?,))
        })?;
    if lane == Lane::P3 {
        types03::add_to_linker::<_, WasiHttp>(linker, Guest::http)?;
        linker
            .instance("wasi:http/client@0.3.0")?
            .func_wrap_concurrent("send", |store, (request,)| {
                Box::pin(async move { Ok((send(store, request).await?,)) })
            })?;
    }
    Ok(())
}

type Handled = Result<Resource<HostFutureIncomingResponse>, types02::ErrorCode>;

/// Sends a request, of whatever version of `wasi:http` 0.2.
pub(crate) fn handle(
    mut http: WasiHttpCtxView<'_>,
    request: Resource<HostOutgoingRequest>,
    options: Option<Resource<RequestOptions>>,
) -> wasmtime::Result<Handled> {
    let sent = http.table.get_mut(&request)?;
    if is_missing(sent.authority.as_deref()) {
        sent.authority = Some(OWN_HOST.to_owned());
    }
    if is_missing(sent.path_with_query.as_deref()) {
        sent.path_with_query = Some("/".to_owned());
    }
    match http.handle(request, options) {
        Ok(response) => Ok(Ok(response)),
        Err(e) => Ok(Err(e.downcast()?)),
    }
}

fn is_missing(part: Option<&str>) -> bool {
    part.is_none_or(str::is_empty)
}

async fn send(
    store: &Accessor<Guest>,
    request: Resource<p3::Request>,
) -> wasmtime::Result<Result<Resource<p3::Response>, types03::ErrorCode>> {
    store.with(|mut store| -> wasmtime::Result<()> {
        let sent = store.data_mut().table.get_mut(&request)?;
        sent.authority
            .get_or_insert_with(|| Authority::from_static(OWN_HOST));
        sent.path_with_query
            .get_or_insert_with(|| PathAndQuery::from_static("/"));
        Ok(())
    })?;
    let http = store.with_getter::<WasiHttp>(Guest::http);
    match <WasiHttp as HostWithStore<Guest>>::send(&http, request).await {
        Ok(response) => Ok(Ok(response)),
        Err(e) => Ok(Err(e.downcast()?)),
    }
}
