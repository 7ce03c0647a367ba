//! accept: what is let through the door, and in which form.
//!
//! The HTTP library refuses by itself what it cannot read: bad request lines, header names and chunks, folded lines,
//! invalid or contradicting lengths, too many headers, heads that are too large, and all that HTTP/2 forbids. Here is
//! what it lets through: messages that another reader in front of us may have framed otherwise, and heads that leave
//! open which host is meant.

use std::time::Instant;

use gust_telemetry::{CallSpan, Traces};
use gust_types::call::Trace;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version,
    header::{CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, TE, TRANSFER_ENCODING, UPGRADE},
    request,
    uri::{Authority, Scheme},
};

use crate::{Settings, parse, pulse::Pulse, refuse::Refuse};

pub(crate) static KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
pub(crate) static PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
static TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Refuses what must not come in, and takes from the head what was meant for this connection alone.
pub(crate) fn check(
    head: &mut request::Parts,
    pulse: &Pulse,
    settings: &Settings,
) -> Result<(), Refuse> {
    let http2 = head.version == Version::HTTP_2;
    if !http2 {
        framing(head, pulse)?;
    }
    target(head, settings)?;
    host(head, http2)?;
    if let Some(expect) = head.headers.get(EXPECT)
        && !expect.as_bytes().eq_ignore_ascii_case(b"100-continue")
    {
        let what = "only 100-continue can be expected";
        return Err(Refuse::request(StatusCode::EXPECTATION_FAILED, what));
    }
    if http2 {
        join_cookies(&mut head.headers);
    }
    strip_hop_by_hop(&mut head.headers);
    Ok(())
}

/// Refuses a message whose end two readers could see in two places. Closing the connection as well leaves nothing
/// behind it that could be taken for a request.
fn framing(head: &request::Parts, pulse: &Pulse) -> Result<(), Refuse> {
    let coded = head.headers.contains_key(TRANSFER_ENCODING);
    let framed = coded || head.headers.contains_key(CONTENT_LENGTH);
    let raw = pulse.with_head(|raw| {
        let path = head.uri.path().as_bytes();
        framed
            .then(|| parse::framing(raw, head.method.as_str().as_bytes(), path))
            .flatten()
    });
    if !framed {
        return Ok(());
    }
    let raw = raw.unwrap_or_default();
    if coded && raw.lengths > 0 {
        return Err(Refuse::malformed(
            "the request has both content-length and transfer-encoding",
        ));
    }
    if raw.lengths > 1 {
        return Err(Refuse::malformed(
            "the request has more than one content-length",
        ));
    }
    if raw.odd {
        return Err(Refuse::malformed(
            "the request has a folded or broken header line",
        ));
    }
    let mut codings = head.headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(one), None) if one.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => Err(Refuse::malformed(
            "the only transfer-encoding taken is chunked",
        )),
    }
}

fn target(head: &request::Parts, settings: &Settings) -> Result<(), Refuse> {
    let limit = settings.target.bytes();
    if head
        .uri
        .path_and_query()
        .map_or(0, |target| target.as_str().len()) as u64
        > limit
    {
        let what = format!("the request target is longer than allowed, in bytes: {limit}");
        return Err(Refuse::too_large(StatusCode::URI_TOO_LONG, what));
    }
    if head.method == Method::CONNECT {
        return Err(Refuse {
            close: true,
            ..Refuse::method(
                "this is not a proxy",
                "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS",
            )
        });
    }
    if head.uri.path().is_empty() {
        return Err(Refuse::malformed("the target does not begin with a slash"));
    }
    if head.uri.path() == "*" && head.method != Method::OPTIONS {
        return Err(Refuse::malformed("the target * is for OPTIONS only"));
    }
    if head
        .uri
        .scheme_str()
        .is_some_and(|scheme| scheme != "http" && scheme != "https")
    {
        return Err(Refuse::request(
            StatusCode::BAD_REQUEST,
            "the scheme must be http or https",
        ));
    }
    Ok(())
}

