//! What every source has to pass, against a real server.
#![expect(
    clippy::missing_panics_doc,
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "checks fail by panicking"
)]

pub mod server;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use gust_task::{Stop, clock};
use gust_types::{Error, Result};
use parking_lot::Mutex;
use tokio::{io::AsyncWriteExt as _, net::TcpListener, task::JoinHandle};

use crate::{Inbox, Incoming, MEMORY, Source};

pub use server::Server;

/// The longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server and how to publish to it.
#[async_trait]
pub trait Rig: Send + Sync {
    /// A source of what is published; at another port than the server's when one is given.
    fn source(&self, port: Option<u16>) -> Result<Box<dyn Source>>;
    /// Publishes, past the source.
    async fn publish(&self, payload: &[u8]);
    /// Kills the server, or starts it again on what it had written down.
    async fn set_down(&self, down: bool);
    /// Whether the server sends again what was not acknowledged.
    fn redelivers(&self) -> bool;
}

/// An inbox that keeps in memory, and fails on demand.
#[derive(Default)]
pub struct Kept {
    state: Mutex<KeptState>,
}

#[derive(Default)]
struct KeptState {
    events: Vec<Incoming>,
    connected: u32,
    memory: Option<Bytes>,
    failing: bool,
    refused: u32,
}

/// A source at work.
pub struct Running {
    /// Where it hands over.
    pub inbox: Arc<Kept>,
    stop: Stop,
    task: JoinHandle<Option<Result<()>>>,
}

// === impl Kept ===

#[async_trait]
impl Inbox for Kept {
    async fn keep(&self, events: Vec<Incoming>) -> Result<()> {
        tokio::task::yield_now().await;
        let mut state = self.state.lock();
        if state.failing {
            state.refused += 1;
            return Err(Error::unavailable("not kept, as asked"));
        }
        state.events.extend(events);
        Ok(())
    }

    fn connected(&self) {
        self.state.lock().connected += 1;
    }

    async fn remembered(&self) -> Result<Option<Bytes>> {
        Ok(self.state.lock().memory.clone())
    }

    async fn remember(&self, memory: Bytes) -> Result<()> {
        assert!(memory.len() <= MEMORY, "more than may be remembered");
        self.state.lock().memory = Some(memory);
        Ok(())
    }
}

impl Kept {
    /// An empty one that remembers the same, as a node does that starts again.
    pub fn again(&self) -> Self {
        let memory = self.state.lock().memory.clone();
        let state = KeptState {
            memory,
            ..KeptState::default()
        };
        Self {
            state: Mutex::new(state),
        }
    }

    /// What was kept so far.
    pub fn events(&self) -> Vec<Incoming> {
        self.state.lock().events.clone()
    }

    /// The data of what was kept, each once.
    pub fn data(&self) -> BTreeSet<Bytes> {
        let state = self.state.lock();
        let data = state.events.iter().map(|incoming| incoming.event.data());
        data.map(|data| data.map_or_else(Bytes::new, |data| data.bytes.clone()))
            .collect()
    }

    /// Waits until all of this is kept.
    pub async fn has(&self, wanted: &[&[u8]]) {
        until("everything is kept", || {
            let data = self.data();
            wanted.iter().all(|wanted| data.contains(*wanted))
        })
        .await;
    }
}

// === impl Running ===

impl Running {
    /// Runs a source and waits until it is connected.
    pub async fn start(source: Box<dyn Source>, failing: bool) -> Self {
        Self::start_with(source, Kept::default(), failing).await
    }

    /// The same, into this inbox.
    pub async fn start_with(source: Box<dyn Source>, inbox: Kept, failing: bool) -> Self {
        let running = Self::unconnected(source, inbox, failing);
        until("connected", || {
            assert!(
                !running.task.is_finished(),
                "it ended before it was connected"
            );
            running.inbox.state.lock().connected > 0
        })
        .await;
        running
    }

    /// Runs a source, whether or not it ever connects.
    pub fn unconnected(source: Box<dyn Source>, inbox: Kept, failing: bool) -> Self {
        let inbox = Arc::new(inbox);
        inbox.state.lock().failing = failing;
        let stop = Stop::new();
        let (to, heard) = (inbox.clone(), stop.clone());
        let task = gust_task::spawn("source", async move { source.run(&*to, heard).await });
        Self { inbox, stop, task }
    }

    /// Stops it, which takes no time.
    pub async fn stop(self) {
        let begun = clock::now();
        self.stop.stop();
        let ended = self.ended().await;
        assert!(ended.is_ok(), "stopped with an error: {ended:?}");
        assert!(
            begun.elapsed() < Duration::from_secs(3),
            "{:?}",
            begun.elapsed()
        );
    }

