//! What is kept of topics and subscriptions, in a store of the project that nobody else can name.
//!
//! | key | value |
//! |---|---|
//! | `t/` topic | its attributes and tags |
//! | `s/` topic `/` id | the queue, and how messages go there |

use std::{collections::BTreeMap, sync::Arc};

use gust_backend::{
    desk::doors,
    kv::{Condition, Kv, KvExt as _, ListOptions, PutOptions, Version, Versioned, Write},
};
use gust_types::{Error, Kind, Label};
use serde_json::{Value, json};

use crate::{
    fault::{Code, Fault, Result},
    gate::Call,
    names,
};

/// Topics of a project.
pub(super) const TOPICS: usize = 1000;
/// Subscriptions of a topic: each is one more message in the same commit.
pub(super) const SUBSCRIPTIONS: usize = 32;
/// How often a change is tried again that somebody else was quicker with.
pub(super) const TRIES: usize = 20;

/// A topic.
#[derive(Debug, Clone, Default)]
pub(super) struct Topic {
    pub(super) attributes: BTreeMap<String, String>,
    pub(super) tags: BTreeMap<String, String>,
}

/// A queue that gets what is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Subscription {
    pub(super) topic: Label,
    pub(super) id: String,
    pub(super) queue: Label,
    /// The message alone, and not in an envelope.
    pub(super) raw: bool,
}

/// The store of a project.
pub(super) struct Kept(Arc<dyn Kv>);

// === impl Kept ===

impl Kept {
    pub(super) fn open(call: &Call<'_>) -> Result<Self> {
        let backends = &call.door.parts.backends;
        Ok(Self(doors(&**backends, &call.project)?))
    }

    /// The topic that an ARN names.
    pub(super) async fn topic(&self, arn: &str) -> Result<(Label, Topic)> {
        let (label, topic, _) = self.versioned(arn).await?;
        Ok((label, topic))
    }

    /// The same, and its version.
    pub(super) async fn versioned(&self, arn: &str) -> Result<(Label, Topic, Version)> {
        let odd = || Code::SNS_PARAMETER.says("Invalid parameter: TopicArn");
        let label = names::of_arn(arn, "sns").ok_or_else(odd)?;
        let label = Label::new(label).map_err(|_| odd())?;
        let found = self.0.get(&topic_key(&label)).await?;
        let found = found.ok_or_else(|| Code::SNS_NOT_FOUND.says("Topic does not exist"))?;
        Ok((label, Topic::read(&found), found.version))
    }

