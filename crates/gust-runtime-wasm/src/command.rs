//! `wasi:cli/run`: a command, run once for each call. The request's body is its stdin, its stdout the answer.

use crate::{
    drive::Exit,
    fault::Fault,
    live::{Entry, Live},
    work::Job,
};

/// Runs a WASI 0.2 command.
pub(crate) async fn run02(mut live: Live, job: Job) -> Exit {
    let result = match &live.entry {
        Entry::Run02(command) => {
            let seat = job.seat.clone();
            live.store.data_mut().enter(job.context);
            let ended = command.wasi_cli_run().call_run(&mut live.store).await;
            seat.put(Err(Fault::silent()));
            ended.map(|_| ())
        }
        _ => Ok(()),
    };
    Exit { live, result }
}

/// Runs a WASI 0.3 command.
pub(crate) async fn run03(live: Live, job: Job) -> Exit {
    job.seat.put(Err(Fault::silent()));
    Exit {
        live,
        result: Ok(()),
    }
}
