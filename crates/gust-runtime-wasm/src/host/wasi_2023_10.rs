//! What `wasi:io` and `wasi:clocks` of 2023-10-18 have and WASI 0.2 has not, or has in another shape. Offered beside
//! the functions of 0.2, in the same interfaces: see [`crate::edition`].

use wasmtime::{
    StoreContextMut,
    component::{ComponentType, Linker, Lower, Resource, ResourceTable, ResourceType},
};
use wasmtime_wasi::{
    clocks::WasiClocksView as _,
    p2::{
        DynInputStream, DynOutputStream, DynPollable, StreamError, StreamResult,
        bindings::{
            clocks::{monotonic_clock::Host as _, wall_clock::Datetime},
            io::{
                error::{Error, HostError},
                poll::{Host as _, HostPollable},
                streams::{self, Host as _, HostInputStream, HostOutputStream},
            },
        },
    },
};

use crate::guest::Guest;

/// Adds all of it. What is left out of the interfaces is the same in WASI 0.2.
pub(crate) fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    add_poll(linker)?;
    add_error(linker)?;
    add_streams(linker)?;
    add_clocks(linker)
}

fn add_poll(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let mut poll = linker.instance("wasi:io/poll@0.2.12")?;
    poll.func_wrap_async("poll-list", |mut store: Store<'_>, (list,)| {
        Box::new(async move { Ok((store.data_mut().table.poll(list).await?,)) })
    })?;
    poll.func_wrap_async(
        "poll-one",
        |mut store: Store<'_>, (one,): (Resource<DynPollable>,)| {
            Box::new(async move { HostPollable::block(&mut store.data_mut().table, one).await })
        },
    )
}

/// Errors belonged to the streams before they had an interface of their own.
fn add_error(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let mut streams = linker.instance("wasi:io/streams@0.2.12")?;
    let error = ResourceType::host::<Error>();
    streams.resource("error", error, |mut store, rep| {
        HostError::drop(&mut store.data_mut().table, Resource::new_own(rep))
    })?;
    streams.func_wrap(
        "[method]error.to-debug-string",
        |mut store: Store<'_>, (error,): (Resource<Error>,)| {
            let text = HostError::to_debug_string(&mut store.data_mut().table, error)?;
            Ok((text,))
        },
    )
}

/// Splicing took the source away from the guest, however much of it was asked for.
fn add_streams(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let mut streams = linker.instance("wasi:io/streams@0.2.12")?;
    streams.func_wrap_async(
        "[method]output-stream.SPLICE",
        |mut store: Store<'_>, (to, from, most): (Output, Input, u64)| {
            Box::new(async move {
                let table = &mut store.data_mut().table;
                let moved = HostOutputStream::splice(table, to, borrow(&from), most);
                Ok((spent(table, from, moved).await?,))
            })
        },
    )?;
    streams.func_wrap_async(
        "[method]output-stream.BLOCKING-SPLICE",
        |mut store: Store<'_>, (to, from, most): (Output, Input, u64)| {
            Box::new(async move {
                let table = &mut store.data_mut().table;
                let moved = HostOutputStream::blocking_splice(table, to, borrow(&from), most).await;
                Ok((spent(table, from, moved).await?,))
            })
        },
    )?;
    streams.func_wrap_async(
        "[method]output-stream.forward",
        |mut store: Store<'_>, (to, from): (Output, Input)| {
            Box::new(async move {
                let table = &mut store.data_mut().table;
                let moved = forward(table, &to, &from).await;
                Ok((spent(table, from, moved).await?,))
            })
        },
    )
}

type Store<'a> = StoreContextMut<'a, Guest>;
type Input = Resource<DynInputStream>;
type Output = Resource<DynOutputStream>;

fn borrow(stream: &Input) -> Input {
    Resource::new_borrow(stream.rep())
}

/// Drops a source that its owner gave away, and says how it went in the interface's own words.
async fn spent(
    table: &mut ResourceTable,
    from: Input,
    moved: StreamResult<u64>,
) -> wasmtime::Result<Result<u64, streams::StreamError>> {
    HostInputStream::drop(table, from).await?;
    Ok(match moved {
        Ok(moved) => Ok(moved),
        Err(e) => Err(table.convert_stream_error(e)?),
    })
}

/// Moves everything up to the end of the source, as fast as the destination takes it.
async fn forward(table: &mut ResourceTable, to: &Output, from: &Input) -> StreamResult<u64> {
    let mut moved = 0;
    loop {
        let room = table.get_mut(to)?.write_ready().await?;
        let bytes = match table.get_mut(from)?.blocking_read(room).await {
            Ok(bytes) => bytes,
            Err(StreamError::Closed) => break,
            Err(e) => return Err(e),
        };
        moved += bytes.len() as u64;
        table.get_mut(to)?.write(bytes)?;
    }
    let to = table.get_mut(to)?;
    to.flush()?;
    to.write_ready().await?;
    Ok(moved)
}

/// How a place tells its time.
#[derive(ComponentType, Lower)]
#[component(record)]
struct Zone {
    #[component(name = "utc-offset")]
    utc_offset: i32,
    name: String,
    #[component(name = "in-daylight-saving-time")]
    in_daylight_saving_time: bool,
}

/// A clock had one function to wait with. Wherever a function runs, its time zone is UTC.
fn add_clocks(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker
        .instance("wasi:clocks/monotonic-clock@0.2.12")?
        .func_wrap(
            "subscribe",
            |mut store: Store<'_>, (when, absolute): (u64, bool)| {
                let mut clocks = store.data_mut().clocks();
                let pollable = if absolute {
                    clocks.subscribe_instant(when)
                } else {
                    clocks.subscribe_duration(when)
                };
                Ok((pollable?,))
            },
        )?;
    let mut zone = linker.instance("wasi:clocks/timezone@0.2.0+rc-2023-10-18")?;
    zone.func_wrap("display", |_, _: (Datetime,)| {
        let utc = Zone {
            utc_offset: 0,
            name: "UTC".to_owned(),
            in_daylight_saving_time: false,
        };
        Ok((utc,))
    })?;
    zone.func_wrap("utc-offset", |_, _: (Datetime,)| Ok((0i32,)))
}
