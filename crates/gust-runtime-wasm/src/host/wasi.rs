//! WASI's own context: environment, output, files, sockets. WASI 0.2 and 0.3 share it.

use std::sync::Arc;

use gust_runtime::{Bindings, logs::Stream};
use gust_types::call::CallId;
use wasmtime_wasi::{FsPerms, WasiCtx};

use super::sockets;
use crate::output::Output;

/// Random bytes that one call may ask for: making them holds the thread, and nothing interrupts it. Four times what
/// browsers give at once (65,536), which JavaScript goes by; libc and Rust's standard library ask for 256 bytes or less
/// at a time; a wasip1 program asks for its whole buffer.
const RANDOM: u64 = 256 * 1024;

/// WASI's context for a fresh copy, with nothing inherited from this process. On the path of every instantiation.
pub(crate) fn context(bindings: &Bindings, output: &Arc<Output>) -> WasiCtx {
    let mut wasi = WasiCtx::builder();
    wasi.envs(&bindings.environment)
        .max_random_size(RANDOM)
        .stdout(output.printer(Stream::Stdout))
        .stderr(output.printer(Stream::Stderr));
    if let Some((input, _)) = output.pipes() {
        wasi.stdin(input.clone()).arg(output.name());
    }
    if let Some(folder) = &bindings.files
        && let Err(e) = wasi.preopened_dir(folder, "/", FsPerms::ReadOnly)
    {
        // The guest still runs, and finds no files: it is told as by any file system, its author here.
        output.note(
            CallId::default(),
            &format!("cannot open the component's files: {e}\n"),
        );
    }
    sockets::allow(&mut wasi, &bindings.outbound);
    wasi.build()
}
