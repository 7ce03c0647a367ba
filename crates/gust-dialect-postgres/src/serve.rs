//! The port: connections in, bounded in number and in patience.

use std::time::Duration;

use gust_task::{Stop, net};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::OwnedSemaphorePermit,
};

use crate::{
    Door,
    counts::Place,
    error::{Fault, Trouble},
    login::{Login, late, login},
    session::Session,
    wire::Wire,
};

/// Connections at once. With those that have not logged in and the sessions there are always some left.
const CONNECTIONS: u32 = 512;
/// Connections that have not logged in, or only cancel.
pub(crate) const STRANGERS: usize = 256;
/// Sessions at once.
const SESSIONS: usize = 128;
/// Sessions of one project.
const OF_PROJECT: u64 = 64;

impl Door {
    /// Serves until stopped; then takes no more connections, ends sessions that run nothing, and gives the others their
    /// grace.
    pub async fn serve(&self, listener: TcpListener, stop: Stop, grace: Duration) {
        let over = Stop::new();
        let connections = net::accept(
            "postgres connection",
            listener,
            CONNECTIONS,
            &stop,
            |socket, _| {
                let (door, stop, over) = (self.clone(), stop.child(), over.child());
                async move {
                    tokio::select! {
                        () = Box::pin(door.speak(socket, stop)) => {}
                        () = over.stopped() => {}
                    }
                }
            },
        )
        .await;
        connections.ended(grace).await;
        over.stop();
    }

    /// One connection, from its login to its end.
    async fn speak(self, socket: TcpStream, stop: Stop) {
        // When there is no place for strangers, the socket is closed at once: members keep theirs.
        let Ok(place) = self.0.strangers.clone().try_acquire_owned() else {
            return;
        };
        let mut wire = Wire::new(socket);
        let entered = tokio::select! {
            entered = tokio::time::timeout(self.0.patience.login, login(&self.0, &mut wire)) => entered,
            () = stop.stopped() => return,
        };
        // Whatever place it has is given back when its connection is closed.
        let mut seat = Seat::Stranger(place);
        let ended: Result<(), Trouble> = match entered {
            Ok(Ok(Some(login))) => self.enter(&mut wire, login, &mut seat, &stop).await,
            Ok(Ok(None)) => Ok(()),
            Ok(Err(trouble)) => Err(trouble),
            Err(_) => Err(late().into()),
        };
        let amid = match ended {
            Ok(()) => false,
            Err(Trouble::Fault(fault)) => {
                wire.put_fault(&Fault {
                    fatal: true,
                    ..fault
                });
                // Its message was larger than was read of it.
                matches!(fault.code, "54000" | "53200")
            }
            Err(Trouble::Gone(error)) => {
                tracing::debug!(%error, "a postgres connection ended badly");
                return;
            }
        };
        wire.close(amid).await;
    }

    /// A session, if there is a place for it.
    async fn enter<'a>(
        &'a self,
        wire: &mut Wire,
        login: Login,
        seat: &mut Seat<'a>,
        stop: &Stop,
    ) -> Result<(), Trouble> {
        let full = |whose: &str| {
            Fault::fatal("53300", format!("too many sessions{whose}"))
                .hint("close some, or use a smaller pool")
        };
        let counters = self.0.counts.of(login.project());
        let place = counters.place(OF_PROJECT);
        let place = place.ok_or_else(|| full(" of this project"))?;
        let (ticket, ear) = self.0.sessions.enter(SESSIONS).ok_or_else(|| full(""))?;
        *seat = Seat::Member(place, Leaving(self, ticket.session));
        wire.counters = Some(counters.clone());
        wire.part = Some(self.0.budget.of(login.project()));
        Session::new(self.0.clone(), wire, login, ticket, ear, counters)
            .talk(stop)
            .await
    }
}

/// What a connection is counted as.
#[expect(dead_code, reason = "what it holds is given back when it is dropped")]
enum Seat<'a> {
    Stranger(OwnedSemaphorePermit),
    Member(Place, Leaving<'a>),
}

/// Gives a session's number back, however it ends.
struct Leaving<'a>(&'a Door, u32);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.0.sessions.leave(self.1);
    }
}
