//! What every implementation of [`crate::Backends::commit`] does: call [`run`] with backends that hold nothing yet.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::TryStreamExt as _;
use gust_types::{ByteSize, Kind, Label, ProjectName, Result, Span, event::Cause};

use super::{Changes, Commit, MAX_WRITES, Marks, Place, Publication, Unit};
use crate::{
    Backends,
    kv::{Condition, Kv, KvExt as _, ListOptions, PutOptions, Write},
    outlet::Outlet,
    queue::{Message, Published, Queue, QueueLimits, QueueSettings, Receipt, TakeOptions, Verdict},
    sql::{Connection, Sql, Value},
    topic::{ReadOptions, Topic, TopicSettings},
};

type Shared = Arc<dyn Backends>;

/// Runs every check, each with names of its own. Needs a tokio runtime with time.
pub async fn run(backends: Shared) {
    writes_and_the_end_of_the_message_go_together(&backends).await;
    what_is_dropped_was_never_written(&backends).await;
    reads_see_the_unit_over_the_store(&backends).await;
    a_condition_that_no_longer_holds_commits_nothing(&backends).await;
    conditions_within_the_unit_hold_among_themselves(&backends).await;
    an_increment_rests_on_what_it_was_told(&backends).await;
    a_requirement_is_checked_again_at_the_end(&backends).await;
    a_receipt_that_is_over_commits_nothing(&backends).await;
    a_batch_is_one(&backends).await;
    what_is_published_goes_out_with_it(&backends).await;
    a_full_queue_commits_nothing(&backends).await;
    a_group_goes_on_afterwards(&backends).await;
    nothing_is_added_after_the_answer(&backends).await;
    a_unit_is_bounded(&backends).await;
    projects_are_apart(&backends).await;
    a_commit_wakes_who_waits(&backends).await;
}

/// Runs the checks of those that have databases too.
pub async fn with_sql(backends: Shared) {
    a_database_is_part_of_it(&backends).await;
    a_database_of_a_call_that_came_to_nothing_is_as_it_was(&backends).await;
    what_is_left_after_the_databases_commit_is_done_once(&backends).await;
    a_call_has_one_database_and_its_writes_elsewhere_rest_on_nothing(&backends).await;
    a_delivery_that_was_committed_is_not_committed_again(&backends).await;
    marks_are_forgotten_with_the_next_commit(&backends).await;
}

#[expect(clippy::panic, reason = "a suite fails its test by panicking")]
fn ok<T>(result: Result<T>) -> T {
    result.unwrap_or_else(|e| panic!("{:?}: {}", e.kind, e.chain()))
}

#[expect(clippy::panic, reason = "a suite fails its test by panicking")]
fn refused<T>(result: Result<T>, kind: Kind) {
    match result {
        Ok(_) => panic!("it has to be refused: {kind:?}"),
        Err(error) => assert_eq!(error.kind, kind, "{}", error.chain()),
    }
}

fn project() -> ProjectName {
    ProjectName::default_project()
}

fn label(name: &str) -> Label {
    ok(Label::new(name))
}

/// A queue, a store, and messages of the queue that were taken.
struct World {
    backends: Shared,
    name: Label,
    queue: Arc<dyn Queue>,
    store: Arc<dyn Kv>,
}

impl World {
    async fn new(backends: &Shared, name: &str) -> Self {
        let (project, name) = (project(), label(name));
        Self {
            queue: ok(backends.queue(&project, &name, &QueueSettings::default())),
            store: ok(backends.kv(&project, &name)),
            backends: backends.clone(),
            name,
        }
    }

    /// So many messages, published and taken.
    async fn taken(&self, count: usize, visibility: Duration) -> Vec<Receipt> {
        let messages = (0..count).map(|n| Message::new(format!("消息 {n}")));
        ok(self.queue.publish(messages.collect()).await);
        self.take(count, visibility).await
    }

    async fn take(&self, most: usize, visibility: Duration) -> Vec<Receipt> {
        let options = TakeOptions {
            most,
            visibility: Some(visibility),
            wait: Duration::from_secs(5),
        };
        let taken = ok(self.queue.take(options).await);
        taken.iter().map(|taken| taken.receipt).collect()
    }

    fn unit(&self, receipts: Vec<Receipt>) -> (Arc<Unit>, Arc<dyn Kv>) {
        let unit = Unit::new(
            self.backends.clone(),
            project(),
            self.name.clone(),
            receipts,
        );
        let kv = unit.kv(&self.name, self.store.clone());
        (unit, kv)
    }

