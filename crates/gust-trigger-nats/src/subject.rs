//! What is published to a subject. NATS keeps none of it, so there is nothing to acknowledge.

use std::time::Duration;

use gust_task::Stop;
use gust_trigger::{Inbox, Incoming, Keeper, Peer, Place, carried};
use gust_types::{Error, Result, event::Event};
use tokio::time::{MissedTickBehavior, interval};

use crate::{connection::Connection, protocol::Message};

/// Between two questions whether the server is still there.
pub(crate) const PING: Duration = Duration::from_secs(20);
/// How the names of an event's attributes begin, in headers.
const PREFIX: &str = "ce-";

pub(crate) struct Subject {
    pub(crate) subject: String,
    /// Empty for none.
    pub(crate) queue: String,
}

// === impl Subject ===

impl Subject {
    pub(crate) async fn run(
        &self,
        mut connection: Connection,
        peer: &Peer,
        to: &dyn Inbox,
        stop: Stop,
    ) -> Result<()> {
        let line = format!("SUB {} {} 1\r\n", self.subject, self.queue);
        connection.send(line.as_bytes()).await?;
        // A subject that may not be listened to is refused before this is answered.
        tokio::select! {
            agreed = connection.in_step() => agreed?,
            () = stop.stopped() => return Ok(()),
        }
        to.connected();
        let mut keeper = Keeper::new(to);
        let mut asked = false;
        let mut pings = interval(PING);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        pings.reset();
        loop {
            tokio::select! {
                said = connection.take(), if !keeper.is_full() => {
                    asked = false;
                    if let Some(message) = connection.heard(said?).await? {
                        let event = event(peer, None, message);
                        keeper.bring(Incoming { event, key: None }, ());
                    }
                }
                kept = keeper.kept() => drop(kept?),
                _ = pings.tick() => {
                    // While nothing is read, nothing is heard either.
                    if asked && !keeper.is_full() {
                        return Err(Error::unavailable("nats is silent"));
                    }
                    connection.send(b"PING\r\n").await?;
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

/// The event that a message is: the one that it carries in the binary mode, or one of its own.
pub(crate) fn event(peer: &Peer, id: Option<&str>, message: Message) -> Event {
    let place = Place {
        kind: "nats",
        peer,
        name: &message.subject,
    };
    let named = |wanted: &str| {
        let mut headers = message.headers.iter();
        headers.find(|(name, _)| name.eq_ignore_ascii_case(wanted))
    };
    let media = named("content-type").map(|(_, value)| value.clone());
    let attributes = message.headers.iter().filter_map(|(name, value)| {
        let name = name.to_ascii_lowercase();
        let name = name.strip_prefix(PREFIX)?.to_owned();
        Some((name, percent_decoded(value)))
    });
    let media_type = media
        .clone()
        .map(|media| ("datacontenttype".to_owned(), media));
    let whole = carried(attributes.chain(media_type), message.payload.clone());
    whole.unwrap_or_else(|| place.event(id, media.as_deref(), message.payload.clone()))
}

/// As in the HTTP binding: what is not a letter of ASCII is escaped.
fn percent_decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        let hex = more.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let byte = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (first, byte) {
            (b'%', Some(byte)) => {
                out.push(byte);
                rest = more.get(2..).unwrap_or_default();
            }
            _ => {
                out.push(*first);
                rest = more;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
