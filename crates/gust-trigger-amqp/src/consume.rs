//! From a queue into an inbox.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use gust_task::Stop;
use gust_trigger::{Inbox, Incoming, Keeper, Place, Wire, carried};
use gust_types::{Error, Result, event::Event};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::{
    Binding, Terms,
    connection::{Connection, refused},
    frame::garbage,
    method::{Deliver, Head, Heard, Method},
};

/// How long the last acknowledgements may take.
const LEAVE: Duration = Duration::from_secs(1);
/// What stands before an attribute's name in a message's headers.
const PREFIXES: [&str; 2] = ["cloudEvents:", "cloudEvents_"];

struct Consumer<'a> {
    terms: &'a Terms,
    connection: Connection,
    coming: Coming,
}

/// A message as far as it is there.
#[derive(Default)]
enum Coming {
    #[default]
    Nothing,
    Begun(Deliver),
    Body {
        deliver: Deliver,
        head: Head,
        body: BytesMut,
        /// Bytes that are still to come.
        rest: u64,
    },
}

/// A message that is there, without a body when that is too large to be taken.
struct Whole {
    deliver: Deliver,
    head: Head,
    body: Option<Bytes>,
}

/// Connects, and hands over what arrives.
pub(crate) async fn run(terms: &Terms, to: &dyn Inbox, stop: Stop) -> Result<()> {
    let opening = async {
        let mut consumer = Consumer {
            terms,
            connection: Connection::open(terms).await?,
            coming: Coming::Nothing,
        };
        consumer.subscribe().await?;
        Ok(consumer)
    };
    let consumer: Result<Consumer<'_>> = tokio::select! {
        consumer = opening => consumer,
        () = stop.stopped() => return Ok(()),
    };
    consumer?.listen(to, stop).await
}

// === impl Consumer ===