    /// Waits for its end.
    pub async fn ended(self) -> Result<()> {
        let ended = tokio::time::timeout(PATIENCE, self.task).await;
        let ended = ended.expect("it does not end").expect("the task is gone");
        ended.expect("it panicked")
    }
}

/// What is published arrives, whatever it is.
pub async fn delivers(rig: &dyn Rig) {
    delivers_up_to(rig, 200_000).await;
}

/// The same where a message cannot be that large.
pub async fn delivers_up_to(rig: &dyn Rig, bytes: usize) {
    let running = Running::start(rig.source(None).unwrap(), false).await;
    let mut payloads: Vec<Vec<u8>> = (0..50).map(|n| format!("delivers {n}").into()).collect();
    payloads.push("正文 😀\r\n".as_bytes().to_vec());
    payloads.push(vec![b'x'; bytes]);
    for payload in &payloads {
        rig.publish(payload).await;
    }
    let wanted: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
    running.inbox.has(&wanted).await;
    running.stop().await;
}

/// What was not kept is not acknowledged: it comes again.
pub async fn acknowledges_what_is_kept(rig: &dyn Rig) {
    assert!(rig.redelivers(), "nothing comes again from such a peer");
    let running = Running::start(rig.source(None).unwrap(), true).await;
    rig.publish(b"kept late").await;
    let inbox = running.inbox.clone();
    let ended = running.ended().await;
    assert!(ended.is_err(), "an inbox that fails ends the run");
    assert!(inbox.state.lock().refused > 0);
    let running = Running::start_with(rig.source(None).unwrap(), inbox.again(), false).await;
    running.inbox.has(&[b"kept late"]).await;
    let inbox = running.inbox.clone();
    running.stop().await;
    // Acknowledged, it does not come again.
    let running = Running::start_with(rig.source(None).unwrap(), inbox.again(), false).await;
    rig.publish(b"after it").await;
    running.inbox.has(&[b"after it"]).await;
    assert!(!running.inbox.data().contains(&b"kept late"[..]));
    running.stop().await;
}

/// A server that goes ends the run; run again, the source is there as soon as the server is.
pub async fn comes_back(rig: &dyn Rig) {
    let running = Running::start(rig.source(None).unwrap(), false).await;
    rig.set_down(true).await;
    let ended = running.ended().await;
    assert!(ended.is_err(), "the loss of a server is an error");
    let ended = Running::unconnected(rig.source(None).unwrap(), Kept::default(), false)
        .ended()
        .await;
    assert!(ended.is_err(), "nobody is there");
    rig.set_down(false).await;
    let running = Running::start(rig.source(None).unwrap(), false).await;
    rig.publish(b"back again").await;
    running.inbox.has(&[b"back again"]).await;
    running.stop().await;
}

/// Told to stop it stops, connected or not.
pub async fn stops(rig: &dyn Rig) {
    Running::start(rig.source(None).unwrap(), false)
        .await
        .stop()
        .await;
}

/// A peer that speaks something else, or nothing, is an error and no harm.
pub async fn minds_garbage(rig: &dyn Rig, starts: &[&[u8]]) {
    let mut seed = 7_u64;
    let mut noise = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) as u8
    };
    let mut all: Vec<Vec<u8>> = vec![
        Vec::new(),
        b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        vec![0xff; 4096],
        vec![0; 4096],
    ];
    for start in starts {
        for length in [1, 7, 300, 5000] {
            let mut one = start.to_vec();
            one.extend((0..length).map(|_| noise()));
            all.push(one);
        }
    }
    for answer in all {
        let shown = String::from_utf8_lossy(&answer[..answer.len().min(40)]).into_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        gust_task::spawn("garbage", async move {
            let (mut tcp, _) = listener.accept().await?;
            tcp.write_all(&answer).await?;
            // Closed with what it was sent unread, it would be reset, and nothing heard of it.
            tokio::time::sleep(Duration::from_millis(50)).await;
            tcp.shutdown().await
        });
        let running = Running::unconnected(rig.source(Some(port)).unwrap(), Kept::default(), false);
        let ended = running.ended().await;
        assert!(ended.is_err(), "garbage is no protocol: {shown:?}");
    }
    // Nothing at all: it can still be stopped.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let running = Running::unconnected(rig.source(Some(port)).unwrap(), Kept::default(), false);
    let _silent = listener.accept().await.unwrap();
    running.stop().await;
}

/// Looks again and again.
pub async fn until(what: &str, mut is: impl FnMut() -> bool) {
    let begun = clock::now();
    while !is() {
        assert!(begun.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
