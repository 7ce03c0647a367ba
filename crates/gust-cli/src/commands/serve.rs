//! `gust serve`: run a node until it is told to stop.

use gust_node::{Node, Settings};
use gust_types::Result;

use crate::{commands::config::NodeArgs, output, signals};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    node: NodeArgs,
}

pub(crate) async fn run(args: Args) -> Result<u8> {
    let (mut settings, _) = args.node.resolve()?;
    let _log = start_log(&mut settings)?;
    let stop = signals::stop_on_signals()?;
    let node = Node::start(settings).await?;
    output::line(&format!(
        "Serving {}://{}",
        node.scheme(),
        node.functions_addr()
    ))?;
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
        level: settings.log.clone(),
        ..Default::default()
    };
    gust_telemetry::init(&log, None)
}
