//! What `wasi:http/types` of 2023-11-10 has in another shape than WASI 0.2: timeouts, which it counts in milliseconds
//! and names so, and how trailers arrive. Offered beside the functions of 0.2, in the same interface: see
//! [`crate::edition`].

use std::time::Duration;

use wasmtime::{
    StoreContextMut,
    component::{Linker, LinkerInstance, Resource},
};
use wasmtime_wasi_http::{
    RequestOptions, WasiHttpView as _,
    p2::{
        bindings::http::types::{ErrorCode, HostFutureTrailers as _, Trailers},
        body::HostFutureTrailers,
    },
};

use crate::guest::Guest;

type Store<'a> = StoreContextMut<'a, Guest>;

/// Adds all of it. What is left out of the interface is the same in WASI 0.2.
pub(crate) fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let mut types = linker.instance("wasi:http/types@0.2.12")?;
    add_timeout(&mut types, "connect-timeout-ms", |options| {
        &mut options.connect_timeout
    })?;
    add_timeout(&mut types, "first-byte-timeout-ms", |options| {
        &mut options.first_byte_timeout
    })?;
    add_timeout(&mut types, "between-bytes-timeout-ms", |options| {
        &mut options.between_bytes_timeout
    })?;
    types.func_wrap(
        "[method]future-trailers.GET",
        |mut store: Store<'_>, (future,): (Resource<HostFutureTrailers>,)| {
            let arrived: Option<Arrived> = match store.data_mut().http().get(future)? {
                Some(Ok(trailers)) => Some(trailers),
                Some(Err(())) => wasmtime::bail!("the trailers were taken before"),
                None => None,
            };
            Ok((arrived,))
        },
    )
}

type Arrived = Result<Option<Resource<Trailers>>, ErrorCode>;

/// One timeout, to be read and to be set.
fn add_timeout(
    types: &mut LinkerInstance<'_, Guest>,
    name: &str,
    timeout: fn(&mut RequestOptions) -> &mut Option<Duration>,
) -> wasmtime::Result<()> {
    types.func_wrap(
        &format!("[method]request-options.{name}"),
        move |mut store: Store<'_>, (options,): (Resource<RequestOptions>,)| {
            let options = store.data_mut().table.get_mut(&options)?;
            let millis = timeout(options).map(|t| u64::try_from(t.as_millis()));
            Ok((millis.transpose()?,))
        },
    )?;
    types.func_wrap(
        &format!("[method]request-options.set-{name}"),
        move |mut store: Store<'_>, (options, millis): (Resource<RequestOptions>, Option<u64>)| {
            let options = store.data_mut().table.get_mut(&options)?;
            *timeout(options) = millis.map(Duration::from_millis);
            Ok((Ok::<(), ()>(()),))
        },
    )
}
