//! Backends in memory, which commit units: for tests, and the shortest statement of what a commit is. Databases they have
//! none.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use async_trait::async_trait;
use gust_task::clock;
use gust_types::{Error, Label, ProjectName, Result};
use parking_lot::Mutex;

use super::{Commit, Place, Publication};
use crate::{
    Backends,
    blob::{Bucket, BucketInfo, Uploads, memory::MemoryBucket},
    changes::Watched,
    kv::{Kv, memory::MemoryKv},
    queue::{Queue, QueueSettings, Verdict, memory::MemoryQueue},
    sql::Sql,
    topic::{Topic, TopicSettings, memory::MemoryTopic},
};

type Named<T> = Arc<Mutex<HashMap<(ProjectName, Label), T>>>;

/// Stores, queues and topics that forget at the end of the process. Clones share them.
#[derive(Clone, Default)]
pub struct MemoryBackends {
    stores: Named<MemoryKv>,
    queues: Named<Arc<MemoryQueue>>,
    topics: Named<Arc<MemoryTopic>>,
    buckets: Named<Arc<MemoryBucket>>,
}

// === impl MemoryBackends ===

impl MemoryBackends {
    fn store_of(&self, project: &ProjectName, name: &Label) -> MemoryKv {
        let key = (project.clone(), name.clone());
        self.stores.lock().entry(key).or_default().clone()
    }

    fn bucket_of(&self, project: &ProjectName, name: &Label) -> Arc<MemoryBucket> {
        let key = (project.clone(), name.clone());
        self.buckets.lock().entry(key).or_default().clone()
    }

    fn queue_of(
        &self,
        project: &ProjectName,
        name: &Label,
        settings: &QueueSettings,
    ) -> Arc<MemoryQueue> {
        let key = (project.clone(), name.clone());
        let make = || Arc::new(MemoryQueue::new(settings.clone()));
        self.queues.lock().entry(key).or_insert_with(make).clone()
    }

    fn topic_of(
        &self,
        project: &ProjectName,
        name: &Label,
        settings: &TopicSettings,
    ) -> Arc<MemoryTopic> {
        let key = (project.clone(), name.clone());
        let (ours, of) = (self.clone(), project.clone());
        let open = move |name: &Label, settings: &QueueSettings| {
            Ok(ours.queue_of(&of, name, settings) as Arc<dyn Queue>)
        };
        let make = || Arc::new(MemoryTopic::new(settings.clone(), Box::new(open)));
        self.topics.lock().entry(key).or_insert_with(make).clone()
    }
}

fn names<T>(of: &Named<T>, project: &ProjectName) -> Vec<Label> {
    let of = of.lock();
    let names = of.keys().filter(|(of, _)| of == project);
    // What the platform keeps for itself has a name that nobody else can give.
    let names = names.filter(|(_, name)| Label::new(name.as_str()).is_ok());
    let mut names: Vec<_> = names.map(|(_, name)| name.clone()).collect();
    names.sort_unstable();
    names
}

#[async_trait]
impl Backends for MemoryBackends {
    fn kv(&self, project: &ProjectName, name: &Label) -> Result<Arc<dyn Kv>> {
        Ok(Arc::new(self.store_of(project, name)))
    }

    fn stores(&self, project: &ProjectName) -> Result<Vec<Label>> {
        Ok(names(&self.stores, project))
    }

    fn databases(&self, _: &ProjectName) -> Result<Vec<Label>> {
        Ok(Vec::new())
    }

    fn sql(&self, _: &ProjectName, name: &Label) -> Result<Arc<dyn Sql>> {
        Err(Error::unavailable(format!(
            "there are no databases in memory: {name}"
        )))
    }

    fn queue(
        &self,
        project: &ProjectName,
        name: &Label,
        settings: &QueueSettings,
    ) -> Result<Arc<dyn Queue>> {
        Ok(self.queue_of(project, name, settings))
    }

    fn queues(&self, project: &ProjectName) -> Result<Vec<Label>> {
        Ok(names(&self.queues, project))
    }

    fn own_queues(&self, project: &ProjectName) -> Result<Vec<Label>> {
        let queues = self.queues.lock();
        let own =
            |(of, name): &&(ProjectName, Label)| of == project && name.as_str().starts_with('.');
        Ok(queues
            .keys()
            .filter(own)
            .map(|(_, name)| name.clone())
            .collect())
    }

    fn topic(
        &self,
        project: &ProjectName,
        name: &Label,
        settings: &TopicSettings,
    ) -> Result<Arc<dyn Topic>> {
        Ok(self.topic_of(project, name, settings))
    }

    fn topics(&self, project: &ProjectName) -> Result<Vec<Label>> {
        Ok(names(&self.topics, project))
    }

