//! What is kept of calls that are made later, in a store of their project that nobody else can name.
//!
//! | key | value |
//! |---|---|
//! | `c/` id, counted down | the record, so that the newest comes first |
//! | `b/` id | the body of the answer |
//! | `k/` function `/` digest of an idempotency key | the call's id, and the digest of its request |
//! | `f/` function | nothing: there may be calls of this function in its queue |

use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use gust_backend::{
    Backends,
    desk::{Callback, LaterCall, LaterState},
    kv::{Condition, Kv, KvExt as _, ListOptions, PutOptions, Version, Write},
};
use gust_types::{
    AppName, Digest, Error, FunctionKey, FunctionName, Kind, Label, ProjectName, Result, Span,
    call::CallId,
};
use serde::{Deserialize, Serialize};

/// For as long an idempotency key is remembered.
pub(super) const REMEMBERED: Span = Span::secs(86_400);
/// For as long the record of a call that is not over is kept: longer than any call waits.
const OPEN: Span = Span::secs(15 * 86_400);
/// Keys that are forgotten in one batch.
const CLEARED: usize = 500;
/// Times that a repetition is looked for whose key is forgotten at the same moment.
const LOOKS: usize = 3;

/// The records of a project.
#[derive(Clone)]
pub(super) struct Records {
    project: ProjectName,
    kv: Arc<dyn Kv>,
}

/// What is kept of one call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) id: CallId,
    pub(super) app: AppName,
    pub(super) function: FunctionName,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) state: LaterState,
    pub(super) accepted_us: u64,
    pub(super) expires_us: u64,
    #[serde(default)]
    pub(super) attempts: u32,
    #[serde(default)]
    pub(super) attempt_id: Option<CallId>,
    #[serde(default)]
    pub(super) next_us: Option<u64>,
    #[serde(default)]
    pub(super) finished_us: Option<u64>,
    /// Of the last attempt.
    #[serde(default)]
    pub(super) status: Option<u16>,
    #[serde(default)]
    pub(super) headers: Vec<(String, String)>,
    #[serde(default)]
    pub(super) bytes: u64,
    #[serde(default)]
    pub(super) truncated: bool,
    #[serde(default)]
    pub(super) cause: Option<String>,
    #[serde(default)]
    pub(super) undelivered: Option<String>,
    #[serde(default)]
    pub(super) callback: Option<Callback>,
}

/// What makes a call the repetition of another.
pub(super) struct Repeat {
    pub(super) key: String,
    pub(super) digest: Digest,
}

/// Behind an idempotency key.
#[derive(Serialize, Deserialize)]
struct Remembered {
    id: CallId,
    digest: Digest,
}

// === impl Records ===

impl Records {
    pub(super) fn open(backends: &dyn Backends, project: &ProjectName) -> Result<Self> {
        Ok(Self {
            kv: backends.kv(project, &Label::reserved("calls"))?,
            project: project.clone(),
        })
    }

    /// Bytes of an answer that can be kept.
    pub(super) fn most(&self) -> usize {
        self.kv.limits().value
    }

    /// Keeps a new call; answers the id of the one that it repeats, if it does. `mark` says that its function may have
    /// a queue from now on.
    pub(super) async fn enter(
        &self,
        record: &Record,
        repeat: Option<&Repeat>,
        mark: bool,
    ) -> Result<Option<CallId>> {
        let function = format!("{}/{}", record.app, record.function);
        let mut batch = vec![put(record, Condition::Absent)?];
        if mark {
            batch.push(plain(format!("f/{function}"), Bytes::new()));
        }
        let Some(repeat) = repeat else {
            self.kv.write(batch).await?;
            return Ok(None);
        };
        let key = format!("k/{function}/{}", Digest::of(repeat.key.as_bytes()).hex());
        let remembered = Remembered {
            id: record.id,
            digest: repeat.digest,
        };
        batch.push(Write::Put {
            key: key.clone(),
            value: json(&remembered)?,
            options: PutOptions {
                condition: Condition::Absent,
                expires_us: Some(record.accepted_us + micros(REMEMBERED)),
            },
        });
        for _ in 0..LOOKS {
            match self.kv.write(batch.clone()).await {
                Ok(_) => return Ok(None),
                Err(error) if error.kind == Kind::Conflict => {}
                Err(error) => return Err(error),
            }
            if let Some(found) = self.kv.get(&key).await? {
                let found: Remembered = serde_json::from_slice(&found.value).map_err(damaged)?;
                return match found.digest == repeat.digest {
                    true => Ok(Some(found.id)),
                    false => Err(Error::conflict(format!(
                        "the idempotency key belongs to another request: {:?}",
                        repeat.key
                    ))
                    .hint("one key is for one request: the same method, path and body")),
                };
            }
        }
        Err(Error::unavailable("the idempotency key is being forgotten"))
    }

    pub(super) async fn get(&self, id: CallId) -> Result<Option<(Record, Version)>> {
        let Some(found) = self.kv.get(&key(id)).await? else {
            return Ok(None);
        };
        let record = serde_json::from_slice(&found.value).map_err(damaged)?;
        Ok(Some((record, found.version)))
    }

    /// The record, or who asked is told that there is none.
    pub(super) async fn must(&self, id: CallId) -> Result<(Record, Version)> {
        self.get(id).await?.ok_or_else(|| {
            Error::not_found(format!("no such call: {id}"))
                .hint("results are kept for as long as the function's async.keep says")
        })
    }

