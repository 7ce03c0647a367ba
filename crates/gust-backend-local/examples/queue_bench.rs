//! What a durable queue does: acknowledged publishes a second, then taking and settling of all that was published.
//!
//! `cargo run --release -p gust-backend-local --example queue_bench -- [--publishers 256] [--seconds 5]
//! [--backlog MESSAGES] [--groups N] [--json]`

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for people"
)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use gust_backend::{
    Backends as _,
    queue::{Message, Queue, QueueSettings, TakeOptions, Verdict},
};
use gust_backend_local::LocalBackends;
use gust_task::clock;
use gust_types::{ByteSize, Error, Label, ProjectName, Result};

const SIZE: usize = 1024;
const CONSUMERS: usize = 16;

struct Arguments {
    publishers: usize,
    seconds: u64,
    /// Publish this many, in batches, before the consumers start.
    backlog: u64,
    groups: u64,
    json: bool,
    folder: Option<std::path::PathBuf>,
}

fn arguments() -> Result<Arguments> {
    let mut parsed = Arguments {
        publishers: 256,
        seconds: 5,
        backlog: 0,
        groups: 0,
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
            "--publishers" => parsed.publishers = number()? as usize,
            "--seconds" => parsed.seconds = number()?,
            "--backlog" => parsed.backlog = number()?,
            "--groups" => parsed.groups = number()?,
            "--json" => parsed.json = true,
            "--folder" => parsed.folder = given.next().map(Into::into),
            other => return Err(Error::invalid(format!("not an option: {other:?}"))),
        }
    }
    Ok(parsed)
}

fn message(n: u64, groups: u64) -> Message {
    // Text that compresses about as events do.
    let text = format!(
        "{{\"order\":{n},\"sum\":{},\"name\":\"",
        n.wrapping_mul(0x9e37_79b9)
    );
    let mut body = text.into_bytes();
    let mut seed = n | 1;
    while body.len() < SIZE {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        body.push(b'a' + (seed % 26) as u8);
    }
    let message = Message::new(Bytes::from(body));
    match groups {
        0 => message,
        groups => message.in_group(format!("g{}", n % groups)),
    }
}

/// Publishes until the time is up; answers how long each acknowledgement took, in microseconds.
async fn publish(queue: Arc<dyn Queue>, n: u64, groups: u64, until: Instant) -> Result<Vec<u64>> {
    let mut took = Vec::new();
    for step in 0u64.. {
        let message = message(step << 16 | n, groups);
        let start = clock::now();
        if start >= until {
            break;
        }
        queue.publish(vec![message]).await?;
        took.push(start.elapsed().as_micros() as u64);
    }
    Ok(took)
}

async fn pile_up(queue: &Arc<dyn Queue>, backlog: u64, groups: u64) -> Result<()> {
    for first in (0..backlog).step_by(500) {
        let batch = (first..(first + 500).min(backlog)).map(|n| message(n, groups));
        queue.publish(batch.collect()).await?;
    }
    Ok(())
}

async fn drain(queue: Arc<dyn Queue>, left: Arc<AtomicU64>) -> Result<()> {
    while left.load(Relaxed) > 0 {
        let options = TakeOptions {
            most: 100,
            wait: Duration::from_millis(100),
            ..TakeOptions::default()
        };
        let taken = queue.take(options).await?;
        let verdicts: Vec<_> = taken.iter().map(|t| (t.receipt, Verdict::Done)).collect();
        let done = verdicts.len() as u64;
        for answer in queue.settle(verdicts).await? {
            answer?;
        }
        left.fetch_sub(done, Relaxed);
    }
    Ok(())
}

fn rss_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
    let kib = line.and_then(|l| l.trim().strip_suffix("kB")?.trim().parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}

async fn run(arguments: Arguments) -> Result<()> {
    let temporary = tempfile::tempdir().map_err(|e| Error::internal("no folder").because(e))?;
    let folder = arguments
        .folder
        .clone()
        .unwrap_or_else(|| temporary.path().to_owned());
    let settings = QueueSettings {
        max_bytes: ByteSize(64 << 30),
        ..QueueSettings::default()
    };
    let open = || {
        let backends = LocalBackends::open(&folder)?;
        let project = ProjectName::default_project();
        let queue = backends.queue(&project, &Label::new("bench")?, &settings)?;
        Ok::<_, Error>((backends, queue))
    };
    let (backends, queue) = open()?;
    let start = clock::now();
    let until = start + Duration::from_secs(arguments.seconds);
    let publishers: Vec<_> = (0..arguments.publishers)
        .map(|n| {
            let publish = publish(queue.clone(), n as u64, arguments.groups, until);
            gust_task::spawn("publisher", publish)
        })
        .collect();
    let mut took = Vec::new();
    for publisher in publishers {
        let ended = publisher.await.ok().flatten();
        took.extend(ended.ok_or_else(|| Error::internal("a publisher panicked"))??);
    }
    let seconds = start.elapsed().as_secs_f64();
    let stats = backends.kv_stats();
    took.sort_unstable();
    let at = |share: f64| {
        let n = (took.len().saturating_sub(1) as f64 * share) as usize;
        took.get(n).copied().unwrap_or(0) as f64 / 1000.0
    };
    let (acks, p50, p99) = (took.len() as f64 / seconds, at(0.5), at(0.99));
    pile_up(&queue, arguments.backlog, arguments.groups).await?;
    let full_mb = rss_mb();
    drop(queue);
    drop(backends);
    let begun = clock::now();
    let (_backends, queue) = open()?;
    let held = queue.stats().await?.messages;
    let reopen_s = begun.elapsed().as_secs_f64();
    let left = Arc::new(AtomicU64::new(held));
    let begun = clock::now();
    let consumers: Vec<_> = (0..CONSUMERS)
        .map(|_| gust_task::spawn("consumer", drain(queue.clone(), left.clone())))
        .collect();
    for consumer in consumers {
        let ended = consumer.await.ok().flatten();
        ended.ok_or_else(|| Error::internal("a consumer panicked"))??;
    }
    let drain_per_s = held as f64 / begun.elapsed().as_secs_f64();
    let report = serde_json::json!({
        "publishers": arguments.publishers,
        "acks_per_s": acks.round(),
        "ack_ms": { "p50": p50, "p99": p99 },
        "fsyncs_per_1000": stats.commits as f64 * 1000.0 / stats.writes.max(1) as f64,
        "drained": held,
        "drain_per_s": drain_per_s.round(),
        "reopen_s": reopen_s,
        "rss_mb": { "full": full_mb.round(), "drained": rss_mb().round() },
    });
    if arguments.json {
        println!("{report}");
    } else {
        println!("{report:#}");
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
