//! The port: connections in, bounded in number and in patience.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use gust_task::{Stop, net};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpListener;

use crate::{
    Door,
    budget::{MEMBERS, STRANGERS},
    connection::Connection,
};

/// Connections at once: members, strangers, and some that are just being turned away.
const CONNECTIONS: u32 = (MEMBERS + STRANGERS) as u32 + 64;
/// How long nothing comes before the system asks whether the other side is still there.
const SILENCE: Duration = Duration::from_secs(300);

impl Door {
    /// Serves until stopped; then takes no more connections and gives commands under way their grace.
    pub async fn serve(&self, listener: TcpListener, stop: Stop, grace: Duration) {
        let open = net::accept(
            "redis connection",
            listener,
            CONNECTIONS,
            &stop,
            |socket, _| {
                let keepalive = TcpKeepalive::new().with_time(SILENCE);
                let _ = SockRef::from(&socket).set_tcp_keepalive(&keepalive);
                let id = self.0.last.fetch_add(1, Relaxed) + 1;
                // Without a place it is closed at once, and those who have one keep it.
                let connection = Connection::new(self.clone(), id, socket, stop.clone());
                async move {
                    if let Some(connection) = connection {
                        connection.serve().await;
                    }
                }
            },
        )
        .await;
        open.ended(grace).await;
    }
}
