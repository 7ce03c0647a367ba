//! What went wrong, in the words of `wasi:http`.

use std::{error::Error as _, io};

use gust_types::Kind;
use wasmtime_wasi_http::Error;

/// While connecting.
pub(super) fn of_connect(error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Error::ConnectionRefused,
        io::ErrorKind::TimedOut => Error::ConnectionTimeout,
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => {
            Error::ConnectionTerminated
        }
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => {
            Error::DestinationIpUnroutable
        }
        _ => Error::DestinationUnavailable,
    }
}

/// While looking up a name. The system's resolver does not say which of DNS's own codes it got.
pub(super) fn of_lookup(error: &io::Error) -> Error {
    tracing::debug!(%error, "a name that a guest asked for does not resolve");
    Error::DnsError {
        rcode: Some("name does not resolve".to_owned()),
        info_code: None,
    }
}

/// While agreeing on TLS.
pub(super) fn of_tls(error: &io::Error) -> Error {
    let inner = error.get_ref().and_then(|e| e.downcast_ref());
    match inner {
        Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => {
            Error::TlsCertificateError
        }
        Some(rustls::Error::AlertReceived(alert)) => Error::TlsAlertReceived {
            alert_id: Some(u8::from(*alert)),
            alert_message: Some(format!("{alert:?}")),
        },
        Some(_) => Error::TlsProtocolError,
        None if error.kind() == io::ErrorKind::UnexpectedEof => Error::ConnectionTerminated,
        None => of_connect(error),
    }
}

/// While the request is sent and the head of the response awaited.
pub(super) fn of_exchange(error: hyper::Error) -> Error {
    if let Some(Error::HttpRequestBodySize(limit)) = cause(&error) {
        return Error::HttpRequestBodySize(*limit);
    }
    if error.is_parse_too_large() {
        return Error::HttpResponseHeaderSectionSize(None);
    }
    if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        return Error::ConnectionTerminated;
    }
    of_io(error)
}

/// While the body of the response arrives.
pub(super) fn of_response(error: hyper::Error) -> Error {
    if error.is_incomplete_message() {
        return Error::HttpResponseIncomplete;
    }
    of_io(error)
}

fn of_io(error: hyper::Error) -> Error {
    match cause::<io::Error>(&error) {
        Some(e) if e.kind() == io::ErrorKind::TimedOut => Error::ConnectionReadTimeout,
        Some(_) => Error::ConnectionTerminated,
        None => Error::HttpProtocolError,
    }
}

fn cause<E: std::error::Error + 'static>(error: &hyper::Error) -> Option<&E> {
    let mut next = error.source();
    while let Some(cause) = next {
        if let Some(found) = cause.downcast_ref() {
            return Some(found);
        }
        next = cause.source();
    }
    None
}

/// Of a call between functions of one app.
pub(super) fn of_peer(error: &gust_types::Error) -> Error {
    match error.kind {
        Kind::NotFound => Error::DestinationNotFound,
        Kind::Denied => Error::HttpRequestDenied,
        Kind::Timeout => Error::HttpResponseTimeout,
        Kind::Exhausted => Error::ConnectionLimitReached,
        Kind::Unavailable => Error::DestinationUnavailable,
        Kind::Invalid => Error::HttpProtocolError,
        Kind::Conflict | Kind::Failed | Kind::Internal => {
            Error::InternalError(Some(error.message.clone()))
        }
    }
}
