//! A stream, read in a consumer group.
//!
//! First what this consumer had been given before and not acknowledged, then what other consumers left behind, then what is
//! new. An entry is acknowledged when it is durable here; one that is given twice has the same name and is kept once.

use std::{
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::{Duration, Instant},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use gust_task::{Stop, clock};
use gust_trigger::{Inbox, Incoming, Peer, Place, carried};
use gust_types::{Digest, Kind, Result};
use serde_json::{Map, Value as Json};

use crate::{
    From,
    connection::{ANSWER, Connection},
    resp::Value,
};

/// Entries read at once.
const MOST: usize = 256;
/// How long Redis waits for the next entry before it answers that there is none.
const BLOCK: Duration = Duration::from_secs(5);

pub(crate) struct Stream {
    name: String,
    group: String,
    consumer: String,
    from: From,
    claim_after: Duration,
    /// Entries read at once: fewer after a reply that was too large.
    count: AtomicUsize,
}

/// An entry, as it is when it was deleted meanwhile too.
struct Entry {
    id: String,
    fields: Option<Vec<(Bytes, Bytes)>>,
}

// === impl Stream ===

impl Stream {
    pub(crate) fn new(
        name: String,
        group: String,
        consumer: String,
        from: From,
        claim_after: Duration,
    ) -> Self {
        Self {
            name,
            group,
            consumer,
            from,
            claim_after,
            count: AtomicUsize::new(MOST),
        }
    }

    pub(crate) async fn run(
        &self,
        mut connection: Connection,
        peer: &Peer,
        to: &dyn Inbox,
        stop: Stop,
    ) -> Result<()> {
        let reading = self.read_on(&mut connection, peer, to, &stop);
        // Cut off anywhere: what was given and not acknowledged is given again.
        let ended = tokio::select! {
            ended = reading => ended,
            () = stop.stopped() => return Ok(()),
        };
        if let Err(error) = &ended
            && error.kind == Kind::Exhausted
        {
            let count = self.count.load(Relaxed);
            self.count.store((count / 8).max(1), Relaxed);
        }
        ended
    }

    async fn read_on(
        &self,
        connection: &mut Connection,
        peer: &Peer,
        to: &dyn Inbox,
        stop: &Stop,
    ) -> Result<()> {
        self.join(connection).await?;
        to.connected();
        let mut seen = "0".to_owned();
        while let Some(last) = self.own(connection, peer, to, &seen).await? {
            seen = last;
        }
        let mut claimed: Option<Instant> = None;
        while !stop.is_stopped() {
            if claimed.is_none_or(|at| at.elapsed() >= self.claim_after) {
                self.claim(connection, peer, to).await?;
                claimed = Some(clock::now());
            }
            let block = BLOCK.min(self.claim_after).as_millis().to_string();
            let more = ["BLOCK", &block, "STREAMS", &self.name, ">"];
            let reply = self.read_group(connection, &more).await?;
            self.bring(connection, peer, to, of_streams(reply)).await?;
        }
        Ok(())
    }

    /// Makes the group, and the stream with it, unless it is there.
    async fn join(&self, connection: &mut Connection) -> Result<()> {
        let from = match self.from {
            From::Start => "0",
            From::End => "$",
        };
        let words = [
            "XGROUP",
            "CREATE",
            &self.name,
            &self.group,
            from,
            "MKSTREAM",
        ];
        match connection.ask(&words, ANSWER).await {
            Err(error) if error.message.contains("BUSYGROUP") => Ok(()),
            ended => ended.map(drop),
        }
    }

    /// What this consumer was given after `seen` and did not acknowledge. Answers the last id, `None` when there is no more.
    async fn own(
        &self,
        connection: &mut Connection,
        peer: &Peer,
        to: &dyn Inbox,
        seen: &str,
    ) -> Result<Option<String>> {
        let more = ["STREAMS", &self.name, seen];
        let reply = self.read_group(connection, &more).await?;
        let entries = of_streams(reply);
        let last = entries.last().map(|entry| entry.id.clone());
        self.bring(connection, peer, to, entries).await?;
        Ok(last)
    }

    async fn read_group(&self, connection: &mut Connection, more: &[&str]) -> Result<Value> {
        let count = self.count.load(Relaxed).to_string();
        let mut words = vec!["XREADGROUP", "GROUP", &self.group, &self.consumer];
        words.extend(["COUNT", &count]);
        words.extend(more);
        let read = connection.ask(&words, BLOCK + ANSWER).await?;
        // Large entries come in bursts; read one by one, small ones would cost a round trip each.
        let grown = |count: usize| (count < MOST).then_some((count * 2).min(MOST));
        let _ = self.count.fetch_update(Relaxed, Relaxed, grown);
        Ok(read)
    }

    /// What other consumers were given long ago and did not acknowledge.
    async fn claim(&self, connection: &mut Connection, peer: &Peer, to: &dyn Inbox) -> Result<()> {
        let idle = self.claim_after.as_millis().to_string();
        let mut cursor = "0-0".to_owned();
        loop {
            let count = self.count.load(Relaxed).to_string();
            let mut words = vec!["XAUTOCLAIM", &self.name, &self.group, &self.consumer];
            words.extend([idle.as_str(), &cursor, "COUNT", &count]);
            let mut reply = connection.ask(&words, ANSWER).await?.items().into_iter();
            let next = reply.next().and_then(Value::bytes).unwrap_or_default();
            let entries = reply.next().map(of_stream).unwrap_or_default();
            self.bring(connection, peer, to, entries).await?;
            cursor = String::from_utf8_lossy(&next).into_owned();
            if cursor.is_empty() || cursor == "0-0" {
                return Ok(());
            }
        }
    }

    /// Keeps entries, then acknowledges them.
    async fn bring(
        &self,
        connection: &mut Connection,
        peer: &Peer,
        to: &dyn Inbox,
        entries: Vec<Entry>,
    ) -> Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        let mut words = vec!["XACK".to_owned(), self.name.clone(), self.group.clone()];
        words.extend(entries.iter().map(|entry| entry.id.clone()));
        let place = Place {
            kind: "redis",
            peer,
            name: &self.name,
        };
        let events: Vec<_> = entries
            .into_iter()
            .filter_map(|entry| entry.incoming(&place))
            .collect();
        if !events.is_empty() {
            to.keep(events).await?;
        }
        connection.ask(&words, ANSWER).await.map(drop)
    }
}