impl Consumer<'_> {
    /// The queue as it is there, or a new one where there is something to bind it to.
    async fn subscribe(&mut self) -> Result<()> {
        let (terms, connection) = (self.terms, &mut self.connection);
        let queue = terms.queue.as_str();
        let there = connection.is_there(&declare(queue, true), (50, 11)).await?;
        match &terms.binding {
            None if !there => {
                return Err(
                    Error::not_found(format!("the broker has no queue {queue:?}")).hint(
                        "make it there, or name an `exchange` and it is made and bound to that",
                    ),
                );
            }
            None => {}
            Some(binding) => {
                if !there {
                    connection.request(&declare(queue, false), (50, 11)).await?;
                }
                self.bind(binding).await?;
            }
        }
        let qos = Method::new(60, 10).u32(0).u16(terms.prefetch).u8(0);
        self.connection.request(&qos, (60, 11)).await?;
        let consume = Method::new(60, 20)
            .u16(0)
            .short(queue)
            .short(&terms.name)
            .u8(0)
            .long(&[]);
        // What is given out comes after the answer, not before.
        self.connection.request(&consume, (60, 21)).await
    }

    async fn bind(&mut self, binding: &Binding) -> Result<()> {
        let exchange = binding.exchange.as_str();
        let declare = |kind: &str, flags: u8| {
            let method = Method::new(40, 10).u16(0).short(exchange).short(kind);
            method.u8(flags).long(&[])
        };
        let there = self
            .connection
            .is_there(&declare("direct", 1), (40, 11))
            .await?;
        match &binding.kind {
            _ if there => {}
            // Durable, as the queue is.
            Some(kind) => self.connection.request(&declare(kind, 2), (40, 11)).await?,
            None => {
                return Err(
                    Error::not_found(format!("the broker has no exchange {exchange:?}"))
                        .hint("make it there, or say its `exchange_type` and it is made"),
                );
            }
        }
        for key in &binding.keys {
            let bind = Method::new(50, 20)
                .u16(0)
                .short(&self.terms.queue)
                .short(exchange)
                .short(key);
            self.connection
                .request(&bind.u8(0).long(&[]), (50, 21))
                .await?;
        }
        Ok(())
    }

    async fn listen(mut self, to: &dyn Inbox, stop: Stop) -> Result<()> {
        to.connected();
        let mut keeper = Keeper::new(to);
        let mut silent = 0;
        let mut beats = interval(self.connection.silence / 2);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        beats.reset();
        loop {
            tokio::select! {
                heard = self.connection.take(), if !keeper.is_full() => {
                    silent = 0;
                    let Some(whole) = self.heard(heard?)? else {
                        continue;
                    };
                    let tag = whole.deliver.tag;
                    match self.incoming(whole) {
                        Some(incoming) => keeper.bring(incoming, tag),
                        None => self.give_up(tag).await?,
                    }
                }
                kept = keeper.kept() => self.acknowledge(&kept?).await?,
                _ = beats.tick() => {
                    // While nothing is read, nothing is heard either.
                    silent += u32::from(!keeper.is_full());
                    if silent > 4 {
                        return Err(Error::unavailable("the broker is silent"));
                    }
                    self.connection.heartbeat().await?;
                }
                () = stop.stopped() => {
                    let kept = keeper.rest().await;
                    let leaving = async {
                        self.acknowledge(&kept).await?;
                        self.connection.close().await
                    };
                    let _ = timeout(LEAVE, leaving).await;
                    return Ok(());
                }
            }
        }
    }

    /// Puts a message together out of its frames.
    fn heard(&mut self, heard: Heard) -> Result<Option<Whole>> {
        self.coming = match (std::mem::take(&mut self.coming), heard) {
            (coming, Heard::Nothing) => coming,
            (_, Heard::Close { code, text, .. }) => return Err(refused(code, &text)),
            (_, Heard::Cancel) => {
                let queue = &self.terms.queue;
                return Err(Error::unavailable(format!("the queue is gone: {queue:?}")));
            }
            (Coming::Nothing, Heard::Deliver(deliver)) => Coming::Begun(deliver),
            (Coming::Begun(deliver), Heard::Head(head)) => Coming::Body {
                deliver,
                rest: head.size,
                head,
                body: BytesMut::new(),
            },
            (
                Coming::Body {
                    deliver,
                    head,
                    mut body,
                    rest,
                },
                Heard::Body(piece),
            ) => {
                let rest = rest.checked_sub(piece.len() as u64).ok_or_else(garbage)?;
                if fits(&head) {
                    body.extend_from_slice(&piece);
                }
                Coming::Body {
                    deliver,
                    head,
                    body,
                    rest,
                }
            }
            _ => return Err(garbage()),
        };
        Ok(self.coming.whole())
    }

    /// One write for all: they were brought in the order of their tags, and what is missing between was given up.
    async fn acknowledge(&mut self, tags: &[u64]) -> Result<()> {
        match tags.last() {
            Some(last) => {
                let ack = Method::new(60, 80).u64(*last).u8(1);
                self.connection.tell(&ack).await
            }
            None => Ok(()),
        }
    }

    /// A message that is too large to be read. Asked for again, it would stop all that come after it.
    async fn give_up(&mut self, tag: u64) -> Result<()> {
        let queue = &self.terms.queue;
        tracing::warn!(%queue, "a message of more than 16 MiB was rejected");
        let reject = Method::new(60, 90).u64(tag).u8(0);
        self.connection.tell(&reject).await
    }

    /// The event that a message is: the one that it carries in the binary mode, or one of its own.
    fn incoming(&self, whole: Whole) -> Option<Incoming> {
        let Whole {
            deliver,
            head,
            body,
        } = whole;
        let body = body?;
        let media = head.content_type.as_deref();
        let of = |(name, value): &(String, String)| {
            let attribute = PREFIXES
                .iter()
                .find_map(|prefix| name.strip_prefix(prefix))?;
            Some((attribute.to_owned(), value.clone()))
        };
        let attributes = head.headers.iter().filter_map(of);
        let media_is = media.map(|media| ("datacontenttype".to_owned(), media.to_owned()));
        let event = carried(attributes.chain(media_is), body.clone());
        let mut event = event.unwrap_or_else(|| self.own(&deliver, &head, media, body));
        if deliver.redelivered {
            let _ = event.set("gustredelivered", true);
        }
        Some(Incoming { event, key: None })
    }

    fn own(&self, deliver: &Deliver, head: &Head, media: Option<&str>, body: Bytes) -> Event {
        let place = Place {
            kind: "amqp",
            peer: &self.terms.peer,
            name: &self.terms.queue,
        };
        let mut event = place.event(head.id.as_deref(), media, body);
        // What an event cannot say, it does not: the data is what counts.
        let _ = event.set("subject", deliver.key.as_str());
        event
    }
}

/// A queue that is there, or one that outlives the broker.
fn declare(queue: &str, passive: bool) -> Method {
    let flags = if passive { 1 } else { 2 };
    Method::new(50, 10).u16(0).short(queue).u8(flags).long(&[])
}

fn fits(head: &Head) -> bool {
    head.size <= Wire::MESSAGE as u64
}

// === impl Coming ===

impl Coming {
    fn whole(&mut self) -> Option<Whole> {
        let Self::Body { rest: 0, .. } = self else {
            return None;
        };
        match std::mem::take(self) {
            Self::Body {
                deliver,
                head,
                body,
                ..
            } => Some(Whole {
                body: fits(&head).then(|| body.freeze()),
                deliver,
                head,
            }),
            _ => None,
        }
    }
}
