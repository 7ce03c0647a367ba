//! The two engines and the clock that interrupts their guests.
//!
//! Two engines because switching the component model's concurrency off makes every call of a WASI 0.2 guest cheaper,
//! and that switch belongs to an engine. Both use the pooling allocator: slots keep a little memory resident, which is
//! worth more than any other setting (a slot that is handed back to the kernel costs page faults on the next call).

use std::sync::Arc;

use gust_types::{Error, Result, limits::ceiling};
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, component::Linker,
};

use crate::{Lane, Settings, guest::Guest, host, ticker::Ticker};

/// Linear memory that a slot keeps resident between instances: what a small guest touches.
const MEMORY_RESIDENT: usize = 256 * 1024;
/// The same for tables and for the stacks that calls run on.
const TABLE_RESIDENT: usize = 64 * 1024;
const STACK_RESIDENT: usize = 64 * 1024;

/// One engine with everything that its components are linked against.
pub(crate) struct LaneEngine {
    pub(crate) engine: Engine,
    pub(crate) linker: Linker<Guest>,
}

/// Both engines.
pub(crate) struct Engines {
    p2: Arc<LaneEngine>,
    p3: Arc<LaneEngine>,
    pub(crate) ticker: Ticker,
}

// === impl Engines ===

impl Engines {
    pub(crate) fn new(settings: &Settings) -> Result<Self> {
        let p2 = Arc::new(LaneEngine::new(Lane::P2, settings)?);
        let p3 = Arc::new(LaneEngine::new(Lane::P3, settings)?);
        let ticker = Ticker::start([p2.engine.weak(), p3.engine.weak()])?;
        Ok(Self { p2, p3, ticker })
    }

    pub(crate) fn lane(&self, lane: Lane) -> &Arc<LaneEngine> {
        match lane {
            Lane::P2 => &self.p2,
            Lane::P3 => &self.p3,
        }
    }
}

// === impl LaneEngine ===

impl LaneEngine {
    fn new(lane: Lane, settings: &Settings) -> Result<Self> {
        let engine = match Engine::new(&config(lane, Some(settings))) {
            Ok(engine) => engine,
            Err(error) => {
                tracing::warn!(
                    ?lane,
                    error = format!("{error:#}"),
                    instances = settings.max_instances,
                    "no address space for a pool of instances: each instance is mapped on its own, which is slower; \
                     lower max_instances or raise the limit of virtual memory (ulimit -v)"
                );
                Engine::new(&config(lane, None)).map_err(|e| broken("start", e))?
            }
        };
        let mut linker = Linker::new(&engine);
        host::add_to_linker(&mut linker, lane).map_err(|e| broken("link", e))?;
        Ok(Self { engine, linker })
    }
}

fn broken(what: &str, error: wasmtime::Error) -> Error {
    Error::internal(format!("cannot {what} the wasm engine: {error:#}"))
}

/// The configuration of a lane; without settings, one that needs no pool.
/// What decides about compiled code must be the same in both cases, or prepared files would not fit.
fn config(lane: Lane, pool: Option<&Settings>) -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .concurrency_support(lane == Lane::P3)
        .epoch_interruption(true)
        // Registering unwind tables for native debuggers takes a lock and time that grows with what is mapped; guests'
        // own backtraces do without.
        .native_unwind_info(false)
        .wasm_backtrace_max_frames(std::num::NonZeroUsize::new(40))
        .parallel_compilation(true)
        .memory_init_cow(true);
    if let Some(settings) = pool {
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(slots(lane, settings)));
    }
    config
}

fn slots(lane: Lane, settings: &Settings) -> PoolingAllocationConfig {
    let instances = settings.max_instances;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_stacks(stacks(lane, instances, mappings()))
        // Only counted, not reserved. A guest of a language runtime is linked from dozens of modules.
        .total_core_instances(instances.saturating_mul(64))
        .total_memories(instances.saturating_mul(2))
        .total_tables(instances.saturating_mul(4))
        .total_gc_heaps(instances)
        .max_memory_size(usize::try_from(settings.max_memory.0).unwrap_or(usize::MAX))
        .max_component_instance_size(16 << 20)
        .max_core_instance_size(16 << 20)
        .max_core_instances_per_component(ceiling::CORE_INSTANCES)
        .max_memories_per_component(32)
        .max_tables_per_component(64)
        // A toolchain that keeps references of the host gives a module a second table.
        .max_tables_per_module(8)
        .table_elements(ceiling::TABLE_ELEMENTS as usize)
        .linear_memory_keep_resident(MEMORY_RESIDENT)
        .table_keep_resident(TABLE_RESIDENT)
        .async_stack_keep_resident(STACK_RESIDENT)
        .pagemap_scan(Enabled::Auto);
    pool
}

/// Stacks that guests may hold at once. Every stack has a guard page, so it is two of the mappings that the kernel allows
/// a process; mapped code, memories and threads need the rest.
fn stacks(lane: Lane, instances: u32, mappings: u32) -> u32 {
    match lane {
        // One call at a time, and it runs on one stack.
        Lane::P2 => instances,
        // A call of a 0.3 guest that blocks in a host function of 0.2 holds a stack; several may do so in one instance.
        Lane::P3 => instances
            .saturating_mul(4)
            .min((mappings / 8).max(instances)),
    }
}

/// How many mappings the kernel allows a process.
fn mappings() -> u32 {
    /// What Linux allows when nobody asks for more.
    const USUAL: u32 = 65_530;
    let text = std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap_or_default();
    text.trim().parse().unwrap_or(USUAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stacks_leave_most_mappings_to_others() {
        for (instances, mappings, p2, p3) in [
            (1000, 65_530, 1000, 4000),
            (5000, 65_530, 5000, 8191),
            (10_000, 65_530, 10_000, 10_000),
            (10_000, 1_000_000, 10_000, 40_000),
        ] {
            assert_eq!(stacks(Lane::P2, instances, mappings), p2);
            assert_eq!(stacks(Lane::P3, instances, mappings), p3);
        }
    }
}
