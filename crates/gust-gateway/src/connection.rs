//! One connection, from its first byte to its last: what it speaks, its requests, and its end.

use std::{
    convert::Infallible,
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::{Arc, atomic::AtomicUsize},
    task::{Context, Poll},
    time::Duration,
};

use gust_backend::desk::{Doorbell, Later};
use gust_dispatch::Dispatcher;
use gust_telemetry::{Gauge, PathMetrics, Refusal};
use http::{Request, Response};
use hyper::{
    body::Incoming,
    rt::{Read, Write},
    server::conn::{http1, http2},
    service::{Service, service_fn},
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    Settings,
    body::ReplyBody,
    files::Files,
    hook::Held,
    pulse::{Order, Pulse, Warden},
    serve,
    wire::{LATE, Wire, part},
};

/// What an HTTP/2 connection begins with.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What all connections share.
pub(crate) struct Door {
    pub(crate) settings: Settings,
    pub(crate) dispatcher: Dispatcher,
    pub(crate) later: Option<Arc<dyn Later>>,
    pub(crate) files: Files,
    /// Takes what webhooks bring.
    pub(crate) doorbell: Arc<dyn Doorbell>,
    pub(crate) held: Held,
    pub(crate) metrics: PathMetrics,
    pub(crate) warden: Warden,
    pub(crate) tls: Option<TlsAcceptor>,
    pub(crate) http1: http1::Builder,
    pub(crate) http2: http2::Builder<Streams>,
    /// Connections being told that there are too many.
    pub(crate) turned_away: AtomicUsize,
}

/// One caller, as its requests need to know it.
pub(crate) struct Client {
    pub(crate) door: Arc<Door>,
    pub(crate) peer: SocketAddr,
    pub(crate) pulse: Arc<Pulse>,
}

pub(crate) fn http1(settings: &Settings) -> http1::Builder {
    let head = usize::try_from(settings.head.bytes()).unwrap_or(usize::MAX);
    let mut builder = http1::Builder::new();
    builder
        .max_header_size(head)
        // An unfinished head may fill the buffer; bodies pass through it as well.
        .max_buf_size(head.max(64 * 1024))
        // Not `pipeline_flush`: it holds answers back while bytes wait to be read, and so loses the refusal of a head
        // that cannot be read, and delays a stream when the caller has pipelined its next request.
        // The warden sees to it, without a timer per request.
        .header_read_timeout(None);
    builder
}

pub(crate) fn http2(settings: &Settings) -> http2::Builder<Streams> {
    let mut builder = http2::Builder::new(Streams);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(settings.streams)
        .max_header_list_size(u32::try_from(settings.head.bytes()).unwrap_or(u32::MAX))
        // Streams that a caller opens and resets faster than we end them (rapid reset) end the connection.
        .max_pending_accept_reset_streams(32)
        .max_local_error_reset_streams(256)
        // What one connection may make us hold: unread request bodies and unsent answers.
        .initial_stream_window_size(256 * 1024)
        .initial_connection_window_size(1024 * 1024)
        .max_send_buf_size(256 * 1024)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}

/// Serves a connection in a task of its own.
pub(crate) fn spawn(door: Arc<Door>, stream: TcpStream, peer: SocketAddr) {
    let pulse = door.warden.admit();
    door.metrics.add(Gauge::Connections, 1);
    let client = Arc::new(Client {
        peer: SocketAddr::new(peer.ip().to_canonical(), peer.port()),
        pulse,
        door,
    });
    // Made before the task is, so that it is dropped even when the task never runs.
    let place = Place(client.clone());
    gust_task::spawn("connection", async move {
        let _place = place;
        // A caller's connection that fails is the caller's business.
        if let Err(error) = client.serve(stream).await {
            tracing::trace!(%peer, %error, "a connection failed");
        }
    });
}

/// A connection's place among the open ones.
struct Place(Arc<Client>);

impl Drop for Place {
    fn drop(&mut self) {
        let door = &self.0.door;
        door.warden.forget(&self.0.pulse);
        door.metrics.add(Gauge::Connections, -1);
    }
}

fn requests(client: Arc<Client>) -> impl Requests<Future: Send + 'static> {
    service_fn(move |request| {
        let client = client.clone();
        async move { Ok(serve::serve(&client, request).await) }
    })
}

// === impl Client ===

