//! Measures Gust side by side with peers, in one run. `cargo xtask bench` builds what it needs and calls it.
//!
//! One JSON document per run on stdout, everything else on stderr. Start with [`http`], the simplest.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program")]

mod cold;
mod density;
mod events;
mod guests;
mod http;
mod kv;
mod load;
mod node;
mod overload;
mod wrk;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};
use serde_json::{Map, Value};

/// Measures Gust side by side with peers.
#[derive(Parser)]
struct Args {
    /// The `gust` binary.
    #[arg(long, default_value = "target/dist/gust")]
    gust: PathBuf,
    /// The `wasmtime` binary of the peer.
    #[arg(long, default_value = "target/peers/bin/wasmtime")]
    wasmtime: PathBuf,
    /// The `kv_bench` example of gust-backend-local.
    #[arg(long, default_value = "target/dist/examples/kv_bench")]
    kv_bench: PathBuf,
    /// The `queue_bench` example of gust-backend-local.
    #[arg(long, default_value = "target/dist/examples/queue_bench")]
    queue_bench: PathBuf,
    /// The `nats-server` binary of the peer.
    #[arg(long, env = "NATS_SERVER", default_value = "nats-server")]
    nats_server: PathBuf,
    /// The `redis-server` binary of the peer.
    #[arg(long, env = "REDIS_SERVER", default_value = "redis-server")]
    redis_server: PathBuf,
    /// Folder of built guests.
    #[arg(long, default_value = "target/guests")]
    guests: PathBuf,
    /// Rounds (http), functions (cold, density) or thousands of messages (events); smaller for a quick look.
    #[arg(long)]
    scale: Option<usize>,
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Subcommand, Clone, Copy)]
enum Bench {
    /// Hello component beside `wasmtime serve` and bare hyper.
    Http,
    /// First calls of 1,000 functions that sleep.
    Cold,
    /// 10,000 deployed functions: memory, restart, first call.
    Density,
    /// Ten times the capacity.
    Overload,
    /// Acknowledged durable key-value writes.
    Kv,
    /// Durable publishing beside NATS JetStream and Redis streams; messages through the node to a function.
    Events,
    /// The bare hyper server that `http` compares with; prints its port.
    #[command(hide = true)]
    HyperServer,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let (name, figures) = runtime.block_on(async {
        Ok::<_, anyhow::Error>(match args.bench {
            Bench::Http => ("http", http::run(&args).await?),
            Bench::Cold => ("cold", cold::run(&args).await?),
            Bench::Density => ("density", density::run(&args).await?),
            Bench::Overload => ("overload", overload::run(&args).await?),
            Bench::Kv => ("kv", kv::run(&args)?),
            Bench::Events => ("events", events::run(&args).await?),
            Bench::HyperServer => return http::hyper_server().await.map(|()| ("", Map::new())),
        })
    })?;
    if !name.is_empty() {
        println!("{}", Value::Object(figures));
    }
    Ok(())
}

/// The machine's name for its processor, for the results page.
pub(crate) fn millis(d: std::time::Duration) -> Value {
    ((d.as_secs_f64() * 1e6).round() / 1e3).into()
}
