//! Queues as SQS has them.
//!
//! - `queues.rs`, `attributes.rs`, `redrive.rs`, `tags.rs`: queues themselves, and what is said of them.
//! - `message.rs`, `digest.rs`: what a message is here and there, and the MD5s that clients compare.
//! - `send.rs`, `receive.rs`, `settle.rs`, `batch.rs`: messages in, out, and done.
//! - `moves.rs`: messages of a dead-letter queue on their way back.
//! - `handle.rs`: what stands for one taking of a message.
//!
//! Easily confused: SQS's *attributes* are of a queue or, with values of three types, of a message; what SQS itself says of a
//! message are *system attributes*. A *dead-letter queue* is another queue here; Gust's own dead are kept aside in the
//! queue that they were in.

pub(crate) mod attributes;
pub(crate) mod batch;
pub(crate) mod digest;
pub(crate) mod handle;
pub(crate) mod message;
pub(crate) mod moves;
pub(crate) mod queues;
pub(crate) mod receive;
pub(crate) mod redrive;
pub(crate) mod send;
pub(crate) mod settle;
pub(crate) mod tags;

use std::{collections::BTreeMap, sync::Arc};

use gust_backend::{
    desk::{FoundQueue, MadeQueue},
    queue::Queue,
};
use gust_types::{Kind, Label};

use crate::{
    fault::{Code, Fault, Result},
    gate::Call,
    names,
};

/// How often a change is tried again that somebody else was quicker with.
const TRIES: usize = 5;

/// A queue that is there.
pub(crate) struct Named {
    pub(crate) label: Label,
    pub(crate) found: FoundQueue,
}

// === impl Named ===

impl Named {
    pub(crate) fn is_fifo(&self) -> bool {
        names::is_fifo(&self.label)
    }

    /// What is noted of it.
    pub(crate) fn note(&self, name: &str) -> Option<&str> {
        let notes = &self.found.made.as_ref()?.notes;
        notes.get(name).map(String::as_str)
    }

    /// A number that is noted of it, or what holds without.
    pub(crate) fn number(&self, name: &str, or: u64) -> u64 {
        let note = self.note(name).and_then(|note| note.parse().ok());
        note.unwrap_or(or)
    }

    /// When it was made; 0 when nobody made it.
    pub(crate) fn made_us(&self) -> u64 {
        self.found.made.as_ref().map_or(0, |made| made.made_us)
    }
}

impl Call<'_> {
    /// The queue that this is about: named by its URL, or by the path that a form was sent to.
    pub(crate) async fn queue(&self) -> Result<Named> {
        let url = self.params()?.text("QueueUrl")?;
        let url = url.or_else(|| Some(self.path.as_str()).filter(|path| path.len() > 1));
        let label = names::of_url(url.ok_or_else(|| Fault::missing("QueueUrl"))?)?;
        self.find(label).await
    }

    pub(crate) async fn find(&self, label: Label) -> Result<Named> {
        let found = self.door.parts.desk.find_queue(&self.project, &label);
        let found = found.await?.ok_or_else(Fault::no_queue)?;
        Ok(Named { label, found })
    }

    /// Its messages.
    pub(crate) fn open(&self, named: &Named) -> Result<Arc<dyn Queue>> {
        Ok(self.door.parts.desk.queue(&self.project, &named.label)?)
    }

    pub(crate) fn url(&self, label: &Label) -> String {
        let (origin, account) = (&self.origin, names::ACCOUNT);
        format!("{origin}/{account}/{}", names::name(label))
    }

    pub(crate) fn arn(&self, label: &Label) -> String {
        names::arn("sqs", &self.region, &names::name(label))
    }

    /// Changes what is kept of a queue.
    pub(crate) async fn change(
        &self,
        label: &Label,
        change: impl Fn(&Named, &mut MadeQueue) -> Result<()> + Send + Sync,
    ) -> Result<()> {
        for _ in 0..TRIES {
            let named = self.find(label.clone()).await?;
            let mut made = named.found.made.clone().unwrap_or_default();
            let before = made.clone();
            change(&named, &mut made)?;
            if made == before {
                return Ok(());
            }
            let set = self.door.parts.desk.set_queue(&self.project, label, made);
            match set.await {
                Err(error) if error.kind == Kind::Conflict => {}
                set => return Ok(set?),
            }
        }
        Err(Code::UNAVAILABLE.says("too many change this queue at the same time"))
    }
}

/// What is noted under names that begin so, without that beginning.
pub(crate) fn noted<'n>(
    notes: &'n BTreeMap<String, String>,
    prefix: &'static str,
) -> impl Iterator<Item = (&'n str, &'n str)> {
    let all = notes.iter();
    all.filter_map(move |(name, text)| Some((name.strip_prefix(prefix)?, text.as_str())))
}
