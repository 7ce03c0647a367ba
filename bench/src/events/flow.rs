//! End to end: published through the real node's control API, called by its triggers, done.
//!
//! The function is the smallest there is, so that what is measured is the way to it.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use gust_api::{
    Client,
    queue::{NewMessage, Publish, Queue},
    usage::RecordQuery,
};
use gust_scenarios::{App, Node};
use gust_task::clock;
use gust_types::{AppName, Label, ProjectName, Usage};
use serde_json::{Map, Value, json};

use super::body;
use crate::{Args, load, load::p50_p99, node};

const GUEST: &str = "hello-p2.wasm";
const CONCURRENCY: usize = 64;
/// Messages in one request, and requests at once.
const BATCH: u64 = 500;
const PUBLISHERS: u64 = 4;
const GROUPS: u64 = 1000;
/// Messages that warm a queue, its function and its trigger.
const WARM: u64 = 1000;
/// Of the paced ones, this long after the one before.
const PACE: Duration = Duration::from_millis(10);
/// Without a message done, the node is taken to be stuck.
const STUCK: Duration = Duration::from_secs(30);

/// One app with one queue of the same name.
#[derive(Clone)]
struct Flow {
    client: Client,
    project: ProjectName,
    queue: Label,
}

pub(super) async fn run(args: &Args, disk: &Path, thousands: usize) -> Result<Map<String, Value>> {
    let node = node::start(&args.gust, &disk.join("node"), "")?;
    // 50,000 in a whole run.
    let count = thousands as u64 * 50;
    let mut out = Map::new();
    for (key, name, groups) in [
        ("e2e_per_s", "flat", 0),
        ("ordered_per_s", "ordered", GROUPS),
    ] {
        let flow = Flow::deploy(&node, args, name)?;
        flow.through(WARM, groups).await?;
        let rate = flow.through(count, groups).await?;
        eprintln!("{name}: {rate:.0} events/s");
        out.insert(key.into(), json!(rate.round()));
    }
    let flow = Flow::deploy(&node, args, "paced")?;
    flow.through(WARM, 0).await?;
    let took = flow.paced(thousands as u64 * 2).await?;
    out.insert("e2e_ms".into(), p50_p99(took));
    Ok(out)
}

// === impl Flow ===

impl Flow {
    fn deploy(node: &Node, args: &Args, name: &str) -> Result<Self> {
        let trigger = format!(
            "[[trigger]]\nfunction = \"{name}\"\nqueue = \"{name}\"\nconcurrency = {CONCURRENCY}\n"
        );
        let app = App::new(name)?
            .function_from(name, &args.guests.join(GUEST), "route = false\n")?
            .text(&trigger);
        node.deploy(&app)?;
        let token = std::fs::read_to_string(node.data().join("token")).ok();
        Ok(Self {
            client: Client::new(
                &format!("http://{}", node.control),
                token.map(|t| t.trim().to_owned()),
            )?,
            project: ProjectName::default_project(),
            queue: Label::new(name)?,
        })
    }

    async fn stats(&self) -> Result<Queue> {
        Ok(self.client.queue(&self.project, &self.queue).await?)
    }

    /// Publishes so many and waits until all are done; answers how many a second that was, publishing included.
    async fn through(&self, count: u64, groups: u64) -> Result<f64> {
        let before = self.stats().await?;
        let begun = load::now();
        let publishers: Vec<_> = (0..PUBLISHERS)
            .map(|p| gust_task::spawn("publisher", self.clone().publish(p, count, groups)))
            .collect();
        for publisher in publishers {
            let ended = publisher.await?;
            ended.context("a publisher panicked")??;
        }
        let published = begun.elapsed();
        self.until_done(before.done + count).await?;
        let took = begun.elapsed();
        if count > WARM {
            eprintln!(
                "{}: published in {published:.2?}, done in {took:.2?}",
                self.queue
            );
        }
        Ok(count as f64 / took.as_secs_f64())
    }

    /// This publisher's part: every so-manieth batch.
    async fn publish(self, publisher: u64, count: u64, groups: u64) -> Result<()> {
        for first in (0..count).step_by(BATCH as usize) {
            if first / BATCH % PUBLISHERS != publisher {
                continue;
            }
            let messages = (first..(first + BATCH).min(count)).map(|n| message(n, groups));
            self.send(messages.collect()).await?;
        }
        Ok(())
    }

    async fn send(&self, messages: Vec<NewMessage>) -> Result<()> {
        let publish = Publish { messages };
        self.client
            .publish(&self.project, &self.queue, &publish)
            .await?;
        Ok(())
    }

    /// Waits until the queue is empty; every message must have been done.
    async fn until_done(&self, done: u64) -> Result<()> {
        let (mut last, mut since) = (0, load::now());
        loop {
            let stats = self.stats().await?;
            ensure!(stats.dead == 0, "{} messages were given up", stats.dead);
            if stats.messages == 0 {
                ensure!(stats.done == done, "{} done of {done}", stats.done);
                return Ok(());
            }
            if stats.done != last {
                (last, since) = (stats.done, load::now());
            }
            ensure!(
                since.elapsed() < STUCK,
                "{} messages are not done",
                stats.messages
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// From sending each of so many messages to the end of its call, one message at a time.
    async fn paced(&self, count: u64) -> Result<Vec<Duration>> {
        let mut sent = Vec::new();
        let mut pace = tokio::time::interval(PACE);
        pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        for n in 0..count {
            pace.tick().await;
            sent.push(clock::unix_micros());
            self.send(vec![message(n, 0)]).await?;
        }
        let records = self
            .records(sent.first().copied().unwrap_or(0), sent.len())
            .await?;
        // A queue is taken from in order and the messages are far apart, so the calls are in the messages' order.
        let took = sent.iter().zip(&records).map(|(sent, record)| {
            let ended = record.start_us + record.wall_us;
            Duration::from_micros(ended.saturating_sub(*sent))
        });
        Ok(took.collect())
    }

    /// The records of the calls since then, once all are there, by their start.
    async fn records(&self, since: u64, count: usize) -> Result<Vec<Usage>> {
        let query = RecordQuery {
            app: Some(AppName::new(self.queue.as_str())?),
            limit: Some(10_000),
            ..RecordQuery::default()
        };
        let begun = load::now();
        while begun.elapsed() < STUCK {
            let mut records = self
                .client
                .records(Some(&self.project), &query)
                .await?
                .records;
            records.retain(|record| record.start_us >= since);
            if records.len() >= count {
                ensure!(records.len() == count, "{} calls of {count}", records.len());
                records.sort_by_key(|record| record.start_us);
                return Ok(records);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        bail!("not all calls left their record")
    }
}

fn message(n: u64, groups: u64) -> NewMessage {
    NewMessage {
        text: Some(String::from_utf8_lossy(&body(n)).into_owned()),
        group: (groups > 0).then(|| format!("g{}", n % groups)),
        ..NewMessage::default()
    }
}
