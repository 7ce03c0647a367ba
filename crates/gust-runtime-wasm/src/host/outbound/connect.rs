//! Making a connection: name, address, policy, TCP, TLS, HTTP.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;
use wasmtime_wasi_http::{Error, WasiBody};

use super::{
    fault,
    pool::{Held, Route},
    time::until,
};

/// The head of a response that is still read, in bytes.
const HEAD: usize = 64 << 10;
/// Its header fields.
const FIELDS: usize = 256;
/// Addresses of one name that are tried.
const ADDRESSES: usize = 8;
/// How long a silent HTTP/2 connection goes unquestioned.
const PING: Duration = Duration::from_secs(20);

/// The sending side of a connection.
pub(super) enum Line {
    Http1(http1::SendRequest<WasiBody>),
    Http2(http2::SendRequest<WasiBody>),
}

/// Makes connections.
pub(super) struct Connector {
    tls: TlsConnector,
}

// === impl Connector ===

impl Connector {
    /// One that trusts these authorities.
    pub(super) fn new(roots: RootCertStore) -> Self {
        #[expect(clippy::expect_used, reason = "ring offers what rustls asks for")]
        let builder =
            ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
                .with_safe_default_protocol_versions()
                .expect("ring offers the default TLS versions");
        let mut tls = builder.with_root_certificates(roots).with_no_client_auth();
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Self {
            tls: TlsConnector::from(Arc::new(tls)),
        }
    }

    /// A new connection along `route`, which the policy has allowed by name. `held` goes when the connection goes.
    pub(super) async fn connect(
        &self,
        route: &Route,
        by: Instant,
        held: Held,
    ) -> Result<Line, Error> {
        let addresses = until(by, Error::DnsTimeout, resolve(route)).await?;
        let tcp = reach(&addresses, by).await?;
        let agree = async {
            if !route.origin.https {
                return http1(tcp, held).await;
            }
            let name = ServerName::try_from(route.origin.host.clone())
                .map_err(|_| Error::HttpRequestUriInvalid)?;
            let tls = self.tls.connect(name, tcp).await;
            let tls = tls.map_err(|e| fault::of_tls(&e))?;
            match tls.get_ref().1.alpn_protocol() {
                Some(b"h2") => http2(tls, held).await,
                _ => http1(tls, held).await,
            }
        };
        until(by, Error::ConnectionTimeout, agree).await
    }
}

/// The addresses of the origin that the policy lets through.
async fn resolve(route: &Route) -> Result<Vec<SocketAddr>, Error> {
    let (host, port) = (route.origin.host.as_str(), route.origin.port);
    let found: Vec<SocketAddr> = match host.parse::<IpAddr>() {
        Ok(ip) => vec![SocketAddr::new(ip, port)],
        Err(_) => tokio::net::lookup_host((host, port))
            .await
            .map_err(|e| fault::of_lookup(&e))?
            .collect(),
    };
    permitted(route, found)
}

/// Those of the addresses found that may be connected to. Whatever the name, the addresses decide: a name that is on the
/// list may point into a network that is not.
fn permitted(route: &Route, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Error> {
    if found.is_empty() {
        return Err(Error::DestinationNotFound);
    }
    let allowed: Vec<SocketAddr> = found
        .into_iter()
        .filter(|address| route.allows(address.ip()))
        .take(ADDRESSES)
        .collect();
    if allowed.is_empty() {
        return Err(Error::DestinationIpProhibited);
    }
    Ok(allowed)
}

/// Tries one address after the other, each for its share of the time.
async fn reach(addresses: &[SocketAddr], by: Instant) -> Result<TcpStream, Error> {
    let mut failed = Error::DestinationUnavailable;
    for (index, address) in addresses.iter().enumerate() {
        let now = gust_task::clock::now();
        let left = u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
        let share = by.saturating_duration_since(now) / left;
        let attempt = async {
            let tcp = TcpStream::connect(address).await;
            tcp.map_err(|e| fault::of_connect(&e))
        };
        match until(now + share, Error::ConnectionTimeout, attempt).await {
            Ok(tcp) => {
                // Best effort: without it, small requests wait for an acknowledgement.
                let _ = tcp.set_nodelay(true);
                return Ok(tcp);
            }
            Err(e) => failed = e,
        }
    }
    Err(failed)
}

async fn http1<S>(stream: S, held: Held) -> Result<Line, Error>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (line, connection) = http1::Builder::new()
        .max_buf_size(HEAD)
        .max_headers(FIELDS)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(fault::of_exchange)?;
    drive(connection, held);
    Ok(Line::Http1(line))
}

async fn http2<S>(stream: S, held: Held) -> Result<Line, Error>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (line, connection) = http2::Builder::new(Tasks)
        .timer(TokioTimer::new())
        .max_header_list_size(HEAD as u32)
        .keep_alive_interval(PING)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(fault::of_exchange)?;
    drive(connection, held);
    Ok(Line::Http2(line))
}

/// Moves bytes for as long as the connection lives. Errors reach whoever waits for a response on it.
fn drive(connection: impl Future<Output = hyper::Result<()>> + Send + 'static, held: Held) {
    gust_task::spawn("outbound connection", async move {
        let _held = held;
        if let Err(error) = connection.await {
            tracing::debug!(%error, "an outbound connection ended");
        }
    });
}

/// How hyper starts the tasks of HTTP/2 streams.
#[derive(Clone)]
struct Tasks;

impl<F> hyper::rt::Executor<F> for Tasks
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, task: F) {
        gust_task::spawn("outbound stream", task);
    }
}

#[cfg(test)]
mod tests {
    use gust_types::outbound::Outbound;

    use super::*;
    use crate::host::outbound::target::Origin;

    /// A name whose answers change from look-up to look-up.
    #[test]
    fn a_name_that_points_inside_gets_nowhere() {
        for pattern in ["http://a.example.com", "http://*.example.com", "*://*:*"] {
            let list = Arc::new(Outbound::parse(&[pattern.to_owned()]).unwrap());
            let origin = Origin {
                https: false,
                host: "a.example.com".to_owned(),
                port: 80,
            };
            let verdict = list.check("http", &origin.host, 80);
            let route = Route::new(list, verdict, origin);
            let at = |ip: &str| SocketAddr::new(ip.parse().unwrap(), 80);
            for inside in [
                "127.0.0.1",
                "10.0.0.1",
                "169.254.169.254",
                "::1",
                "::ffff:10.0.0.1",
            ] {
                let error = permitted(&route, vec![at(inside)]).unwrap_err();
                assert!(matches!(error, Error::DestinationIpProhibited), "{inside}");
                let mixed = permitted(&route, vec![at(inside), at("192.0.9.1")]);
                assert_eq!(mixed.unwrap(), [at("192.0.9.1")], "{pattern} {inside}");
            }
        }
    }
}
