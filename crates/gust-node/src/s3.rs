//! The S3 door: whose keys are good control says, and what was asked for `/metrics` shows.

use std::sync::Arc;

use gust_backend::Backends;
use gust_control::Control;
use gust_dialect_s3::{Counted, Door, Parts};
use gust_telemetry::{
    Registry,
    families::{Family, Group, Row},
    registry::Shape,
};

/// The door, once control is open: before that no key is good.
#[derive(Clone, Default)]
pub(crate) struct Opened(Arc<std::sync::OnceLock<Door>>);

const FAMILIES: &[Family] = &[
    counter("s3_writes", "Operations on buckets that change something"),
    counter("s3_reads", "Operations that read objects"),
    counter("s3_lists", "Operations that list"),
    counter("s3_bytes_in", "Bytes of bodies that S3 clients sent"),
    counter("s3_bytes_out", "Bytes of bodies that S3 clients were sent"),
];

const fn counter(name: &'static str, help: &'static str) -> Family {
    Family {
        name,
        help,
        shape: Shape::Counter,
    }
}

// === impl Opened ===

impl Opened {
    pub(crate) fn open(&self, control: &Control, backends: Arc<dyn Backends>) -> Door {
        let keys = Arc::new(control.clone());
        self.0
            .get_or_init(|| Door::new(Parts { backends, keys }))
            .clone()
    }

    /// Shows what each project asked for.
    pub(crate) fn count(&self, registry: &mut Registry) {
        let opened = self.clone();
        registry.add_group(Box::new(move || {
            let counted = opened.0.get().map(Door::counted).unwrap_or_default();
            let rows = counted.into_iter().map(|(project, counted)| Row {
                labels: vec![project.to_string()],
                values: numbers(counted).map(|n| Some(n as f64)).into(),
            });
            Group {
                kind: "s3",
                labels: &["project"],
                families: FAMILIES,
                rows: rows.collect(),
                unseen: 0,
            }
        }));
    }
}

fn numbers(counted: Counted) -> [u64; 5] {
    [
        counted.writes,
        counted.reads,
        counted.lists,
        counted.bytes_in,
        counted.bytes_out,
    ]
}
