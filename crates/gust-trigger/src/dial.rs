//! Reaching a peer: name, address, rules, TCP, TLS.
//!
//! A trigger's URL is a word of the developer's, so it is to a source what an entry of `outbound` is to a function: an
//! address in it is reached, private or not, a name that is plainly local too, and any other name leads to public
//! addresses only. What the operator blocks is reached by nobody.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use gust_types::{
    Error, Result,
    outbound::{Blocked, Outbound},
};
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use crate::Peer;

/// How long it may take to be connected, all in all.
const CONNECT: Duration = Duration::from_secs(15);
/// How long one address may take.
const ATTEMPT: Duration = Duration::from_secs(5);
/// Addresses of one name that are tried.
const ADDRESSES: usize = 8;
/// What is named by a peer that sends us on.
const ANYWHERE: &str = "*://*";

/// A connection.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Connects, within the rules. Clones are the same.
#[derive(Clone, Default)]
pub struct Dial {
    blocked: Blocked,
}

/// Whom to trust. Clones are the same.
#[derive(Clone)]
pub struct Tls(TlsConnector);

// === impl Dial ===

impl Dial {
    /// One that reaches everything but these networks.
    pub fn new(blocked: Blocked) -> Self {
        Self { blocked }
    }

    /// A connection to this peer, with TLS when its scheme says so.
    pub async fn connect(&self, peer: &Peer, tls: &Tls) -> Result<Box<dyn Stream>> {
        let rules = Outbound::parse(&[peer.to_string()])?;
        self.connect_within(peer, tls, rules).await
    }

    /// A connection to where this peer has sent us on to. Another place than its own was named by nobody who may name
    /// private addresses: only public ones are reached.
    pub async fn follow(&self, from: &Peer, to: &Peer, tls: &Tls) -> Result<Box<dyn Stream>> {
        let named = match from.same_place(to) {
            true => to.to_string(),
            false => ANYWHERE.to_owned(),
        };
        self.connect_within(to, tls, Outbound::parse(&[named])?)
            .await
    }

    /// The same, to a peer that somebody named who may not go everywhere: only where these rules lead. The address that
    /// was checked is the one that is connected to.
    pub async fn connect_within(
        &self,
        peer: &Peer,
        tls: &Tls,
        rules: Outbound,
    ) -> Result<Box<dyn Stream>> {
        let rules = rules.without(&self.blocked);
        let connecting = async {
            let tcp = reach(peer, &addresses(peer, &rules).await?).await?;
            match peer.tls {
                true => tls.wrap(peer, Box::new(tcp)).await,
                false => Ok(Box::new(tcp) as Box<dyn Stream>),
            }
        };
        match timeout(CONNECT, connecting).await {
            Ok(connected) => connected,
            Err(_) => Err(Error::unavailable(format!(
                "no connection within {} s: {peer}",
                CONNECT.as_secs()
            ))),
        }
    }
}

/// The addresses that may be connected to. Whatever the name, the addresses decide.
async fn addresses(peer: &Peer, rules: &Outbound) -> Result<Vec<SocketAddr>> {
    let found: Vec<SocketAddr> = match peer.host.parse::<IpAddr>() {
        Ok(ip) => vec![SocketAddr::new(ip, peer.port)],
        Err(_) => tokio::net::lookup_host((peer.host.as_str(), peer.port))
            .await
            .map_err(|e| {
                let text = format!("the name cannot be looked up: {:?}", peer.host);
                Error::unavailable(text).because(e)
            })?
            .collect(),
    };
    permitted(peer, rules, found)
}

