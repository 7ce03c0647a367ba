//! What guests are offered. One file for each version of an interface under `host/`, named after it; a version only
//! translates to the shared core of its family: [`kv`], [`sql`], [`variables`], [`outbound`], [`outlets`], [`blobs`].
//!
//! What a guest may touch is settled before it runs ([`gust_runtime::Bindings`]). What is not in there is denied with
//! the interface's own typed error. No host function blocks a thread, and each one can be dropped while it waits.

use gust_runtime::Bindings;
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};

use crate::{
    Lane,
    guest::{Guest, Scope},
};

mod blobs;
mod gust_events;
mod kv;
mod open;
mod outbound;
mod outlets;
mod rows;
mod sockets;
mod spin1_config;
mod spin1_http;
mod spin1_kv;
mod spin1_sqlite;
mod spin2_kv;
mod spin2_sqlite;
mod spin2_variables;
mod spin32_sqlite;
mod spin3_kv;
mod spin3_sqlite;
mod spin3_variables;
mod sql;
mod variables;
mod wasi;
mod wasi_2023_10;
mod wasi_batch;
mod wasi_blobstore;
mod wasi_config;
mod wasi_fs_2023_10;
mod wasi_http_2023_10;
mod wasi_http_2023_11;
mod wasi_kv;
mod wasi_messaging;
mod wit;

pub(crate) use wasi::{Told, context as wasi, context_told as wasi_told};

/// State that host interfaces keep for one running copy. Nothing is allocated before it is used, but for three counters.
#[derive(Default)]
pub(crate) struct HostState {
    /// Open key-value stores, whatever interface opened them.
    stores: open::Places,
    /// Open connections to databases.
    databases: open::Places,
    /// Sends under way.
    sends: open::Places,
    /// Bytes of messages that the guest has in hand.
    messages: usize,
    /// Open buckets and values, once there are any.
    blobs: std::sync::OnceLock<blobs::Open>,
    spin1_stores: open::Numbered<kv::Store>,
    spin1_databases: open::Numbered<sql::Database>,
}

// === impl HostState ===

impl HostState {
    /// The state of a fresh copy. On the path of every instantiation: open lazily.
    pub(crate) fn new(_bindings: &Bindings) -> Self {
        Self::default()
    }
}

/// What our own host functions work on.
pub(crate) struct View<'a> {
    pub(crate) table: &'a mut ResourceTable,
    pub(crate) scope: &'a mut Scope,
}

/// Names [`View`] where wasmtime wants a type without a lifetime.
pub(crate) struct Ours;

impl HasData for Ours {
    type Data<'a> = View<'a>;
}

/// How wasmtime gets from a store's data to a [`View`].
pub(crate) fn view(guest: &mut Guest) -> View<'_> {
    View {
        table: &mut guest.table,
        scope: &mut guest.scope,
    }
}

// === impl View ===

impl View<'_> {
    /// The store behind a handle; counts one operation.
    fn keys(&mut self, store: &Resource<kv::Store>) -> wasmtime::Result<kv::Keys> {
        self.scope.meter.host.kv += 1;
        Ok(self.table.get(store)?.keys())
    }

    /// The connection behind a handle; counts one statement.
    fn session(&mut self, connection: &Resource<sql::Database>) -> wasmtime::Result<sql::Session> {
        self.scope.meter.host.sql += 1;
        Ok(self.table.get(connection)?.session())
    }
}

/// Adds everything that guests of this lane are offered. Called once per lane and process.
pub(crate) fn add_to_linker(linker: &mut Linker<Guest>, lane: Lane) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    outbound::wasi::add_to_linker(linker, lane)?;
    add_candidates(linker)?;
    add_drafts(linker)?;
    add_messaging(linker)?;
    add_blobs(linker)?;
    add_spin(linker)?;
    if lane == Lane::P3 {
        add_spin_async(linker)?;
        add_messaging_async(linker)?;
        wasmtime_wasi::p3::add_to_linker(linker)?;
    }
    Ok(())
}

/// What the release candidates of 2023 have beside WASI 0.2.
fn add_candidates(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    wasi_2023_10::add_to_linker(linker)?;
    wasi_fs_2023_10::add_to_linker(linker)?;
    wasi_http_2023_10::add_to_linker(linker)?;
    wasi_http_2023_11::add_to_linker(linker)
}

fn add_drafts(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    use wit::drafts::wasi::{config, keyvalue};
    config::store::add_to_linker::<_, Ours>(linker, view)?;
    keyvalue::store::add_to_linker::<_, Ours>(linker, view)?;
    keyvalue::atomics::add_to_linker::<_, Ours>(linker, view)?;
    wasi_batch::add_to_linker(linker)
}

fn add_blobs(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    use wit::blobs::wasi::blobstore;
    blobstore::types::add_to_linker::<_, Ours>(linker, view)?;
    blobstore::container::add_to_linker::<_, Ours>(linker, view)?;
    blobstore::blobstore::add_to_linker::<_, Ours>(linker, view)
}

fn add_messaging(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    use wit::messaging::{gust::events, wasi::messaging};
    messaging::types::add_to_linker::<_, Ours>(linker, view)?;
    messaging::producer::add_to_linker::<_, Ours>(linker, view)?;
    events::publish::add_to_linker::<_, Ours>(linker, view)
}

/// Its twin that has `async` in its signatures.
fn add_messaging_async(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    use wit::messaging_async::gust::events;
    events::publish_async::add_to_linker::<_, Ours>(linker, view)
}

fn add_spin(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    use wit::spin32::spin::sqlite3_0_0 as spin32;
    use wit::{spin1::fermyon::spin as spin1, spin2::fermyon::spin2_0_0 as spin2};
    spin1::config::add_to_linker::<_, Ours>(linker, view)?;
    spin1::http_types::add_to_linker::<_, Ours>(linker, view)?;
    spin1::http::add_to_linker::<_, Ours>(linker, view)?;
    spin1::key_value::add_to_linker::<_, Ours>(linker, view)?;
    spin1::sqlite::add_to_linker::<_, Ours>(linker, view)?;
    spin2::key_value::add_to_linker::<_, Ours>(linker, view)?;
    spin2::sqlite::add_to_linker::<_, Ours>(linker, view)?;
    spin2::variables::add_to_linker::<_, Ours>(linker, view)?;
    spin32::sqlite::add_to_linker::<_, Ours>(linker, view)
}

/// What has `async` in its signatures.
fn add_spin_async(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    use wit::spin3::spin;
    spin::key_value::key_value::add_to_linker::<_, Ours>(linker, view)?;
    spin::sqlite3_1_0::sqlite::add_to_linker::<_, Ours>(linker, view)?;
    spin::variables::variables::add_to_linker::<_, Ours>(linker, view)
}
