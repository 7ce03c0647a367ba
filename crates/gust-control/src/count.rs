//! What `/metrics` says of each queue, topic and trigger.
//!
//! Nothing is counted on the way of an event: a scrape asks, and what it was told is good for some seconds, however many
//! ask. What one scrape looks at is bounded; what is left out depends on names alone.

use std::time::Duration;

use gust_backend::{
    desk::{Desk, TriggerState},
    topic::TopicSettings,
};
use gust_task::clock;
use gust_telemetry::{
    families::{Family, Group, MOST_SERIES, Row},
    registry::Shape::{Counter, Gauge},
};
use gust_types::{ProjectName, Result, changes::TopicName};

use crate::{control::Control, queues, store::projects};

/// How long what was counted is shown.
const FRESH: Duration = Duration::from_secs(5);
/// Messages in flight and delayed that are counted, of one queue and of all.
const TIMED: usize = 10_000;
const TIMED_ALL: usize = 100_000;
/// Things looked at before others have their turn.
const TURN: usize = 32;

const QUEUE: &[Family] = &[
    family("queue_ready", "Messages that somebody may take now", Gauge),
    family("queue_in_flight", "Messages that a consumer has", Gauge),
    family(
        "queue_delayed",
        "Messages whose time has not come, retries included",
        Gauge,
    ),
    family(
        "queue_blocked",
        "Messages that wait for another of their group",
        Gauge,
    ),
    family("queue_dead", "Messages that were given up", Gauge),
    family(
        "queue_oldest_age_seconds",
        "Age of the oldest message; 0 when there is none",
        Gauge,
    ),
];

const TRIGGER: &[Family] = &[
    family(
        "trigger_lag",
        "Events that it is not done with: of its topic, and in its queue",
        Gauge,
    ),
    family(
        "trigger_in_flight",
        "Events with the trigger's function",
        Gauge,
    ),
    family("trigger_done", "Events that its function took", Counter),
    family("trigger_retried", "Deliveries to be tried again", Counter),
    family("trigger_dead", "Events that it gave up", Counter),
    family(
        "trigger_oldest_age_seconds",
        "Age of the oldest event in its queue; 0 when there is none",
        Gauge,
    ),
];

const TOPIC: &[Family] = &[
    family(
        "topic_last_position",
        "The position of the newest event there ever was",
        Gauge,
    ),
    family("topic_bytes", "Bytes of the events that are kept", Gauge),
];

const fn family(
    name: &'static str,
    help: &'static str,
    shape: gust_telemetry::registry::Shape,
) -> Family {
    Family { name, help, shape }
}

/// One look at everything.
struct Look<'a> {
    events: &'a dyn Desk,
    now_us: u64,
    looked: usize,
    /// Messages in flight and delayed that may still be counted.
    timed: usize,
}

impl Control {
    /// Counts queues, topics and triggers for a scrape, unless that was just done.
    pub(crate) async fn count_events(&self) {
        // Whoever scrapes at the same time waits, and is told the same.
        let mut counted = self.0.counted.lock().await;
        let now = clock::now();
        if counted.is_some_and(|at| now.saturating_duration_since(at) < FRESH) {
            return;
        }
        let groups = self.look().await.unwrap_or_else(|error| {
            // Old numbers would be taken for new ones.
            tracing::warn!(error = error.chain(), "cannot count queues and triggers");
            Vec::new()
        });
        self.0.parts.registry.families().show(groups);
        *counted = Some(clock::now());
    }

    async fn look(&self) -> Result<Vec<Group>> {
        let projects = self.0.store.read(projects::list).await?;
        let projects: Vec<ProjectName> = projects.into_iter().map(|one| one.name).collect();
        let mut look = Look {
            events: &*self.0.parts.events,
            now_us: clock::unix_micros(),
            looked: 0,
            timed: TIMED_ALL,
        };
        Ok(vec![
            look.queues(&projects).await?,
            look.triggers(&projects).await?,
            look.topics(&projects).await?,
        ])
    }
}

// === impl Look ===

