//! Posting to an address that somebody else named.
//!
//! Whoever names it may not have this node reach what only the node can reach: an address is public or on the operator's
//! list, what a name leads to is checked, and what was checked is what is connected to. No redirect is followed. Time and
//! what is read of an answer are bounded.

use std::time::Duration;

use bytes::Bytes;
use gust_trigger::{Dial, Peer, Scheme, Tls};
use gust_types::{
    Error, Result,
    later::CallbackUrl,
    outbound::{Outbound, Verdict},
};
use http::{
    HeaderMap, HeaderValue, Method, Request, StatusCode,
    header::{HOST, USER_AGENT},
};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;

/// How long a post may take altogether.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of an answer's body that are read, so that its sender is not cut off.
const READ: usize = 16 << 10;
/// Bytes of an answer's head.
const HEAD: usize = 64 << 10;

const SCHEMES: &[Scheme] = &[
    Scheme {
        name: "https",
        port: 443,
        tls: true,
    },
    Scheme {
        name: "http",
        port: 80,
        tls: false,
    },
];

/// How callbacks reach their addresses. Clones are the same.
#[derive(Clone, Default)]
pub struct Callbacks {
    /// Connects, but to what the operator blocks.
    pub dial: Dial,
    /// What may be reached beside public addresses by https, in the words of a function's `outbound`.
    pub hosts: Vec<String>,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
}

// === impl Callbacks ===

impl Callbacks {
    /// Refuses hosts that cannot be read.
    pub fn check_hosts(hosts: &[String]) -> Result<()> {
        Outbound::parse(hosts).map(drop)
    }

    fn rules(&self) -> Result<Outbound> {
        let mut patterns = self.hosts.clone();
        // Public addresses only: a wildcard reaches no others.
        patterns.push("https://*:*".to_owned());
        Outbound::parse(&patterns)
    }

    /// Refuses what could never be posted to, as far as that can be said without looking up its name.
    pub(crate) fn check(&self, url: &CallbackUrl) -> Result<()> {
        let (peer, rules) = (peer(url)?, self.rules()?);
        let verdict = rules.check(peer.scheme, &peer.host, peer.port);
        let address = peer.host.parse();
        let fine = match address {
            Ok(address) => rules.check_address(verdict, peer.scheme, address, peer.port),
            Err(_) => verdict != Verdict::Denied,
        };
        match fine {
            true => Ok(()),
            false => Err(Error::invalid(format!("this may not be called back: {peer}")).hint(
                "a callback goes to public addresses by https; others are for the operator to name: callback_hosts of the node",
            )),
        }
    }

