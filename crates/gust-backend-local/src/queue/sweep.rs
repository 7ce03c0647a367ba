//! Forgets what was given up, once its time is over, also in queues that nobody asks anything of.
//!
//! Slow on purpose: what is to be forgotten is looked for here, beside the committing thread, which only removes it.

use std::{
    sync::{
        Arc,
        mpsc::{RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use gust_backend::queue::{MessageId, QueueSettings, check};
use gust_task::clock;
use gust_types::{Error, Result};
use parking_lot::Mutex;

use super::{
    LocalQueue, Queues, SWEPT,
    ask::{Done, Op},
    codec,
    keys::{self, Keys},
};
use crate::store::engine::Open;

/// Between two rounds through all queues.
const EVERY: Duration = Duration::from_secs(3600);
/// Between two steps of a round.
const PAUSE: Duration = Duration::from_millis(20);
/// Bytes of dead messages that are looked at in one step.
const LOOK: u64 = 8 << 20;

/// The sweeping thread.
pub(crate) struct Sweeper {
    stop: SyncSender<()>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// A part of a queue's dead.
struct Look {
    /// Their time is over.
    due: Vec<MessageId>,
    /// Where to go on.
    next: Option<MessageId>,
}

// === impl Sweeper ===

impl Sweeper {
    pub(crate) fn start(queues: Arc<Queues>) -> Result<Self> {
        let (stop, stopped) = sync_channel(1);
        let is_stopped = move |wait| stopped.recv_timeout(wait) != Err(RecvTimeoutError::Timeout);
        let sweep = move || {
            while !is_stopped(EVERY) {
                match queues.sweep(|| is_stopped(PAUSE)) {
                    Ok(0) => {}
                    Ok(count) => tracing::info!(count, "dead messages are forgotten"),
                    Err(error) => {
                        tracing::warn!(error = error.chain(), "dead messages are not forgotten");
                    }
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("queue-sweep".to_owned())
            .spawn(sweep)
            .map_err(|e| Error::internal("cannot start the sweeping thread").because(e))?;
        Ok(Self {
            stop,
            thread: Mutex::new(Some(thread)),
        })
    }

    pub(crate) fn stop(&self) {
        let _ = self.stop.try_send(());
        if let Some(thread) = self.thread.lock().take() {
            let _ = thread.join();
        }
    }
}

impl Queues {
    /// One round through all queues; ends early when `stop` says so. Answers how many dead messages went.
    pub(super) fn sweep(&self, mut stop: impl FnMut() -> bool) -> Result<u64> {
        let mut count = 0;
        for (project, name) in super::all(&self.engine, keys::QUEUE)? {
            // With the settings that somebody uses now, if somebody does: the defaults keep the dead for longest.
            let key: Arc<[u8]> = keys::queue(&project, &name).into();
            let shared = self
                .open
                .lock()
                .get(&key)
                .and_then(std::sync::Weak::upgrade);
            let settings = shared.and_then(|shared| shared.settings.lock().clone());
            let settings = settings.unwrap_or_else(|| Arc::new(QueueSettings::default()));
            let queue = self.queue(&project, &name, &settings);
            let mut after = None;
            loop {
                if stop() {
                    return Ok(count);
                }
                let Some(open) = self.engine.try_get()? else {
                    return Ok(count);
                };
                let Some(look) = queue.look(&open, after)? else {
                    break;
                };
                drop(open);
                if !look.due.is_empty() {
                    let forget = Op::Forget { ids: look.due };
                    match self.committer.queue_from_a_thread(queue.target(), forget)? {
                        Some(Done::Count(gone)) => count += gone,
                        // Busy: the next round comes by again.
                        _ => break,
                    }
                }
                after = look.next;
                if after.is_none() {
                    break;
                }
            }
        }
        Ok(count)
    }
}

impl LocalQueue {
    /// Forgets all dead messages of this queue whose time is over.
    pub(super) async fn forget(&self) -> Result<u64> {
        let (mut count, mut after) = (0, None);
        loop {
            let open = self.engine.get().await?;
            let Some(look) = self.look(&open, after)? else {
                return Ok(count);
            };
            drop(open);
            if !look.due.is_empty() {
                count += self.count(Op::Forget { ids: look.due }).await?;
            }
            after = look.next;
            if after.is_none() {
                return Ok(count);
            }
        }
    }

    /// A bounded look at the dead; `None` when there is no such queue.
    fn look(&self, open: &Open, after: Option<MessageId>) -> Result<Option<Look>> {
        let Some(keys) = self.keys(open)? else {
            return Ok(None);
        };
        let (now_us, mut bytes) = (clock::unix_micros(), 0);
        let mut look = Look {
            due: Vec::new(),
            next: None,
        };
        let (from, to) = keys.all_dead(after);
        for found in open.queue_range(&from, &to) {
            let (key, value) = found?;
            let id = Keys::id_of(&key).ok_or_else(codec::damaged)?;
            let died_us = codec::decode_dead(id, &value)?.died_us;
            if is_over(&self.target.settings, died_us, now_us) {
                look.due.push(id);
            }
            bytes += value.len() as u64;
            if bytes >= LOOK || look.due.len() >= SWEPT {
                look.next = Some(id);
                break;
            }
        }
        Ok(Some(look))
    }
}

/// Whether a dead message has been kept for as long as it is to be.
pub(super) fn is_over(settings: &QueueSettings, died_us: u64, now_us: u64) -> bool {
    now_us.saturating_sub(died_us) > check::micros(settings.dead_age.0)
}