    async fn value(&self, key: &str) -> Option<String> {
        text(&*self.store, key).await
    }

    async fn left(&self) -> u64 {
        ok(self.queue.stats().await).messages
    }
}

const LONG: Duration = Duration::from_secs(60);

async fn text(kv: &dyn Kv, key: &str) -> Option<String> {
    let found = ok(kv.get(key).await)?;
    Some(String::from_utf8_lossy(&found.value).into_owned())
}

async fn put(kv: &dyn Kv, key: &str, value: &str) {
    ok(kv.put(key, Bytes::from(value.to_owned())).await);
}

/// A store under a unit that is never committed: it has to behave as any store.
pub fn staged(backends: &Shared) -> Arc<dyn Kv> {
    let name = label("staged");
    let unit = Unit::new(backends.clone(), project(), name.clone(), Vec::new());
    unit.kv(&name, ok(backends.kv(&project(), &name)))
}

async fn writes_and_the_end_of_the_message_go_together(backends: &Shared) {
    let world = World::new(backends, "together").await;
    put(&*world.store, "gone", "x").await;
    let (unit, kv) = world.unit(world.taken(1, LONG).await);
    let second = label("together-2");
    let other = ok(backends.kv(&project(), &second));
    let over = unit.kv(&second, other.clone());
    put(&*kv, "键", "值").await;
    put(&*over, "b", "2").await;
    ok(kv.delete("gone").await);
    assert_eq!(world.value("键").await, None, "nothing before the commit");
    assert_eq!(world.left().await, 1);
    ok(unit.commit(&Marks::default()).await);
    assert_eq!(world.value("键").await.as_deref(), Some("值"));
    assert_eq!(world.value("gone").await, None);
    assert_eq!(text(&*other, "b").await.as_deref(), Some("2"));
    let stats = ok(world.queue.stats().await);
    assert_eq!((stats.messages, stats.done), (0, 1));
    // A message that is done cannot be done once more, nor can its writes.
    let (again, kv) = world.unit(vec![Receipt {
        id: crate::queue::MessageId(1),
        attempt: 1,
        until_us: 0,
        priority: 0,
    }]);
    put(&*kv, "键", "again").await;
    refused(again.commit(&Marks::default()).await, Kind::NotFound);
    assert_eq!(world.value("键").await.as_deref(), Some("值"));
}

async fn what_is_dropped_was_never_written(backends: &Shared) {
    let world = World::new(backends, "dropped").await;
    let (unit, kv) = world.unit(world.taken(1, LONG).await);
    put(&*kv, "a", "1").await;
    ok(kv.increment("n", 1).await);
    drop((unit, kv));
    assert_eq!(world.value("a").await, None);
    assert_eq!(world.value("n").await, None);
    assert_eq!(world.left().await, 1);
}

async fn reads_see_the_unit_over_the_store(backends: &Shared) {
    let world = World::new(backends, "overlay").await;
    for key in ["a", "b", "c", "订单/1", "订单/2"] {
        put(&*world.store, key, key).await;
    }
    let (_unit, kv) = world.unit(Vec::new());
    put(&*kv, "a", "new").await;
    put(&*kv, "bb", "new").await;
    put(&*kv, "订单/3", "new").await;
    put(&*kv, "z", "new").await;
    ok(kv.delete("b").await);
    ok(kv.delete("订单/1").await);
    ok(kv.delete("never there").await);
    assert_eq!(text(&*kv, "a").await.as_deref(), Some("new"));
    assert_eq!(text(&*kv, "c").await.as_deref(), Some("c"));
    assert_eq!(text(&*kv, "b").await, None);
    assert!(ok(kv.exists("bb").await) && !ok(kv.exists("b").await));
    let many: Vec<_> = ["a", "b", "c"].map(str::to_owned).into();
    let many: Vec<_> = ok(kv.get_many(&many).await)
        .into_iter()
        .map(|found| found.map(|found| found.value))
        .collect();
    assert_eq!(
        many,
        [Some(Bytes::from("new")), None, Some(Bytes::from("c"))]
    );
    let list = async |prefix: &str, after: Option<&str>| {
        let options = ListOptions {
            prefix: prefix.to_owned(),
            after: after.map(str::to_owned),
        };
        ok(kv.list(options).try_collect::<Vec<_>>().await)
    };
    let all = ["a", "bb", "c", "z", "订单/2", "订单/3"];
    assert_eq!(list("", None).await, all);
    assert_eq!(list("", Some("bb")).await, all[2..]);
    assert_eq!(list("订单/", None).await, all[4..]);
    assert_eq!(list("b", None).await, ["bb"]);
    // A value whose time is up is none, here as there.
    let put = PutOptions {
        expires_us: Some(1),
        ..PutOptions::default()
    };
    ok(kv.put_with("a", Bytes::from("over"), put).await);
    assert_eq!(text(&*kv, "a").await, None);
    assert_eq!(list("", None).await, all[1..]);
    // Others see none of it.
    assert_eq!(world.value("a").await.as_deref(), Some("a"));
}

