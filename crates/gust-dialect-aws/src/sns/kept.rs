//! What is kept of topics and subscriptions, in a store of the project that nobody else can name.
//!
//! | key | value |
//! |---|---|
//! | `t/` topic | its attributes and tags |
//! | `s/` topic `/` id | the queue, and how messages go there |

use std::{collections::BTreeMap, sync::Arc};

use gust_backend::{
    desk::doors,
    kv::{Condition, Kv, KvExt as _, ListOptions, PutOptions, Versioned, Write},
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
        let odd = || Code::SNS_PARAMETER.says("Invalid parameter: TopicArn");
        let label = names::of_arn(arn, "sns").ok_or_else(odd)?;
        let label = Label::new(label).map_err(|_| odd())?;
        let found = self.0.get(&topic_key(&label)).await?;
        let found = found.ok_or_else(|| Code::SNS_NOT_FOUND.says("Topic does not exist"))?;
        Ok((label, Topic::read(&found)))
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
        for _ in 0..5 {
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
        Err(Code::UNAVAILABLE.says("too many change this topic at the same time"))
    }

    /// Removes a topic and its subscriptions.
    pub(super) async fn remove(&self, label: &Label) -> Result<()> {
        let mut batch = vec![Write::Delete {
            key: topic_key(label),
        }];
        for subscription in self.of(label).await? {
            let key = subscription.key();
            batch.push(Write::Delete { key });
        }
        self.0.write(batch).await?;
        Ok(())
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
        let odd = || Code::SNS_PARAMETER.says("Invalid parameter: SubscriptionArn");
        let name = names::of_arn(arn, "sns").ok_or_else(odd)?;
        let (topic, id) = name.split_once(':').ok_or_else(odd)?;
        let key = format!("s/{topic}/{id}");
        let found = self.0.get(&key).await?;
        Ok(found.and_then(|found| Subscription::read(&key, &found)))
    }

    pub(super) async fn put(&self, subscription: &Subscription) -> Result<()> {
        let value = json!({ "queue": subscription.queue.as_str(), "raw": subscription.raw });
        let value = value.to_string().into();
        self.0.put(&subscription.key(), value).await?;
        Ok(())
    }

    pub(super) async fn end(&self, subscription: &Subscription) -> Result<()> {
        Ok(self.0.delete(&subscription.key()).await?)
    }
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
