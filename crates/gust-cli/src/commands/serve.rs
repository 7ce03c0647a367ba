//! `gust serve`: run a node until it is told to stop.

use gust_node::{Node, Settings};
use gust_types::Result;

use crate::{commands::config::NodeArgs, output, remote, signals};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    node: NodeArgs,
}

pub(crate) async fn run(args: Args) -> Result<u8> {
    let (mut settings, _) = args.node.resolve()?;
    let _log = start_log(&mut settings)?;
    let stop = signals::stop_on_signals()?;
    let data = std::path::absolute(&settings.data).unwrap_or_else(|_| settings.data.clone());
    let node = Node::start(settings).await?;
    // Other commands find the node's token there; they look in the usual place only, unless told.
    output::say(&match data == remote::data_folder() {
        true => format!("Data in {}", data.display()),
        false => format!(
            "Data in {0}; for other commands on this machine: export GUST_DATA={0}",
            data.display()
        ),
    });
    output::line(&format!(
        "Serving {}://{}",
        node.scheme(),
        node.functions_addr()
    ))?;
    for (protocol, addr) in node.spoken() {
        let (label, scheme) = (protocol.label(), protocol.scheme());
        output::line(&format!("{label} {scheme}://{addr}"))?;
    }
    if let Some(control) = node.control_addr() {
        output::line(&format!("Control http://{control}"))?;
    }
    node.run(stop).await?;
    Ok(crate::OK)
}

/// Starts the node's own log on stderr, and says where traces go when the environment names a collector.
pub(crate) fn start_log(settings: &mut Settings) -> Result<gust_telemetry::Guard> {
    settings.otlp = gust_telemetry::init::Otlp::from_env(|name| std::env::var(name).ok())?;
    let log = gust_telemetry::init::Settings {
        level: directives(&settings.log),
        ..Default::default()
    };
    gust_telemetry::init(&log, None)
}

/// A bare level is about our own words: libraries are told about when something is wrong with them.
fn directives(log: &str) -> String {
    match log.trim().to_ascii_lowercase().as_str() {
        // What one library calls an error is an answer that a caller got, such as that there is no such key.
        level @ ("info" | "debug" | "trace") => format!("warn,s3s=off,gust={level}"),
        level @ ("warn" | "error") => format!("{level},s3s=off"),
        _ => log.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::directives;

    #[test]
    fn libraries_are_quiet_unless_named() {
        for (log, told) in [
            ("info", "warn,s3s=off,gust=info"),
            ("Trace", "warn,s3s=off,gust=trace"),
            ("warn", "warn,s3s=off"),
            ("error", "error,s3s=off"),
            ("info,gust_dispatch=debug", "info,gust_dispatch=debug"),
        ] {
            assert_eq!(directives(log), told);
        }
    }
}