async fn a_condition_that_no_longer_holds_commits_nothing(backends: &Shared) {
    let world = World::new(backends, "conflict").await;
    put(&*world.store, "n", "1").await;
    let receipts = world.taken(1, LONG).await;
    for key in ["n", "fresh"] {
        let (unit, kv) = world.unit(receipts.clone());
        let condition = match ok(kv.get(key).await) {
            Some(found) => Condition::Version(found.version),
            None => Condition::Absent,
        };
        let options = PutOptions {
            condition,
            ..PutOptions::default()
        };
        put(&*kv, "beside", "1").await;
        ok(kv.put_with(key, Bytes::from("2"), options).await);
        put(&*world.store, key, "somebody else's").await;
        refused(unit.commit(&Marks::default()).await, Kind::Conflict);
        assert_eq!(world.value(key).await.as_deref(), Some("somebody else's"));
        assert_eq!(world.value("beside").await, None);
        assert_eq!(world.left().await, 1);
    }
    // A condition on which nothing rests any more, since the key was written blindly before, is none.
    let (unit, kv) = world.unit(receipts);
    put(&*kv, "n", "blind").await;
    let there = ok(kv.get("n").await).map(|found| found.version);
    let options = PutOptions {
        condition: there.map_or(Condition::Absent, Condition::Version),
        ..PutOptions::default()
    };
    ok(kv.put_with("n", Bytes::from("on top"), options).await);
    put(&*world.store, "n", "somebody else's once more").await;
    ok(unit.commit(&Marks::default()).await);
    assert_eq!(world.value("n").await.as_deref(), Some("on top"));
}

async fn conditions_within_the_unit_hold_among_themselves(backends: &Shared) {
    let world = World::new(backends, "within").await;
    put(&*world.store, "n", "1").await;
    let (unit, kv) = world.unit(world.taken(1, LONG).await);
    let of = |condition| PutOptions {
        condition,
        ..PutOptions::default()
    };
    let swap = async |key: &str, condition, value: &str| {
        let value = Bytes::from(value.to_owned());
        kv.put_with(key, value, of(condition)).await
    };
    let first = ok(world.store.get("n").await).map(|found| found.version);
    let first = first.map_or(Condition::Absent, Condition::Version);
    refused(swap("n", Condition::Absent, "x").await, Kind::Conflict);
    let second = Condition::Version(ok(swap("n", first, "2").await));
    refused(swap("n", first, "x").await, Kind::Conflict);
    let third = ok(swap("n", second, "3").await);
    assert_eq!(
        ok(kv.get("n").await).map(|found| found.version),
        Some(third)
    );
    ok(kv.delete("n").await);
    refused(
        swap("n", Condition::Version(third), "x").await,
        Kind::Conflict,
    );
    ok(swap("n", Condition::Absent, "4").await);
    // A batch is all or nothing here too.
    let put = |key: &str, condition| Write::Put {
        key: key.to_owned(),
        value: Bytes::from("batch"),
        options: of(condition),
    };
    let batch = vec![put("m", Condition::Always), put("n", Condition::Absent)];
    refused(kv.write(batch).await, Kind::Conflict);
    assert_eq!(text(&*kv, "m").await, None);
    ok(unit.commit(&Marks::default()).await);
    assert_eq!(world.value("n").await.as_deref(), Some("4"));
    assert_eq!(world.value("m").await, None);
}

async fn an_increment_rests_on_what_it_was_told(backends: &Shared) {
    let world = World::new(backends, "count").await;
    let receipts = world.taken(2, LONG).await;
    let (one, first) = world.unit(vec![receipts[0]]);
    let (two, second) = world.unit(vec![receipts[1]]);
    assert_eq!(ok(first.increment("n", 2).await), 2);
    assert_eq!(ok(first.increment("n", 3).await), 5);
    assert_eq!(ok(second.increment("n", 1).await), 1);
    ok(one.commit(&Marks::default()).await);
    refused(two.commit(&Marks::default()).await, Kind::Conflict);
    let (two, second) = world.unit(vec![receipts[1]]);
    assert_eq!(ok(second.increment("n", 1).await), 6);
    ok(two.commit(&Marks::default()).await);
    assert_eq!(world.value("n").await.as_deref(), Some("6"));
}

