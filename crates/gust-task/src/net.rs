//! Connections in, bounded in number: the loop that every port needs.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

use crate::Stop;

/// A pause after the system refused a connection, as when file descriptors have run out.
const BREATH: Duration = Duration::from_millis(50);

/// The connections that [`accept`] let in.
pub struct Connections {
    places: Arc<Semaphore>,
    most: u32,
}

/// Lets connections in until stopped, `most` at once; each is spoken with in a task of this name. Those that come while
/// all places are taken wait in the system's queue. Answers with what is still open then.
pub async fn accept<S, F>(
    name: &'static str,
    listener: TcpListener,
    most: u32,
    stop: &Stop,
    mut speak: S,
) -> Connections
where
    S: FnMut(TcpStream, SocketAddr) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(most as usize));
    loop {
        let place = tokio::select! {
            place = places.clone().acquire_owned() => place,
            () = stop.stopped() => break,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.stopped() => break,
        };
        let (socket, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept: {name}");
                tokio::time::sleep(BREATH).await;
                continue;
            }
        };
        let _ = socket.set_nodelay(true);
        let spoken = speak(socket, peer);
        crate::spawn(name, async move {
            let _place = place;
            spoken.await;
        });
    }
    Connections { places, most }
}

// === impl Connections ===

impl Connections {
    /// Waits until all of them are closed, for this long at most; answers whether they are.
    pub async fn ended(self, grace: Duration) -> bool {
        let all = self.places.acquire_many(self.most);
        tokio::time::timeout(grace, all).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn places_are_bounded_and_the_end_waits_for_what_is_open() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let stop = Stop::new();
        let inner = stop.clone();
        let server = crate::spawn("test", async move {
            accept("echo", listener, 1, &inner, |mut socket, _| async move {
                let mut byte = [0];
                while socket.read_exact(&mut byte).await.is_ok() {
                    socket.write_all(&byte).await.unwrap();
                }
            })
            .await
        });
        let mut one = TcpStream::connect(addr).await.unwrap();
        let mut two = TcpStream::connect(addr).await.unwrap();
        let mut byte = [0];
        one.write_all(b"1").await.unwrap();
        one.read_exact(&mut byte).await.unwrap();
        two.write_all(b"2").await.unwrap();
        let early =
            tokio::time::timeout(Duration::from_millis(100), two.read_exact(&mut byte)).await;
        assert!(early.is_err(), "the second waits for the first one's place");
        drop(one);
        two.read_exact(&mut byte).await.unwrap();
        assert_eq!(&byte, b"2");
        stop.stop();
        let open = server.await.unwrap().unwrap();
        drop(two);
        assert!(open.ended(Duration::from_secs(5)).await);
    }
}
