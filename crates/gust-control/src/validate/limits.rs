//! Limits against the operator's ceilings, and other numbers.

use gust_types::{
    ByteSize, Error, Limits, Result, Span,
    app::HealthSpec,
    limits::{Reuse, ceiling},
};

/// Each limit lets something through and stays under its ceiling.
pub(super) fn check(limits: &Limits, ceilings: &Limits) -> Result<()> {
    let sizes: [(&str, ByteSize, ByteSize); 4] = [
        ("memory", limits.memory, ceilings.memory),
        ("request_body", limits.request_body, ceilings.request_body),
        (
            "response_body",
            limits.response_body,
            ceilings.response_body,
        ),
        ("log_bytes", limits.log_bytes, ceilings.log_bytes),
    ];
    for (name, size, ceiling) in sizes {
        under(name, size, ceiling)?;
    }
    let spans: [(&str, Span, Span); 3] = [
        ("cpu_time", limits.cpu_time, ceilings.cpu_time),
        ("wall_time", limits.wall_time, ceilings.wall_time),
        ("queue_time", limits.queue_time, ceilings.queue_time),
    ];
    for (name, span, ceiling) in spans {
        under(name, span, ceiling)?;
    }
    let counts: [(&str, u32, u32); 5] = [
        ("concurrency", limits.concurrency, ceilings.concurrency),
        ("queue", limits.queue, ceilings.queue),
        ("rate", limits.rate, ceilings.rate),
        (
            "table_elements",
            limits.table_elements,
            ceilings.table_elements,
        ),
        (
            "core_instances",
            limits.core_instances,
            ceilings.core_instances,
        ),
    ];
    for (name, count, ceiling) in counts {
        under(name, count, ceiling)?;
    }
    let nothing = [
        ("memory", limits.memory.0 == 0),
        ("cpu_time", limits.cpu_time.0.is_zero()),
        ("wall_time", limits.wall_time.0.is_zero()),
        ("concurrency", limits.concurrency == 0),
    ];
    match nothing.into_iter().find(|(_, zero)| *zero) {
        Some((name, _)) => Err(Error::invalid(format!(
            "nothing can run with a limit of 0: {name}"
        ))),
        None => Ok(()),
    }
}

fn under<T: PartialOrd + std::fmt::Display>(name: &str, value: T, ceiling: T) -> Result<()> {
    if value <= ceiling {
        return Ok(());
    }
    Err(Error::denied(format!(
        "the limit {name} is over this node's ceiling of {ceiling}: {value}"
    ))
    .hint("ask for less, or ask the operator to raise the ceiling"))
}

pub(super) fn check_reuse(reuse: &Reuse) -> Result<()> {
    for (name, count, most) in [
        ("reuse.calls", reuse.calls, ceiling::REUSE_CALLS),
        (
            "reuse.concurrent",
            reuse.concurrent,
            ceiling::REUSE_CONCURRENT,
        ),
    ] {
        if count.is_some_and(|n| n == 0 || n > most) {
            return Err(Error::invalid(format!("must be 1 to {most}: {name}")));
        }
    }
    match reuse.idle {
        Some(idle) if idle > ceiling::REUSE_IDLE => Err(Error::invalid(format!(
            "an idle instance is kept for {} at most: {idle}",
            ceiling::REUSE_IDLE
        ))),
        _ => Ok(()),
    }
}

pub(super) fn check_health(health: &HealthSpec) -> Result<()> {
    let path: Result<http::uri::PathAndQuery, _> = health.path.parse();
    if !health.path.starts_with('/') || path.is_err() || health.path.len() > 1024 {
        return Err(Error::invalid(format!(
            "health path is not a path: {:?}",
            health.path
        )));
    }
    if health.timeout.0.is_zero() || health.timeout > ceiling::HEALTH_TIMEOUT {
        return Err(Error::invalid(format!(
            "health timeout must be above 0 and {} at most: {}",
            ceiling::HEALTH_TIMEOUT,
            health.timeout
        )));
    }
    Ok(())
}
