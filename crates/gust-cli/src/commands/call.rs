//! `gust call`: calls that are made later, and what became of them.

use clap::Subcommand;
use gust_api::{
    client::invoke::Invoked,
    later::{Callback, CallsQuery, LaterCall, LaterState},
};
use gust_types::{Result, Span, call::CallId};
use http_body_util::BodyExt as _;

use crate::{
    output::{self, Table},
    remote::Remote,
    time,
};

/// One wait of the node; below what it takes the client to lose patience.
const WAIT: Span = Span::secs(20);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the calls of a project that are or were made later, the newest first
    Ls {
        /// At most this many
        #[arg(short = 'n', long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        /// Only those that are older than this one
        #[arg(long, value_name = "ID")]
        after: Option<CallId>,
        #[command(flatten)]
        of: Of,
    },
    /// Show one call and what became of it
    Show {
        /// The call
        id: CallId,
        /// Wait until it is over
        #[arg(long)]
        wait: bool,
        #[command(flatten)]
        of: Of,
    },
    /// Print what the function answered
    Result {
        /// The call
        id: CallId,
        /// Wait until it is over
        #[arg(long)]
        wait: bool,
        /// Show the answer's headers on stderr
        #[arg(short, long)]
        include: bool,
        #[command(flatten)]
        remote: Remote,
    },
    /// Do not make a call that waits, or end one that is under way
    Cancel {
        /// The call
        id: CallId,
        #[command(flatten)]
        of: Of,
    },
}

#[derive(Debug, clap::Args)]
struct Of {
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

pub(crate) async fn run(args: &Args) -> Result<u8> {
    match &args.action {
        Action::Ls { limit, after, of } => list(*limit, *after, of).await?,
        Action::Show { id, wait, of } => {
            let call = look(&of.remote, *id, *wait).await?;
            print(&call, of)?;
        }
        Action::Result {
            id,
            wait,
            include,
            remote,
        } => return result(remote, *id, *wait, *include).await,
        Action::Cancel { id, of } => {
            let client = of.remote.client()?;
            let cancelled = client.cancel_call(&of.remote.project, *id).await;
            let call = cancelled.map_err(|e| of.remote.explain(e))?;
            match of.json {
                true => output::json(&call)?,
                false => output::say(&format!("cancelled {id}")),
            }
        }
    }
    Ok(crate::OK)
}

/// Prints what a function answered, once the call is over if that is asked for.
pub(crate) async fn result(remote: &Remote, id: CallId, wait: bool, include: bool) -> Result<u8> {
    if wait {
        look(remote, id, true).await?;
    }
    let client = remote.client()?;
    let invoked = client.call_result(&remote.project, id, None).await;
    let Invoked { response, .. } = invoked.map_err(|e| remote.explain(e))?;
    let (head, mut body) = response.into_parts();
    output::say(&format!("{}  call {id}", head.status));
    if include {
        for (name, value) in &head.headers {
            let value = String::from_utf8_lossy(value.as_bytes());
            output::say(&format!("{name}: {value}"));
        }
    }
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            output::out(&data)?;
        }
    }
    Ok(match head.status.as_u16() {
        500.. => crate::ANSWERED_WITH_FAILURE,
        _ => crate::OK,
    })
}

/// A call; one that is over, when that is asked for.
async fn look(remote: &Remote, id: CallId, wait: bool) -> Result<LaterCall> {
    let client = remote.client()?;
    loop {
        let call = client.call(&remote.project, id, wait.then_some(WAIT)).await;
        let call = call.map_err(|e| remote.explain(e))?;
        if !wait || call.state.is_over() {
            return Ok(call);
        }
        // The node answers at once when too many wait already.
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}

async fn list(limit: u32, after: Option<CallId>, of: &Of) -> Result<()> {
    let query = CallsQuery {
        after,
        limit: Some(limit),
    };
    let calls = of.remote.client()?.calls(&of.remote.project, &query).await;
    let calls = calls.map_err(|e| of.remote.explain(e))?;
    if of.json {
        return output::json(&calls);
    }
    if calls.calls.is_empty() {
        output::say("no calls; make one with: gust invoke --async APP/FUNCTION");
        return Ok(());
    }
    let heading = [
        "ID",
        "APP",
        "FUNCTION",
        "STATE",
        "ATTEMPTS",
        "STATUS",
        "ACCEPTED (UTC)",
    ];
    let mut table = Table::new(&heading, &[4, 5]);
    for call in &calls.calls {
        table.row(vec![
            call.id.to_string(),
            call.app.to_string(),
            call.function.to_string(),
            call.state.as_str().to_owned(),
            call.attempts.to_string(),
            call.status
                .map_or_else(|| "-".to_owned(), |s| s.to_string()),
            time::millis(call.accepted_us),
        ]);
    }
    table.print()?;
    if let Some(next) = calls.next {
        output::say(&format!("there may be more: --after {next}"));
    }
    Ok(())
}

fn print(call: &LaterCall, of: &Of) -> Result<()> {
    if of.json {
        return output::json(call);
    }
    let moment = |at: Option<u64>| at.map(time::millis);
    let size = match call.truncated {
        true => format!("{}, not all of it kept", output::bytes(call.bytes)),
        false => output::bytes(call.bytes),
    };
    let rows = [
        ("function", Some(format!("{}/{}", call.app, call.function))),
        (
            "request",
            Some(output::printable(&format!("{} {}", call.method, call.path))),
        ),
        ("state", Some(call.state.as_str().to_owned())),
        ("attempts", Some(call.attempts.to_string())),
        ("last attempt", call.attempt_id.map(|id| id.to_string())),
        ("status", call.status.map(|status| status.to_string())),
        ("cause", call.cause.as_deref().map(output::printable)),
        (
            "not told",
            call.undelivered.as_deref().map(output::printable),
        ),
        ("callback", call.callback.as_ref().map(callback)),
        ("accepted", moment(Some(call.accepted_us))),
        ("tried next", moment(call.next_us)),
        ("over", moment(call.finished_us)),
        ("kept until", moment(call.expires_us)),
        ("answer", (call.state == LaterState::Done).then_some(size)),
    ];
    let mut table = Table::new(&["CALL", &call.id.to_string()], &[]);
    for (name, value) in rows {
        if let Some(value) = value {
            table.row(vec![name.to_owned(), value]);
        }
    }
    table.print()
}
/// How far a callback is, in one line.
fn callback(callback: &Callback) -> String {
    let mut text = format!("{}: {}", callback.url, callback.state.as_str());
    if callback.attempts > 0 {
        text.push_str(&format!(", attempts: {}", callback.attempts));
    }
    if let Some(cause) = &callback.cause {
        text.push_str(&format!(", {cause}"));
    }
    if let Some(next) = callback.next_us.map(time::millis) {
        text.push_str(&format!(", tried next {next}"));
    }
    output::printable(&text)
}