/// Leaves exactly one `Host`, the one that the request is routed by.
fn host(head: &mut request::Parts, http2: bool) -> Result<(), Refuse> {
    let mut hosts = head.headers.get_all(HOST).iter();
    let (host, second) = (hosts.next(), hosts.next());
    if second.is_some() {
        return Err(Refuse::malformed("the request has more than one host"));
    }
    if let Some(host) = host
        && !parse::is_host(host.as_bytes())
    {
        return Err(Refuse::malformed("the host is not a name or an address"));
    }
    let Some(authority) = authority(&head.uri)? else {
        // HTTP/1.0 had no hosts.
        let missing = host.is_none() && head.version != Version::HTTP_10;
        return match missing {
            true => Err(Refuse::malformed("the request has no host")),
            false => Ok(()),
        };
    };
    match host {
        Some(host) if host.as_bytes().eq_ignore_ascii_case(authority.as_bytes()) => {}
        // RFC 9113: a request that names two hosts is malformed. RFC 9112: in a target, the target's counts.
        Some(_) if http2 => return Err(Refuse::malformed("the request names two hosts")),
        _ => {
            head.headers.insert(HOST, authority);
        }
    }
    Ok(())
}

/// Makes the target say by which scheme the request came, whatever it claims: a guest decides by it what it may answer.
pub(crate) fn scheme(head: &mut request::Parts, secure: bool) {
    let came_by = if secure { Scheme::HTTPS } else { Scheme::HTTP };
    match head.uri.scheme() {
        Some(said) if *said == came_by => return,
        // Without a scheme it is taken for http.
        None if !secure => return,
        _ => {}
    }
    let mut parts = head.uri.clone().into_parts();
    let named = head.headers.get(HOST);
    parts.authority = parts
        .authority
        .or_else(|| Authority::try_from(named?.as_bytes()).ok());
    parts.scheme = Some(came_by);
    // A caller of HTTP/1.0 may have named no host: such a target has no scheme.
    if let Ok(uri) = Uri::from_parts(parts) {
        head.uri = uri;
    }
}

fn authority(uri: &Uri) -> Result<Option<HeaderValue>, Refuse> {
    let Some(authority) = uri.authority() else {
        return Ok(None);
    };
    let text = authority.as_str();
    match parse::is_host(text.as_bytes()) {
        true => Ok(HeaderValue::from_str(text).ok()),
        false => Err(Refuse::malformed("the host is not a name or an address")),
    }
}

/// HTTP/2 may send a cookie header in pieces; guests know one header, joined as RFC 9113 section 8.2.3 says.
fn join_cookies(headers: &mut HeaderMap) {
    let mut pieces = headers.get_all(COOKIE).iter();
    if pieces.next().is_none() || pieces.next().is_none() {
        return;
    }
    let pieces: Vec<_> = headers
        .get_all(COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if let Ok(joined) = HeaderValue::from_bytes(&pieces.join(&b"; "[..])) {
        headers.insert(COOKIE, joined);
    }
}

/// Removes what was meant for the two ends of one connection: what `Connection` lists, and what always is.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        let listed: Vec<HeaderName> = headers
            .get_all(CONNECTION)
            .iter()
            .flat_map(|value| parse::tokens(value.as_bytes()))
            .filter_map(|token| HeaderName::from_bytes(token).ok())
            // Whoever lists these wants to blind us, not to save bytes.
            .filter(|name| !matches!(*name, HOST | CONTENT_LENGTH))
            .collect();
        for name in listed {
            headers.remove(name);
        }
        headers.remove(CONNECTION);
    }
    for name in [&KEEP_ALIVE, &PROXY_CONNECTION, &TRANSFER_ENCODING, &UPGRADE] {
        headers.remove(name);
    }
    if headers
        .get(TE)
        .is_some_and(|te| !te.as_bytes().eq_ignore_ascii_case(b"trailers"))
    {
        headers.remove(TE);
    }
}

/// The call's place in a trace. When it is recorded, what follows is told that our span is its parent; when it is not,
/// the caller's context goes on untouched.
pub(crate) fn trace(
    head: &mut request::Parts,
    traces: &Traces,
    started: Instant,
) -> (Trace, Option<CallSpan>) {
    let header = head.headers.get(&TRACEPARENT);
    let sent = header.and_then(|value| Trace::parse(value.to_str().ok()?));
    let caller = sent.unwrap_or_default();
    let Some(span) = traces.begin(caller, started) else {
        return (caller, None);
    };
    if sent.is_none() {
        // A state without a parent belongs to no trace.
        head.headers.remove(&TRACESTATE);
    }
    if let Ok(parent) = HeaderValue::try_from(span.trace.header(span.trace.parent)) {
        head.headers.insert(&TRACEPARENT, parent);
    }
    (span.trace, Some(span))
}
