//! Programs that are told their request as CGI (RFC 3875), with the names that Wagi gave what is not in it.
//!
//! What a caller says cannot become a variable that programs trust: only its headers do, each behind `HTTP_`.

use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use gust_types::Body;
use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header, request::Parts,
};
use http_body::Body as _;
use percent_encoding::percent_decode_str;

use crate::work::Job;

/// Bytes that a program may write before the blank line that ends its header.
const HEAD: usize = 64 << 10;

/// Fields of such a header.
const FIELDS: usize = 200;

/// What the platform says in headers whose names begin with this; nobody else can.
const OURS: &str = "spin-";

/// Headers that are no variables: who the caller is to the platform, what a connection is about, and one that libraries
/// take for the address of a proxy.
const LEFT_OUT: [HeaderName; 4] = [
    header::AUTHORIZATION,
    header::CONNECTION,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy"),
];

/// The arguments of a program: the template's words, with what it names put in. What is put in is not looked at again.
pub(crate) fn arguments(template: &str, head: &Parts) -> Vec<String> {
    let query = head.uri.query().unwrap_or_default();
    let mut all = Vec::new();
    for word in template.split(' ') {
        let mut pieces = word.split("${ARGS}");
        let mut last = put_path(pieces.next().unwrap_or_default(), head);
        for piece in pieces {
            let mut args = query.split('&');
            last.push_str(args.next().unwrap_or_default());
            for arg in args {
                all.push(std::mem::replace(&mut last, arg.to_owned()));
            }
            last.push_str(&put_path(piece, head));
        }
        all.push(last);
    }
    all
}

fn put_path(piece: &str, head: &Parts) -> String {
    piece.replace("${SCRIPT_NAME}", head.uri.path())
}

/// The variables of a request.
pub(crate) fn variables(request: &Request<Body>) -> Vec<(String, String)> {
    let headers = request.headers();
    let said = |name: &str| said(headers, name);
    let (host, port) = server(request);
    let path = said("spin-path-info");
    // A variable ends at a zero byte.
    let decoded = percent_decode_str(&path)
        .decode_utf8_lossy()
        .replace('\0', "\u{fffd}");
    let peer = said("spin-client-addr");
    let peer = match peer.parse::<SocketAddr>() {
        Ok(addr) => addr.ip().to_string(),
        Err(_) => peer,
    };
    let mut all: Vec<(String, String)> = [
        ("AUTH_TYPE", String::new()),
        ("CONTENT_TYPE", said(header::CONTENT_TYPE.as_str())),
        ("GATEWAY_INTERFACE", "CGI/1.1".to_owned()),
        ("PATH_INFO", decoded.clone()),
        ("PATH_TRANSLATED", decoded),
        (
            "QUERY_STRING",
            request.uri().query().unwrap_or_default().to_owned(),
        ),
        ("REMOTE_ADDR", peer.clone()),
        ("REMOTE_HOST", peer),
        ("REMOTE_USER", String::new()),
        ("REQUEST_METHOD", request.method().to_string()),
        ("SCRIPT_NAME", said("spin-component-route")),
        ("SERVER_NAME", host),
        ("SERVER_PORT", port),
        ("SERVER_PROTOCOL", format!("{:?}", request.version())),
        (
            "SERVER_SOFTWARE",
            concat!("gust/", env!("CARGO_PKG_VERSION")).to_owned(),
        ),
        ("X_RAW_PATH_INFO", path),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    if let Some(length) = request.body().size_hint().exact() {
        all.push(("CONTENT_LENGTH".to_owned(), length.to_string()));
    }
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        match name.as_str().strip_prefix(OURS) {
            Some("path-info") => {}
            Some(own) => all.push((variable("X_", own), value.into_owned())),
            None if LEFT_OUT.contains(name) => {}
            // It would become the variable of a header with `-` there, past whoever sets or strips that one.
            None if name.as_str().contains('_') => {}
            None => header_variable(&mut all, variable("HTTP_", name.as_str()), &value),
        }
    }
    all
}

/// A header that comes more than once is one variable, as a list.
fn header_variable(all: &mut Vec<(String, String)>, name: String, value: &str) {
    match all.iter_mut().find(|(known, _)| *known == name) {
        Some((_, list)) => {
            list.push_str(", ");
            list.push_str(value);
        }
        None => all.push((name, value.to_owned())),
    }
}

fn variable(before: &str, name: &str) -> String {
    format!("{before}{}", name.to_ascii_uppercase().replace('-', "_"))
}

fn said(headers: &HeaderMap, name: &str) -> String {
    let value = headers.get(name).map(HeaderValue::as_bytes);
    String::from_utf8_lossy(value.unwrap_or_default()).into_owned()
}

