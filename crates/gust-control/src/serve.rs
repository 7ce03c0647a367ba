//! The control port: connections in, bounded in number and in patience.

use std::time::Duration;

use gust_task::{Stop, net};
use gust_types::Result;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{
        conn::auto,
        graceful::{GracefulShutdown, Watcher},
    },
    service::TowerToHyperService,
};
use tokio::net::{TcpListener, TcpStream};

use crate::{
    api::{self, gates::Peer},
    control::Control,
};

/// Connections at once.
const CONNECTIONS: u32 = 512;
/// The longest a request's head may take to arrive.
const HEAD: Duration = Duration::from_secs(10);

impl Control {
    /// Serves the API until stopped; then takes no more connections and gives requests under way their grace.
    pub async fn serve(&self, listener: TcpListener, stop: Stop) -> Result<()> {
        let router = api::router(self.clone());
        let graceful = GracefulShutdown::new();
        net::accept(
            "control connection",
            listener,
            CONNECTIONS,
            &stop,
            |socket, peer| {
                let router = router.clone().layer(axum::Extension(Peer(peer)));
                speak(socket, router, graceful.watcher())
            },
        )
        .await;
        self.0.stop.stop();
        let _ = tokio::time::timeout(self.0.settings.grace, graceful.shutdown()).await;
        Ok(())
    }
}

/// One connection, HTTP/1.1 or HTTP/2 with prior knowledge.
async fn speak(socket: TcpStream, router: axum::Router, watcher: Watcher) {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(64 << 10);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(64)
        .keep_alive_interval(Duration::from_secs(20));
    let service = TowerToHyperService::new(router);
    let connection = builder
        .serve_connection(TokioIo::new(socket), service)
        .into_owned();
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(error, "a control connection ended badly");
    }
}