    fn blob(&self, project: &ProjectName, name: &Label) -> Result<Arc<dyn Bucket>> {
        Ok(self.bucket_of(project, name))
    }

    fn buckets(&self, project: &ProjectName) -> Result<Vec<Label>> {
        let mut names = names(&self.buckets, project);
        let buckets = self.buckets.lock();
        names.retain(|name| {
            let bucket = buckets.get(&(project.clone(), name.clone()));
            bucket.is_some_and(|bucket| bucket.info().is_some())
        });
        Ok(names)
    }

    fn uploads(&self, project: &ProjectName, name: &Label) -> Result<Arc<dyn Uploads>> {
        Ok(self.bucket_of(project, name))
    }

    async fn bucket(&self, project: &ProjectName, name: &Label) -> Result<Option<BucketInfo>> {
        Ok(self.bucket_of(project, name).info())
    }

    async fn make_bucket(&self, project: &ProjectName, name: &Label) -> Result<bool> {
        Ok(self.bucket_of(project, name).make())
    }

    async fn remove_bucket(&self, project: &ProjectName, name: &Label) -> Result<bool> {
        self.bucket_of(project, name).unmake(name)
    }

    fn streams(&self) -> Result<Vec<(ProjectName, Watched)>> {
        let topics = self.topics.lock();
        let stream = |(project, name): &(ProjectName, Label)| {
            Some((project.clone(), Watched::of_topic(name)?))
        };
        Ok(topics.keys().filter_map(stream).collect())
    }

    /// Everything that it touches is locked, in the order of the names; then it is checked, then it is done.
    async fn commit(&self, project: &ProjectName, commit: Commit) -> Result<()> {
        let stores: BTreeMap<_, _> = commit
            .stores
            .iter()
            .map(|changes| (&changes.store, self.store_of(project, &changes.store)))
            .collect();
        let (mut queues, mut topics) = (BTreeMap::new(), BTreeMap::new());
        if let Some(queue) = &commit.queue {
            let settings = QueueSettings::default();
            queues.insert(queue, self.queue_of(project, queue, &settings));
        }
        for publication in &commit.published {
            match &publication.to {
                Place::Queue(name, settings) => {
                    queues.insert(name, self.queue_of(project, name, settings));
                }
                Place::Topic(name, settings, _) => {
                    topics.insert(name, self.topic_of(project, name, settings));
                }
            }
        }
        {
            let mut stores: BTreeMap<_, _> = stores.iter().map(|(n, s)| (*n, s.lock())).collect();
            let mut queues: BTreeMap<_, _> = queues.iter().map(|(n, q)| (*n, q.lock())).collect();
            let mut topics: BTreeMap<_, _> = topics.iter().map(|(n, t)| (*n, t.lock())).collect();
            let now_us = clock::unix_micros();
            if let Some(queue) = commit.queue.as_ref().and_then(|name| queues.get(name)) {
                commit.receipts.iter().try_for_each(|r| queue.holds(r))?;
            }
            for changes in &commit.stores {
                if let Some(store) = stores.get(&changes.store) {
                    store.check_all(&changes.checks)?;
                }
            }
            for Publication { to, messages } in &commit.published {
                match to {
                    Place::Queue(name, _) => match queues.get(name) {
                        Some(queue) => queue.fits(messages)?,
                        None => continue,
                    },
                    Place::Topic(name, ..) => match topics.get(name) {
                        Some(topic) => topic.fits(messages)?,
                        None => continue,
                    },
                }
            }
            for changes in &commit.stores {
                if let Some(store) = stores.get_mut(&changes.store) {
                    store.apply_all(changes.writes.clone());
                }
            }
            for Publication { to, messages } in &commit.published {
                let messages = messages.clone();
                match to {
                    Place::Queue(name, _) => {
                        let queue = queues.get_mut(name);
                        queue.map(|queue| queue.publish(messages, now_us));
                    }
                    Place::Topic(name, _, remember) => {
                        let topic = topics.get_mut(name);
                        topic.map(|topic| topic.publish(messages, *remember, now_us));
                    }
                }
            }
            if let Some(queue) = commit.queue.as_ref().and_then(|name| queues.get_mut(name)) {
                for receipt in &commit.receipts {
                    queue.settle(*receipt, Verdict::Done, now_us)?;
                }
            }
        }
        queues.values().for_each(|queue| queue.ring());
        topics.values().for_each(|topic| topic.ring());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::suite;

    #[tokio::test]
    async fn passes_the_suite() {
        suite::run(Arc::new(MemoryBackends::default())).await;
    }

    #[tokio::test]
    async fn a_store_under_a_unit_is_a_store() {
        crate::kv::suite::run(async || {
            let backends: Arc<dyn Backends> = Arc::new(MemoryBackends::default());
            suite::staged(&backends)
        })
        .await;
    }
}
