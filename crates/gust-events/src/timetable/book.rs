//! What is known of the schedules, and which of them are due.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use gust_backend::kv::Kv;
use gust_types::{AppName, Label, ProjectName, trigger::TriggerSpec};
use tokio::task::JoinHandle;

use super::runs::Runs;
use crate::{
    deliver::Delivery,
    schedule::{Schedule, State, Timeline},
    triggers::Key,
};

/// Schedules of one look: what they fire is written while the next are looked at.
const LOOK: usize = 1000;
/// How often it is said that a schedule's runs are left out.
const TOLD: u64 = 3_600_000_000;

/// The schedules. Only the one task that fires takes them up and moves them on.
#[derive(Default)]
pub(super) struct Book {
    entries: HashMap<u64, Entry>,
    ids: HashMap<Key, u64>,
    /// When to look at which.
    line: Timeline<u64>,
    last_id: u64,
    pub(super) projects: HashMap<ProjectName, Project>,
}

pub(super) struct Entry {
    pub(super) key: Key,
    pub(super) spec: TriggerSpec,
    pub(super) schedule: Schedule,
    pub(super) state: State,
    pub(super) delivery: Arc<Delivery>,
    pub(super) left_out: LeftOut,
}

/// Runs that were left out since it was said last.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LeftOut {
    runs: u64,
    told_us: u64,
}

/// What the schedules of one project share.
pub(super) struct Project {
    /// Up to when each schedule is settled.
    pub(super) memory: Arc<dyn Kv>,
    pub(super) way: Arc<Runs>,
    pub(super) task: JoinHandle<Option<()>>,
    /// Runs that were not over when the node went down; `None` until they are counted.
    pub(super) left: Option<HashMap<Key, u32>>,
    /// Schedules that were due before that, and have to know.
    held: Vec<u64>,
}

/// What is to be written of a schedule: its runs, and up to when it is settled with them.
pub(super) struct Due {
    pub(super) id: u64,
    pub(super) app: AppName,
    pub(super) name: Label,
    pub(super) state: State,
    /// When they were due. Events are made of them by whoever writes them: there are more of those.
    pub(super) runs: Vec<u64>,
}

// === impl Project ===

impl Project {
    pub(super) fn new(memory: Arc<dyn Kv>, way: Arc<Runs>, task: JoinHandle<Option<()>>) -> Self {
        Self {
            memory,
            way,
            task,
            left: None,
            held: Vec::new(),
        }
    }
}

// === impl Book ===

impl Book {
    /// The schedules that are none of these, of which it has so many.
    pub(super) fn others(&self, wanted: &HashSet<Key>, known: usize) -> Vec<Key> {
        if known == self.ids.len() {
            return Vec::new();
        }
        let mut others: Vec<_> = self
            .ids
            .keys()
            .filter(|key| !wanted.contains(key))
            .collect();
        others.sort();
        others.into_iter().cloned().collect()
    }

    pub(super) fn entry(&self, key: &Key) -> Option<&Entry> {
        self.entries.get(self.ids.get(key)?)
    }

    /// When to look next.
    pub(super) fn next_us(&self) -> Option<u64> {
        self.line.next_us()
    }

    /// Takes an entry up, in the place of the one before it.
    pub(super) fn enter(&mut self, mut entry: Entry) {
        let known = self.ids.get(&entry.key).copied();
        let id = known.unwrap_or(self.last_id + 1);
        self.last_id = self.last_id.max(id);
        entry.state.running = match self.entries.get(&id) {
            Some(before) => before.state.running,
            None => self.left_of(&entry.key),
        };
        self.ids.insert(entry.key.clone(), id);
        self.entries.insert(id, entry);
        self.line.insert(id, 0);
    }

    fn left_of(&mut self, key: &Key) -> u32 {
        let project = self.projects.get_mut(&key.project);
        let left = project.and_then(|project| project.left.as_mut());
        left.and_then(|left| left.remove(key)).unwrap_or(0)
    }

    pub(super) fn remove(&mut self, key: &Key) {
        let Some(id) = self.ids.remove(key) else {
            return;
        };
        self.line.remove(id);
        self.entries.remove(&id);
        if let Some(shared) = self.projects.get(&key.project) {
            shared.way.leave(key);
        }
    }

    /// The runs that were not over when the node went down. None of those that have to know has fired before.
    pub(super) fn count(&mut self, project: &ProjectName, mut left: HashMap<Key, u32>) {
        let Some(shared) = self.projects.get_mut(project) else {
            return;
        };
        for id in std::mem::take(&mut shared.held) {
            self.line.insert(id, 0);
        }
        left.retain(|key, count| {
            let Some(id) = self.ids.get(key) else {
                return true;
            };
            if let Some(entry) = self.entries.get_mut(id)
                && entry.schedule.minds_overlap()
            {
                entry.state.running = *count;
            }
            false
        });
        shared.left = Some(left);
    }

