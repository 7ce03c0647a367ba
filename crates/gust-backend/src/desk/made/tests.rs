use std::time::Duration;

use async_trait::async_trait;
use gust_types::{Kind, Span};

use super::*;
use crate::{
    queue::{
        Dead, Message, MessageId, Published, QueueLimits, QueueStats, Receipt, Seen, TakeOptions,
        Taken, Timed, Verdict,
    },
    unit::memory::MemoryBackends,
};

fn slow() -> QueueSettings {
    QueueSettings {
        visibility: Span::secs(60),
        ..QueueSettings::default()
    }
}

#[tokio::test]
async fn what_was_made_is_there_after_a_restart() {
    let backends: Arc<dyn Backends> = Arc::new(MemoryBackends::default());
    let project = ProjectName::default_project();
    let name = Label::new("jobs").unwrap();
    let made = MadeQueues::new(backends.clone());
    let make = async |settings| made.make(&project, &name, settings, BTreeMap::new()).await;
    assert!(make(slow()).await.unwrap());
    assert!(!make(slow()).await.unwrap());
    let error = make(QueueSettings::default()).await.unwrap_err();
    assert_eq!(error.kind, Kind::Conflict);
    let again = MadeQueues::new(backends.clone());
    assert!(again.settings(&project).is_empty());
    assert!(again.load(&project).await.unwrap());
    assert_eq!(again.settings(&project)[&name], slow());
    let queue = backends.queue(&project, &name, &slow()).unwrap();
    queue.publish(vec![Message::new("x")]).await.unwrap();
    again.remove(&project, &name, &*queue).await.unwrap();
    assert_eq!(queue.stats().await.unwrap().messages, 0);
    assert!(again.hides(&project, &name).await.unwrap());
    let third = MadeQueues::new(backends);
    assert!(third.get(&project, &name).await.unwrap().is_none());
    assert!(third.hides(&project, &name).await.unwrap());
    assert!(third.names(&project).await.unwrap().is_empty());
    third.forget(&project).await.unwrap();
    assert!(!third.hides(&project, &name).await.unwrap());
}

#[tokio::test]
async fn two_who_change_the_same_queue_do_not_undo_each_other() {
    let made = MadeQueues::new(Arc::new(MemoryBackends::default()));
    let project = ProjectName::default_project();
    let name = Label::new("jobs").unwrap();
    let noted = |text: &str, version| MadeQueue {
        notes: [("tag".to_owned(), text.to_owned())].into(),
        version,
        ..MadeQueue::default()
    };
    made.set(&project, &name, noted("一", 0)).await.unwrap();
    let late = made.set(&project, &name, noted("二", 0)).await;
    assert_eq!(late.unwrap_err().kind, Kind::Conflict);
    made.set(&project, &name, noted("三", 1)).await.unwrap();
    let kept = made.get(&project, &name).await.unwrap().unwrap();
    assert_eq!((kept.notes["tag"].as_str(), kept.version), ("三", 2));
    // Making it keeps what was noted.
    let fresh = made.make(&project, &name, slow(), BTreeMap::new()).await;
    assert!(fresh.unwrap());
    let kept = made.get(&project, &name).await.unwrap().unwrap();
    assert_eq!(kept.notes["tag"], "三");
}

#[tokio::test]
async fn who_read_the_old_queue_does_not_change_the_new_one() {
    let backends: Arc<dyn Backends> = Arc::new(MemoryBackends::default());
    let made = MadeQueues::new(backends.clone());
    let project = ProjectName::default_project();
    for (name, held) in [("held", true), ("empty", false)] {
        let name = Label::new(name).unwrap();
        let queue = backends.queue(&project, &name, &slow()).unwrap();
        let make = async || made.make(&project, &name, slow(), BTreeMap::new()).await;
        make().await.unwrap();
        if held {
            queue.publish(vec![Message::new("x")]).await.unwrap();
        }
        let old = made.get(&project, &name).await.unwrap().unwrap();
        made.remove(&project, &name, &*queue).await.unwrap();
        assert!(make().await.unwrap());
        let late = made.set(&project, &name, old).await;
        assert_eq!(late.unwrap_err().kind, Kind::Conflict);
    }
}

