//! What guests print.

use std::time::Duration;

use gust_runtime::logs::Stream;
use gust_task::clock;
use gust_types::{ByteSize, Span};

use crate::kit::{get, shared};

#[tokio::test]
async fn both_streams_are_kept_apart_and_know_their_call() {
    for name in ["faults-p2", "faults-p3"] {
        let function = shared().load(shared().revision(name)).await;
        let call = get("/log");
        let id = call.id;
        function.send(call).await;
        assert_eq!(function.logs.of(Stream::Stdout), "to stdout: 你好，世界\n");
        assert!(function.logs.of(Stream::Stderr).starts_with("to stderr: "));
        assert!(function.logs.calls().iter().all(|call| *call == id));
    }
}

#[tokio::test]
async fn a_guest_that_prints_1_gb_is_cut_and_stays_cheap() {
    for name in ["faults-p2", "faults-p3"] {
        let mut revision = shared().revision(name);
        revision.spec.limits.log_bytes = ByteSize::mib(1);
        revision.spec.limits.cpu_time = Span::secs(60);
        let function = shared().load(revision).await;
        let begun = clock::now();
        let answered = function.get("/print/1024").await;
        assert_eq!(answered.status, 200, "{name}");
        assert_eq!(function.logs.of(Stream::Stdout).len(), 1 << 20, "{name}");
        let platform = function.logs.of(Stream::Platform);
        assert_eq!(platform, "the output of this call was cut at 1MiB", "once");
        assert!(
            begun.elapsed() < Duration::from_secs(25),
            "{name}: {:?}",
            begun.elapsed()
        );
    }
}