impl Client {
    async fn serve(self: Arc<Self>, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let Some(tls) = self.door.tls.clone() else {
            return self.sniff(stream).await;
        };
        let patience = self.door.settings.head_time.0;
        let handshake = tokio::time::timeout(patience, tls.accept(stream));
        let stream = handshake.await.map_err(|_| io::ErrorKind::TimedOut)??;
        match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => self.speak_h2(stream, Vec::new()).await,
            _ => self.speak_h1(stream, Vec::new()).await,
        }
    }

    /// HTTP/2 without TLS says so in its first bytes.
    async fn sniff<S>(self: Arc<Self>, mut stream: S) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut early = Vec::with_capacity(1024);
        loop {
            let read = tokio::select! {
                read = stream.read_buf(&mut early) => read?,
                order = self.ordered() => {
                    return match order {
                        Order::Late => part(stream, LATE).await,
                        _ => Ok(()),
                    };
                }
            };
            self.pulse.arrived(&early, 0);
            let known = early.len().min(PREFACE.len());
            if early.get(..known) != PREFACE.get(..known) || read == 0 {
                return self.speak_h1(stream, early).await;
            }
            if known == PREFACE.len() {
                return self.speak_h2(stream, early).await;
            }
        }
    }

    /// Waits for an order of the warden.
    async fn ordered(&self) -> Order {
        poll_fn(|cx| match self.pulse.order(cx.waker()) {
            Order::None => Poll::Pending,
            order => Poll::Ready(order),
        })
        .await
    }

    async fn speak_h1<S>(self: Arc<Self>, stream: S, early: Vec<u8>) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let keep = usize::try_from(self.door.settings.head.bytes()).unwrap_or(usize::MAX);
        let wire = Wire::new(stream, early, self.pulse.clone(), keep);
        let served = self
            .door
            .http1
            .serve_connection(TokioIo::new(wire), requests(self.clone()));
        self.drive(served).await
    }

    async fn speak_h2<S>(self: Arc<Self>, stream: S, early: Vec<u8>) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        // Frames are not heads: between requests an HTTP/2 connection is idle, whatever arrives.
        self.pulse.head_is_over();
        let wire = Wire::new(stream, early, self.pulse.clone(), 0);
        let served = self
            .door
            .http2
            .serve_connection(TokioIo::new(wire), requests(self.clone()));
        self.drive(served).await
    }

    /// What the HTTP library refused by itself is counted with the rest.
    fn note(&self, error: hyper::Error) -> io::Error {
        if error.is_parse() {
            let too_large = error.is_parse_too_large();
            let why = if too_large {
                Refusal::TooLarge
            } else {
                Refusal::Malformed
            };
            self.door.metrics.refused(why);
        }
        io::Error::other(error)
    }

    /// Runs a connection to its end, or to the end that the warden gives it.
    async fn drive(&self, served: impl Speaks) -> io::Result<()> {
        let mut served = pin!(served);
        let mut draining = false;
        poll_fn(|cx| {
            match self.pulse.order(cx.waker()) {
                Order::Drain if !draining => {
                    draining = true;
                    served.as_mut().drain();
                }
                Order::Cut => return Poll::Ready(Ok(())),
                // `Late` is the wire's to say.
                _ => {}
            }
            served.as_mut().speak(cx).map_err(|e| self.note(e))
        })
        .await
    }
}

/// What both versions' connections can do.
trait Speaks {
    fn speak(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), hyper::Error>>;
    fn drain(self: Pin<&mut Self>);
}

impl<I, F> Speaks for http1::Connection<I, F>
where
    I: Read + Write + Unpin,
    F: Requests,
{
    fn speak(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.poll(cx)
    }

    fn drain(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<I, F> Speaks for http2::Connection<I, F, Streams>
where
    I: Read + Write + Unpin,
    F: Requests,
    F::Future: Send + 'static,
{
    fn speak(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.poll(cx)
    }

    fn drain(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// What answers the requests of one connection.
trait Requests: Service<Request<Incoming>, Response = Response<ReplyBody>, Error = Infallible> {}

impl<F> Requests for F where
    F: Service<Request<Incoming>, Response = Response<ReplyBody>, Error = Infallible>
{
}

/// Each HTTP/2 stream runs in a task of its own, in which a panic ends that stream alone.
#[derive(Clone)]
pub(crate) struct Streams;

impl<F> hyper::rt::Executor<F> for Streams
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, stream: F) {
        gust_task::spawn("http2-stream", stream);
    }
}
