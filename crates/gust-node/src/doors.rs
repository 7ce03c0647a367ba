//! The doors that speak protocols of others, each at a port of its own: who has a key control says, and what was asked for
//! `/metrics` shows.

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use futures::future::{BoxFuture, join_all};
use gust_backend::{Backends, keys::Keys};
use gust_events::Events;
use gust_task::Stop;
use gust_telemetry::{
    Registry,
    families::{Family, Group, Row},
    registry::Shape,
};
use gust_types::{ProjectName, Result};
use tokio::net::TcpListener;

use crate::{Settings, bind};

/// A protocol of others that a node may speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Buckets, as S3 clients know them.
    S3,
    /// Key-value stores, as Redis clients know them.
    Redis,
    /// SQL databases, as PostgreSQL clients know them.
    Postgres,
    /// Queues and topics, as clients of AWS know them.
    Aws,
}

/// The ports that are open, before anybody is let in.
pub(crate) struct Ports(Vec<(Protocol, TcpListener, SocketAddr)>);

/// All doors, once control is open: before that no key is good.
#[derive(Clone)]
pub(crate) struct Doors {
    s3: gust_dialect_s3::Door,
    redis: gust_dialect_redis::Door,
    postgres: gust_dialect_postgres::Door,
    aws: gust_dialect_aws::Door,
}

/// Tells what the doors were asked, as soon as there are any.
#[derive(Clone, Default)]
pub(crate) struct Counts(Arc<OnceLock<Doors>>);

const OPERATIONS: [(&str, &str); 5] = [
    ("writes", "Operations that change something"),
    ("reads", "Operations that read"),
    ("lists", "Operations that list"),
    ("bytes_in", "Bytes that clients sent"),
    ("bytes_out", "Bytes that clients were sent"),
];

const S3: &[Family] = &[
    counter("s3_writes", OPERATIONS[0].1),
    counter("s3_reads", OPERATIONS[1].1),
    counter("s3_lists", OPERATIONS[2].1),
    counter("s3_bytes_in", OPERATIONS[3].1),
    counter("s3_bytes_out", OPERATIONS[4].1),
];
const REDIS: &[Family] = &[
    counter("redis_writes", OPERATIONS[0].1),
    counter("redis_reads", OPERATIONS[1].1),
    counter("redis_bytes_in", OPERATIONS[3].1),
    counter("redis_bytes_out", OPERATIONS[4].1),
];
const POSTGRES: &[Family] = &[
    counter("postgres_statements", "Statements that were run"),
    counter("postgres_rows", "Rows that clients were sent"),
    counter("postgres_bytes_in", OPERATIONS[3].1),
    counter("postgres_bytes_out", OPERATIONS[4].1),
];
const AWS: &[Family] = &[
    counter("aws_writes", OPERATIONS[0].1),
    counter("aws_reads", OPERATIONS[1].1),
    counter("aws_lists", OPERATIONS[2].1),
    counter("aws_bytes_in", OPERATIONS[3].1),
    counter("aws_bytes_out", OPERATIONS[4].1),
];

const fn counter(name: &'static str, help: &'static str) -> Family {
    Family {
        name,
        help,
        shape: Shape::Counter,
    }
}

/// What each project asked for, in the order of the families.
type Counted = Vec<(ProjectName, Vec<u64>)>;

// === impl Protocol ===

impl Protocol {
    /// What people call it.
    pub fn label(self) -> &'static str {
        match self {
            Self::S3 => "S3",
            Self::Redis => "Redis",
            Self::Postgres => "PostgreSQL",
            Self::Aws => "AWS",
        }
    }

    /// What its addresses begin with.
    pub fn scheme(self) -> &'static str {
        match self {
            Self::S3 | Self::Aws => "http",
            Self::Redis => "redis",
            Self::Postgres => "postgresql",
        }
    }
}

// === impl Ports ===

impl Ports {
    /// Opens the ports that are set.
    pub(crate) async fn open(settings: &Settings) -> Result<Self> {
        let mut ports = Vec::new();
        for (protocol, addr) in [
            (Protocol::S3, settings.s3),
            (Protocol::Redis, settings.redis),
            (Protocol::Postgres, settings.postgres),
            (Protocol::Aws, settings.aws),
        ] {
            if let Some(addr) = addr {
                let (listener, addr) = bind(addr).await?;
                ports.push((protocol, listener, addr));
            }
        }
        Ok(Self(ports))
    }