async fn a_requirement_is_checked_again_at_the_end(backends: &Shared) {
    let world = World::new(backends, "require").await;
    let receipts = world.taken(2, LONG).await;
    for (receipt, holds) in receipts.iter().zip([true, false]) {
        let (unit, kv) = world.unit(vec![*receipt]);
        let there = ok(world.store.get("n").await).map(|found| found.version);
        let condition = there.map_or(Condition::Absent, Condition::Version);
        let key = "n".to_owned();
        ok(kv.write(vec![Write::Require { key, condition }]).await);
        put(&*kv, "m", &format!("{holds}")).await;
        if holds {
            ok(unit.commit(&Marks::default()).await);
        } else {
            put(&*world.store, "n", "somebody else").await;
            refused(unit.commit(&Marks::default()).await, Kind::Conflict);
        }
    }
    assert_eq!(world.value("m").await.as_deref(), Some("true"));
}

async fn a_receipt_that_is_over_commits_nothing(backends: &Shared) {
    let world = World::new(backends, "expired").await;
    let old = world.taken(1, Duration::from_millis(1)).await;
    let (late, kv) = world.unit(old);
    put(&*kv, "n", "late").await;
    // Somebody else has it now.
    let new = world.take(1, LONG).await;
    assert_eq!(new.len(), 1, "it comes back");
    refused(late.commit(&Marks::default()).await, Kind::NotFound);
    assert_eq!(world.value("n").await, None);
    assert_eq!(world.left().await, 1);
    let (unit, kv) = world.unit(new);
    put(&*kv, "n", "in time").await;
    ok(unit.commit(&Marks::default()).await);
    assert_eq!(world.value("n").await.as_deref(), Some("in time"));
}

async fn a_batch_is_one(backends: &Shared) {
    let world = World::new(backends, "batch").await;
    let receipts = world.taken(3, LONG).await;
    let (unit, kv) = world.unit(receipts.clone());
    put(&*kv, "n", "all").await;
    // One of them is nobody's any more.
    ok(world.queue.settle(vec![(receipts[1], Verdict::Done)]).await);
    refused(unit.commit(&Marks::default()).await, Kind::NotFound);
    assert_eq!((world.value("n").await, world.left().await), (None, 2));
    let (unit, kv) = world.unit(vec![receipts[0], receipts[2]]);
    put(&*kv, "n", "all").await;
    ok(unit.commit(&Marks::default()).await);
    assert_eq!(world.value("n").await.as_deref(), Some("all"));
    assert_eq!(world.left().await, 0);
}

/// What nobody asks but for its limits and its place.
struct Anywhere(Place);

#[async_trait::async_trait]
impl Outlet for Anywhere {
    fn shape(&self, messages: Vec<Message>, _: Option<&Cause>) -> Result<Vec<Message>> {
        Ok(messages)
    }

    async fn publish(&self, _: Vec<Message>) -> Result<Vec<Published>> {
        Err(gust_types::Error::internal("it went past the unit"))
    }

    fn limits(&self) -> QueueLimits {
        QueueLimits::default()
    }

    fn place(&self) -> Result<Place> {
        Ok(self.0.clone())
    }
}

fn anywhere(name: &Label, settings: &QueueSettings) -> Arc<dyn Outlet> {
    Arc::new(Anywhere(Place::Queue(name.clone(), settings.clone())))
}

async fn what_is_published_goes_out_with_it(backends: &Shared) {
    let world = World::new(backends, "publish").await;
    let (next, news) = (label("publish-next"), label("publish-news"));
    let settings = QueueSettings::default();
    let queue = ok(backends.queue(&project(), &next, &settings));
    let topic = ok(backends.topic(&project(), &news, &TopicSettings::default()));
    let (unit, kv) = world.unit(world.taken(1, LONG).await);
    put(&*kv, "a", "1").await;
    let outlet = unit.outlet(anywhere(&next, &settings));
    let answers = ok(outlet.publish(vec![Message::new("一")]).await);
    assert_eq!((answers.len(), answers[0].id.0), (1, 0));
    ok(outlet.publish(vec![Message::new("二").with_key("k")]).await);
    // Into the very queue that it came from, too.
    let same = unit.outlet(anywhere(&world.name, &settings));
    ok(same.publish(vec![Message::new("三")]).await);
    let to = Place::Topic(news, TopicSettings::default(), None);
    let messages = vec![Message::new("消息")];
    ok(unit.publish(Publication { to, messages }));
    assert_eq!(ok(queue.stats().await).messages, 0, "nothing yet");
    ok(unit.commit(&Marks::default()).await);
    let bodies: Vec<_> = ok(queue.take(TakeOptions::default()).await)
        .into_iter()
        .map(|taken| taken.message.body)
        .collect();
    assert_eq!(bodies, [Bytes::from("一"), Bytes::from("二")]);
    assert_eq!(world.left().await, 1, "one done, one published");
    let options = ReadOptions {
        after: Default::default(),
        most: 10,
        wait: Duration::ZERO,
    };
    let read = ok(topic.read(options).await);
    assert_eq!(read.len(), 1);
    assert_eq!(&read[0].message.body[..], "消息".as_bytes());
}

