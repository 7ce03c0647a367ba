//! Ctrl-C and SIGTERM.

use gust_task::Stop;
use gust_types::{Error, Result};
use tokio::signal::unix::{SignalKind, signal};

use crate::output;

/// Ends when somebody presses Ctrl-C.
pub(crate) async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// A stop that Ctrl-C and SIGTERM give. A second one ends the program at once.
pub(crate) fn stop_on_signals() -> Result<Stop> {
    let fault = |e| Error::internal("cannot listen for signals").because(e);
    let mut terminate = signal(SignalKind::terminate()).map_err(fault)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(fault)?;
    let stop = Stop::new();
    let given = stop.clone();
    gust_task::spawn("signals", async move {
        let mut count = 0;
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            count += 1;
            if count > 1 {
                at_once();
            }
            output::say("stopping: calls in flight may finish; once more to stop at once");
            given.stop();
        }
    });
    Ok(stop)
}

#[expect(clippy::exit, reason = "somebody asked twice")]
fn at_once() -> ! {
    std::process::exit(i32::from(crate::INTERRUPTED))
}