#[tokio::test]
async fn a_damaged_record_is_that_of_one_queue() {
    let backends: Arc<dyn Backends> = Arc::new(MemoryBackends::default());
    let project = ProjectName::default_project();
    let (name, bad) = (Label::new("jobs").unwrap(), Label::new("bad").unwrap());
    let made = MadeQueues::new(backends.clone());
    made.make(&project, &name, slow(), BTreeMap::new())
        .await
        .unwrap();
    let store = doors(&*backends, &project).unwrap();
    store.put(&key(&bad), Bytes::from("{")).await.unwrap();
    let again = MadeQueues::new(backends);
    assert!(again.load(&project).await.unwrap());
    assert_eq!(again.settings(&project)[&name], slow());
    assert!(again.get(&project, &bad).await.unwrap().is_none());
    let fresh = again.make(&project, &bad, slow(), BTreeMap::new()).await;
    assert!(fresh.unwrap());
}

/// A queue that takes its time to forget.
struct Slow(Arc<dyn Queue>);

#[async_trait]
impl Queue for Slow {
    async fn publish(&self, messages: Vec<Message>) -> Result<Vec<Published>> {
        self.0.publish(messages).await
    }
    async fn take(&self, options: TakeOptions) -> Result<Vec<Taken>> {
        self.0.take(options).await
    }
    async fn settle(&self, verdicts: Vec<(Receipt, Verdict)>) -> Result<Vec<Result<Receipt>>> {
        self.0.settle(verdicts).await
    }
    async fn release(&self) -> Result<u64> {
        self.0.release().await
    }
    async fn peek(&self, after: Option<MessageId>, most: usize) -> Result<Vec<Seen>> {
        self.0.peek(after, most).await
    }
    async fn dead(&self, after: Option<MessageId>, most: usize) -> Result<Vec<Dead>> {
        self.0.dead(after, most).await
    }
    async fn redrive(&self, ids: Option<Vec<MessageId>>, most: usize) -> Result<u64> {
        self.0.redrive(ids, most).await
    }
    async fn purge(&self, dead: bool) -> Result<u64> {
        tokio::time::sleep(Duration::from_millis(20)).await;
        self.0.purge(dead).await
    }
    async fn stats(&self) -> Result<QueueStats> {
        self.0.stats().await
    }
    async fn timed(&self, most: usize) -> Result<Timed> {
        self.0.timed(most).await
    }
    fn limits(&self) -> QueueLimits {
        self.0.limits()
    }
}

#[tokio::test]
async fn what_a_new_queue_gets_does_not_go_with_the_old_one() {
    let backends: Arc<dyn Backends> = Arc::new(MemoryBackends::default());
    let project = ProjectName::default_project();
    let name = Label::new("jobs").unwrap();
    let made = Arc::new(MadeQueues::new(backends.clone()));
    let make = async || made.make(&project, &name, slow(), BTreeMap::new()).await;
    make().await.unwrap();
    let queue = backends.queue(&project, &name, &slow()).unwrap();
    queue.publish(vec![Message::new("old")]).await.unwrap();
    let removing = gust_task::spawn("removing", {
        let (made, project, name) = (made.clone(), project.clone(), name.clone());
        let queue = Slow(queue.clone());
        async move { made.remove(&project, &name, &queue).await }
    });
    while !make().await.unwrap() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    queue.publish(vec![Message::new("new")]).await.unwrap();
    removing.await.unwrap().unwrap().unwrap();
    let seen = queue.peek(None, 10).await.unwrap();
    assert_eq!(seen.len(), 1);
    assert_eq!(&seen[0].message.body[..], b"new");
}
