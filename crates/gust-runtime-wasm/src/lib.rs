//! Runs WebAssembly: components of WASI 0.2 (and its two release candidates of 2023) and 0.3, Spin's own interfaces,
//! and core modules.
//!
//! The only room that knows wasmtime. It compiles once (`prepare`), maps and links (`load`), instantiates (`start`) and
//! drives one guest call after another with its limits held from outside the guest (`call`). It never routes, queues
//! or bills, and never opens a resource on its own: what a guest may touch comes in as [`gust_runtime::Bindings`].
//!
//! Two engines run side by side, the [`Lane`]s: a component that uses WASI 0.3 or any other async interface runs in
//! the p3 lane, everything else in the p2 lane, which costs less per call. Start with `runtime.rs` (prepare and
//! load), then `call.rs` (how a guest is driven), then `guest.rs` (what a store holds) and `host.rs` (what guests are
//! offered).

mod account;
mod call;
mod cgi;
mod coach;
mod command;
mod compile;
mod componentize;
mod contract;
mod drive;
mod edition;
mod engine;
mod fault;
mod fields;
mod gather;
mod guest;
mod handle;
mod host;
mod http02;
mod http03;
mod instances;
mod lane;
mod live;
mod meter;
mod output;
mod pipe;
mod resident;
mod ride;
mod runtime;
mod seat;
mod settings;
mod share;
mod shelf;
mod spin_event;
mod spin_http;
mod stream;
mod stubs;
mod ticker;
mod warm;
mod watch;
mod work;

pub use runtime::WasmRuntime;
pub use settings::Settings;

/// Which of the two engines a component runs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    /// WASI 0.2 and older, calls go straight onto a stack of their own. No `async` in any signature.
    P2,
    /// WASI 0.3 (and 0.2 beside it), calls run in the component model's event loop.
    P3,
}
