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
    let arguments = output.pipes().map(|_| output.name().to_owned());
    let told = Told {
        arguments: arguments.into_iter().collect(),
        variables: Vec::new(),
    };
    context_told(bindings, output, told)
}

/// What a program is told of one call.
pub(crate) struct Told {
    /// Its own name first.
    pub(crate) arguments: Vec<String>,
    /// Beside the function's own environment, and before it.
    pub(crate) variables: Vec<(String, String)>,
}

/// The same for a program that is told of its call.
pub(crate) fn context_told(bindings: &Bindings, output: &Arc<Output>, told: Told) -> WasiCtx {
    let mut wasi = WasiCtx::builder();
    // A header of the caller's never takes the place of what the function was given.
    let own = &bindings.environment;
    let headers = |name: &str| name.starts_with("HTTP_");
    let given = |name: &str| own.iter().any(|(given, _)| given.as_str() == name);
    let mut told = told;
    told.variables
        .retain(|(name, _)| !(headers(name) && given(name)));
    let own = own.iter();
    for (name, value) in
        own.filter(|(name, _)| !told.variables.iter().any(|(told, _)| told == name.as_str()))
    {
        wasi.env(name, value);
    }
    wasi.envs(&told.variables)
        .args(&told.arguments)
        .max_random_size(RANDOM)
        .stdout(output.printer(Stream::Stdout))
        .stderr(output.printer(Stream::Stderr));
    if let Some((input, _)) = output.pipes() {
        wasi.stdin(input.clone());
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