impl Look<'_> {
    async fn queues(&mut self, projects: &[ProjectName]) -> Result<Group> {
        let mut group = group("queue", &["project", "queue"], QUEUE);
        for project in projects {
            for (name, _) in self.events.queues(project)? {
                if !has_room(&mut group) {
                    continue;
                }
                self.turn().await;
                let queue = self.events.queue(project, &name)?;
                let stats = queue.stats().await?;
                let apart = stats.messages.saturating_sub(stats.blocked);
                let timed = match apart {
                    0 => Default::default(),
                    _ => queue.timed(TIMED.min(self.timed)).await?,
                };
                let counted = timed.taken + timed.delayed;
                self.timed = self.timed.saturating_sub(counted as usize);
                // Which of those that were not looked at are ready nobody knows.
                let known = |n: u64| (!timed.more).then_some(n as f64);
                group.rows.push(Row {
                    labels: vec![project.to_string(), name.to_string()],
                    values: vec![
                        known(apart.saturating_sub(counted)),
                        known(timed.taken),
                        known(timed.delayed),
                        Some(stats.blocked as f64),
                        Some(stats.dead as f64),
                        Some(self.age(stats.oldest_us)),
                    ],
                });
            }
        }
        Ok(group)
    }

    async fn triggers(&mut self, projects: &[ProjectName]) -> Result<Group> {
        let labels = &["project", "app", "function", "trigger"];
        let mut group = group("trigger", labels, TRIGGER);
        for project in projects {
            for state in self.events.triggers(project) {
                if !has_room(&mut group) {
                    continue;
                }
                self.turn().await;
                let row = self.trigger(project, &state).await?;
                group.rows.push(row);
            }
        }
        Ok(group)
    }

    async fn trigger(&self, project: &ProjectName, state: &TriggerState) -> Result<Row> {
        let backlog = queues::backlog(self.events, project, state).await?;
        let counts = state.counts;
        let spec = &state.spec;
        Ok(Row {
            labels: vec![
                project.to_string(),
                state.app.to_string(),
                spec.function.to_string(),
                spec.name.to_string(),
            ],
            values: vec![
                backlog.map(|held| queues::lag(state, &held) as f64),
                Some(counts.in_flight as f64),
                Some(counts.done as f64),
                Some(counts.retried as f64),
                Some(counts.dead as f64),
                backlog.map(|held| self.age(held.oldest_us)),
            ],
        })
    }

    async fn topics(&mut self, projects: &[ProjectName]) -> Result<Group> {
        let mut group = group("topic", &["project", "topic"], TOPIC);
        for project in projects {
            let streams = self.events.streams(project)?.into_iter();
            let streams = streams.map(|of| (of.topic(), TopicSettings::default()));
            for (name, _) in self.events.topics(project)?.into_iter().chain(streams) {
                if !has_room(&mut group) {
                    continue;
                }
                self.turn().await;
                let stats = self.events.topic(project, &name)?.stats().await?;
                group.rows.push(Row {
                    labels: vec![project.to_string(), TopicName::from(name).to_string()],
                    values: vec![Some(stats.last as f64), Some(stats.bytes as f64)],
                });
            }
        }
        Ok(group)
    }

    fn age(&self, oldest_us: u64) -> f64 {
        match oldest_us {
            0 => 0.0,
            at => self.now_us.saturating_sub(at) as f64 / 1e6,
        }
    }

    /// Reading is done where it stands: others are let on in between.
    async fn turn(&mut self) {
        self.looked += 1;
        if self.looked.is_multiple_of(TURN) {
            tokio::task::yield_now().await;
        }
    }
}

fn group(
    kind: &'static str,
    labels: &'static [&'static str],
    families: &'static [Family],
) -> Group {
    Group {
        kind,
        labels,
        families,
        rows: Vec::new(),
        unseen: 0,
    }
}

/// Whether one more could be shown; it is counted when not.
fn has_room(group: &mut Group) -> bool {
    let room = group.rows.len() < MOST_SERIES / group.families.len();
    group.unseen += usize::from(!room);
    room
}
