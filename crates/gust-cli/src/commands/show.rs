//! `gust show`: one app, whole.

use gust_api::app::{AppDetails, FunctionDetails, ValueFrom};
use gust_types::{AppName, Result, limits::Reuse};

use crate::{
    here,
    output::{self, Table},
    remote::Remote,
    time,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The app [default: the one of this folder]
    app: Option<AppName>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

pub(crate) async fn run(args: &Args) -> Result<u8> {
    let app = here::app(args.app.as_ref())?;
    let client = args.remote.client()?;
    let details = client
        .app(&args.remote.project, &app)
        .await
        .map_err(|e| args.remote.explain(e))?;
    if args.json {
        output::json(&details)?;
        return Ok(crate::OK);
    }
    output::line(&head(&details))?;
    for function in &details.configuration {
        output::line(&configuration(function))?;
    }
    tables(&details)?;
    Ok(crate::OK)
}

fn head(details: &AppDetails) -> String {
    let summary = &details.summary;
    let mut text = format!("{}/{}", summary.project, summary.app);
    for part in [&summary.version, &details.description] {
        if !part.is_empty() {
            text.push_str(&format!("  {part}"));
        }
    }
    for url in &summary.urls {
        let target = url.function.as_ref().map_or_else(
            || format!("{:?}", url.target).to_lowercase(),
            ToString::to_string,
        );
        text.push_str(&format!("\n  {}  {target}", url.url));
    }
    text
}

fn configuration(function: &FunctionDetails) -> String {
    let spec = &function.spec;
    let mut lines = vec![format!("\nfunction {}", function.function)];
    let mut tell = |what: &str, value: String| {
        if !value.is_empty() {
            lines.push(format!("  {what:<12} {value}"));
        }
    };
    let labels = |labels: &[gust_types::Label]| {
        let names: Vec<&str> = labels.iter().map(gust_types::Label::as_str).collect();
        names.join(", ")
    };
    let keys = |map: &std::collections::BTreeMap<String, String>| {
        let names: Vec<&str> = map.keys().map(String::as_str).collect();
        names.join(", ")
    };
    tell("contract", function.contract.clone());
    for warning in &function.warnings {
        tell("warning", output::printable(warning));
    }
    tell("description", spec.description.clone());
    tell("kv", labels(&spec.kv));
    tell("sql", labels(&spec.sql));
    tell("queues", labels(&spec.queues));
    tell("topics", labels(&spec.topics));
    tell("blobs", labels(&spec.blobs));
    tell("outbound", spec.outbound.join(", "));
    tell("environment", keys(&spec.environment));
    tell("variables", keys(&spec.variables));
    if !spec.files.is_empty() {
        tell("files", spec.files.len().to_string());
    }
    let limits = &spec.limits;
    tell(
        "limits",
        format!(
            "memory {}, cpu {}, wall {}, {} at once, {} waiting",
            limits.memory, limits.cpu_time, limits.wall_time, limits.concurrency, limits.queue
        ),
    );
    tell("reuse", reuse(&spec.reuse));
    if let Some(health) = &spec.health {
        tell(
            "health",
            format!("{} within {}", health.path, health.timeout),
        );
    }
    lines.join("\n")
}

fn reuse(reuse: &Reuse) -> String {
    let parts = [
        reuse.calls.map(|n| format!("{n} calls")),
        reuse.concurrent.map(|n| format!("{n} at once")),
        reuse.idle.map(|span| format!("{span} idle")),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    parts.join(", ")
}

fn tables(details: &AppDetails) -> Result<()> {
    if !details.variables.is_empty() {
        let mut table = Table::new(&["VARIABLE", "VALUE", "KIND", "DESCRIPTION"], &[]);
        for variable in &details.variables {
            let value = match variable.value {
                ValueFrom::Set => "set",
                ValueFrom::Default => "default",
                ValueFrom::Unset => "not set",
            };
            let kind = match (variable.secret, variable.required) {
                (true, true) => "secret, required",
                (true, false) => "secret",
                (false, true) => "required",
                (false, false) => "",
            };
            table.row(vec![
                variable.name.clone(),
                value.to_owned(),
                kind.to_owned(),
                variable.description.clone(),
            ]);
        }
        output::line("")?;
        table.print()?;
    }
    let mut table = Table::new(
        &["DEPLOYMENT", "WHEN (UTC)", "CHANGE", "VERSION", "REVISIONS"],
        &[],
    );
    for deployment in &details.deployments {
        let change = match deployment.rolled_back_to {
            Some(to) => format!("rollback to {to}"),
            None => deployment.change.as_str().to_owned(),
        };
        let revisions: Vec<String> = deployment
            .functions
            .iter()
            .map(|f| format!("{} {}", f.function, f.revision))
            .collect();
        let mark = if deployment.serving { " serves" } else { "" };
        table.row(vec![
            format!("{}{mark}", deployment.deployment),
            time::seconds(deployment.created_us),
            change,
            deployment.version.clone(),
            revisions.join(", "),
        ]);
    }
    output::line("")?;
    table.print()
}
