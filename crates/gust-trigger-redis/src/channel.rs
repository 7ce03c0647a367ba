//! What is published to a channel, or to channels of a pattern. Redis keeps none of it, so there is nothing to acknowledge.

use std::time::Duration;

use bytes::Bytes;
use gust_task::Stop;
use gust_trigger::{Inbox, Incoming, Keeper, Peer, Place};
use gust_types::{Error, Result};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::{
    connection::{ANSWER, Connection},
    resp::Value,
};

/// Between two questions whether the server is still there.
const PING: Duration = Duration::from_secs(20);

pub(crate) struct Channel {
    pub(crate) name: String,
    pub(crate) pattern: bool,
}

/// What a server says to those who listen.
enum Heard {
    Subscribed,
    Message { channel: String, payload: Bytes },
    Pong,
}

// === impl Channel ===

impl Channel {
    pub(crate) async fn run(
        &self,
        mut connection: Connection,
        peer: &Peer,
        to: &dyn Inbox,
        stop: Stop,
    ) -> Result<()> {
        let word = match self.pattern {
            true => "PSUBSCRIBE",
            false => "SUBSCRIBE",
        };
        connection.send(&[word, &self.name]).await?;
        let mut keeper = Keeper::new(to);
        let mut asked = false;
        let mut pings = interval(PING);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        pings.reset();
        let first = tokio::select! {
            first = timeout(ANSWER, connection.take()) => first,
            () = stop.stopped() => return Ok(()),
        };
        match first {
            Ok(value) => match read(value?.accepted(word)?)? {
                Heard::Subscribed => to.connected(),
                _ => return Err(crate::resp::garbage()),
            },
            Err(_) => return Err(Error::unavailable(format!("redis does not answer {word}"))),
        }
        loop {
            tokio::select! {
                value = connection.take(), if !keeper.is_full() => {
                    asked = false;
                    match read(value?.accepted(word)?)? {
                        Heard::Message { channel, payload } => {
                            keeper.bring(event(peer, &channel, payload), ());
                        }
                        Heard::Subscribed | Heard::Pong => {}
                    }
                }
                kept = keeper.kept() => drop(kept?),
                _ = pings.tick() => {
                    // While nothing is read, nothing is heard either.
                    if asked && !keeper.is_full() {
                        return Err(Error::unavailable("redis is silent"));
                    }
                    connection.send(&["PING"]).await?;
                    asked = true;
                }
                () = stop.stopped() => {
                    keeper.rest().await;
                    return Ok(());
                }
            }
        }
    }
}

fn event(peer: &Peer, channel: &str, payload: Bytes) -> Incoming {
    let place = Place {
        kind: "redis",
        peer,
        name: channel,
    };
    Incoming {
        event: place.event(None, None, payload),
        key: None,
    }
}

fn read(value: Value) -> Result<Heard> {
    let mut words = value.items().into_iter().map(Value::bytes);
    let mut next = || words.next().flatten();
    let kind = next().ok_or_else(crate::resp::garbage)?;
    let message = |channel: Option<Bytes>, payload: Option<Bytes>| match (channel, payload) {
        (Some(channel), Some(payload)) => Ok(Heard::Message {
            channel: String::from_utf8_lossy(&channel).into_owned(),
            payload,
        }),
        _ => Err(crate::resp::garbage()),
    };
    match &kind[..] {
        b"message" => message(next(), next()),
        b"pmessage" => {
            next();
            message(next(), next())
        }
        b"subscribe" | b"psubscribe" => Ok(Heard::Subscribed),
        b"pong" => Ok(Heard::Pong),
        _ => Err(crate::resp::garbage()),
    }
}
