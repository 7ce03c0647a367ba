//! A JetStream stream, pulled through a durable consumer.
//!
//! A pull asks for some messages and is over when they have come, or when the server says that its time is up. The next one
//! follows when there is room. A message is acknowledged when it is durable here; one that comes twice has the same place in
//! the stream and is kept once.

use std::time::Duration;

use gust_task::{Stop, clock, ids};
use gust_trigger::{Inbox, Incoming, Keeper, Peer};
use gust_types::{Error, Result};
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::{
    From,
    connection::Connection,
    protocol::{Message, garbage, shown},
    subject::{PING, event},
};

/// Messages of one pull.
const BATCH: usize = 100;
/// How long a pull lasts when there is nothing.
const PULL: Duration = Duration::from_secs(30);
/// A pull that is not over after this long was forgotten.
const FORGOTTEN: Duration = Duration::from_secs(50);
/// How long the last acknowledgements may take.
const LEAVE: Duration = Duration::from_secs(1);
/// The most messages that are given out and not acknowledged.
const PENDING: u64 = 1000;

pub(crate) struct Stream {
    pub(crate) stream: String,
    pub(crate) consumer: String,
    pub(crate) subject: Option<String>,
    pub(crate) from: From,
    pub(crate) ack_wait: Duration,
}

/// What one pull may ask for.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Bounds {
    batch: usize,
    expires: Duration,
}

/// A place in a stream, out of where a message is acknowledged.
#[derive(Debug, PartialEq)]
struct At<'a> {
    stream: &'a str,
    sequence: &'a str,
    time: &'a str,
}

// === impl Stream ===

impl Stream {
    pub(crate) async fn run(
        &self,
        mut connection: Connection,
        peer: &Peer,
        to: &dyn Inbox,
        stop: Stop,
    ) -> Result<()> {
        let inbox = format!(
            "_INBOX.{:016x}{:016x}",
            ids::random_u64(),
            ids::random_u64()
        );
        let line = format!("SUB {inbox}.* 1\r\n");
        connection.send(line.as_bytes()).await?;
        let bounds = tokio::select! {
            found = self.find(&mut connection, &inbox) => found?,
            () = stop.stopped() => return Ok(()),
        };
        to.connected();
        let mut keeper = Keeper::new(to);
        let mut awaited = 0;
        let mut pulled = clock::now();
        let mut pings = interval(PING);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        pings.reset();
        loop {
            if awaited == 0 && !keeper.is_full() {
                self.pull(&mut connection, &inbox, bounds).await?;
                (awaited, pulled) = (bounds.batch, clock::now());
            }
            tokio::select! {
                said = connection.take(), if !keeper.is_full() => {
                    let Some(message) = connection.heard(said?).await? else {
                        continue;
                    };
                    if let Some(status) = &message.status {
                        if self.is_over(status)? {
                            awaited = 0;
                        }
                        continue;
                    }
                    awaited = awaited.saturating_sub(1);
                    let (incoming, ack) = incoming(peer, message)?;
                    keeper.bring(incoming, ack);
                }
                kept = keeper.kept() => acknowledge(&mut connection, kept?).await?,
                _ = pings.tick() => {
                    // While nothing is read, nothing is heard either.
                    if keeper.is_full() {
                        pulled = clock::now();
                    } else if pulled.elapsed() > FORGOTTEN && awaited > 0 {
                        return Err(Error::unavailable("nats is silent"));
                    }
                    connection.send(b"PING\r\n").await?;
                }
                () = stop.stopped() => {
                    let kept = keeper.rest().await;
                    // A connection that is dropped at once takes with it what is still on its way.
                    let leaving = async {
                        acknowledge(&mut connection, kept).await?;
                        connection.in_step().await
                    };
                    let _ = timeout(LEAVE, leaving).await;
                    return Ok(());
                }
            }
        }
    }

