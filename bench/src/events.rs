//! Events: durable publishing beside NATS JetStream and Redis streams, messages through the node to a function, and a
//! queue of a million messages.
//!
//! Three things a reader will confuse. *Publishing* is Gust's queue through its library, without a node and without a
//! connection; the peers are asked over loopback, as they can only be, and their clients' work is on the same processors.
//! *End to end* is the real node: published through its control API, done by a function. And a peer's acknowledgement is
//! worth what its `*_sync` key says: not every version of NATS can put a message on the disk before it acknowledges.
//!
//! Everything lies in one folder below `$TMPDIR`, or else `/var/tmp`, which is on a disk where `/tmp` often is not.

mod flow;
mod nats;
mod peer;
mod queue;
mod redis;
mod schedules;

use std::{path::Path, time::Duration};

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use self::queue::Library;
use crate::{Args, load::p50_p99};

const PRODUCERS: usize = 256;
const BODY: usize = 1024;
/// Rounds of publishing, each of all three, and how long one is.
const ROUNDS: usize = 3;
const SECONDS: u64 = 5;
/// Thousands of messages in the backlog; the other counts are parts of it.
const BACKLOG: usize = 1000;

/// What one round of publishing to a peer came to.
struct Published {
    acks_per_s: f64,
    took: Vec<Duration>,
}

pub(crate) async fn run(args: &Args) -> Result<Map<String, Value>> {
    let disk = std::env::var_os("TMPDIR").unwrap_or_else(|| "/var/tmp".into());
    let folder = tempfile::Builder::new()
        .prefix("gust-bench-")
        .tempdir_in(disk)?;
    eprintln!("in {}", folder.path().display());
    let mut out = publishing(args, folder.path()).await?;
    let thousands = args.scale.unwrap_or(BACKLOG);
    out.extend(flow::run(args, folder.path(), thousands).await?);
    out.extend(schedules::run(args, folder.path(), thousands).await?);
    let backlog = queue::backlog(args, folder.path(), thousands * 1000)?;
    eprintln!("backlog: {}", backlog.document);
    out.insert("drain_per_s".into(), json!(backlog.drain_per_s));
    out.insert("rss_mb".into(), json!(backlog.rss_mb));
    out.insert("restart_s".into(), json!(round3(backlog.reopen_s)));
    Ok(out)
}

/// Everybody in turn, then again; of each the round in the middle.
async fn publishing(args: &Args, disk: &Path) -> Result<Map<String, Value>> {
    let (rounds, seconds) = match args.scale {
        Some(thousands) if thousands < BACKLOG => (1, 1),
        _ => (ROUNDS, SECONDS),
    };
    let (nats_server, redis_server) = (
        peer::version(&args.nats_server),
        peer::version(&args.redis_server),
    );
    let synced = match &nats_server {
        Some(_) => nats::can_sync(&args.nats_server)?,
        None => false,
    };
    let (mut gust, mut nats, mut redis) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=rounds {
        let run = queue::publish(args, disk, seconds)?;
        eprintln!("round {round}: gust  {:>9.0} acks/s", run.acks_per_s);
        gust.push(run);
        if nats_server.is_some() {
            let run = nats::publish(&args.nats_server, disk, synced, seconds).await?;
            eprintln!("round {round}: nats  {:>9.0} acks/s", run.acks_per_s);
            nats.push(run);
        }
        if redis_server.is_some() {
            let run = redis::publish(&args.redis_server, disk, seconds).await?;
            eprintln!("round {round}: redis {:>9.0} acks/s", run.acks_per_s);
            redis.push(run);
        }
    }
    let gust: Library = middle(gust, |run| run.acks_per_s).context("no round")?;
    let mut out = Map::new();
    out.insert("gust_acks_per_s".into(), json!(gust.acks_per_s.round()));
    out.insert("ack_ms".into(), gust.ack_ms);
    out.insert(
        "fsyncs_per_1000".into(),
        json!(round3(gust.fsyncs_per_1000)),
    );
    let nats_sync = match (&nats_server, synced) {
        (None, _) => Value::Null,
        (Some(_), true) => "every write".into(),
        (Some(_), false) => {
            eprintln!(
                "nats: this version cannot sync before it acknowledges; what it acknowledged waits up to two minutes for \
                 the disk (name a version that can in NATS_SERVER)"
            );
            "none before the acknowledgement".into()
        }
    };
    let redis_sync = redis_server.as_ref().map(|_| "every write");
    peer_keys(&mut out, "nats", nats, gust.acks_per_s);
    out.insert("nats_version".into(), json!(nats_server));
    out.insert("nats_sync".into(), nats_sync);
    peer_keys(&mut out, "redis", redis, gust.acks_per_s);
    out.insert("redis_version".into(), json!(redis_server));
    out.insert("redis_sync".into(), json!(redis_sync));
    Ok(out)
}

/// A peer that was not measured has its keys, without values.
fn peer_keys(out: &mut Map<String, Value>, name: &str, rounds: Vec<Published>, gust: f64) {
    let run = middle(rounds, |run| run.acks_per_s);
    let (acks, ratio, took) = match run {
        Some(run) => (
            json!(run.acks_per_s.round()),
            json!(round3(gust / run.acks_per_s)),
            p50_p99(run.took),
        ),
        None => (Value::Null, Value::Null, Value::Null),
    };
    out.insert(format!("{name}_acks_per_s"), acks);
    out.insert(format!("{name}_ack_ms"), took);
    out.insert(format!("ratio_{name}"), ratio);
}

/// The run in the middle by this figure.
fn middle<T>(mut runs: Vec<T>, of: impl Fn(&T) -> f64) -> Option<T> {
    runs.sort_by(|a, b| of(a).total_cmp(&of(b)));
    let middle = runs.len() / 2;
    runs.into_iter().nth(middle)
}

fn round3(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// Letters as `queue_bench` publishes them: no two messages the same, and they compress about as events do.
fn body(n: u64) -> Vec<u8> {
    let mut seed = n.wrapping_mul(0x9e37_79b9) | 1;
    let mut letter = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        b'a' + (seed % 26) as u8
    };
    (0..BODY).map(|_| letter()).collect()
}