/// The name and the port that the caller used.
fn server(request: &Request<Body>) -> (String, String) {
    let authority = request.uri().authority().cloned();
    let authority = authority.or_else(|| Job::authority_of(request.headers()));
    let host = authority.as_ref().map_or("localhost", |named| named.host());
    let port = authority.as_ref().and_then(|named| named.port_u16());
    let secure = said(request.headers(), "spin-full-url").starts_with("https:");
    let port = port.unwrap_or(if secure { 443 } else { 80 });
    (host.to_owned(), port.to_string())
}

/// What a program has written so far, until its header is whole.
#[derive(Debug, Default)]
pub(crate) struct Head(BytesMut);

/// A program's header, and what it has written behind it.
pub(crate) type Split = (Response<()>, Bytes);

// === impl Head ===

impl Head {
    /// Takes what was written. `None` until the blank line has come; why it is no header otherwise.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Option<Result<Split, String>> {
        // The blank line may lie across two writes.
        let from = self.0.len().saturating_sub(3);
        self.0.extend_from_slice(bytes);
        let long = format!("its header has more than {HEAD} bytes");
        let Some((end, rest)) = blank_line(&self.0, from) else {
            return (self.0.len() > HEAD).then_some(Err(long));
        };
        if end > HEAD {
            return Some(Err(long));
        }
        let mut head = self.0.split().freeze();
        let body = head.split_off(rest);
        head.truncate(end);
        Some(read(&head).map(|head| (head, body)))
    }
}

/// Where the header ends and where the body begins.
fn blank_line(bytes: &[u8], from: usize) -> Option<(usize, usize)> {
    (from..bytes.len()).find_map(|at| {
        let here = bytes.get(at..)?;
        ["\n\n", "\n\r\n"]
            .iter()
            .find(|end| here.starts_with(end.as_bytes()))
            .map(|end| (at, at + end.len()))
    })
}

