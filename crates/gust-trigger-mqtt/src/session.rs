//! A session with a broker, from connecting to the end of the connection.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use gust_task::Stop;
use gust_trigger::{Inbox, Incoming, Keeper, Peer, Place, Wire, carried};
use gust_types::{Error, Result, event::Event};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::{
    Terms,
    packet::{self, Connect, Packet, Publish, garbage},
};

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(20);
/// Messages given out and not acknowledged.
const RECEIVE: u16 = 500;

struct Session<'a> {
    terms: &'a Terms,
    wire: Wire,
}

/// Connects, and hands over what arrives.
pub(crate) async fn run(terms: &Terms, to: &dyn Inbox, stop: Stop) -> Result<()> {
    let connecting = Session::open(terms);
    let (mut session, known) = tokio::select! {
        connected = connecting => connected?,
        () = stop.stopped() => return Ok(()),
    };
    // A session that is known has its subscription, if the broker granted it then, and to what is asked for now. Subscribed
    // to again, a broker of version 3 sends what it retains once more.
    let known = known && terms.granted.load(Relaxed);
    if !known {
        let subscribe = packet::subscribe(terms.version, &terms.filter, terms.qos);
        session.wire.send(&subscribe).await?;
    }
    session.listen(known, to, stop).await
}

// === impl Session ===

impl<'a> Session<'a> {
    /// A connection, and whether the broker knows this client from before.
    async fn open(terms: &'a Terms) -> Result<(Self, bool)> {
        let stream = terms.dial.connect(&terms.peer, &terms.tls).await?;
        let mut session = Self {
            terms,
            wire: Wire::new(stream, Wire::MESSAGE + (64 << 10)),
        };
        let seconds = |span: Duration| u32::try_from(span.as_secs()).unwrap_or(u32::MAX);
        let forgets = terms.qos == 0;
        let connect = packet::connect(&Connect {
            version: terms.version,
            client_id: &terms.client_id,
            clean: forgets,
            keep_alive: u16::try_from(terms.keep_alive.0.as_secs()).unwrap_or(u16::MAX),
            session: if forgets { 0 } else { seconds(terms.session.0) },
            receive: RECEIVE,
            most: Wire::MESSAGE as u32,
            user: terms.peer.user.as_deref(),
            password: terms.peer.password.as_deref(),
        });
        session.wire.send(&connect).await?;
        match timeout(ANSWER, session.take()).await {
            Ok(Ok(Packet::ConnAck {
                session: known,
                code: 0,
            })) => Ok((session, known && !forgets)),
            Ok(Ok(Packet::ConnAck { code, .. })) => Err(refused(code)),
            Ok(Ok(_)) => Err(garbage()),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(Error::unavailable("the broker does not answer")),
        }
    }

    async fn take(&mut self) -> Result<Packet> {
        let version = self.terms.version;
        self.wire
            .take(|heard| packet::read(heard, version, Wire::MESSAGE))
            .await
    }

    async fn listen(&mut self, known: bool, to: &dyn Inbox, stop: Stop) -> Result<()> {
        let mut subscribed = known;
        if subscribed {
            to.connected();
        }
        let mut keeper = Keeper::new(to);
        let mut silent = 0;
        let mut pings = interval(self.terms.keep_alive.0 / 2);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        pings.reset();
        loop {
            tokio::select! {
                packet = self.take(), if !keeper.is_full() => {
                    silent = 0;
                    match packet? {
                        Packet::Publish(publish) => {
                            let id = publish.id;
                            keeper.bring(incoming(&self.terms.peer, publish), id);
                        }
                        Packet::SubAck { code } if !subscribed => {
                            self.granted(code)?;
                            subscribed = true;
                            self.terms.granted.store(true, Relaxed);
                            to.connected();
                        }
                        Packet::Pong => {}
                        Packet::Disconnect { code } => return Err(ended(code)),
                        Packet::ConnAck { .. } | Packet::SubAck { .. } => return Err(garbage()),
                    }
                }
                kept = keeper.kept() => self.acknowledge(kept?).await?,
                _ = pings.tick() => {
                    // While nothing is read, nothing is heard either.
                    silent += u32::from(!keeper.is_full());
                    if silent > 2 {
                        return Err(Error::unavailable("the broker is silent"));
                    }
                    self.wire.send(&packet::ping()).await?;
                }
                () = stop.stopped() => {
                    let kept = keeper.rest().await;
                    self.acknowledge(kept).await.ok();
                    self.wire.send(&packet::disconnect()).await.ok();
                    return Ok(());
                }
            }
        }
    }

    /// One write for all of them.
    async fn acknowledge(&mut self, ids: Vec<Option<u16>>) -> Result<()> {
        let acks = ids.into_iter().flatten().map(packet::acknowledge);
        let acks: Vec<u8> = acks.flatten().collect();
        self.wire.send(&acks).await
    }

    fn granted(&self, code: u8) -> Result<()> {
        match code {
            code if code >= 0x80 => Err(Error::unavailable(format!(
                "the broker refuses the subscription: {code:#x}"
            ))
            .hint("may this user listen to that topic?")),
            code if code < self.terms.qos => Err(Error::unavailable(
                "the broker grants no more than quality 0",
            )
            .hint("write qos = 0 when events may be lost on their way here")),
            _ => Ok(()),
        }
    }
}

fn refused(code: u8) -> Error {
    let why = match code {
        1 | 0x84 => "it does not know this version of the protocol",
        2 | 0x85 => "it does not take the client id",
        4 | 0x86 => "user or password are wrong",
        5 | 0x87 => "this is not allowed",
        3 | 0x88 | 0x89 => "it is busy or not there",
        0x8a => "this client is banned",
        _ => "it does not say why",
    };
    Error::unavailable(format!(
        "the broker refuses the connection: {why} ({code:#x})"
    ))
}

fn ended(code: u8) -> Error {
    let why = match code {
        0x8e => "another client took the session over, under the same client id",
        0x8b => "it shuts down",
        0x8d => "it heard nothing for too long",
        0x93 => "too much was under way",
        _ => "it does not say more",
    };
    Error::unavailable(format!(
        "the broker ended the connection: {why} ({code:#x})"
    ))
}

fn incoming(peer: &Peer, publish: Publish) -> Incoming {
    Incoming {
        event: event(peer, publish),
        key: None,
    }
}

/// The event that a message is: the one that it carries in the binary mode of version 5, or one of its own.
fn event(peer: &Peer, publish: Publish) -> Event {
    let place = Place {
        kind: "mqtt",
        peer,
        name: &publish.topic,
    };
    let media = publish.content_type.as_deref();
    let attributes = publish.properties.iter();
    let attributes = attributes
        .filter(|(name, _)| Event::is_name(name))
        .cloned()
        .chain(media.map(|media| ("datacontenttype".to_owned(), media.to_owned())));
    carried(attributes, publish.payload.clone())
        .unwrap_or_else(|| place.event(None, media, publish.payload.clone()))
}