async fn a_full_queue_commits_nothing(backends: &Shared) {
    let world = World::new(backends, "full").await;
    let (unit, kv) = world.unit(world.taken(1, LONG).await);
    put(&*kv, "a", "1").await;
    let small = QueueSettings {
        max_bytes: ByteSize(1500),
        ..QueueSettings::default()
    };
    for (name, body) in [
        ("full-first", "fits"),
        ("full-small", &"x".repeat(2000)[..]),
    ] {
        let outlet = unit.outlet(anywhere(&label(name), &small));
        ok(outlet.publish(vec![Message::new(body.to_owned())]).await);
    }
    refused(unit.commit(&Marks::default()).await, Kind::Exhausted);
    assert_eq!((world.value("a").await, world.left().await), (None, 1));
    let first = ok(backends.queue(&project(), &label("full-first"), &small));
    assert_eq!(ok(first.stats().await).messages, 0);
}

async fn a_group_goes_on_afterwards(backends: &Shared) {
    let world = World::new(backends, "group").await;
    let of = |body: &str| Message::new(body.to_owned()).in_group("客户 3");
    ok(world.queue.publish(vec![of("1"), of("2")]).await);
    let first = world.take(10, LONG).await;
    assert_eq!(first.len(), 1);
    let (unit, kv) = world.unit(first);
    put(&*kv, "a", "1").await;
    ok(unit.commit(&Marks::default()).await);
    assert_eq!(world.take(10, LONG).await.len(), 1);
}

async fn nothing_is_added_after_the_answer(backends: &Shared) {
    let world = World::new(backends, "closed").await;
    let (unit, kv) = world.unit(world.taken(1, LONG).await);
    put(&*kv, "a", "1").await;
    unit.close();
    refused(kv.put("b", Bytes::from("2")).await, Kind::Invalid);
    refused(kv.get("a").await, Kind::Invalid);
    refused(kv.increment("n", 1).await, Kind::Invalid);
    let listed = kv.list(ListOptions::default()).try_collect::<Vec<_>>();
    refused(listed.await, Kind::Invalid);
    ok(unit.commit(&Marks::default()).await);
    assert_eq!(world.value("a").await.as_deref(), Some("1"));
    assert_eq!(world.value("b").await, None);
}

async fn a_unit_is_bounded(backends: &Shared) {
    let world = World::new(backends, "bounded").await;
    let (_unit, kv) = world.unit(Vec::new());
    for n in 0..MAX_WRITES {
        put(&*kv, &n.to_string(), "x").await;
    }
    refused(kv.put("more", Bytes::from("x")).await, Kind::Exhausted);
    // What is there already may be written again.
    put(&*kv, "7", "y").await;
    let (_unit, kv) = world.unit(Vec::new());
    let large = Bytes::from(vec![0; 1 << 19]);
    for n in 0..31 {
        ok(kv.put(&n.to_string(), large.clone()).await);
    }
    refused(
        kv.put("over", Bytes::from(vec![0; 1 << 20])).await,
        Kind::Exhausted,
    );
    for _ in 0..100 {
        ok(kv.put("0", large.clone()).await);
    }
}

async fn projects_are_apart(backends: &Shared) {
    let world = World::new(backends, "apart").await;
    let other = ok(ProjectName::new("other"));
    let (unit, kv) = world.unit(world.taken(1, LONG).await);
    put(&*kv, "a", "1").await;
    ok(unit.commit(&Marks::default()).await);
    let theirs = ok(backends.kv(&other, &world.name));
    assert_eq!(text(&*theirs, "a").await, None);
    // A receipt of one project is worth nothing in another.
    let receipts = world.taken(1, LONG).await;
    let commit = Commit {
        queue: Some(world.name.clone()),
        receipts,
        stores: vec![Changes {
            store: world.name.clone(),
            checks: Vec::new(),
            writes: vec![Write::Delete { key: "a".into() }],
        }],
        published: Vec::new(),
    };
    refused(backends.commit(&other, commit).await, Kind::NotFound);
}

