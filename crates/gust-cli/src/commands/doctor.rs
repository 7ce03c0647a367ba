//! `gust doctor`: is this machine, its node and this folder's app as they should be?

mod app;
mod machine;
mod node;

use std::path::PathBuf;

use gust_types::Result;
use serde::Serialize;

use crate::{
    output::{self, Table},
    remote::Remote,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The app's folder
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

/// What one look found.
#[derive(Debug, Clone, Serialize)]
struct Finding {
    what: &'static str,
    state: State,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Ok,
    /// Works, but not as well or not for everything.
    Warn,
    /// Something will not work.
    Bad,
}

pub(crate) async fn run(args: &Args) -> Result<u8> {
    let mut findings = machine::look();
    findings.extend(machine::toolchains().await);
    findings.extend(node::look(&args.remote).await);
    findings.extend(app::look(&args.dir));
    let well = findings.iter().all(|f| f.state != State::Bad);
    if args.json {
        output::json(&serde_json::json!({ "well": well, "findings": findings }))?;
    } else {
        tell(&findings)?;
    }
    Ok(if well { crate::OK } else { crate::NOT_WELL })
}

fn tell(findings: &[Finding]) -> Result<()> {
    let mut table = Table::new(&["CHECK", "STATE", "FOUND"], &[]);
    for finding in findings {
        let state = match finding.state {
            State::Ok => "ok",
            State::Warn => "warning",
            State::Bad => "bad",
        };
        let mut lines = finding.detail.lines();
        let first = lines.next().unwrap_or_default().to_owned();
        table.row(vec![finding.what.to_owned(), state.to_owned(), first]);
        let more = lines.map(str::to_owned);
        let hint = finding.hint.as_ref().map(|hint| format!("hint: {hint}"));
        for line in more.chain(hint) {
            table.row(vec![String::new(), String::new(), line]);
        }
    }
    table.print()
}

// === impl Finding ===

impl Finding {
    fn ok(what: &'static str, detail: impl Into<String>) -> Self {
        Self::new(what, State::Ok, detail)
    }

    fn warn(what: &'static str, detail: impl Into<String>) -> Self {
        Self::new(what, State::Warn, detail)
    }

    fn bad(what: &'static str, detail: impl Into<String>) -> Self {
        Self::new(what, State::Bad, detail)
    }

    fn new(what: &'static str, state: State, detail: impl Into<String>) -> Self {
        Self {
            what,
            state,
            detail: detail.into(),
            hint: None,
        }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
