//! The runtime as the seam sees it: prepare, load.

use std::{collections::HashMap, fs, path::PathBuf, pin::pin, sync::Arc, time::Duration};

use async_trait::async_trait;
use gust_runtime::{
    Artifacts, Bindings, Loaded, Preparation, Progress, Runtime, artifact::storage,
};
use gust_task::clock;
use gust_types::{
    BoxFuture, ByteSize, Digest, Error, Limits, Result, Revision, outbound::Outbound,
};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::{
    Settings,
    coach::Compute,
    compile::Compiler,
    engine::Engines,
    resident::{self, Disposal, EntryPre, Home, Ready, Resident},
    shelf::{Record, Shelf},
    stubs, warm,
    watch::Watch,
};

/// Runs WebAssembly. Cheap to clone.
#[derive(Clone)]
pub struct WasmRuntime(Arc<Inner>);

/// Components above this are compiled alone. Compiling takes memory many times a component's size.
const LARGE: ByteSize = ByteSize::mib(16);
/// A compilation that takes this long is worth a word to the operator.
const LONG: Duration = Duration::from_secs(60);

struct Inner {
    settings: Settings,
    engines: Arc<Engines>,
    shelf: Arc<Shelf>,
    watch: Watch,
    artifacts: Arc<dyn Artifacts>,
    compiler: Compiler,
    /// Compilations under way at once.
    jobs: Semaphore,
    /// One lock an artifact, so that two deploys of it compile it once.
    under_way: Mutex<HashMap<Digest, Arc<tokio::sync::Mutex<()>>>>,
    compute: Compute,
    disposal: Disposal,
}

// === impl WasmRuntime ===

impl WasmRuntime {
    /// Starts the engines. `prepared` is a folder that only this process writes to: what is in it is mapped as native
    /// code. `artifacts` are the components as they were uploaded.
    pub fn open(
        prepared: PathBuf,
        artifacts: Arc<dyn Artifacts>,
        settings: Settings,
    ) -> Result<Self> {
        let engines = Arc::new(Engines::new(&settings)?);
        let shelf = Arc::new(Shelf::open(prepared, &engines)?);
        let watch = Watch::over(shelf.folder());
        warm::start(&shelf)?;
        Ok(Self(Arc::new(Inner {
            compiler: Compiler::new(engines.clone(), shelf.clone())?,
            jobs: Semaphore::new(settings.compile_jobs.max(1) as usize),
            under_way: Mutex::default(),
            compute: Compute::default(),
            disposal: Disposal::start()?,
            settings,
            engines,
            shelf,
            watch,
            artifacts,
        })))
    }

    /// Forgets what was prepared of an artifact that no revision uses any more.
    pub fn forget(&self, artifact: &Digest) {
        self.0.shelf.remove(artifact);
    }
}

impl Inner {
    /// The record of a prepared artifact, compiled now if need be. True when it was there already.
    async fn prepared(
        &self,
        artifact: &Digest,
        thorough: bool,
        progress: &dyn Progress,
    ) -> Result<(Record, bool)> {
        if !thorough && let Some(record) = self.shelf.find(artifact, false) {
            return Ok((record, true));
        }
        let turn = self.under_way.lock().entry(*artifact).or_default().clone();
        let _turn = turn.lock().await;
        let found = self.find_or_compile(artifact, thorough, progress).await;
        self.under_way.lock().remove(artifact);
        found
    }

    async fn find_or_compile(
        &self,
        artifact: &Digest,
        thorough: bool,
        progress: &dyn Progress,
    ) -> Result<(Record, bool)> {
        let (shelf, digest) = (self.shelf.clone(), *artifact);
        if let Some(record) = blocking(move || Ok(shelf.find(&digest, thorough))).await? {
            return Ok((record, true));
        }
        let path = self.artifacts.path(artifact)?;
        let size = self.size(path.clone()).await?;
        progress.report("waiting for the compiler", 0, 0);
        let _job = self.job(size).await?;
        progress.report("reading", 0, 0);
        let bytes = blocking(move || fs::read(&path).map_err(|e| storage(&path, "read", e)));
        let bytes = bytes.await?;
        progress.report("compiling", 0, size);
        let compiler = self.compiler.clone();
        let compiling = blocking(move || compiler.compile(&digest, &bytes));
        let record = patiently(artifact, size, compiling).await?;
        progress.report("compiling", size, size);
        Ok((record, false))
    }

    /// The length of an artifact that may be compiled.
    async fn size(&self, path: PathBuf) -> Result<u64> {
        let limit = self.settings.max_component;
        let size = blocking(move || match fs::metadata(&path) {
            Ok(found) => Ok(found.len()),
            Err(e) => Err(storage(&path, "read", e)),
        })
        .await?;
        if size <= limit.0 {
            return Ok(size);
        }
        let text = format!("the component is larger than {limit}: {}", ByteSize(size));
        Err(Error::invalid(text).hint("leave out what the function does not need"))
    }

