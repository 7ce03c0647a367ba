//! What can be said of a page.

use std::{collections::BTreeMap, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use gust_trigger::{Context, Peer, Scheme, Tls};
use gust_types::{Error, Result, Span};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use parking_lot::Mutex;
use serde::Deserialize;
use url::Url;

use crate::{From, HttpSource, fetch::Page, items::Items, of};

/// What can be said of one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    url: String,
    every: Option<Span>,
    items: Option<String>,
    id: Option<String>,
    #[serde(default)]
    from: From,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    timeout: Option<Span>,
    password: Option<String>,
    token: Option<String>,
    ca: Option<String>,
}

pub(crate) const SCHEMES: &[Scheme] = &[
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

/// Headers of one request.
const HEADERS: usize = 32;
/// Headers that are this source's own to say.
const OURS: [HeaderName; 11] = [
    header::HOST,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::TE,
    header::UPGRADE,
    header::EXPECT,
    header::ACCEPT_ENCODING,
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
    header::RANGE,
];

// === impl Settings ===

impl Settings {
    pub(crate) fn source(self, context: Context) -> Result<HttpSource> {
        let mut peer = Peer::parse(&self.url, SCHEMES)?;
        let mut url =
            Url::parse(self.url.trim()).map_err(|_| Error::invalid("the url cannot be read"))?;
        url.set_fragment(None);
        // Both are taken out: neither is to be sent or shown with the rest.
        let (user, written) = (peer.user.take(), peer.password.take());
        let password = self.password.or(written);
        let stripped = url.set_username("").and_then(|()| url.set_password(None));
        stripped.map_err(|()| Error::invalid("the url has no host"))?;
        let headers = headers(&self.headers, user, password, self.token)?;
        let every = self.every.unwrap_or(Span::secs(60)).0;
        if every < Duration::from_secs(1) {
            return Err(Error::invalid("`every` of http is under a second"));
        }
        let timeout = self.timeout.unwrap_or(Span::secs(30)).0;
        if timeout < Duration::from_millis(100) || timeout > Duration::from_secs(600) {
            return Err(Error::invalid(
                "`timeout` of http is not between 100ms and 10m",
            ));
        }
        let items = match (&self.items, &self.id) {
            (Some(items), id) => Some(Items::parse(items, id.as_deref())?),
            (None, Some(_)) => {
                return Err(Error::invalid("`id` of http means nothing without `items`")
                    .hint("items = \"\" when the answer itself is the list"));
            }
            (None, None) => None,
        };
        let parts = [
            url.as_str(),
            self.items.as_deref().unwrap_or("whole"),
            self.id.as_deref().unwrap_or_default(),
        ];
        Ok(HttpSource {
            of: of(&parts),
            page: Page {
                most: match items {
                    Some(_) => Page::LIST,
                    None => Page::WHOLE,
                },
                peer,
                url,
                headers,
                timeout,
                tls: Tls::new(self.ca.as_deref())?,
                dial: context.dial,
            },
            every,
            items,
            from: self.from,
            not_before: Mutex::default(),
        })
    }
}

fn headers(
    given: &BTreeMap<String, String>,
    user: Option<String>,
    password: Option<String>,
    token: Option<String>,
) -> Result<HeaderMap> {
    if given.len() > HEADERS {
        return Err(Error::invalid(format!(
            "`headers` of http has more than {HEADERS}"
        )));
    }
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        let key: HeaderName = name.parse().map_err(|_| {
            Error::invalid(format!("`headers` of http has no header's name: {name:?}"))
        })?;
        if OURS.contains(&key) {
            return Err(Error::invalid(format!(
                "this header is not for `headers` to say: {name}"
            )));
        }
        headers.insert(
            key,
            hidden(value, "a value in `headers` of http is no header's")?,
        );
    }
    let login = match (user, password, token) {
        (None, None, None) => return Ok(headers),
        (user, password, None) => {
            let pair = format!(
                "{}:{}",
                user.unwrap_or_default(),
                password.unwrap_or_default()
            );
            format!("Basic {}", BASE64_STANDARD.encode(pair))
        }
        (None, None, Some(token)) => format!("Bearer {token}"),
        _ => return Err(Error::invalid("http takes either a password or a `token`")),
    };
    if headers.contains_key(header::AUTHORIZATION) {
        return Err(Error::invalid("http is told twice how to log in")
            .hint("by the header authorization, and by a user, password or token"));
    }
    headers.insert(
        header::AUTHORIZATION,
        hidden(&login, "`token` of http is no token")?,
    );
    Ok(headers)
}

/// A value that no log shows.
fn hidden(value: &str, fault: &str) -> Result<HeaderValue> {
    let mut value = HeaderValue::from_str(value).map_err(|_| Error::invalid(fault))?;
    value.set_sensitive(true);
    Ok(value)
}
