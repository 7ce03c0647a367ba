//! The port: connections in, bounded in number and in patience.

use std::{convert::Infallible, time::Duration};

use gust_task::{Stop, net};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
};
use tokio::net::{TcpListener, TcpStream};
use tokio_io_timeout::TimeoutStream;

use crate::{Door, gate::HEADERS};

/// Connections at once.
const CONNECTIONS: u32 = 2048;
/// The longest a request's head may take to arrive, and a connection may be kept for the next one.
const HEAD: Duration = Duration::from_secs(30);
/// How long a client may take nothing of what it is sent.
const STALLED: Duration = Duration::from_secs(30);

impl Door {
    /// Serves until stopped; then takes no more connections and gives requests under way their grace.
    pub async fn serve(&self, listener: TcpListener, stop: Stop, grace: Duration) {
        let graceful = GracefulShutdown::new();
        net::accept(
            "aws connection",
            listener,
            CONNECTIONS,
            &stop,
            |socket, _| self.clone().speak(socket, graceful.watcher()),
        )
        .await;
        // Who waits for messages is told that there are none.
        self.0.closing.stop();
        let _ = tokio::time::timeout(grace, graceful.shutdown()).await;
    }

    /// One connection, HTTP/1.1: what these clients speak.
    async fn speak(self, socket: TcpStream, watcher: Watcher) {
        let service = hyper::service::service_fn(move |request| {
            let door = self.clone();
            async move { Ok::<_, Infallible>(door.answer(request).await) }
        });
        let mut builder = hyper::server::conn::http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .max_buf_size(HEADERS)
            .max_headers(200);
        // A body is asked for no more bytes while nobody takes them, so that only the socket knows.
        let mut socket = TimeoutStream::new(socket);
        socket.set_write_timeout(Some(STALLED));
        let connection = builder.serve_connection(TokioIo::new(Box::pin(socket)), service);
        if let Err(error) = watcher.watch(connection).await {
            tracing::debug!(%error, "an aws connection ended badly");
        }
    }
}