    /// What is spoken where.
    pub(crate) fn spoken(&self) -> impl Iterator<Item = (Protocol, SocketAddr)> {
        self.0.iter().map(|(protocol, _, addr)| (*protocol, *addr))
    }
}

// === impl Doors ===

impl Doors {
    pub(crate) fn new(backends: Arc<dyn Backends>, keys: Arc<dyn Keys>, events: &Events) -> Self {
        let (s3, redis, postgres) = (backends.clone(), backends.clone(), backends.clone());
        Self {
            s3: gust_dialect_s3::Door::new(gust_dialect_s3::Parts {
                backends: s3,
                keys: keys.clone(),
            }),
            redis: gust_dialect_redis::Door::new(gust_dialect_redis::Parts {
                backends: redis,
                keys: keys.clone(),
            }),
            postgres: gust_dialect_postgres::Door::new(gust_dialect_postgres::Parts {
                backends: postgres,
                keys: keys.clone(),
            }),
            aws: gust_dialect_aws::Door::new(gust_dialect_aws::Parts {
                desk: Arc::new(events.clone()),
                backends,
                keys,
            }),
        }
    }

    /// Serves at all ports until stopped; then gives what is under way its grace.
    pub(crate) async fn serve(self, ports: Ports, stop: Stop, grace: Duration) {
        let served = ports.0.into_iter().map(|(protocol, listener, _)| {
            let (doors, stop) = (self.clone(), stop.child());
            let serving: BoxFuture<'static, ()> = Box::pin(async move {
                match protocol {
                    Protocol::S3 => doors.s3.serve(listener, stop, grace).await,
                    Protocol::Redis => doors.redis.serve(listener, stop, grace).await,
                    Protocol::Postgres => doors.postgres.serve(listener, stop, grace).await,
                    Protocol::Aws => doors.aws.serve(listener, stop, grace).await,
                }
            });
            gust_task::spawn(protocol.label(), serving)
        });
        join_all(served.collect::<Vec<_>>()).await;
    }

    fn counted(&self, protocol: Protocol) -> Counted {
        match protocol {
            Protocol::S3 => of(self.s3.counted(), |c| {
                [c.writes, c.reads, c.lists, c.bytes_in, c.bytes_out].into()
            }),
            Protocol::Redis => of(self.redis.counted(), |c| {
                [c.writes, c.reads, c.bytes_in, c.bytes_out].into()
            }),
            Protocol::Postgres => of(self.postgres.counted(), |c| {
                [c.statements, c.rows, c.bytes_in, c.bytes_out].into()
            }),
            Protocol::Aws => of(self.aws.counted(), |c| {
                [c.writes, c.reads, c.lists, c.bytes_in, c.bytes_out].into()
            }),
        }
    }
}

fn of<T>(counted: Vec<(ProjectName, T)>, numbers: impl Fn(T) -> Vec<u64>) -> Counted {
    let numbered = counted
        .into_iter()
        .map(|(project, c)| (project, numbers(c)));
    numbered.collect()
}

// === impl Counts ===

impl Counts {
    /// From now on these are told.
    pub(crate) fn of(&self, doors: &Doors) {
        self.0.get_or_init(|| doors.clone());
    }

    /// Shows what each project asked for.
    pub(crate) fn show(&self, registry: &mut Registry) {
        for (protocol, kind, families) in [
            (Protocol::S3, "s3", S3),
            (Protocol::Redis, "redis", REDIS),
            (Protocol::Postgres, "postgres", POSTGRES),
            (Protocol::Aws, "aws", AWS),
        ] {
            let counts = self.clone();
            registry.add_group(Box::new(move || {
                let doors = counts.0.get();
                let counted = doors.map(|doors| doors.counted(protocol));
                let rows = counted.unwrap_or_default().into_iter();
                let rows = rows.map(|(project, numbers)| Row {
                    labels: vec![project.to_string()],
                    values: numbers.into_iter().map(|n| Some(n as f64)).collect(),
                });
                Group {
                    kind,
                    labels: &["project"],
                    families,
                    rows: rows.collect(),
                    unseen: 0,
                }
            }));
        }
    }
}