fn read(head: &[u8]) -> Result<Response<()>, String> {
    let text = std::str::from_utf8(head).map_err(|_| "its header is not UTF-8".to_owned())?;
    let mut response = Response::new(());
    let mut status = None;
    if text.lines().count() > FIELDS {
        return Err(format!("its header has more than {FIELDS} fields"));
    }
    for line in text.lines() {
        let (name, value) = line
            .split_once(':')
            .ok_or_else(|| format!("a line of its header has no colon: {line:?}"))?;
        let (name, value) = (name.trim(), value.trim());
        if name.eq_ignore_ascii_case("status") {
            let code = value.split(' ').next().unwrap_or_default();
            let code = code
                .parse::<StatusCode>()
                .ok()
                .filter(|code| code.as_u16() >= 200);
            status = Some(code.ok_or_else(|| format!("not a status of its header: {value:?}"))?);
            continue;
        }
        let field = HeaderName::try_from(name)
            .ok()
            .zip(HeaderValue::from_bytes(value.as_bytes()).ok());
        let (name, value) = field.ok_or_else(|| format!("not a field of its header: {line:?}"))?;
        // What frames the answer is not the program's to say.
        if ![
            header::CONTENT_LENGTH,
            header::TRANSFER_ENCODING,
            header::CONNECTION,
        ]
        .contains(&name)
        {
            response.headers_mut().append(name, value);
        }
    }
    let headers = response.headers();
    let location = headers.contains_key(header::LOCATION);
    if status.is_none() && !location && !headers.contains_key(header::CONTENT_TYPE) {
        return Err("its header has neither `Content-Type` nor `Location` nor `Status`".to_owned());
    }
    *response.status_mut() = status.unwrap_or(match location {
        true => StatusCode::FOUND,
        false => StatusCode::OK,
    });
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(uri: &str, headers: &[(&str, &str)]) -> Request<Body> {
        let mut builder = Request::builder().method("POST").uri(uri);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        builder.body(gust_types::call::full("你好")).unwrap()
    }

    #[test]
    fn a_request_becomes_variables() {
        let request = request(
            "/static/a%20b/c?x=1&y=%26",
            &[
                ("host", "shop.example:8080"),
                ("content-type", "text/plain"),
                ("spin-path-info", "/a%20b/c"),
                ("spin-component-route", "/static"),
                ("spin-matched-route", "/static/..."),
                ("spin-client-addr", "192.0.2.7:4711"),
                (
                    "spin-full-url",
                    "http://shop.example:8080/static/a%20b/c?x=1&y=%26",
                ),
                ("authorization", "Bearer secret"),
                ("proxy", "http://evil"),
                ("x-a", "1"),
                ("x-a", "2"),
                ("x_a", "forged"),
                ("content_type", "forged"),
            ],
        );
        let found = variables(&request);
        let of = |name: &str| {
            found
                .iter()
                .find(|(n, _)| n == name)
                .map(|(_, v)| v.as_str())
        };
        for (name, value) in [
            ("REQUEST_METHOD", "POST"),
            ("SCRIPT_NAME", "/static"),
            ("PATH_INFO", "/a b/c"),
            ("PATH_TRANSLATED", "/a b/c"),
            ("X_RAW_PATH_INFO", "/a%20b/c"),
            ("QUERY_STRING", "x=1&y=%26"),
            ("CONTENT_TYPE", "text/plain"),
            ("CONTENT_LENGTH", "6"),
            ("REMOTE_ADDR", "192.0.2.7"),
            ("SERVER_NAME", "shop.example"),
            ("SERVER_PORT", "8080"),
            ("SERVER_PROTOCOL", "HTTP/1.1"),
            ("GATEWAY_INTERFACE", "CGI/1.1"),
            ("X_MATCHED_ROUTE", "/static/..."),
            ("X_CLIENT_ADDR", "192.0.2.7:4711"),
            ("HTTP_X_A", "1, 2"),
            ("HTTP_HOST", "shop.example:8080"),
        ] {
            assert_eq!(of(name), Some(value), "{name}");
        }
        for name in ["HTTP_AUTHORIZATION", "HTTP_PROXY", "HTTP_SPIN_PATH_INFO"] {
            assert_eq!(of(name), None, "{name}");
        }
        let (head, _) = request.into_parts();
        let arguments = arguments("${SCRIPT_NAME} ${ARGS}", &head);
        assert_eq!(arguments, ["/static/a%20b/c", "x=1", "y=%26"]);
        let (head, _) = self::request("/a${ARGS}?--evil&b", &[]).into_parts();
        let arguments = super::arguments("run ${SCRIPT_NAME} x${ARGS}y end", &head);
        assert_eq!(arguments, ["run", "/a${ARGS}", "x--evil", "by", "end"]);
        assert_eq!(super::arguments("a  b", &head), ["a", "", "b"]);
    }

    #[test]
    fn a_header_ends_with_a_blank_line_however_it_is_cut() {
        for text in [
            "Content-Type: text/html\r\nX-A: 1\r\n\r\nbody\n\nmore",
            "content-type:text/html\nx-a:1\n\nbody\n\nmore",
            "Status: 200 OK\nX-A: 1\nContent-Type: text/html\n\r\nbody\n\nmore",
        ] {
            for cut in 0..text.len() {
                let mut head = Head::default();
                let (first, second) = text.split_at(cut);
                let mut whole = Vec::new();
                let split = match head.take(first.as_bytes()) {
                    None => head.take(second.as_bytes()),
                    found => {
                        whole.extend_from_slice(second.as_bytes());
                        found
                    }
                };
                let (head, body) = split.unwrap().unwrap();
                assert_eq!(head.status(), 200);
                assert_eq!(head.headers()["x-a"], "1");
                assert_eq!(
                    [&body[..], &whole].concat(),
                    b"body\n\nmore",
                    "{cut} of {text}"
                );
            }
        }
    }

    #[test]
    fn what_is_no_header_is_told() {
        for (text, says) in [
            ("hello\n\n", "has no colon: \"hello\""),
            ("X-A: 1\n\n", "neither `Content-Type` nor"),
            ("\n\n", "neither `Content-Type` nor"),
            ("Status: abc\n\n", "not a status of its header: \"abc\""),
            ("Status: 101\n\n", "not a status of its header: \"101\""),
            ("Content Type: a\n\n", "not a field of its header"),
            ("X-A: a\u{1}\n\n", "not a field of its header"),
        ] {
            let error = Head::default().take(text.as_bytes()).unwrap().unwrap_err();
            assert!(error.contains(says), "{error}");
        }
        let mut head = Head::default();
        assert!(head.take(&vec![b'a'; HEAD]).is_none());
        assert!(
            head.take(b"a")
                .unwrap()
                .unwrap_err()
                .contains("more than 65536 bytes")
        );
        let whole = format!("X-A: {}\n\n", "a".repeat(HEAD));
        let error = Head::default().take(whole.as_bytes());
        assert!(
            error
                .unwrap()
                .unwrap_err()
                .contains("more than 65536 bytes")
        );
        let many = format!("{}\n", "X-A: a\n".repeat(FIELDS + 1));
        let error = Head::default().take(many.as_bytes());
        assert!(error.unwrap().unwrap_err().contains("more than 200 fields"));
        let see = Head::default()
            .take(b"Location: /there\n\n")
            .unwrap()
            .unwrap()
            .0;
        assert_eq!(see.status(), 302);
        let see = Head::default().take(b"Location: /there\nStatus: 303\ncontent-length: 9\n\n");
        let see = see.unwrap().unwrap().0;
        assert_eq!((see.status().as_u16(), see.headers().len()), (303, 1));
    }
}