    /// Posts and reads the head of the answer.
    pub(crate) async fn post(
        &self,
        url: &CallbackUrl,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Answer> {
        let peer = peer(url)?;
        match tokio::time::timeout(PATIENCE, self.exchange(&peer, url, headers, body)).await {
            Ok(answered) => answered,
            Err(_) => Err(Error::unavailable(format!(
                "no answer within {} s: {peer}",
                PATIENCE.as_secs()
            ))),
        }
    }

    async fn exchange(
        &self,
        peer: &Peer,
        url: &CallbackUrl,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Answer> {
        let request = request(peer, url, headers, body)?;
        let tls = Tls::new(None)?;
        let stream = self.dial.connect_within(peer, &tls, self.rules()?).await?;
        let broken =
            |e: hyper::Error| Error::unavailable(format!("no answer of http: {peer}")).because(e);
        let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
            .max_buf_size(HEAD)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(broken)?;
        let answer = async {
            let answer = sender.send_request(request).await.map_err(broken)?;
            let (head, mut body) = answer.into_parts();
            let mut read = 0;
            while read < READ
                && let Some(Ok(frame)) = body.frame().await
            {
                read += frame.data_ref().map_or(0, Bytes::len);
            }
            Ok(Answer {
                status: head.status,
                headers: head.headers,
            })
        };
        let mut answer = std::pin::pin!(answer);
        tokio::select! {
            biased;
            answer = &mut answer => return answer,
            // It is over when the answer is read, or broke off: the answer says which.
            _ = connection => {}
        }
        answer.await
    }
}

fn peer(url: &CallbackUrl) -> Result<Peer> {
    let peer = Peer::parse(url.as_str(), SCHEMES)?;
    match peer.user.is_some() || peer.password.is_some() {
        true => Err(Error::invalid(format!(
            "a callback has no name or password in its address: {peer}"
        ))),
        false => Ok(peer),
    }
}

fn request(
    peer: &Peer,
    url: &CallbackUrl,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Request<Full<Bytes>>> {
    let fault = || Error::invalid(format!("this cannot be called back: {peer}"));
    let uri: http::Uri = url.as_str().parse().map_err(|e| fault().because(e))?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let whole = peer.to_string();
    let host = whole.split_once("://").map_or("", |(_, host)| host);
    let standard = SCHEMES
        .iter()
        .any(|scheme| scheme.name == peer.scheme && scheme.port == peer.port);
    let host = match standard {
        true => host.rsplit_once(':').map_or(host, |(host, _)| host),
        false => host,
    };
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .body(Full::new(body))
        .map_err(|e| fault().because(e))?;
    let ours = request.headers_mut();
    ours.extend(headers);
    let host = HeaderValue::try_from(host).map_err(|e| fault().because(e))?;
    ours.insert(HOST, host);
    ours.insert(USER_AGENT, HeaderValue::from_static("gust"));
    Ok(request)
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    fn url(text: &str) -> CallbackUrl {
        text.parse().unwrap()
    }

    #[test]
    fn private_addresses_are_for_the_operator_to_name() {
        let strict = Callbacks::default();
        for good in [
            "https://example.com/done?x=1",
            "https://例え.example:8443/",
            "https://93.184.216.34/",
        ] {
            // A name with other letters than ASCII is written as the network has it.
            if let Ok(url) = good.parse() {
                strict.check(&url).unwrap();
            }
        }
        for bad in [
            "http://example.com/",
            "https://127.0.0.1/",
            "https://127.1/",
            "https://2130706433/",
            "https://0x7f.0.0.1/",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://10.0.0.1/",
            "https://192.168.1.1:8443/",
            "https://169.254.169.254/latest",
            "https://[fe80::1]/",
            "https://[fd00::1]/",
            "https://0.0.0.0/",
            "https://100.64.0.1/",
        ] {
            let refused = bad.parse().and_then(|url| strict.check(&url));
            assert!(refused.is_err(), "{bad}");
        }
        let named = Callbacks {
            hosts: vec!["http://127.0.0.1:*".to_owned()],
            ..Callbacks::default()
        };
        named.check(&url("http://127.0.0.1:9/x")).unwrap();
        assert!(named.check(&url("http://127.0.0.2:9/x")).is_err());
        assert!(named.check(&url("https://10.0.0.1/")).is_err());
    }

    #[tokio::test]
    async fn a_name_that_leads_into_the_machine_is_not_connected_to() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let strict = Callbacks::default();
        let to = url(&format!("https://localhost:{port}/"));
        strict.check(&to).unwrap();
        let refused = strict.post(&to, HeaderMap::new(), Bytes::new()).await;
        let refused = refused.unwrap_err();
        assert_eq!(refused.kind, gust_types::Kind::Denied, "{refused}");
        let nobody = tokio::time::timeout(Duration::from_millis(100), listener.accept());
        assert!(nobody.await.is_err(), "it was connected to");
    }

    #[tokio::test]
    async fn a_redirect_is_an_answer_and_not_followed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = gust_task::spawn("server", async move {
            let (mut tcp, _) = listener.accept().await.unwrap();
            let mut head = vec![0; 4096];
            let n = tcp.read(&mut head).await.unwrap();
            let answer = format!(
                "HTTP/1.1 307 x\r\nlocation: http://127.0.0.1:{port}/again\r\ncontent-length: 0\r\n\r\n"
            );
            tcp.write_all(answer.as_bytes()).await.unwrap();
            let again = tokio::time::timeout(Duration::from_millis(200), listener.accept()).await;
            (
                String::from_utf8_lossy(&head[..n]).into_owned(),
                again.is_ok(),
            )
        });
        let open = Callbacks {
            hosts: vec!["http://127.0.0.1:*".to_owned()],
            ..Callbacks::default()
        };
        let to = url(&format!("http://127.0.0.1:{port}/done?token=1"));
        let mut headers = HeaderMap::new();
        headers.insert("ce-id", HeaderValue::from_static("7"));
        let answer = open.post(&to, headers, "正文".into()).await.unwrap();
        assert_eq!(answer.status, 307);
        let (head, again) = serving.await.unwrap().unwrap();
        assert!(
            head.starts_with("POST /done?token=1 HTTP/1.1\r\n"),
            "{head}"
        );
        assert!(
            head.contains(&format!("host: 127.0.0.1:{port}\r\n")),
            "{head}"
        );
        assert!(
            head.contains("ce-id: 7") && head.ends_with("正文"),
            "{head}"
        );
        assert!(!again, "it was followed");
        assert!(!format!("{to:?} {to}").contains("token"));
    }
}
