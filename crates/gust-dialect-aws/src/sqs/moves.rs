//! Messages of a dead-letter queue on their way back: tasks that go on until nothing is left to move.
//!
//! Each message goes out of one queue and into the other in one commit. What is kept of a queue's last task is in a store
//! of the project (`m/` queue); one that was running when the node went down goes on with the first request of its project.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use gust_backend::{
    desk::doors,
    kv::{Kv, KvExt as _, ListOptions},
    queue::{Queue, TakeOptions, Taken, Verdict},
    unit::{Commit, Place, Publication},
};
use gust_task::{Stop, clock, ids};
use gust_types::{Error, Kind, Label, ProjectName};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use super::{Named, message, redrive};
use crate::{
    Inner,
    fault::{Code, Fault, Result},
    gate::Call,
    names,
};

/// Messages moved between two looks at whether to go on.
const STEP: usize = 10;
/// For how long a message is the task's.
const HELD: Duration = Duration::from_secs(60);
/// How long a task that goes on waits before it looks again for what the node had when it went down.
const PAUSE: Duration = Duration::from_secs(1);
/// Messages that are looked at for it.
const LOOKED_AT: usize = 10_000;
/// Messages a second, at most.
const FASTEST: i64 = 500;
/// Tasks that may be running in a project.
const TASKS: usize = 100;

/// The tasks that run.
#[derive(Default)]
pub(crate) struct Moves {
    running: Mutex<HashMap<(ProjectName, Label), Stop>>,
    /// Projects whose tasks were looked for.
    resumed: Mutex<HashSet<ProjectName>>,
}

/// The last task of a queue.
#[derive(Debug, Clone)]
struct Task {
    id: String,
    source: Label,
    /// Where messages go; where they came from without.
    to: Option<Label>,
    status: &'static str,
    started_us: u64,
    moved: u64,
    total: u64,
    per_second: Option<u64>,
    failure: Option<String>,
    /// It went on after the node was down: what it had then is nobody's until this.
    held_until: Option<Instant>,
}

const RUNNING: &str = "RUNNING";
/// How a task ends.
const ENDS: [&str; 3] = ["COMPLETED", "CANCELLED", "FAILED"];

fn no_resource(what: &str) -> Fault {
    Code::NO_RESOURCE.says(format!(
        "The resource that you specified does not exist: {what}"
    ))
}

pub(crate) async fn start(call: &Call<'_>) -> Result<Value> {
    let params = call.params()?;
    let source = source(call).await?;
    let to = match params.text("DestinationArn")? {
        Some(arn) => Some(named(call, arn).await?.label),
        None => None,
    };
    let per_second = params.number("MaxNumberOfMessagesPerSecond", 1, FASTEST)?;
    if redrive::sources(call, &source.label).await?.is_empty() {
        return Err(Code::PARAMETER.says("Source queue must be configured as a Dead Letter Queue."));
    }
    let fifo = names::is_fifo(&source.label);
    if to
        .as_ref()
        .is_some_and(|to| names::is_fifo(to) != fifo || *to == source.label)
    {
        return Err(Code::PARAMETER
            .says("The destination has to be another queue of the same type as the source."));
    }
    let [total, ..] = redrive::counts(&*call.open(&source)?).await?;
    let task = Task {
        id: ids::call_id().to_string(),
        source: source.label,
        to,
        status: RUNNING,
        started_us: clock::unix_micros(),
        moved: 0,
        total,
        per_second: per_second.map(i64::unsigned_abs),
        failure: None,
        held_until: None,
    };
    let handle = task.handle(call);
    let stop = claim(call.door, &call.project, &task.source)?;
    let saved = task.save(&*store(call.door, &call.project)?).await;
    if let Err(error) = saved {
        release(call.door, &call.project, &task.source);
        return Err(error.into());
    }
    spawn(call.door.clone(), call.project.clone(), task, stop);
    Ok(json!({ "TaskHandle": handle }))
}

pub(crate) async fn list(call: &Call<'_>) -> Result<Value> {
    call.params()?.number("MaxResults", 1, 10)?;
    let source = source(call).await?;
    let task = Task::load(&*store(call.door, &call.project)?, &source.label).await?;
    let shown: Vec<_> = task.iter().map(|task| task.show(call)).collect();
    Ok(json!({ "Results": shown }))
}

pub(crate) async fn cancel(call: &Call<'_>) -> Result<Value> {
    let handle = call.params()?.need("TaskHandle")?;
    let odd = || Fault::value("TaskHandle", handle, "It is none of ours");
    let bytes = BASE64.decode(handle).map_err(|_| odd())?;
    let said: Value = serde_json::from_slice(&bytes).map_err(|_| odd())?;
    let text = |name: &str| said.get(name).and_then(Value::as_str);
    let source = text("sourceArn").and_then(|arn| names::of_arn(arn, "sqs"));
    let source = source.and_then(names::label).ok_or_else(odd)?;
    let task = Task::load(&*store(call.door, &call.project)?, &source).await?;
    let ours = |task: &Task| task.status == RUNNING && Some(task.id.as_str()) == text("taskId");
    let task = task.filter(ours).ok_or_else(|| no_resource("TaskHandle"))?;
    let running = call.door.moves.running.lock();
    let stop = running.get(&(call.project.clone(), source));
    stop.ok_or_else(|| no_resource("TaskHandle"))?.stop();
    Ok(json!({ "ApproximateNumberOfMessagesMoved": task.moved }))
}