    /// A run is over: another may have waited for that.
    pub(super) fn end(&mut self, key: &Key) {
        let Some(id) = self.ids.get(key).copied() else {
            return;
        };
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.state.ended();
            if entry.state.waiting_us.is_some() {
                self.line.insert(id, 0);
            }
        }
    }

    /// What is due, by project. Empty when nothing more is.
    pub(super) fn look(&mut self, now_us: u64) -> BTreeMap<ProjectName, Vec<Due>> {
        let mut looks: BTreeMap<ProjectName, Vec<Due>> = BTreeMap::new();
        for _ in 0..LOOK {
            let Some((id, _)) = self.line.pop_due(now_us) else {
                break;
            };
            let Some(entry) = self.entries.get_mut(&id) else {
                continue;
            };
            if entry.schedule.minds_overlap()
                && let Some(shared) = self.projects.get_mut(&entry.key.project)
                && shared.left.is_none()
            {
                shared.held.push(id);
                continue;
            }
            let decision = entry.schedule.due(&entry.state, now_us);
            if let Some(next_us) = decision.next_us {
                self.line.insert(id, next_us);
            }
            entry.leave_out(decision.dropped, now_us);
            if decision.state == entry.state {
                continue;
            }
            let look = looks.entry(entry.key.project.clone()).or_default();
            look.push(Due {
                id,
                app: entry.key.app.clone(),
                name: entry.key.name.clone(),
                state: decision.state,
                runs: decision.fire,
            });
        }
        looks
    }

    /// The looks were written, or are to be looked at again.
    pub(super) fn settle(&mut self, settled: Vec<(u64, State)>, written: bool, again_us: u64) {
        for (id, state) in settled {
            let Some(entry) = self.entries.get_mut(&id) else {
                continue;
            };
            if written {
                entry.state = state;
            } else {
                self.line.insert(id, again_us);
            }
        }
    }
}

// === impl Entry ===

impl Entry {
    /// Says that runs are left out, though not each time.
    fn leave_out(&mut self, dropped: u64, now_us: u64) {
        let left_out = &mut self.left_out;
        left_out.runs += dropped;
        if dropped == 0 || now_us < left_out.told_us.saturating_add(TOLD) {
            return;
        }
        let (Key { project, app, name }, runs) = (&self.key, left_out.runs);
        tracing::info!(%project, %app, trigger = %name, runs, "runs of a schedule are left out");
        *left_out = LeftOut {
            runs: 0,
            told_us: now_us,
        };
    }
}

#[cfg(test)]
mod tests {
    use gust_backend::kv::memory::MemoryKv;
    use gust_types::{
        AppName, FunctionKey, FunctionName, Label,
        call::Trigger,
        trigger::{Overlap, RetrySpec, ScheduleSpec, TriggerSource},
    };
    use tokio::sync::{mpsc, watch};

    use super::*;
    use crate::{deliver::Target, retry::RetryPolicy, timetable::compile};

    fn key(name: &str) -> Key {
        Key {
            project: ProjectName::new("p").unwrap(),
            app: AppName::new("a").unwrap(),
            name: Label::new(name).unwrap(),
        }
    }

    fn entry(name: &str, overlap: Overlap) -> Entry {
        let when = ScheduleSpec {
            rate: Some(gust_types::Span::secs(1)),
            overlap,
            ..ScheduleSpec::default()
        };
        let function = FunctionName::new("f").unwrap();
        let key = key(name);
        Entry {
            schedule: compile(&when, "").unwrap(),
            state: State::new(10_000_000),
            delivery: Arc::new(Delivery {
                target: Target {
                    function: Arc::new(FunctionKey {
                        project: key.project.clone(),
                        app: key.app.clone(),
                        function: function.clone(),
                    }),
                    path: "/".to_owned(),
                    name: key.subscription(),
                    trigger: Trigger::Schedule,
                    mode: Default::default(),
                },
                retry: RetryPolicy::from(&RetrySpec::default()),
                tally: Arc::default(),
                replies: None,
                once: None,
            }),
            spec: TriggerSpec {
                name: key.name.clone(),
                function,
                path: "/".to_owned(),
                source: TriggerSource::Schedule(when),
                concurrency: 1,
                retry: RetrySpec::default(),
                exactly_once: false,
                mode: Default::default(),
            },
            key,
            left_out: LeftOut::default(),
        }
    }

    fn fired(book: &mut Book, now_us: u64) -> Vec<String> {
        let looks = book.look(now_us);
        let due = looks.into_values().flatten();
        let mut fired = Vec::new();
        for due in due {
            book.settle(vec![(due.id, due.state)], true, now_us);
            if !due.runs.is_empty() {
                fired.push(format!("{}/{}", due.app, due.name));
            }
        }
        fired.sort();
        fired
    }

    #[tokio::test]
    async fn only_schedules_that_mind_overlaps_wait_for_the_count() {
        let project = ProjectName::new("p").unwrap();
        let (ended, _heard) = mpsc::channel(1);
        let runs = Arc::new(Runs::new(project.clone(), ended, watch::channel(false).1));
        let task = gust_task::spawn("nothing", async {});
        let shared = Project::new(Arc::new(MemoryKv::default()), runs, task);
        let mut book = Book::default();
        book.projects.insert(project.clone(), shared);
        book.enter(entry("any", Overlap::Allow));
        book.enter(entry("alone", Overlap::Skip));
        book.enter(entry("free", Overlap::Skip));
        assert_eq!(fired(&mut book, 11_000_000), ["a/any"]);
        let left = HashMap::from([(key("alone"), 1), (key("any"), 2), (key("later"), 1)]);
        book.count(&project, left);
        // One has a run that is not over.
        assert_eq!(fired(&mut book, 11_000_000), ["a/free"]);
        book.end(&key("alone"));
        assert_eq!(fired(&mut book, 12_000_000), ["a/alone", "a/any"]);
        // What is taken up later finds its count too.
        book.enter(entry("later", Overlap::Skip));
        assert_eq!(fired(&mut book, 12_000_000), Vec::<String>::new());
        book.end(&key("later"));
        assert_eq!(
            fired(&mut book, 13_000_000),
            ["a/any", "a/later"],
            "the others have one under way"
        );
    }
}
