//! Spans of calls, made from their measured times when somebody collects them; otherwise nothing at all happens.

use std::{sync::Arc, time::Instant};

use gust_task::{clock, ids};
use gust_types::{FunctionKey, call::Trace};

use crate::{otlp::Exporter, path::Stage};

/// Where spans go: nowhere, or to a collector. A cheap handle.
#[derive(Clone, Default)]
pub struct Traces(Option<Arc<Exporter>>);

/// The span of one recorded call.
#[derive(Debug, Clone, Copy)]
pub struct CallSpan {
    /// The context that the call carries on: this span is the parent of what follows.
    pub trace: Trace,
    /// The caller's span; 0 when the trace starts here.
    pub(crate) parent: u64,
    pub(crate) started: Instant,
}

/// What is known about a call at its end.
#[derive(Debug, Clone, Copy)]
pub struct Ended<'a> {
    /// What was called, when that was found out.
    pub function: Option<&'a FunctionKey>,
    /// HTTP method.
    pub method: &'a str,
    /// URL path, without the query.
    pub path: &'a str,
    /// HTTP status of the answer.
    pub status: u16,
}

// === impl Traces ===

impl Traces {
    /// Nobody collects.
    pub fn off() -> Self {
        Self(None)
    }

    pub(crate) fn to(exporter: Arc<Exporter>) -> Self {
        Self(Some(exporter))
    }

    /// Whether somebody collects.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Begins the span of a call whose caller sent `caller` (or nothing). `None` when this call is not recorded; then
    /// the caller's context goes on unchanged. A caller who records decides for us too.
    pub fn begin(&self, caller: Trace, started: Instant) -> Option<CallSpan> {
        let exporter = self.0.as_deref()?;
        let starts_here = caller.trace_id == 0;
        let trace_id = if starts_here {
            u128::from(ids::random_u64()) << 64 | u128::from(ids::random_u64())
        } else {
            caller.trace_id
        };
        let recorded = match starts_here {
            true => exporter.samples(trace_id),
            false => caller.sampled,
        };
        recorded.then(|| CallSpan {
            trace: Trace {
                trace_id,
                parent: ids::random_u64(),
                sampled: true,
            },
            parent: caller.parent,
            started,
        })
    }

    /// Sends the span of a call that is over.
    pub fn end(&self, span: &CallSpan, ended: Ended<'_>) {
        if let Some(exporter) = &self.0 {
            exporter.call(span, &ended, clock::now());
        }
    }

    /// Sends the span of one stage, a child of the call's own.
    pub fn stage(&self, stage: Stage, trace: &Trace, started: Instant, ended: Instant) {
        if let Some(exporter) = &self.0 {
            exporter.stage(stage, trace, started, ended);
        }
    }
}
