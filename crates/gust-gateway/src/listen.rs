//! The listening socket, and who is let in.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use gust_task::Stop;
use gust_telemetry::Refusal;
use gust_types::{Blame, Error, Kind, Result};
use socket2::{Domain, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

use crate::{
    connection::{self, Door},
    wire,
};

/// Connections the kernel holds for us while we are busy.
const BACKLOG: i32 = 1024;
/// Connections that are told at once that there are too many; beyond it they are closed without a word.
const MAX_TURNED_AWAY: usize = 64;
/// What they are told.
const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\n\
content-type: text/plain; charset=utf-8\r\ncontent-length: 33\r\n\r\ntoo many connections to this node";

/// Takes an address.
pub(crate) fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr)> {
    let listener = open(address).map_err(|e| refused(address, e))?;
    let taken = listener.local_addr().map_err(|e| refused(address, e))?;
    Ok((listener, taken))
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // A restart must not wait for the kernel to forget the old connections.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn refused(address: SocketAddr, error: io::Error) -> Error {
    let (kind, why, hint) = match error.kind() {
        io::ErrorKind::AddrInUse => (
            Kind::Conflict,
            "address is taken by another program",
            "stop that program, or listen elsewhere, such as on port 0 for any free port",
        ),
        io::ErrorKind::PermissionDenied => (
            Kind::Denied,
            "address may not be taken",
            "ports below 1024 need a privilege; listen on a higher one",
        ),
        io::ErrorKind::AddrNotAvailable => (
            Kind::Invalid,
            "address is not one of this machine",
            "listen on 127.0.0.1, on 0.0.0.0 or on an address of a network interface",
        ),
        _ => (
            Kind::Internal,
            "address cannot be listened on",
            "see the cause",
        ),
    };
    Error::new(kind, Blame::Caller, format!("{why}: {address}"))
        .hint(hint)
        .because(error)
}

/// Lets connections in until `stop`.
pub(crate) async fn accept(listener: &TcpListener, door: &Arc<Door>, stop: &Stop) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.stopped() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) if door.warden.open() < door.settings.max_connections => {
                connection::spawn(door.clone(), stream, peer);
            }
            Ok((stream, _)) => turn_away(door, stream),
            Err(error) if is_the_callers(&error) => {}
            Err(error) => {
                // Out of file descriptors, most likely: connections end, and then there are some.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

fn is_the_callers(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}

fn turn_away(door: &Arc<Door>, stream: TcpStream) {
    door.metrics.refused(Refusal::Connections);
    if door.tls.is_some() || door.turned_away.load(Relaxed) >= MAX_TURNED_AWAY {
        return;
    }
    door.turned_away.fetch_add(1, Relaxed);
    let door = door.clone();
    gust_task::spawn("turn-away", async move {
        let _ = wire::part(stream, TOO_MANY).await;
        door.turned_away.fetch_sub(1, Relaxed);
    });
}
