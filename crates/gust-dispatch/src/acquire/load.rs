//! Making a revision's code resident, once for all calls that wait for it.
//!
//! The load runs as a task of its own: a caller that hangs up does not stop it, and the next one finds it done. What a
//! revision may touch is opened here, before any guest runs.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{FutureExt as _, future::Shared};
use gust_runtime::Bindings;
use gust_task::clock;
use gust_types::{
    Blame, BoxFuture, Error, Result, Revision, app::Source, outbound::Outbound, template,
};

use super::{
    outlet,
    pool::{Code, Mapped},
};
use crate::{FunctionEntry, engine::Engine};

/// A load under way.
pub(crate) type Load = Shared<BoxFuture<'static, Result<Loading, Arc<Error>>>>;

/// Code that was just loaded, and what that took.
#[derive(Clone)]
pub(crate) struct Loading {
    pub(crate) mapped: Arc<Mapped>,
    pub(crate) map: Duration,
    pub(crate) link: Duration,
}

/// A load that failed is not tried again before this: a broken function must not keep the node busy.
const FAILED_FOR: Duration = Duration::from_secs(1);

/// Joins the load under way, or starts one. `Ok(Err(..))` is code that is mapped already.
pub(crate) fn join(entry: &Arc<FunctionEntry>, now: Instant) -> Result<Load, Result<Arc<Mapped>>> {
    entry.pool.with_code(|code| match code {
        Code::Mapped(mapped) => Err(Ok(mapped.clone())),
        Code::Failed(at, error) if now.saturating_duration_since(*at) < FAILED_FOR => {
            Err(Err(again(error)))
        }
        // A load that is over and still stands here ended in a panic: it is tried again.
        Code::Loading(load) if load.peek().is_none() => Ok(load.clone()),
        Code::Absent | Code::Failed(..) | Code::Loading(_) => {
            let load = start(entry.clone());
            *code = Code::Loading(load.clone());
            Ok(load)
        }
    })
}

fn start(entry: Arc<FunctionEntry>) -> Load {
    let task = gust_task::spawn("load", async move {
        let loaded = load(&entry).await.map_err(Arc::new);
        settle(&entry, &loaded);
        loaded
    });
    let load: BoxFuture<'static, _> = Box::pin(async move {
        match task.await {
            Ok(Some(loaded)) => loaded,
            _ => Err(Arc::new(Error::internal(
                "the load of a function was cut off",
            ))),
        }
    });
    load.shared()
}

/// Keeps what was loaded for the calls to come, unless the revision was replaced meanwhile.
fn settle(entry: &Arc<FunctionEntry>, loaded: &Result<Loading, Arc<Error>>) {
    let kept = entry.pool.with_code(|code| {
        *code = match loaded {
            _ if entry.pool.is_retired() => Code::Absent,
            Ok(loading) => Code::Mapped(loading.mapped.clone()),
            Err(error) => Code::Failed(clock::now(), error.clone()),
        };
        matches!(code, Code::Mapped(_))
    });
    if kept && let Ok(loading) = loaded {
        entry.engine.shelf.add(entry, loading.mapped.bytes);
    }
}

async fn load(entry: &Arc<FunctionEntry>) -> Result<Loading> {
    let bindings = bind(&entry.engine, entry.revision())
        .await
        .map_err(blame_function)?;
    let loaded = entry
        .engine
        .parts
        .runtime
        .load(entry.revision().clone(), bindings.clone())
        .await
        .map_err(blame_function)?;
    let mapped = Mapped {
        plan: loaded.prepared.reuse(),
        bytes: loaded.prepared.resident_bytes(),
        prepared: loaded.prepared,
        bindings,
    };
    Ok(Loading {
        mapped: Arc::new(mapped),
        map: loaded.map,
        link: loaded.link,
    })
}

/// What is wrong with a function is not the fault of who calls it.
fn blame_function(mut error: Error) -> Error {
    if error.blame == Blame::Caller {
        error.blame = Blame::Function;
    }
    error
}

/// The same error for each of those who waited.
pub(crate) fn again(error: &Arc<Error>) -> Error {
    let mut copy = Error::new(error.kind, error.blame, error.message.clone());
    copy.hint.clone_from(&error.hint);
    match error.chain().strip_prefix(error.message.as_str()) {
        Some(causes) if !causes.is_empty() => {
            copy.because(causes.trim_start_matches(": ").to_owned())
        }
        _ => copy,
    }
}

/// Opens what the revision may touch.
async fn bind(engine: &Arc<Engine>, revision: &Arc<Revision>) -> Result<Bindings> {
    let spec = &revision.spec;
    let project = &revision.key.project;
    let mut kv = BTreeMap::new();
    for label in &spec.kv {
        kv.insert(label.clone(), engine.parts.backends.kv(project, label)?);
    }
    let mut sql = BTreeMap::new();
    for label in &spec.sql {
        sql.insert(label.clone(), engine.parts.backends.sql(project, label)?);
    }
    let mut outlets = BTreeMap::new();
    for label in &spec.queues {
        outlets.insert(label.clone(), outlet::queue(engine, project, label));
    }
    for label in &spec.topics {
        outlets.insert(label.clone(), outlet::topic(engine, project, label));
    }
    let mut blobs = BTreeMap::new();
    for label in &spec.blobs {
        blobs.insert(label.clone(), engine.parts.backends.blob(project, label)?);
    }
    let (variables, outbound) = expand(revision)?;
    let files = match spec.files.is_empty() {
        true => None,
        false => Some(engine.files.lay_out(spec.files.clone()).await?),
    };
    let environment = spec.environment.clone().into_iter().collect();
    Ok(Bindings {
        kv,
        sql,
        outlets,
        blobs,
        variables: Arc::new(variables),
        environment: Arc::new(environment),
        outbound: Arc::new(outbound),
        files,
        logs: engine.parts.logs.clone(),
        peers: engine.peers.clone(),
    })
}

/// The function's variables and where it may connect to, with the app's variables filled in.
fn expand(revision: &Revision) -> Result<(BTreeMap<String, String>, Outbound)> {
    let values = &revision.variables.0;
    let mut variables = BTreeMap::new();
    for (name, text) in &revision.spec.variables {
        variables.insert(name.clone(), template::expand(text, values)?);
    }
    let hosts: Result<Vec<_>> = revision
        .spec
        .outbound
        .iter()
        .map(|text| template::expand(text, values))
        .collect();
    Ok((variables, Outbound::parse(&hosts?)?))
}

/// Whether a revision's bindings can be opened, as far as that can be said without opening them.
pub(crate) fn check(revision: &Revision) -> Result<()> {
    expand(revision)?;
    let not_uploaded = revision
        .spec
        .files
        .iter()
        .find(|file| !matches!(file.source, Source::Artifact { .. }));
    match not_uploaded {
        Some(file) => Err(Error::invalid(format!(
            "file was not uploaded: {:?}",
            file.path
        ))),
        None => Ok(()),
    }
}
