//! `gust ls`: what is deployed and what it is doing.

use gust_api::app::{Apps, FunctionState};
use gust_types::Result;

use crate::{
    output::{self, Table},
    remote::Remote,
    time,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

pub(crate) async fn run(args: &Args) -> Result<u8> {
    let client = args.remote.client()?;
    let apps = client
        .apps(&args.remote.project)
        .await
        .map_err(|e| args.remote.explain(e))?;
    if args.json {
        output::json(&apps)?;
    } else if apps.apps.is_empty() {
        output::say("nothing is deployed; deploy an app with: gust deploy");
    } else {
        table(&apps).print()?;
    }
    Ok(crate::OK)
}

fn table(apps: &Apps) -> Table {
    let heading = [
        "APP",
        "FUNCTION",
        "REVISION",
        "STATE",
        "DEPLOYED (UTC)",
        "URL",
    ];
    let mut table = Table::new(&heading, &[2]);
    for app in &apps.apps {
        let deployed = time::seconds(app.deployed_us);
        for function in &app.functions {
            let url = app
                .urls
                .iter()
                .find(|u| u.function.as_ref() == Some(&function.function))
                .map(|u| u.url.clone());
            table.row(vec![
                app.app.to_string(),
                function.function.to_string(),
                function.revision.to_string(),
                state(function.state),
                deployed.clone(),
                url.unwrap_or_else(|| "-".to_owned()),
            ]);
        }
        if app.functions.is_empty() {
            let url = app.urls.first().map(|u| u.url.clone());
            let dash = || "-".to_owned();
            table.row(vec![
                app.app.to_string(),
                dash(),
                dash(),
                "static".to_owned(),
                deployed,
                url.unwrap_or_else(dash),
            ]);
        }
    }
    table
}

fn state(state: Option<FunctionState>) -> String {
    let Some(state) = state else {
        return "-".to_owned();
    };
    let parts: Vec<String> = [
        (state.busy, "busy"),
        (state.queued, "queued"),
        (state.idle, "idle"),
    ]
    .iter()
    .filter(|(n, _)| *n > 0)
    .map(|(n, what)| format!("{n} {what}"))
    .collect();
    match (parts.is_empty(), state.resident) {
        (false, _) => parts.join(", "),
        (true, true) => "loaded".to_owned(),
        (true, false) => "asleep".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_words() {
        let of = |resident, idle, busy, queued| {
            state(Some(FunctionState {
                resident,
                idle,
                busy,
                queued,
            }))
        };
        assert_eq!(of(false, 0, 0, 0), "asleep");
        assert_eq!(of(true, 0, 0, 0), "loaded");
        assert_eq!(of(true, 1, 0, 0), "1 idle");
        assert_eq!(of(true, 1, 2, 3), "2 busy, 3 queued, 1 idle");
        assert_eq!(state(None), "-");
    }
}
