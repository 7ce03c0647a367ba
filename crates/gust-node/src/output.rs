//! What guests print: from the runtime's seam into the log, and from there to whoever watches.

use gust_runtime::logs::{LogSink, Stream};
use gust_telemetry::{GuestLogs, logs};
use gust_types::{FunctionKey, Result, call::CallId};

/// One line that a guest printed.
#[derive(Debug, Clone)]
pub struct OutputLine {
    /// The app's function.
    pub function: String,
    /// `stdout`, `stderr` or `platform`.
    pub stream: &'static str,
    /// The text, without its line end.
    pub text: String,
}

/// Puts what the runtime hears into the guests' logs.
pub(crate) struct Sink(pub(crate) GuestLogs);

impl LogSink for Sink {
    fn write(
        &self,
        function: &FunctionKey,
        revision: u64,
        call: CallId,
        stream: Stream,
        bytes: &[u8],
    ) {
        self.0
            .append(function, revision, call, translate(stream), bytes);
    }
}

fn translate(stream: Stream) -> logs::Stream {
    match stream {
        Stream::Stdout => logs::Stream::Stdout,
        Stream::Stderr => logs::Stream::Stderr,
        Stream::Platform => logs::Stream::Platform,
    }
}

/// Follows all functions of the default project.
pub(crate) async fn echo(
    logs: &GuestLogs,
    echo: impl Fn(OutputLine) + Send + 'static,
) -> Result<()> {
    let everything = logs::Filter::project(gust_types::ProjectName::default_project());
    let (_, mut follow) = logs.follow(everything, 0).await?;
    gust_task::spawn("echo output", async move {
        while let Some(heard) = follow.next().await {
            let line = match heard {
                logs::Followed::Line(line) => OutputLine {
                    function: line.key.function.to_string(),
                    stream: line.stream.as_str(),
                    text: line.text.clone(),
                },
                logs::Followed::Missed(n) => OutputLine {
                    function: String::new(),
                    stream: "platform",
                    text: format!("({n} lines were too fast to show)"),
                },
            };
            echo(line);
        }
    });
    Ok(())
}
