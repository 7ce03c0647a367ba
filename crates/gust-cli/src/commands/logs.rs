//! `gust logs`: what guests wrote, and what they write from now on.

use std::time::Duration;

use gust_api::logs::{LogEntry, LogItem, LogQuery, MAX_KEPT, Stream};
use gust_types::{Error, Kind, Result, call::CallId};

use crate::{
    here::{self, Target},
    output,
    remote::Remote,
    signals, time,
};

/// Before asking again when a node went away while it was followed.
const AGAIN: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// APP or APP/FUNCTION [default: the app of this folder]
    target: Option<Target>,
    /// Go on with what is written from now on, across deploys and restarts
    #[arg(short, long)]
    follow: bool,
    /// Of this call only
    #[arg(long, value_name = "ID")]
    call: Option<CallId>,
    /// From this moment on: a date (UTC), or a span such as 10m
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// The newest so many
    #[arg(short = 'n', long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_KEPT)))]
    limit: u32,
    /// Print one JSON document; with --follow, one for each line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

/// What is printed, and where it has got to.
struct Printer {
    json: bool,
    follow: bool,
    /// Kept until the end when the whole is one document.
    items: Vec<LogItem>,
    /// The node has answered once.
    begun: bool,
    /// The number of the last entry. Not its time: entries of one write share that.
    last: Option<u64>,
}

pub(crate) async fn run(args: &Args) -> Result<u8> {
    let target = here::target(args.target.as_ref())?;
    let client = args.remote.client()?;
    let mut query = LogQuery {
        function: target.function.clone(),
        call: args.call,
        since_us: args
            .since
            .as_deref()
            .map(|text| time::parse(text, gust_task::clock::unix_micros()))
            .transpose()?,
        after: None,
        limit: Some(args.limit),
        follow: args.follow,
    };
    let mut printer = Printer {
        json: args.json,
        follow: args.follow,
        items: Vec::new(),
        begun: false,
        last: None,
    };
    let read = async {
        loop {
            let ended = once(args, &client, &target, &query, &mut printer).await;
            match ended {
                Ok(()) if !args.follow => {
                    if printer.last.is_none() {
                        nothing(args, &client, &target).await?;
                    }
                    return printer.finish();
                }
                Err(error) if !args.follow || !printer.begun || !lost(&error) => {
                    return Err(args.remote.explain(error));
                }
                _ => {}
            }
            // What was written meanwhile is wanted whole, however little was asked of the past.
            query.limit = Some(MAX_KEPT);
            query.after = printer.last;
            tokio::time::sleep(AGAIN).await;
        }
    };
    tokio::select! {
        ended = read => ended.map(|()| crate::OK),
        // Ctrl-C is how following ends.
        () = signals::interrupted(), if args.follow => Ok(crate::OK),
    }
}

/// Nothing was written; perhaps there is nobody of that name.
async fn nothing(args: &Args, client: &gust_api::Client, target: &Target) -> Result<()> {
    here::must_be(&args.remote, client, target).await?;
    output::say("nothing was written there");
    Ok(())
}

async fn once(
    args: &Args,
    client: &gust_api::Client,
    target: &Target,
    query: &LogQuery,
    printer: &mut Printer,
) -> Result<()> {
    let mut lines = client
        .logs(&args.remote.project, &target.app, query)
        .await?;
    // Following has begun, even if nothing has been written yet.
    printer.begun = true;
    while let Some(item) = lines.next().await? {
        printer.print(item)?;
    }
    Ok(())
}

/// The node went away; it may come back.
fn lost(error: &Error) -> bool {
    matches!(error.kind, Kind::Unavailable | Kind::Timeout)
}

// === impl Printer ===

impl Printer {
    fn print(&mut self, item: LogItem) -> Result<()> {
        if let LogItem::Entry(entry) = &item {
            self.last = self.last.max(Some(entry.n));
        }
        match (self.json, self.follow, &item) {
            (true, true, item) => {
                let text = serde_json::to_string(item)
                    .map_err(|e| Error::internal("cannot write json").because(e))?;
                output::line(&text)
            }
            (true, false, _) => {
                self.items.push(item);
                Ok(())
            }
            (false, _, LogItem::Entry(entry)) => output::line(&line(entry)),
            (false, _, LogItem::Missed { missed }) => {
                output::warn(&format!(
                    "{missed} lines came too fast and are missing here"
                ));
                Ok(())
            }
        }
    }

    fn finish(&mut self) -> Result<()> {
        match self.json {
            true => output::json(&serde_json::json!({ "entries": self.items })),
            false => Ok(()),
        }
    }
}

fn line(entry: &LogEntry) -> String {
    let mark = match entry.stream {
        Stream::Stdout => " ",
        Stream::Stderr => "!",
        Stream::Platform => "*",
    };
    let id = entry.call.to_string();
    format!(
        "{} {}:{} {} {mark} {}",
        time::millis(entry.time_us),
        entry.function,
        entry.revision,
        &id[id.len().saturating_sub(8)..],
        output::printable(&entry.text)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_lines() {
        let entry = LogEntry {
            n: 1,
            time_us: 1_795_427_099_123_456,
            project: "default".parse().unwrap(),
            app: "shop".parse().unwrap(),
            function: "cart".parse().unwrap(),
            revision: 3,
            call: CallId(0xabc),
            stream: Stream::Stderr,
            text: "坏了\u{1b}[2J".to_owned(),
        };
        assert_eq!(
            line(&entry),
            "2026-11-23 09:44:59.123 cart:3 00000abc ! 坏了\u{fffd}[2J"
        );
    }
}