// === impl Entry ===

impl Entry {
    /// As an event; `None` when it was deleted before it was read.
    fn incoming(self, place: &Place<'_>) -> Option<Incoming> {
        let fields = self.fields?;
        let mut digest = Vec::new();
        for (name, value) in &fields {
            digest.extend_from_slice(name);
            digest.push(0);
            digest.extend_from_slice(value);
            digest.push(0);
        }
        // Ids can be given by hand, and given again after a stream was deleted.
        let key = format!("{}/{}/{}", place.name, self.id, Digest::of(&digest));
        let event = as_written(&fields).unwrap_or_else(|| {
            let json = Bytes::from(Json::Object(object(&fields)).to_string());
            place.event(Some(&self.id), Some("application/json"), json)
        });
        Some(place.incoming(key, event))
    }
}

/// Fields that are the attributes of an event, with its data in the field `data`.
fn as_written(fields: &[(Bytes, Bytes)]) -> Option<gust_types::event::Event> {
    let mut attributes = Vec::new();
    let mut data = Bytes::new();
    for (name, value) in fields {
        match &name[..] {
            b"data" => data = value.clone(),
            _ => {
                let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).ok();
                attributes.push((text(name)?, text(value)?));
            }
        }
    }
    carried(attributes, data)
}

/// Fields by name. A name that is there twice has a list; what is not text is in base64 under `NAME_base64`.
fn object(fields: &[(Bytes, Bytes)]) -> Map<String, Json> {
    let mut object = Map::new();
    for (name, value) in fields {
        let name = String::from_utf8_lossy(name).into_owned();
        let (name, value) = match std::str::from_utf8(value) {
            Ok(text) => (name, Json::from(text)),
            Err(_) => (
                format!("{name}_base64"),
                Json::from(BASE64_STANDARD.encode(value)),
            ),
        };
        match object.get_mut(&name) {
            None => drop(object.insert(name, value)),
            Some(Json::Array(all)) => all.push(value),
            Some(first) => *first = Json::Array(vec![first.take(), value]),
        }
    }
    object
}

/// The entries of a reply about one stream among several.
fn of_streams(reply: Value) -> Vec<Entry> {
    let streams = reply.items().into_iter();
    let entries = streams.flat_map(|stream| stream.items().into_iter().nth(1));
    entries.flat_map(of_stream).collect()
}

fn of_stream(entries: Value) -> Vec<Entry> {
    entries.items().into_iter().filter_map(entry).collect()
}

fn entry(entry: Value) -> Option<Entry> {
    let mut parts = entry.items().into_iter();
    let id = parts.next()?.bytes()?;
    let fields = parts.next().filter(|fields| *fields != Value::Nil);
    let fields = fields.map(|fields| {
        let mut words = fields.items().into_iter().filter_map(Value::bytes);
        let pair = || Some((words.next()?, words.next()?));
        std::iter::from_fn(pair).collect()
    });
    Some(Entry {
        id: String::from_utf8_lossy(&id).into_owned(),
        fields,
    })
}