    /// Makes a topic; one that is there stays as it is, and is answered.
    pub(super) async fn make(&self, label: &Label, topic: &Topic) -> Result<Option<Topic>> {
        if let Some(found) = self.0.get(&topic_key(label)).await? {
            return Ok(Some(Topic::read(&found)));
        }
        if self.topics().await?.len() >= TOPICS {
            return Err(Code::SNS_LIMIT.says(format!("A project has {TOPICS} topics at most.")));
        }
        let options = PutOptions {
            condition: Condition::Absent,
            ..PutOptions::default()
        };
        let made = self
            .0
            .put_with(&topic_key(label), topic.write(), options)
            .await;
        match made {
            Ok(_) => Ok(None),
            Err(error) if error.kind == Kind::Conflict => {
                let found = self.0.get(&topic_key(label)).await?;
                Ok(found.map(|found| Topic::read(&found)))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Changes a topic, whoever else does meanwhile.
    pub(super) async fn change(
        &self,
        label: &Label,
        change: impl Fn(&mut Topic) + Send + Sync,
    ) -> Result<()> {
        for _ in 0..TRIES {
            let found = self.0.get(&topic_key(label)).await?;
            let found = found.ok_or_else(|| Code::SNS_NOT_FOUND.says("Topic does not exist"))?;
            let mut topic = Topic::read(&found);
            change(&mut topic);
            let options = PutOptions {
                condition: Condition::Version(found.version),
                ..PutOptions::default()
            };
            match self
                .0
                .put_with(&topic_key(label), topic.write(), options)
                .await
            {
                Err(error) if error.kind == Kind::Conflict => {}
                done => return done.map(drop).map_err(Fault::from),
            }
        }
        Err(busy())
    }

    /// Removes a topic and all its subscriptions: a topic of the same name is born with none. Who subscribes meanwhile
    /// does so before or not at all ([`Kept::subscribe`]).
    pub(super) async fn remove(&self, label: &Label) -> Result<()> {
        for _ in 0..TRIES {
            let key = topic_key(label);
            let Some(found) = self.0.get(&key).await? else {
                return Ok(());
            };
            let options = ListOptions {
                prefix: format!("s/{label}/"),
                after: None,
            };
            let room = self.0.limits().batch.saturating_sub(2).max(1);
            let (keys, more) = self.0.keys(options, room).await?;
            let deletes = keys.into_iter().map(|key| Write::Delete { key });
            let mut batch = vec![Write::Require {
                key: key.clone(),
                condition: Condition::Version(found.version),
            }];
            // The topic goes with the last of them.
            batch.extend((!more).then_some(Write::Delete { key }));
            batch.extend(deletes);
            match self.0.write(batch).await {
                Ok(_) if more => {}
                Err(error) if error.kind == Kind::Conflict => {}
                done => return done.map(drop).map_err(Fault::from),
            }
        }
        Err(busy())
    }

    pub(super) async fn topics(&self) -> Result<Vec<Label>> {
        let options = ListOptions {
            prefix: "t/".to_owned(),
            after: None,
        };
        let (keys, _) = self.0.keys(options, TOPICS).await?;
        let names = keys.iter().filter_map(|key| key.strip_prefix("t/"));
        Ok(names.filter_map(|name| Label::new(name).ok()).collect())
    }

    /// The subscriptions of a topic.
    pub(super) async fn of(&self, topic: &Label) -> Result<Vec<Subscription>> {
        self.listed(format!("s/{topic}/"), SUBSCRIPTIONS).await
    }

    /// All of the project.
    pub(super) async fn all(&self) -> Result<Vec<Subscription>> {
        self.listed("s/".to_owned(), TOPICS * SUBSCRIPTIONS).await
    }

    async fn listed(&self, prefix: String, most: usize) -> Result<Vec<Subscription>> {
        let options = ListOptions {
            prefix,
            after: None,
        };
        let (keys, _) = self.0.keys(options, most).await?;
        let values = self.0.get_many(&keys).await?;
        let pairs = keys.iter().zip(values);
        let read = |(key, value): (&String, Option<Versioned>)| Subscription::read(key, &value?);
        Ok(pairs.filter_map(read).collect())
    }

    /// The subscription that an ARN names: a topic's, with an id behind.
    pub(super) async fn subscription(&self, arn: &str) -> Result<Option<Subscription>> {
        Ok(self.found(arn).await?.map(|(subscription, _)| subscription))
    }

    async fn found(&self, arn: &str) -> Result<Option<(Subscription, Version)>> {
        let odd = || Code::SNS_PARAMETER.says("Invalid parameter: SubscriptionArn");
        let name = names::of_arn(arn, "sns").ok_or_else(odd)?;
        let (topic, id) = name.split_once(':').ok_or_else(odd)?;
        let key = format!("s/{topic}/{id}");
        let found = self.0.get(&key).await?;
        let read = |found: Versioned| Some((Subscription::read(&key, &found)?, found.version));
        Ok(found.and_then(read))
    }

    /// Adds a subscription to a topic that is still what it was at this version, and writes the topic anew, so that of
    /// two who subscribe at once the later one counts again. `Conflict` otherwise.
    pub(super) async fn subscribe(
        &self,
        subscription: &Subscription,
        (topic, version): (&Topic, Version),
    ) -> gust_types::Result<()> {
        let put = |key, value, condition| Write::Put {
            key,
            value,
            options: PutOptions {
                condition,
                ..PutOptions::default()
            },
        };
        let batch = vec![
            put(
                topic_key(&subscription.topic),
                topic.write(),
                Condition::Version(version),
            ),
            put(subscription.key(), subscription.write(), Condition::Absent),
        ];
        self.0.write(batch).await.map(drop)
    }

    /// Changes how messages go to a queue that is subscribed; one whose subscription ended meanwhile stays without.
    pub(super) async fn set_raw(&self, arn: &str, raw: bool) -> Result<()> {
        for _ in 0..TRIES {
            let found = self.found(arn).await?;
            let (subscription, version) =
                found.ok_or_else(|| Code::SNS_NOT_FOUND.says("Subscription does not exist"))?;
            let key = subscription.key();
            let value = Subscription {
                raw,
                ..subscription
            };
            let options = PutOptions {
                condition: Condition::Version(version),
                ..PutOptions::default()
            };
            let put = self.0.put_with(&key, value.write(), options);
            match put.await {
                Err(error) if error.kind == Kind::Conflict => {}
                done => return done.map(drop).map_err(Fault::from),
            }
        }
        Err(busy())
    }

    pub(super) async fn end(&self, subscription: &Subscription) -> Result<()> {
        Ok(self.0.delete(&subscription.key()).await?)
    }
}

pub(super) fn busy() -> Fault {
    Code::UNAVAILABLE.says("too many change this topic at the same time")
}

fn topic_key(label: &Label) -> String {
    format!("t/{label}")
}

// === impl Topic ===

impl Topic {
    fn read(found: &Versioned) -> Self {
        let value: Value = serde_json::from_slice(&found.value).unwrap_or_default();
        let pairs = |name: &str| {
            let object = value.get(name).and_then(Value::as_object);
            let pairs = object.into_iter().flatten();
            pairs
                .filter_map(|(name, text)| Some((name.clone(), text.as_str()?.to_owned())))
                .collect()
        };
        Self {
            attributes: pairs("attributes"),
            tags: pairs("tags"),
        }
    }

    fn write(&self) -> bytes::Bytes {
        let value = json!({ "attributes": self.attributes, "tags": self.tags });
        value.to_string().into()
    }
}

// === impl Subscription ===

impl Subscription {
    fn key(&self) -> String {
        format!("s/{}/{}", self.topic, self.id)
    }

    fn write(&self) -> bytes::Bytes {
        let value = json!({ "queue": self.queue.as_str(), "raw": self.raw });
        value.to_string().into()
    }

    fn read(key: &str, found: &Versioned) -> Option<Self> {
        let (topic, id) = key.strip_prefix("s/")?.split_once('/')?;
        let value: Value = serde_json::from_slice(&found.value).ok()?;
        Some(Self {
            topic: Label::new(topic).ok()?,
            id: id.to_owned(),
            queue: Label::new(value.get("queue")?.as_str()?).ok()?,
            raw: value.get("raw")?.as_bool()?,
        })
    }

    pub(super) fn arn(&self, call: &Call<'_>) -> String {
        names::arn("sns", &call.region, &format!("{}:{}", self.topic, self.id))
    }
}

/// An error of behind, in SNS's words.
pub(super) fn fault(error: Error) -> Fault {
    match error.kind {
        Kind::NotFound => Code::SNS_NOT_FOUND.says(error.message),
        Kind::Invalid | Kind::Conflict => Code::SNS_PARAMETER.says(error.message),
        _ => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use futures::stream::BoxStream;
    use gust_backend::{kv::KvLimits, unit::memory::MemoryBackends};
    use gust_types::ProjectName;

    use super::*;

    /// Somebody else is quicker: what is read under `s/` is gone before anything is written.
    struct Hasty(Arc<dyn Kv>);

    #[async_trait]
    impl Kv for Hasty {
        async fn get(&self, key: &str) -> gust_types::Result<Option<Versioned>> {
            let found = self.0.get(key).await;
            if key.starts_with("s/") {
                self.0.delete(key).await?;
            }
            found
        }
        async fn write(&self, batch: Vec<Write>) -> gust_types::Result<Vec<Option<Version>>> {
            self.0.write(batch).await
        }
        async fn increment(&self, key: &str, delta: i64) -> gust_types::Result<i64> {
            self.0.increment(key, delta).await
        }
        fn list(&self, options: ListOptions) -> BoxStream<'static, gust_types::Result<String>> {
            self.0.list(options)
        }
        fn limits(&self) -> KvLimits {
            self.0.limits()
        }
    }

    const TOPIC: &str = "arn:aws:sns:eu-central-1:000000000000:news";

    fn store() -> Arc<dyn Kv> {
        doors(&MemoryBackends::default(), &ProjectName::default_project()).unwrap()
    }

    fn subscription(id: &str) -> Subscription {
        Subscription {
            topic: Label::new("news").unwrap(),
            id: id.to_owned(),
            queue: Label::new("jobs").unwrap(),
            raw: false,
        }
    }

    #[tokio::test]
    async fn a_subscription_that_ended_does_not_come_back() {
        let store = store();
        let there = subscription("one");
        store.put(&there.key(), there.write()).await.unwrap();
        let kept = Kept(Arc::new(Hasty(store.clone())));
        let set = kept.set_raw(&format!("{TOPIC}:one"), true).await;
        assert_eq!(set.unwrap_err().code, Code::SNS_NOT_FOUND);
        assert!(!store.exists(&there.key()).await.unwrap());
    }

    #[tokio::test]
    async fn a_new_topic_has_no_subscriptions_of_the_old_one() {
        let store = store();
        let kept = Kept(store.clone());
        let name = Label::new("news").unwrap();
        kept.make(&name, &Topic::default()).await.unwrap();
        let (_, topic, version) = kept.versioned(TOPIC).await.unwrap();
        // More than are served: two subscribed at once, long ago.
        for n in 0..SUBSCRIPTIONS + 8 {
            let of = subscription(&n.to_string());
            store.put(&of.key(), of.write()).await.unwrap();
        }
        kept.remove(&name).await.unwrap();
        kept.make(&name, &Topic::default()).await.unwrap();
        let late = subscription("late");
        let late = kept.subscribe(&late, (&topic, version)).await;
        assert_eq!(late.unwrap_err().kind, Kind::Conflict);
        assert!(kept.all().await.unwrap().is_empty());
        // Of two who subscribe at once, the later one looks again.
        let (_, topic, version) = kept.versioned(TOPIC).await.unwrap();
        let held = (&topic, version);
        kept.subscribe(&subscription("a"), held).await.unwrap();
        let second = kept.subscribe(&subscription("b"), held).await;
        assert_eq!(second.unwrap_err().kind, Kind::Conflict);
    }
}