async fn a_commit_wakes_who_waits(backends: &Shared) {
    let world = World::new(backends, "wakes").await;
    let next = label("wakes-next");
    let brief = QueueSettings {
        visibility: Span::secs(30),
        ..QueueSettings::default()
    };
    let queue = ok(backends.queue(&project(), &next, &brief));
    let (unit, _) = world.unit(world.taken(1, LONG).await);
    let outlet = unit.outlet(anywhere(&next, &brief));
    ok(outlet.publish(vec![Message::new("x")]).await);
    let options = TakeOptions {
        wait: Duration::from_secs(20),
        ..TakeOptions::default()
    };
    let (taken, committed) = tokio::join!(queue.take(options), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        unit.commit(&Marks::default()).await
    });
    ok(committed);
    assert_eq!(ok(taken).len(), 1);
}

/// Runs a statement and answers its first number.
async fn run_sql(c: &dyn Connection, statement: &str) -> Result<Option<i64>> {
    let answer = c.execute(statement, Vec::new()).await?;
    let rows: Vec<_> = answer.rows.try_collect().await?;
    Ok(match rows.first().and_then(|row| row.first()) {
        Some(Value::Integer(n)) => Some(*n),
        _ => None,
    })
}

impl World {
    fn database(&self) -> Arc<dyn Sql> {
        ok(self.backends.sql(&project(), &self.name))
    }

    async fn sql(&self, statement: &str) -> Option<i64> {
        let c = ok(self.database().connect().await);
        ok(run_sql(&*c, statement).await)
    }

    async fn with_table(backends: &Shared, name: &str) -> Self {
        let world = Self::new(backends, name).await;
        world.sql("CREATE TABLE t (n INTEGER)").await;
        world
    }
}

const INSERT: &str = "INSERT INTO t VALUES (1)";
const COUNT: &str = "SELECT count(*) FROM t";

async fn a_database_is_part_of_it(backends: &Shared) {
    let world = World::with_table(backends, "sql").await;
    let receipts = world.taken(1, LONG).await;
    let (unit, kv) = world.unit(receipts.clone());
    let database = unit.sql(&world.name, world.database());
    // Connections of the call are one.
    let one = ok(database.connect().await);
    let two = ok(database.connect().await);
    put(&*kv, "键", "值").await;
    ok(run_sql(&*one, INSERT).await);
    ok(run_sql(&*two, INSERT).await);
    assert_eq!(ok(run_sql(&*one, COUNT).await), Some(2));
    assert_eq!(ok(two.effect().await).changes, 1);
    for own in ["BEGIN", "COMMIT", "END", "ROLLBACK", "BEGIN IMMEDIATE"] {
        let error = run_sql(&*one, own).await.err();
        let error = error.map(|e| (e.kind, e.message.contains("leave out BEGIN")));
        assert_eq!(error, Some((Kind::Invalid, true)), "{own}");
    }
    for own in ["SAVEPOINT a", INSERT, "ROLLBACK TO a", "RELEASE a"] {
        ok(run_sql(&*one, own).await);
    }
    assert_eq!(world.sql(COUNT).await, Some(0), "nothing before the commit");
    ok(unit.commit(&Marks::default()).await);
    assert_eq!(world.sql(COUNT).await, Some(2));
    assert_eq!(world.value("键").await.as_deref(), Some("值"));
    assert_eq!(world.left().await, 0);
    refused(run_sql(&*one, INSERT).await, Kind::Invalid);
    assert_eq!(world.sql(COUNT).await, Some(2));
    // A connection that was a unit's is as any other afterwards.
    let c = ok(world.database().connect().await);
    for own in ["BEGIN", INSERT, "ROLLBACK"] {
        ok(run_sql(&*c, own).await);
    }
    assert_eq!(world.sql(COUNT).await, Some(2));
}