    /// The consumer as it is there, or a new one.
    async fn find(&self, connection: &mut Connection, inbox: &str) -> Result<Bounds> {
        let (stream, consumer) = (&self.stream, &self.consumer);
        let asked = format!("$JS.API.CONSUMER.INFO.{stream}.{consumer}");
        let found = api(connection, &asked, &format!("{inbox}.info"), b"").await?;
        match found.pointer("/error/code").and_then(Value::as_u64) {
            None => return self.check(&found),
            Some(404) => {}
            Some(_) => return Err(self.refused(&found)),
        }
        let mut config = json!({
            "durable_name": consumer,
            "ack_policy": "explicit",
            "ack_wait": u64::try_from(self.ack_wait.as_nanos()).unwrap_or(u64::MAX),
            "deliver_policy": match self.from {
                From::Start => "all",
                From::End => "new",
            },
            "replay_policy": "instant",
            "max_deliver": -1,
            "max_ack_pending": PENDING,
        });
        if let (Some(subject), Some(config)) = (&self.subject, config.as_object_mut()) {
            config.insert("filter_subject".to_owned(), subject.as_str().into());
        }
        let asked = format!("$JS.API.CONSUMER.DURABLE.CREATE.{stream}.{consumer}");
        let body = json!({"stream_name": stream, "config": config}).to_string();
        let made = api(
            connection,
            &asked,
            &format!("{inbox}.made"),
            body.as_bytes(),
        )
        .await?;
        match made.get("error") {
            None => Ok(Bounds::of(&made)),
            Some(_) => Err(self.refused(&made)),
        }
    }

    /// One that somebody else made has to be such that it can be pulled and acknowledged.
    fn check(&self, found: &Value) -> Result<Bounds> {
        let config = |key: &str| {
            found
                .pointer(&format!("/config/{key}"))
                .and_then(Value::as_str)
        };
        let fault = match (config("deliver_subject"), config("ack_policy")) {
            (Some(subject), _) if !subject.is_empty() => "pushes, and has to be one that is pulled",
            (_, Some("explicit")) if !self.is_ours(found) => "gives other subjects",
            (_, Some("explicit")) => return Ok(Bounds::of(found)),
            _ => "has to have the policy of acknowledgement \"explicit\"",
        };
        let name = &self.consumer;
        Err(Error::conflict(format!("the consumer {fault}: {name}"))
            .hint("name another consumer, or none, and one is made"))
    }

    /// Whether it gives the messages that the settings ask for.
    fn is_ours(&self, found: &Value) -> bool {
        let one = found.pointer("/config/filter_subject");
        let many = found.pointer("/config/filter_subjects");
        let many = many.and_then(Value::as_array).into_iter().flatten();
        let subjects = one.into_iter().chain(many).filter_map(Value::as_str);
        let subjects: Vec<_> = subjects.filter(|subject| !subject.is_empty()).collect();
        // Who names a consumer and no subject takes what it gives.
        self.subject
            .as_deref()
            .is_none_or(|wanted| subjects == [wanted])
    }

    fn refused(&self, answer: &Value) -> Error {
        let why = answer.pointer("/error/description").and_then(Value::as_str);
        let why = shown(why.unwrap_or_default());
        let name = &self.stream;
        Error::unavailable(format!(
            "nats gives no consumer of the stream {name}: {why}"
        ))
    }

    async fn pull(
        &self,
        connection: &mut Connection,
        inbox: &str,
        Bounds { batch, expires }: Bounds,
    ) -> Result<()> {
        let (stream, consumer) = (&self.stream, &self.consumer);
        let asked = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}");
        let expires = u64::try_from(expires.as_nanos()).unwrap_or(u64::MAX);
        let body = json!({"batch": batch, "expires": expires}).to_string();
        connection
            .publish(&asked, &format!("{inbox}.messages"), body.as_bytes())
            .await
    }

    /// Whether a pull is over, by what the server says of it.
    fn is_over(&self, (number, words): &(u16, String)) -> Result<bool> {
        // What ends this pull and no other. Asked again, anything else is answered in the same way at once.
        let passing = ["leadership change", "shutdown", "batch completed"];
        let words_low = words.to_ascii_lowercase();
        match number {
            100 => Ok(false),
            404 | 408 => Ok(true),
            409 if passing.iter().any(|text| words_low.contains(text)) => Ok(true),
            503 => Err(Error::unavailable("nats has no JetStream any more")),
            _ => Err(Error::unavailable(format!(
                "nats ends the consumer {}: {number} {words}",
                self.consumer
            ))),
        }
    }
}