    /// A place to compile in. A large component takes all of them: memory, not time, is what two of these lack.
    async fn job(&self, size: u64) -> Result<SemaphorePermit<'_>> {
        let places = if size > LARGE.0 {
            self.settings.compile_jobs.max(1)
        } else {
            1
        };
        let job = self.jobs.acquire_many(places).await;
        job.map_err(|_| Error::unavailable("the node is stopping"))
    }

    /// Maps and links.
    fn map(
        &self,
        revision: Arc<Revision>,
        bindings: Arc<Bindings>,
        record: &Record,
    ) -> Result<Mapped> {
        let engine = self.engines.lane(record.lane).clone();
        let code = self.shelf.code(&revision.artifact);
        let begun = clock::now();
        let stale = self.watch.file(&code);
        let component = resident::map(&engine, &code)
            .map_err(|e| Error::internal(format!("cannot map prepared code: {e:#}")))?;
        let map = begun.elapsed();
        let pre = stubs::link(&engine.linker, &component, &record.missing)?;
        let entry = EntryPre::new(pre, record)
            .map_err(|e| Error::internal(format!("cannot link prepared code: {e:#}")))?;
        let link = begun.elapsed() - map;
        let context = (
            &self.settings,
            self.engines.ticker.clone(),
            self.compute.clone(),
            self.disposal.clone(),
        );
        let entry = (entry, stale);
        let resident = Resident::new(revision, bindings, record, entry, engine, context);
        Ok(Mapped {
            resident: Arc::new(resident),
            map,
            link,
        })
    }

    /// Maps and links what is prepared, and prepares it if need be.
    async fn load(&self, revision: Arc<Revision>, bindings: Arc<Bindings>) -> Result<Mapped> {
        let quiet = gust_runtime::Quiet;
        let (record, _) = self.prepared(&revision.artifact, false, &quiet).await?;
        match self.map(revision.clone(), bindings.clone(), &record) {
            Err(error) if error.kind == gust_types::Kind::Internal => {
                // It passed the shelf's check and is still no good: once more, from the component.
                tracing::warn!(error = error.chain(), artifact = %revision.artifact, "compiling again");
                self.shelf.remove(&revision.artifact);
                let (record, _) = self.prepared(&revision.artifact, false, &quiet).await?;
                self.map(revision, bindings, &record)
            }
            mapped => mapped,
        }
    }
}

/// A resident revision and what making it so took.
struct Mapped {
    resident: Arc<Resident>,
    map: Duration,
    link: Duration,
}

#[async_trait]
impl Runtime for WasmRuntime {
    fn kind(&self) -> &'static str {
        "wasm"
    }

    async fn prepare(&self, revision: &Revision, progress: &dyn Progress) -> Result<Preparation> {
        let (record, cached) = self.0.prepared(&revision.artifact, true, progress).await?;
        fits(&record, &revision.spec.limits, &self.0.settings)?;
        if revision.spec.cgi.is_some() && record.contract.reusable() {
            return Err(Error::invalid(format!(
                "only a program is told its request as CGI, and the function exports {}",
                record.export
            ))
            .hint("leave out `cgi` (in a spin.toml the executor `wagi`), or build a program that exports wasi:cli/run"));
        }
        Ok(Preparation {
            contract: record.export.clone(),
            warnings: record.missing.iter().map(stubs::Missing::warning).collect(),
            size: record.size,
            cached,
        })
    }

    async fn load(&self, revision: Arc<Revision>, mut bindings: Bindings) -> Result<Loaded> {
        // One list for all that a function can connect with, so that none of it can forget the operator's part.
        let outbound = Outbound::clone(&bindings.outbound);
        bindings.outbound = Arc::new(outbound.without(&self.0.settings.block_networks));
        let mapped = self.0.load(revision, Arc::new(bindings)).await?;
        let home = Arc::downgrade(&self.0);
        let renew = move |stale: Arc<Resident>| -> BoxFuture<'static, Result<Arc<Resident>>> {
            let home = home.clone();
            Box::pin(async move {
                let gone = || Error::unavailable("the node is stopping");
                let home = home.upgrade().ok_or_else(gone)?;
                let (revision, bindings) = (stale.revision.clone(), stale.bindings.clone());
                Ok(home.load(revision, bindings).await?.resident)
            })
        };
        Ok(Loaded {
            prepared: Arc::new(Ready(Home::new(mapped.resident, Box::new(renew)))),
            map: mapped.map,
            link: mapped.link,
        })
    }

    fn capacity(&self) -> usize {
        self.0.settings.max_instances as usize
    }
}

/// Whether an artifact can start at all within a function's limits, and these within the node's.
fn fits(record: &Record, limits: &Limits, settings: &Settings) -> Result<()> {
    if limits.memory.0 > settings.max_memory.0 {
        return Err(Error::invalid(format!(
            "the function's memory limit is above the node's: {}",
            limits.memory
        ))
        .hint(format!("at most {}", settings.max_memory)));
    }
    if record.initial_memory > limits.memory.0 {
        return Err(Error::invalid(format!(
            "the component starts with more memory than its limit of {}: {}",
            limits.memory,
            ByteSize(record.initial_memory)
        ))
        .hint("raise the function's limits.memory"));
    }
    if record.initial_table > u64::from(limits.table_elements) {
        return Err(Error::invalid(format!(
            "the component starts with a larger table than its limit of {} elements: {}",
            limits.table_elements, record.initial_table
        ))
        .hint("raise the function's limits.table_elements"));
    }
    if record.core_instances > u64::from(limits.core_instances) {
        return Err(Error::invalid(format!(
            "the component is made of more core instances than its limit of {}: {}",
            limits.core_instances, record.core_instances
        ))
        .hint("raise the function's limits.core_instances"));
    }
    Ok(())
}

/// Waits for a compilation, which nothing can stop, and says so in the node's log when it takes long.
async fn patiently<T>(
    artifact: &Digest,
    size: u64,
    compiling: impl Future<Output = Result<T>>,
) -> Result<T> {
    let begun = clock::now();
    let mut compiling = pin!(compiling);
    if let Ok(compiled) = tokio::time::timeout(LONG, &mut compiling).await {
        return compiled;
    }
    tracing::warn!(%artifact, size = %ByteSize(size), "a component is still being compiled after a minute");
    let compiled = compiling.await;
    let seconds = begun.elapsed().as_secs();
    tracing::warn!(%artifact, seconds, "compiling a component took long");
    compiled
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Error::internal("a blocking step was lost").because(error)),
    }
}