    /// Changes a record unless somebody else did: then nothing is written and the answer is `None`.
    pub(super) async fn change(
        &self,
        record: &Record,
        version: Version,
        body: Option<Bytes>,
    ) -> Result<Option<Version>> {
        let mut batch = vec![put(record, Condition::Version(version))?];
        batch.extend(body.map(|value| Write::Put {
            key: body_key(record.id),
            value,
            options: PutOptions {
                expires_us: Some(record.expires_us),
                ..PutOptions::default()
            },
        }));
        match self.kv.write(batch).await {
            Ok(versions) => Ok(versions.first().copied().flatten()),
            Err(error) if error.kind == Kind::Conflict => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn body(&self, id: CallId) -> Result<Bytes> {
        let found = self.kv.get(&body_key(id)).await?;
        Ok(found.map(|found| found.value).unwrap_or_default())
    }

    /// Forgets a call that nobody was told of.
    pub(super) async fn forget(&self, id: CallId) -> Result<()> {
        self.kv.delete(&key(id)).await
    }

    /// The newest first, from behind `after`.
    pub(super) async fn list(&self, after: Option<CallId>, most: usize) -> Result<Vec<Record>> {
        let options = ListOptions {
            prefix: "c/".to_owned(),
            after: after.map(key),
        };
        let (keys, _) = self.kv.keys(options, most).await?;
        let mut records = Vec::with_capacity(keys.len());
        for found in self.kv.get_many(&keys).await?.into_iter().flatten() {
            records.push(serde_json::from_slice(&found.value).map_err(damaged)?);
        }
        Ok(records)
    }

    /// The functions that may have calls in their queues.
    pub(super) async fn marked(&self) -> Result<Vec<FunctionKey>> {
        let mut keys = self.kv.list(ListOptions {
            prefix: "f/".to_owned(),
            after: None,
        });
        let mut marked = Vec::new();
        while let Some(key) = keys.next().await {
            let key = key?;
            let name = key.strip_prefix("f/").and_then(|name| name.split_once('/'));
            if let Some((app, function)) = name
                && let (Ok(app), Ok(function)) = (AppName::new(app), FunctionName::new(function))
            {
                marked.push(FunctionKey {
                    project: self.project.clone(),
                    app,
                    function,
                });
            }
        }
        Ok(marked)
    }

    /// Forgets everything.
    pub(super) async fn clear(&self) -> Result<()> {
        loop {
            let (keys, more) = self.kv.keys(ListOptions::default(), CLEARED).await?;
            let deletes = keys.into_iter().map(|key| Write::Delete { key });
            self.kv.write(deletes.collect()).await?;
            if !more {
                return Ok(());
            }
        }
    }

    /// The function may have calls from now on.
    pub(super) async fn mark(&self, function: &FunctionKey) -> Result<()> {
        let write = plain(mark(function), Bytes::new());
        self.kv.write(vec![write]).await.map(drop)
    }

    /// The function has no calls any more, and may be gone.
    pub(super) async fn unmark(&self, function: &FunctionKey) -> Result<()> {
        self.kv.delete(&mark(function)).await
    }
}

// === impl Record ===

impl Record {
    /// Of a call that has just come in.
    pub(super) fn new(id: CallId, function: &FunctionKey, method: String, path: String) -> Self {
        let now_us = gust_task::clock::unix_micros();
        Self {
            id,
            app: function.app.clone(),
            function: function.function.clone(),
            method,
            path,
            state: LaterState::Waiting,
            accepted_us: now_us,
            expires_us: now_us + micros(OPEN),
            attempts: 0,
            attempt_id: None,
            next_us: None,
            finished_us: None,
            status: None,
            headers: Vec::new(),
            bytes: 0,
            truncated: false,
            cause: None,
            undelivered: None,
            callback: None,
        }
    }

    /// It is over, and kept for this long.
    pub(super) fn end(&mut self, state: LaterState, keep: Span) {
        let now_us = gust_task::clock::unix_micros();
        self.state = state;
        self.next_us = None;
        self.finished_us = Some(now_us);
        self.expires_us = now_us + micros(keep);
    }

    /// As others see it.
    pub(super) fn shown(self, project: &ProjectName) -> LaterCall {
        let over = self.state.is_over();
        LaterCall {
            id: self.id,
            function: FunctionKey {
                project: project.clone(),
                app: self.app,
                function: self.function,
            },
            method: self.method,
            path: self.path,
            state: self.state,
            attempts: self.attempts,
            attempt_id: self.attempt_id,
            accepted_us: self.accepted_us,
            next_us: self.next_us,
            finished_us: self.finished_us,
            expires_us: over.then_some(self.expires_us),
            status: self.status,
            bytes: self.bytes,
            truncated: self.truncated,
            cause: self.cause,
            undelivered: self.undelivered,
            callback: self.callback,
        }
    }
}

fn key(id: CallId) -> String {
    format!("c/{:032x}", !id.0)
}

fn mark(function: &FunctionKey) -> String {
    format!("f/{}/{}", function.app, function.function)
}

fn body_key(id: CallId) -> String {
    format!("b/{id}")
}

fn put(record: &Record, condition: Condition) -> Result<Write> {
    Ok(Write::Put {
        key: key(record.id),
        value: json(record)?,
        options: PutOptions {
            condition,
            expires_us: Some(record.expires_us),
        },
    })
}

fn plain(key: String, value: Bytes) -> Write {
    Write::Put {
        key,
        value,
        options: PutOptions::default(),
    }
}

fn json(value: &impl Serialize) -> Result<Bytes> {
    let bytes = serde_json::to_vec(value);
    let bytes =
        bytes.map_err(|e| Error::internal("the record of a call cannot be written").because(e))?;
    Ok(bytes.into())
}

fn damaged(error: serde_json::Error) -> Error {
    Error::internal("the record of a call cannot be read").because(error)
}

fn micros(span: Span) -> u64 {
    u64::try_from(span.0.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
