//! Acknowledged durable writes a second through the local key-value store, and syncs of the disk a write.
//!
//! `cargo run --release -p gust-backend-local --example kv_bench -- [--writers 256] [--seconds 5] [--json]`

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for people"
)]

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use gust_backend::{
    Backends as _,
    kv::{Kv, KvExt as _},
};
use gust_backend_local::LocalBackends;
use gust_task::clock;
use gust_types::{Error, Label, ProjectName, Result};

struct Arguments {
    writers: usize,
    seconds: u64,
    json: bool,
    folder: Option<std::path::PathBuf>,
}

fn arguments() -> Result<Arguments> {
    let mut parsed = Arguments {
        writers: 256,
        seconds: 5,
        json: false,
        folder: None,
    };
    let mut given = std::env::args().skip(1);
    while let Some(argument) = given.next() {
        let mut number = || {
            let text = given.next().unwrap_or_default();
            text.parse::<u64>()
                .map_err(|_| Error::invalid(format!("not a number: {text:?}")))
        };
        match argument.as_str() {
            "--writers" => parsed.writers = number()? as usize,
            "--seconds" => parsed.seconds = number()?,
            "--json" => parsed.json = true,
            "--folder" => parsed.folder = given.next().map(Into::into),
            other => return Err(Error::invalid(format!("not an option: {other:?}"))),
        }
    }
    Ok(parsed)
}

/// Writes until the time is up; answers how long each write took, in microseconds.
async fn write(kv: Arc<dyn Kv>, writer: usize, until: std::time::Instant) -> Result<Vec<u64>> {
    let value = Bytes::from(vec![writer as u8; 200]);
    let mut took = Vec::new();
    for n in 0u64.. {
        let start = clock::now();
        if start >= until {
            break;
        }
        // Keys that are spread over the tree, as hashes and ids are.
        let key = format!(
            "{:016x}",
            (n << 16 | writer as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        );
        kv.put(&key, value.clone()).await?;
        took.push(start.elapsed().as_micros() as u64);
    }
    Ok(took)
}

async fn run(arguments: Arguments) -> Result<()> {
    let temporary = tempfile::tempdir().map_err(|e| Error::internal("no folder").because(e))?;
    let folder = arguments
        .folder
        .as_deref()
        .unwrap_or_else(|| temporary.path());
    let backends = LocalBackends::open(folder)?;
    let kv = backends.kv(&ProjectName::default_project(), &Label::new("bench")?)?;
    let start = clock::now();
    let until = start + Duration::from_secs(arguments.seconds);
    let writers: Vec<_> = (0..arguments.writers)
        .map(|n| gust_task::spawn("writer", write(kv.clone(), n, until)))
        .collect();
    let mut took = Vec::new();
    for writer in writers {
        let ended = writer.await.ok().flatten();
        took.extend(ended.ok_or_else(|| Error::internal("a writer panicked"))??);
    }
    let seconds = start.elapsed().as_secs_f64();
    took.sort_unstable();
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize] as f64 / 1000.0;
    let stats = backends.kv_stats();
    let writes_per_s = stats.writes as f64 / seconds;
    let fsyncs_per_write = stats.commits as f64 / stats.writes as f64;
    if arguments.json {
        println!(
            r#"{{"writers":{},"writes_per_s":{writes_per_s:.0},"fsyncs_per_write":{fsyncs_per_write:.5},"writes":{},"fsyncs":{},"seconds":{seconds:.2},"latency_ms":{{"p50":{},"p99":{}}}}}"#,
            arguments.writers,
            stats.writes,
            stats.commits,
            at(0.5),
            at(0.99),
        );
    } else {
        println!(
            "{} writers: {writes_per_s:.0} durable writes/s, {fsyncs_per_write:.5} syncs a write, p50 {} ms, p99 {} ms",
            arguments.writers,
            at(0.5),
            at(0.99),
        );
    }
    Ok(())
}

fn main() -> std::process::ExitCode {
    let ran = tokio::runtime::Runtime::new()
        .map_err(|e| Error::internal("no runtime").because(e))
        .and_then(|runtime| runtime.block_on(run(arguments()?)));
    match ran {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", error.chain());
            std::process::ExitCode::FAILURE
        }
    }
}