async fn source(call: &Call<'_>) -> Result<Named> {
    named(call, call.params()?.need("SourceArn")?).await
}

async fn named(call: &Call<'_>, arn: &str) -> Result<Named> {
    let label = names::of_arn(arn, "sqs").and_then(names::label);
    let label = label.ok_or_else(|| Fault::value("Arn", arn, "It is that of no queue"))?;
    let found = call.find(label).await;
    found.map_err(|fault| match fault.code {
        Code::NO_QUEUE => no_resource(arn),
        _ => fault,
    })
}

fn store(door: &Inner, project: &ProjectName) -> gust_types::Result<Arc<dyn Kv>> {
    doors(&*door.parts.backends, project)
}

/// Goes on with what was running when the node went down, once for each project.
pub(crate) async fn resume(door: &Arc<Inner>, project: &ProjectName) -> Result<()> {
    if door.moves.resumed.lock().contains(project) {
        return Ok(());
    }
    let store = store(door, project)?;
    let options = ListOptions {
        prefix: "m/".to_owned(),
        after: None,
    };
    let (keys, _) = store.keys(options, 1000).await?;
    for key in keys {
        let name = key.strip_prefix("m/").map(Label::new);
        let Some(Ok(label)) = name else { continue };
        let task = Task::load(&*store, &label).await?;
        let Some(mut task) = task.filter(|task| task.status == RUNNING) else {
            continue;
        };
        task.held_until = Some(clock::now() + HELD);
        if let Ok(stop) = claim(door, project, &label) {
            spawn(door.clone(), project.clone(), task, stop);
        }
    }
    door.moves.resumed.lock().insert(project.clone());
    Ok(())
}

/// One task for each queue.
fn claim(door: &Inner, project: &ProjectName, source: &Label) -> Result<Stop> {
    let mut running = door.moves.running.lock();
    let key = (project.clone(), source.clone());
    if running.contains_key(&key) {
        return Err(Code::UNSUPPORTED.says("There is already a task running."));
    }
    if running.keys().filter(|(of, _)| of == project).count() >= TASKS {
        return Err(Code::OVER_LIMIT.says(format!("There are {TASKS} tasks running.")));
    }
    let stop = Stop::new();
    running.insert(key, stop.clone());
    Ok(stop)
}

fn release(door: &Inner, project: &ProjectName, source: &Label) {
    let key = (project.clone(), source.clone());
    door.moves.running.lock().remove(&key);
}

fn spawn(door: Arc<Inner>, project: ProjectName, mut task: Task, stop: Stop) {
    gust_task::spawn("message move", async move {
        match run(&door, &project, &mut task, &stop).await {
            Ok(Some(end)) => task.status = end,
            // The door closes; the next one goes on.
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(queue = %task.source, error = error.chain(), "a message move failed");
                task.status = "FAILED";
                task.failure = Some(error.message);
            }
        }
        if let Ok(store) = store(&door, &project)
            && let Err(error) = task.save(&*store).await
        {
            tracing::warn!(queue = %task.source, error = error.chain(), "the end of a message move is not kept");
        }
        release(&door, &project, &task.source);
    });
}

/// Moves until nothing is left; answers how it ended.
async fn run(
    door: &Inner,
    project: &ProjectName,
    task: &mut Task,
    stop: &Stop,
) -> gust_types::Result<Option<&'static str>> {
    let desk = &door.parts.desk;
    let step = task.per_second.map_or(STEP, |most| STEP.min(most as usize));
    loop {
        if stop.is_stopped() {
            return Ok(Some("CANCELLED"));
        }
        if door.closing.is_stopped() {
            return Ok(None);
        }
        if desk.find_queue(project, &task.source).await?.is_none() {
            return Err(Error::not_found("the source queue was deleted"));
        }
        let queue = desk.queue(project, &task.source)?;
        let options = TakeOptions {
            most: step,
            visibility: Some(HELD),
            wait: Duration::ZERO,
        };
        // Looked at before the taking: what comes back in between is there for it.
        let held = task.held_until.is_some_and(|until| clock::now() <= until);
        let held = held && has_taken(&*queue).await?;
        let taken = queue.take(options).await?;
        if taken.is_empty() {
            if !held {
                return Ok(Some("COMPLETED"));
            }
            rest(door, stop, PAUSE).await;
            continue;
        }
        let count = taken.len();
        step_over(door, project, task, &*queue, taken).await?;
        task.save(&*store(door, project)?).await?;
        if let Some(most) = task.per_second {
            let pause = Duration::from_secs(1).mul_f64(count as f64 / most as f64);
            rest(door, stop, pause).await;
        }
    }
}