async fn a_database_of_a_call_that_came_to_nothing_is_as_it_was(backends: &Shared) {
    let world = World::with_table(backends, "sql-nothing").await;
    let receipts = world.taken(1, LONG).await;
    let (unit, _) = world.unit(receipts.clone());
    let c = ok(unit.sql(&world.name, world.database()).connect().await);
    ok(run_sql(&*c, INSERT).await);
    // Whoever still holds on to the connection holds up nobody.
    unit.abandon();
    assert_eq!(world.sql(COUNT).await, Some(0));
    world.sql(INSERT).await;
    refused(run_sql(&*c, INSERT).await, Kind::Invalid);
    // A statement may end the transaction; nothing runs outside of it then, and nothing is committed.
    world.sql("CREATE UNIQUE INDEX one ON t (n)").await;
    let (unit, kv) = world.unit(receipts.clone());
    let c = ok(unit.sql(&world.name, world.database()).connect().await);
    put(&*kv, "a", "1").await;
    ok(run_sql(&*c, "INSERT INTO t VALUES (2)").await);
    refused(
        run_sql(&*c, "INSERT OR ROLLBACK INTO t VALUES (1)").await,
        Kind::Conflict,
    );
    refused(
        run_sql(&*c, "INSERT INTO t VALUES (3)").await,
        Kind::Conflict,
    );
    refused(unit.commit(&Marks::default()).await, Kind::Conflict);
    assert!(!unit.is_sealed());
    assert_eq!(world.sql(COUNT).await, Some(1));
    assert_eq!((world.value("a").await, world.left().await), (None, 1));
    let database = [world.database()];
    let left = ok(Unit::unfinished(&database, &world.name, &receipts).await);
    assert!(left.is_none());
}

/// Backends that go down where the database has committed and nothing else has.
struct Down(Shared);

#[async_trait::async_trait]
impl Backends for Down {
    fn kv(&self, project: &ProjectName, name: &Label) -> Result<Arc<dyn Kv>> {
        self.0.kv(project, name)
    }

    fn stores(&self, project: &ProjectName) -> Result<Vec<Label>> {
        self.0.stores(project)
    }

    fn sql(&self, project: &ProjectName, name: &Label) -> Result<Arc<dyn Sql>> {
        self.0.sql(project, name)
    }

    fn databases(&self, project: &ProjectName) -> Result<Vec<Label>> {
        self.0.databases(project)
    }

    fn queue(
        &self,
        project: &ProjectName,
        name: &Label,
        settings: &QueueSettings,
    ) -> Result<Arc<dyn Queue>> {
        self.0.queue(project, name, settings)
    }

    fn queues(&self, project: &ProjectName) -> Result<Vec<Label>> {
        self.0.queues(project)
    }

    fn topic(
        &self,
        project: &ProjectName,
        name: &Label,
        settings: &TopicSettings,
    ) -> Result<Arc<dyn Topic>> {
        self.0.topic(project, name, settings)
    }

    fn topics(&self, project: &ProjectName) -> Result<Vec<Label>> {
        self.0.topics(project)
    }

    fn blob(&self, project: &ProjectName, name: &Label) -> Result<Arc<dyn crate::blob::Bucket>> {
        self.0.blob(project, name)
    }

    fn buckets(&self, project: &ProjectName) -> Result<Vec<Label>> {
        self.0.buckets(project)
    }

    fn uploads(
        &self,
        project: &ProjectName,
        name: &Label,
    ) -> Result<Arc<dyn crate::blob::Uploads>> {
        self.0.uploads(project, name)
    }

    async fn bucket(
        &self,
        project: &ProjectName,
        name: &Label,
    ) -> Result<Option<crate::blob::BucketInfo>> {
        self.0.bucket(project, name).await
    }

    async fn make_bucket(&self, project: &ProjectName, name: &Label) -> Result<bool> {
        self.0.make_bucket(project, name).await
    }

    async fn remove_bucket(&self, project: &ProjectName, name: &Label) -> Result<bool> {
        self.0.remove_bucket(project, name).await
    }

    fn own_queues(&self, project: &ProjectName) -> Result<Vec<Label>> {
        self.0.own_queues(project)
    }

    fn streams(&self) -> Result<Vec<(ProjectName, crate::changes::Watched)>> {
        self.0.streams()
    }

    async fn commit(&self, _: &ProjectName, _: Commit) -> Result<()> {
        Err(gust_types::Error::unavailable("the node goes down here"))
    }
}