// === impl Bounds ===

impl Bounds {
    /// What a consumer allows, of what is usual here.
    fn of(consumer: &Value) -> Self {
        let number = |key: &str| {
            let number = consumer.pointer(&format!("/config/{key}"));
            number.and_then(Value::as_u64).filter(|number| *number > 0)
        };
        let batch = number("max_batch").and_then(|most| usize::try_from(most).ok());
        let expires = number("max_expires").map(Duration::from_nanos);
        Self {
            batch: batch.map_or(BATCH, |most| most.min(BATCH)),
            expires: expires.map_or(PULL, |most| most.min(PULL)),
        }
    }
}

async fn api(
    connection: &mut Connection,
    subject: &str,
    reply: &str,
    payload: &[u8],
) -> Result<Value> {
    let answer = connection.ask(subject, reply, payload).await?;
    if let Some((503, _)) = answer.status {
        return Err(Error::unavailable("this nats server has no JetStream")
            .hint("start it with -js, or leave `stream` out and name a subject"));
    }
    serde_json::from_slice(&answer.payload).map_err(|_| garbage())
}

/// One write for all of them.
async fn acknowledge(connection: &mut Connection, acks: Vec<String>) -> Result<()> {
    let mut out = Vec::new();
    for ack in acks {
        out.extend_from_slice(format!("PUB {ack} 4\r\n+ACK\r\n").as_bytes());
    }
    connection.send(&out).await
}

/// A message as it is kept, and where it is acknowledged.
fn incoming(peer: &Peer, message: Message) -> Result<(Incoming, String)> {
    let ack = message.reply.clone().ok_or_else(garbage)?;
    let at = At::read(&ack).ok_or_else(garbage)?;
    let id = format!("{}:{}", at.stream, at.sequence);
    // A stream that was deleted and made again counts from 1 again, but not from the same time.
    let key = format!("{id}/{}", at.time);
    let event = event(peer, Some(&id), message);
    let incoming = Incoming {
        event,
        key: Some(key),
    };
    Ok((incoming, ack))
}

// === impl At ===

impl<'a> At<'a> {
    /// `$JS.ACK.<stream>.<consumer>.<delivered>.<sequence>.<sequence of the consumer>.<time>.<pending>`; between the second
    /// and the third, newer servers have a domain and an account, and something more at the end.
    fn read(ack: &'a str) -> Option<Self> {
        let words: Vec<&str> = ack.strip_prefix("$JS.ACK.")?.split('.').collect();
        let skipped = match words.len() {
            7 => 0,
            9.. => 2,
            _ => return None,
        };
        let word = |n: usize| words.get(skipped + n).copied();
        Some(Self {
            stream: word(0)?,
            sequence: word(3)?,
            time: word(5)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_in_both_forms() {
        let at = At {
            stream: "S",
            sequence: "17",
            time: "1700",
        };
        assert_eq!(At::read("$JS.ACK.S.c.1.17.3.1700.0"), Some(at));
        let at = At::read("$JS.ACK.dom.acc.S.c.1.17.3.1700.0.rnd").unwrap();
        assert_eq!((at.stream, at.sequence, at.time), ("S", "17", "1700"));
        for bad in ["", "$JS.ACK.", "$JS.ACK.S.c", "x.y"] {
            assert_eq!(At::read(bad), None, "{bad}");
        }
    }
}
