//! The port: connections in, bounded in number and in patience.

use std::{convert::Infallible, sync::Arc, time::Duration};

use gust_task::Stop;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_io_timeout::TimeoutStream;

use crate::Door;

/// Connections at once.
const CONNECTIONS: usize = 2048;
/// The longest a request's head may take to arrive, and a connection may be kept for the next one.
const HEAD: Duration = Duration::from_secs(30);
/// How long a client may take nothing of what it is sent.
const STALLED: Duration = Duration::from_secs(30);
/// Bytes of a request's head.
const HEADERS: usize = 64 << 10;
/// A pause after the system refused a connection, as when file descriptors have run out.
const BREATH: Duration = Duration::from_millis(50);

impl Door {
    /// Serves until stopped; then takes no more connections and gives requests under way their grace.
    pub async fn serve(&self, listener: TcpListener, stop: Stop, grace: Duration) {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        let graceful = GracefulShutdown::new();
        loop {
            let place = tokio::select! {
                place = places.clone().acquire_owned() => place,
                () = stop.stopped() => break,
            };
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = stop.stopped() => break,
            };
            let socket = match accepted {
                Ok((socket, _)) => socket,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept an s3 connection");
                    tokio::time::sleep(BREATH).await;
                    continue;
                }
            };
            let (door, watcher) = (self.clone(), graceful.watcher());
            gust_task::spawn("s3 connection", async move {
                let _place = place;
                door.speak(socket, watcher).await;
            });
        }
        let _ = tokio::time::timeout(grace, graceful.shutdown()).await;
    }

    /// One connection, HTTP/1.1: what S3's clients speak.
    async fn speak(self, socket: TcpStream, watcher: Watcher) {
        let _ = socket.set_nodelay(true);
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
            tracing::debug!(%error, "an s3 connection ended badly");
        }
    }
}