fn permitted(peer: &Peer, rules: &Outbound, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>> {
    let verdict = rules.check(peer.scheme, &peer.host, peer.port);
    let allowed: Vec<SocketAddr> = found
        .into_iter()
        .filter(|address| rules.check_address(verdict, peer.scheme, address.ip(), peer.port))
        .take(ADDRESSES)
        .collect();
    if allowed.is_empty() {
        return Err(
            Error::denied(format!("this may not be reached: {peer}")).hint(
                "a name that leads into a private network is reached by its address; \
                 block_networks of the node always holds",
            ),
        );
    }
    Ok(allowed)
}

/// Tries one address after the other.
async fn reach(peer: &Peer, addresses: &[SocketAddr]) -> Result<TcpStream> {
    let mut failed = None;
    for address in addresses {
        match timeout(ATTEMPT, TcpStream::connect(address)).await {
            Ok(Ok(tcp)) => {
                // Best effort: without it, acknowledgements wait for each other.
                let _ = tcp.set_nodelay(true);
                return Ok(tcp);
            }
            Ok(Err(error)) => failed = Some(error),
            Err(_) => {}
        }
    }
    let error = Error::unavailable(format!("cannot connect to {peer}"));
    Err(match failed {
        Some(cause) => error.because(cause),
        None => error,
    })
}

// === impl Tls ===

impl Tls {
    /// Trusts the authorities that everybody trusts, or the one whose certificate this is, in PEM, and no other.
    pub fn new(ca: Option<&str>) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        match ca {
            None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
            Some(pem) => {
                let fault = || {
                    Error::invalid("`ca` is not a certificate in PEM form")
                        .hint("it starts with -----BEGIN CERTIFICATE-----")
                };
                for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
                    let certificate = certificate.map_err(|_| fault())?;
                    roots.add(certificate).map_err(|_| fault())?;
                }
                if roots.is_empty() {
                    return Err(fault());
                }
            }
        }
        let provider = rustls::crypto::ring::default_provider().into();
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| Error::internal("no version of TLS").because(e))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    /// Speaks TLS over a connection, for protocols that begin without it.
    pub async fn wrap(&self, peer: &Peer, stream: Box<dyn Stream>) -> Result<Box<dyn Stream>> {
        let name = ServerName::try_from(peer.host.clone())
            .map_err(|_| Error::invalid(format!("no certificate is for this name: {peer}")))?;
        let wrapped = self.0.connect(name, stream).await.map_err(|e| {
            Error::unavailable(format!("no TLS with {peer}"))
                .hint("a certificate of your own authority is trusted when `ca` has it")
                .because(e)
        })?;
        Ok(Box::new(wrapped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scheme;

    const SCHEMES: &[Scheme] = &[
        Scheme {
            name: "nats",
            port: 4222,
            tls: false,
        },
        Scheme {
            name: "tls",
            port: 4222,
            tls: true,
        },
    ];

    fn may(dial: &Dial, url: &str, address: &str) -> bool {
        let peer = Peer::parse(url, SCHEMES).unwrap();
        let address = SocketAddr::new(address.parse().unwrap(), peer.port);
        let rules = Outbound::parse(&[peer.to_string()]).unwrap();
        permitted(&peer, &rules.without(&dial.blocked), vec![address]).is_ok()
    }

    #[tokio::test]
    async fn a_peer_that_sends_us_on_opens_no_private_address() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let tls = Tls::new(None).unwrap();
        let of = |url: &str| Peer::parse(url, SCHEMES).unwrap();
        let here = of(&format!("nats://127.0.0.1:{port}"));
        let dial = Dial::default();
        assert!(dial.follow(&here, &here, &tls).await.is_ok());
        for from in [
            "nats://127.0.0.1:1",
            "nats://example.com",
            "nats://localhost",
        ] {
            let denied = dial.follow(&of(from), &here, &tls).await.err().unwrap();
            assert_eq!(denied.kind, gust_types::Kind::Denied, "{from}");
        }
        let local = of(&format!("nats://localhost:{port}"));
        let denied = dial.follow(&of("nats://example.com"), &local, &tls).await;
        assert!(denied.is_err());
        let v6 = of(&format!("nats://[::ffff:127.0.0.1]:{port}"));
        assert!(
            dial.follow(&of("nats://example.com"), &v6, &tls)
                .await
                .is_err()
        );
    }

    #[test]
    fn a_url_reaches_what_it_names_and_nothing_behind_a_name() {
        let dial = Dial::default();
        assert!(may(&dial, "nats://127.0.0.1:1", "127.0.0.1"));
        assert!(may(&dial, "nats://localhost", "127.0.0.1"));
        assert!(may(&dial, "nats://broker", "10.0.0.7"));
        assert!(may(&dial, "nats://[::1]", "::1"));
        assert!(may(&dial, "nats://broker.example.com", "192.0.9.1"));
        assert!(!may(&dial, "nats://broker.example.com", "10.0.0.7"));
        assert!(!may(&dial, "nats://broker.example.com", "127.0.0.1"));
        assert!(!may(&dial, "nats://localhost", "169.254.169.254"));
        let dial = Dial::new(Blocked::parse(&["10.0.0.0/8".to_owned()]).unwrap());
        assert!(!may(&dial, "nats://broker", "10.0.0.7"));
        assert!(!may(&dial, "nats://10.0.0.7", "10.0.0.7"));
    }

    #[tokio::test]
    async fn tls_trusts_the_authority_it_is_given() {
        let signed = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let key = rustls_pki_types::PrivatePkcs8KeyDer::from(signed.signing_key.serialize_der());
        let provider = rustls::crypto::ring::default_provider().into();
        let server = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![signed.cert.der().clone()], key.into())
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(server));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = gust_task::spawn("server", async move {
            for _ in 0..2 {
                let (tcp, _) = listener.accept().await.unwrap();
                let _ = acceptor.accept(tcp).await;
            }
        });
        let peer = Peer::parse(&format!("tls://localhost:{port}"), SCHEMES).unwrap();
        let trusting = Tls::new(Some(&signed.cert.pem())).unwrap();
        assert!(Dial::default().connect(&peer, &trusting).await.is_ok());
        let other = Tls::new(None).unwrap();
        let refused = Dial::default().connect(&peer, &other).await.err().unwrap();
        assert!(refused.hint.unwrap().contains("`ca`"));
        serving.await.unwrap();
        assert!(Tls::new(Some("nonsense")).is_err());
    }
}
