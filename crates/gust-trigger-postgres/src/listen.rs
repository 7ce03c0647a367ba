//! From a channel into an inbox.

use std::time::Duration;

use gust_task::Stop;
use gust_trigger::{Inbox, Incoming, Keeper, Peer, Place};
use gust_types::{Error, Result};
use tokio::time::{MissedTickBehavior, interval};

use crate::{
    connection::{Connection, refused},
    protocol::{Said, garbage, identifier},
};

/// A question at least so often, so that a connection that is cut somewhere on the way is noticed.
const ASK: Duration = Duration::from_secs(20);

/// Listens until it is told to stop.
pub(crate) async fn run(
    channel: &str,
    mut connection: Connection,
    peer: &Peer,
    to: &dyn Inbox,
    stop: Stop,
) -> Result<()> {
    connection
        .rows(&format!("LISTEN {}", identifier(channel)))
        .await?;
    to.connected();
    let mut keeper = Keeper::new(to);
    let mut unanswered = 0;
    let mut asks = interval(ASK);
    asks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    asks.reset();
    loop {
        tokio::select! {
            said = connection.take(), if !keeper.is_full() => match said? {
                Said::Notified { channel, payload } => {
                    let place = Place { kind: "postgres", peer, name: &channel };
                    let event = place.event(None, Some("text/plain;charset=utf-8"), payload);
                    keeper.bring(Incoming { event, key: None }, ());
                }
                Said::Ready => unanswered = 0,
                Said::Error { code, message } => return Err(refused(&code, &message)),
                Said::Row(_) | Said::Other => {}
                Said::Login { .. } => return Err(garbage()),
            },
            kept = keeper.kept() => drop(kept?),
            _ = asks.tick() => {
                if unanswered > 2 {
                    return Err(Error::unavailable("postgres is silent"));
                }
                // While nothing is read, nothing is heard either.
                if !keeper.is_full() {
                    unanswered += 1;
                    connection.ask("").await?;
                }
            }
            () = stop.stopped() => {
                keeper.rest().await;
                connection.close().await;
                return Ok(());
            }
        }
    }
}