async fn what_is_left_after_the_databases_commit_is_done_once(backends: &Shared) {
    let world = World::with_table(backends, "sql-left").await;
    let old = world.taken(1, LONG).await;
    let down: Shared = Arc::new(Down(backends.clone()));
    let unit = Unit::new(down, project(), world.name.clone(), old.clone());
    let kv = unit.kv(&world.name, world.store.clone());
    let next = label("sql-left-next");
    let queue = ok(backends.queue(&project(), &next, &QueueSettings::default()));
    let outlet = unit.outlet(anywhere(&next, &QueueSettings::default()));
    let c = ok(unit.sql(&world.name, world.database()).connect().await);
    ok(run_sql(&*c, INSERT).await);
    put(&*kv, "键", "值").await;
    ok(kv.delete("x").await);
    ok(outlet.publish(vec![Message::new("消息")]).await);
    refused(unit.commit(&Marks::default()).await, Kind::Unavailable);
    assert!(unit.is_sealed());
    assert_eq!(world.sql(COUNT).await, Some(1));
    assert_eq!((world.value("键").await, world.left().await), (None, 1));
    ok(world.queue.release().await);
    let new = world.take(1, LONG).await;
    let databases = [
        ok(backends.sql(&project(), &label("never-used"))),
        world.database(),
    ];
    let left = ok(Unit::unfinished(&databases, &world.name, &new).await);
    ok(backends.commit(&project(), left.unwrap_or_default()).await);
    assert_eq!(world.value("键").await.as_deref(), Some("值"));
    assert_eq!(ok(queue.stats().await).messages, 1);
    assert_eq!((world.sql(COUNT).await, world.left().await), (Some(1), 0));
    // Of another message there is nothing.
    let other = world.taken(1, LONG).await;
    let left = ok(Unit::unfinished(&databases, &world.name, &other).await);
    assert!(left.is_none());
}

async fn a_call_has_one_database_and_its_writes_elsewhere_rest_on_nothing(backends: &Shared) {
    let world = World::with_table(backends, "sql-one").await;
    let (second, receipts) = (label("sql-second"), world.taken(2, LONG).await);
    let (unit, kv) = world.unit(vec![receipts[0]]);
    let c = ok(unit.sql(&world.name, world.database()).connect().await);
    let other = ok(backends.sql(&project(), &second));
    let other = ok(unit.sql(&second, other).connect().await);
    ok(run_sql(&*c, INSERT).await);
    refused(run_sql(&*other, "SELECT 1").await, Kind::Invalid);
    refused(kv.increment("n", 1).await, Kind::Invalid);
    put(&*kv, "n", "7").await;
    // What the call wrote itself it may rest on.
    assert_eq!(ok(kv.increment("n", 1).await), 8);
    ok(unit.commit(&Marks::default()).await);
    assert_eq!(world.value("n").await.as_deref(), Some("8"));
    let (unit, kv) = world.unit(vec![receipts[1]]);
    ok(kv.increment("n", 1).await);
    let c = ok(unit.sql(&world.name, world.database()).connect().await);
    refused(run_sql(&*c, INSERT).await, Kind::Invalid);
    unit.abandon();
    let (unit, _) = world.unit(receipts);
    let c = ok(unit.sql(&world.name, world.database()).connect().await);
    refused(run_sql(&*c, INSERT).await, Kind::Invalid);
}

async fn a_delivery_that_was_committed_is_not_committed_again(backends: &Shared) {
    let world = World::with_table(backends, "sql-again").await;
    let receipts = world.taken(1, LONG).await;
    for is_first in [true, false] {
        // The other one did not look before it called, or looked too early.
        let (unit, _) = world.unit(receipts.clone());
        let c = ok(unit.sql(&world.name, world.database()).connect().await);
        ok(run_sql(&*c, INSERT).await);
        let committed = unit.commit(&Marks::default()).await;
        match is_first {
            true => ok(committed),
            false => refused(committed, Kind::Conflict),
        }
        drop(c);
    }
    assert_eq!(world.sql(COUNT).await, Some(1));
    // One whose time is up does not even try.
    let late = world.taken(1, Duration::from_millis(1)).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let (unit, _) = world.unit(late);
    let c = ok(unit.sql(&world.name, world.database()).connect().await);
    ok(run_sql(&*c, INSERT).await);
    refused(unit.commit(&Marks::default()).await, Kind::NotFound);
    drop(c);
    assert_eq!(world.sql(COUNT).await, Some(1));
}

async fn marks_are_forgotten_with_the_next_commit(backends: &Shared) {
    let world = World::with_table(backends, "sql-marks").await;
    let marks = Marks::default();
    let mut all = Vec::new();
    for _ in 0..3 {
        let receipts = world.taken(1, LONG).await;
        let (unit, _) = world.unit(receipts.clone());
        let c = ok(unit.sql(&world.name, world.database()).connect().await);
        ok(run_sql(&*c, INSERT).await);
        ok(unit.commit(&marks).await);
        all.push(receipts);
    }
    let mut there = Vec::new();
    for receipts in &all {
        let database = [world.database()];
        let left = Unit::unfinished(&database, &world.name, receipts).await;
        there.push(ok(left).is_some());
    }
    assert_eq!(there, [false, false, true]);
}
