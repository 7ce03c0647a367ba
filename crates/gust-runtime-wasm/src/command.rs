//! `wasi:cli/run`: a command, run once for each call. The request's body is its stdin, its stdout the answer.

use wasmtime_wasi::I32Exit;

use crate::{
    cgi,
    drive::Exit,
    host,
    live::{Entry, Live},
    pipe::BrokenInput,
    work::Job,
};

/// Runs a WASI 0.2 command.
pub(crate) async fn run02(mut live: Live, job: Job) -> Exit {
    enter(&mut live, job);
    let result = match &live.entry {
        Entry::Run02(command) => command.wasi_cli_run().call_run(&mut live.store).await,
        _ => Ok(Ok(())),
    };
    exit(live, result)
}

/// Runs a WASI 0.3 command.
pub(crate) async fn run03(mut live: Live, job: Job) -> Exit {
    enter(&mut live, job);
    let result = match &live.entry {
        Entry::Run03(command) => live
            .store
            .run_concurrent(async |guest| command.wasi_cli_run().call_run(guest).await)
            .await
            .flatten(),
        _ => Ok(Ok(())),
    };
    exit(live, result)
}

fn enter(live: &mut Live, job: Job) {
    let guest = live.store.data_mut();
    guest.enter(job.context);
    let spec = guest.scope.revision.clone();
    let cgi = spec.spec.cgi.as_ref();
    let variables = cgi.map(|_| cgi::variables(&job.request));
    let (head, body) = job.request.into_parts();
    if let (Some(cgi), Some(variables)) = (cgi, variables) {
        // What it is told is known only now.
        let told = host::Told {
            arguments: cgi::arguments(&cgi.argv, &head),
            variables,
        };
        let scope = &guest.scope;
        guest.wasi = host::wasi_told(&scope.bindings, &scope.output, told);
    }
    if let Some((input, answer)) = guest.scope.output.pipes() {
        input.attach(body);
        answer.attach(job.seat, cgi.is_some());
    }
}

/// Success completes the answer; anything else breaks it off. A failure after broken input is the input's.
fn exit(live: Live, result: wasmtime::Result<Result<(), ()>>) -> Exit {
    let result = match result {
        Ok(Ok(())) => Ok(()),
        Ok(Err(())) => Err(I32Exit(1).into()),
        Err(error) if matches!(error.downcast_ref(), Some(I32Exit(0))) => Ok(()),
        Err(error) => Err(error),
    };
    let pipes = live.store.data().scope.output.pipes();
    let broken = pipes.and_then(|(input, _)| input.broken());
    let result = match broken {
        Some(broken) => result.map_err(|error| error.context(BrokenInput(broken))),
        None => result,
    };
    if result.is_ok()
        && let Some((_, answer)) = live.store.data().scope.output.pipes()
    {
        answer.finish();
    }
    Exit { live, result }
}
