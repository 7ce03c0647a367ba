//! TLS with ALPN, and certificates that may change while we run.

use std::{path::Path, sync::Arc, time::SystemTime};

use arc_swap::ArcSwap;
use gust_task::Reconcile;
use gust_types::{BoxFuture, Error, Result};
use parking_lot::Mutex;
use rustls::{
    ServerConfig,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use tokio_rustls::TlsAcceptor;

use crate::settings::Tls;

/// The certificate in use, and where it comes from.
#[derive(Debug)]
pub(crate) struct Certificates {
    files: Tls,
    current: ArcSwap<CertifiedKey>,
    /// When the files were changed that `current` was read from.
    read: Mutex<Changed>,
}

type Changed = [Option<SystemTime>; 2];

// === impl Certificates ===

impl Certificates {
    pub(crate) fn open(files: &Tls) -> Result<Arc<Self>> {
        let changed = changed(files);
        Ok(Arc::new(Self {
            files: files.clone(),
            current: ArcSwap::from_pointee(load(files)?),
            read: Mutex::new(changed),
        }))
    }

    /// What makes a TLS connection of a plain one.
    pub(crate) fn acceptor(self: &Arc<Self>) -> Result<TlsAcceptor> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|e| Error::internal("cannot set up TLS").because(e))?
            .with_no_client_auth()
            .with_cert_resolver(self.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// Reads the files again when they have changed. A pair that does not work leaves the old one in use.
    fn refresh(&self) -> Result<String> {
        let changed = changed(&self.files);
        if *self.read.lock() == changed {
            return Ok("unchanged".to_owned());
        }
        let fresh = load(&self.files)?;
        self.current.store(Arc::new(fresh));
        *self.read.lock() = changed;
        tracing::info!(cert = %self.files.cert.display(), "the certificate was read again");
        Ok("read again".to_owned())
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

impl Reconcile for Certificates {
    fn name(&self) -> &'static str {
        "certificates"
    }

    fn reconcile(&self) -> BoxFuture<'_, Result<String>> {
        Box::pin(async { self.refresh() })
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn changed(files: &Tls) -> Changed {
    [&files.cert, &files.key].map(|path| std::fs::metadata(path).and_then(|m| m.modified()).ok())
}

fn load(files: &Tls) -> Result<CertifiedKey> {
    let chain: Vec<_> = CertificateDer::pem_file_iter(&files.cert)
        .and_then(Iterator::collect)
        .map_err(|e| unreadable("certificate", &files.cert).because(e))?;
    if chain.is_empty() {
        return Err(unreadable("certificate", &files.cert));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|e| unreadable("private key", &files.key).because(e))?;
    let pair = CertifiedKey::from_der(chain, key, &provider());
    pair.map_err(|e| {
        let what = format!(
            "certificate and key do not belong together: {}",
            files.cert.display()
        );
        Error::invalid(what).because(e)
    })
}

fn unreadable(what: &str, path: &Path) -> Error {
    Error::invalid(format!("cannot read a {what} from: {}", path.display()))
        .hint("the file must hold PEM text that the node's user may read")
}