/// Whether there are messages that may come back.
async fn has_taken(queue: &dyn Queue) -> gust_types::Result<bool> {
    let timed = queue.timed(LOOKED_AT).await?;
    Ok(timed.taken > 0 || timed.more)
}

async fn rest(door: &Inner, stop: &Stop, pause: Duration) {
    tokio::select! {
        () = tokio::time::sleep(pause) => {}
        () = stop.stopped() => {}
        () = door.closing.stopped() => {}
    }
}

/// Moves what was taken. What cannot go is put back, with all behind it.
async fn step_over(
    door: &Inner,
    project: &ProjectName,
    task: &mut Task,
    queue: &dyn Queue,
    taken: Vec<Taken>,
) -> gust_types::Result<()> {
    let mut taken = taken.into_iter();
    while let Some(next) = taken.next() {
        match one(door, project, task, &next).await {
            Ok(()) => task.moved += 1,
            Err(error)
                if error.kind == Kind::NotFound && error.blame == gust_types::Blame::Caller =>
            {
                tracing::debug!(queue = %task.source, "a message is gone before it was moved");
            }
            Err(error) => {
                let back = |taken: Taken| (taken.receipt, Verdict::Back(Duration::ZERO));
                let rest = std::iter::once(next).chain(taken).map(back);
                let _ = queue.settle(rest.collect()).await;
                return Err(error);
            }
        }
    }
    Ok(())
}

async fn one(
    door: &Inner,
    project: &ProjectName,
    task: &Task,
    taken: &Taken,
) -> gust_types::Result<()> {
    let (message, origin) = message::returned(taken);
    let to = task.to.clone().or(origin);
    let to = to.ok_or_else(|| Error::internal("CouldNotDetermineMessageSource"))?;
    let found = door.parts.desk.find_queue(project, &to).await?;
    let found = found.ok_or_else(|| Error::internal("the destination queue was deleted"))?;
    let commit = Commit {
        queue: Some(task.source.clone()),
        receipts: vec![taken.receipt],
        published: vec![Publication {
            to: Place::Queue(to, found.settings),
            messages: vec![message],
        }],
        ..Commit::default()
    };
    door.parts.backends.commit(project, commit).await
}

// === impl Task ===

impl Task {
    fn handle(&self, call: &Call<'_>) -> String {
        let arn = call.arn(&self.source);
        BASE64.encode(json!({ "taskId": self.id, "sourceArn": arn }).to_string())
    }

    fn show(&self, call: &Call<'_>) -> Value {
        let mut shown = Map::new();
        let mut say = |name: &str, value: Option<Value>| {
            shown.extend(value.map(|value| (name.to_owned(), value)));
        };
        let running = self.status == RUNNING;
        say("TaskHandle", running.then(|| self.handle(call).into()));
        say("Status", Some(self.status.into()));
        say("SourceArn", Some(call.arn(&self.source).into()));
        say(
            "DestinationArn",
            self.to.as_ref().map(|to| call.arn(to).into()),
        );
        say(
            "MaxNumberOfMessagesPerSecond",
            self.per_second.map(Value::from),
        );
        say("ApproximateNumberOfMessagesMoved", Some(self.moved.into()));
        say("ApproximateNumberOfMessagesToMove", Some(self.total.into()));
        say("FailureReason", self.failure.clone().map(Value::from));
        say("StartedTimestamp", Some((self.started_us / 1000).into()));
        Value::Object(shown)
    }

    async fn save(&self, store: &dyn Kv) -> gust_types::Result<()> {
        let value = json!({
            "id": self.id, "to": self.to.as_ref().map(Label::as_str), "status": self.status,
            "started": self.started_us, "moved": self.moved, "total": self.total,
            "most": self.per_second, "failure": self.failure,
        });
        let key = format!("m/{}", self.source);
        store.put(&key, value.to_string().into()).await?;
        Ok(())
    }

    async fn load(store: &dyn Kv, source: &Label) -> gust_types::Result<Option<Self>> {
        let found = store.get(&format!("m/{source}")).await?;
        let Some(found) = found else { return Ok(None) };
        let value: Value = serde_json::from_slice(&found.value).map_err(|e| {
            Error::internal("the record of a message move cannot be read").because(e)
        })?;
        let text = |name: &str| value.get(name).and_then(Value::as_str);
        let number = |name: &str| value.get(name).and_then(Value::as_u64);
        let end = ENDS.into_iter().find(|end| text("status") == Some(end));
        Ok(Some(Self {
            id: text("id").unwrap_or_default().to_owned(),
            source: source.clone(),
            to: text("to").and_then(|to| Label::new(to).ok()),
            status: end.unwrap_or(RUNNING),
            started_us: number("started").unwrap_or_default(),
            moved: number("moved").unwrap_or_default(),
            total: number("total").unwrap_or_default(),
            per_second: number("most"),
            failure: text("failure").map(str::to_owned),
            held_until: None,
        }))
    }
}
