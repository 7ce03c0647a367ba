//! TLS: ALPN chooses the version, and a new certificate needs no restart.

use std::{path::Path, sync::Arc, time::Duration};

use gust_gateway::Tls;
use gust_types::{Span, call::empty};
use http_body_util::BodyExt as _;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use rustls_pki_types::CertificateDer;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::kit::{World, behind, echo};

fn write(folder: &Path) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(vec!["app.gust.localhost".to_owned()]).unwrap();
    std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    std::fs::write(folder.join("cert.pem"), made.cert.pem()).unwrap();
    made.cert.der().clone()
}

async fn connect(
    world: &World,
    root: &CertificateDer<'static>,
    alpn: &[&[u8]],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    let name = ServerName::try_from("app.gust.localhost").unwrap();
    let stream = TcpStream::connect(world.address).await?;
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

async fn open(folder: &Path) -> World {
    let tls = Tls {
        cert: folder.join("cert.pem"),
        key: folder.join("key.pem"),
    };
    behind()
        .function("/...", echo)
        .set(|s| {
            s.tls = Some(tls);
            s.head_time = Span::secs(1);
        })
        .open()
        .await
}

#[tokio::test]
async fn alpn_chooses_the_version() {
    let folder = tempfile::tempdir().unwrap();
    let root = write(folder.path());
    let world = open(folder.path()).await;

    let stream = connect(&world, &root, &[b"h2", b"http/1.1"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    gust_task::spawn("client", connection);
    let request = http::Request::get("https://app.gust.localhost/")
        .body(empty())
        .unwrap();
    let response = client.send_request(request).await.unwrap();
    let text = response.into_body().collect().await.unwrap().to_bytes();
    assert!(
        text.starts_with(b"GET https://app.gust.localhost/ HTTP/2.0"),
        "{text:?}"
    );

    for alpn in [&[&b"http/1.1"[..]][..], &[]] {
        let mut stream = connect(&world, &root, alpn).await.unwrap();
        let request = b"GET / HTTP/1.1\r\nHost: app.gust.localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut got = String::new();
        stream.read_to_string(&mut got).await.unwrap();
        assert!(got.starts_with("HTTP/1.1 200 "), "{got}");
        assert!(got.contains("GET https://app.gust.localhost/ "), "{got}");
        assert!(got.contains("spin-full-url: https://app."), "{got}");
    }
}

#[tokio::test]
async fn strangers_to_tls_are_cut() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    let world = open(folder.path()).await;
    let got = world.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(!got.contains("HTTP/"), "{got}");
    // A handshake that never ends.
    assert_eq!(world.exchange("").await, "");
}

#[tokio::test]
async fn a_new_certificate_is_taken_and_a_broken_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let old = write(folder.path());
    let world = open(folder.path()).await;
    connect(&world, &old, &[]).await.unwrap();

    std::fs::write(folder.path().join("cert.pem"), "broken").unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let new = write(folder.path());
    let mut taken = false;
    for _ in 0..60 {
        taken = connect(&world, &new, &[]).await.is_ok();
        if taken {
            break;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert!(taken, "the new certificate is in use");
    assert!(connect(&world, &old, &[]).await.is_err());
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    write(folder.path());
    write(other.path());
    for (cert, key, says) in [
        (
            folder.path().join("none.pem"),
            folder.path().join("key.pem"),
            "none.pem",
        ),
        (
            folder.path().join("key.pem"),
            folder.path().join("key.pem"),
            "certificate",
        ),
        (
            folder.path().join("cert.pem"),
            other.path().join("key.pem"),
            "do not belong together",
        ),
    ] {
        let bound = behind()
            .set(|s| s.tls = Some(Tls { cert, key }))
            .try_bind()
            .await;
        let error = bound.unwrap_err();
        assert!(error.message.contains(says), "{}", error.message);
    }
}
