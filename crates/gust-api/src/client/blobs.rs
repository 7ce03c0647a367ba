//! Buckets and their objects.

use std::{
    collections::BTreeMap,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use gust_types::{Blame, Body, Error, Kind, Label, ProjectName, Result, call};
use http::{HeaderMap, HeaderValue, Method, header};
use http_body_util::BodyExt as _;
use hyper::body::{Frame, Incoming};
use tokio::io::{AsyncRead, ReadBuf};

use super::{
    Client, Upload,
    artifacts::Reading,
    wire::{self, with_query},
};
use crate::blob::{
    Buckets, Object, Objects, ObjectsQuery, Scrub, Scrubbed, VERSION, read_metadata, write_metadata,
};

/// Bytes read and sent at a time.
const PIECE: usize = 64 << 10;

/// What is said of an object that is put.
#[derive(Debug, Clone, Default)]
pub struct Put {
    /// Its media type.
    pub content_type: Option<String>,
    /// What its owner says of it.
    pub metadata: BTreeMap<String, String>,
    /// Only when there is none under this key.
    pub if_absent: bool,
    /// Only when the one that is there has this etag.
    pub if_match: Option<String>,
}

/// An object and its bytes as they come.
pub struct Download {
    /// What it is.
    pub object: Object,
    body: Incoming,
    idle: Duration,
}

impl Client {
    /// The buckets of a project.
    pub async fn buckets(&self, project: &ProjectName) -> Result<Buckets> {
        self.get(&format!("/projects/{project}/blobs"), &()).await
    }

    /// Some of the objects of a bucket.
    pub async fn objects(
        &self,
        project: &ProjectName,
        bucket: &Label,
        query: &ObjectsQuery,
    ) -> Result<Objects> {
        let path = format!("/projects/{project}/blobs/{bucket}");
        self.get(&path, query).await
    }

    /// Reads some objects of a bucket whole, and says which are damaged.
    pub async fn scrub(
        &self,
        project: &ProjectName,
        bucket: &Label,
        scrub: &Scrub,
    ) -> Result<Scrubbed> {
        self.work(&format!("/projects/{project}/scrub/{bucket}"), scrub)
            .await
    }

    /// What is known of an object.
    pub async fn object(
        &self,
        project: &ProjectName,
        bucket: &Label,
        key: &str,
    ) -> Result<Option<Object>> {
        // A key is the first of those that begin with it.
        let query = ObjectsQuery {
            prefix: Some(key.to_owned()),
            limit: Some(1),
            ..ObjectsQuery::default()
        };
        let first = self.objects(project, bucket, &query).await?.objects;
        Ok(first.into_iter().find(|object| object.key == key))
    }

    /// Puts an object. Its size is announced when it is known; `heard` is told how much was sent.
    pub async fn put_object(
        &self,
        (project, bucket, key): (&ProjectName, &Label, &str),
        from: impl AsyncRead + Send + Unpin + 'static,
        size: Option<u64>,
        put: &Put,
        heard: Upload,
    ) -> Result<Object> {
        let body: Body = match size {
            Some(size) => Reading::new(from, size, heard).boxed_unsync(),
            None => Piped {
                from,
                sent: 0,
                heard,
            }
            .boxed_unsync(),
        };
        let mut request = self.request(Method::PUT, &of(project, bucket, key), body)?;
        write_put(put, request.headers_mut())?;
        // No bound on the whole, as for artifacts.
        let response = self.exchange(request, None).await?;
        let bytes = response.into_body().collect().await;
        let broke = |e| Error::unavailable("the node's answer broke off").because(e);
        serde_json::from_slice(&bytes.map_err(broke)?.to_bytes())
            .map_err(|e| Error::unavailable("the node's answer is not understood").because(e))
    }

    /// Gets an object; its bytes are read as they come.
    pub async fn get_object(
        &self,
        project: &ProjectName,
        bucket: &Label,
        key: &str,
    ) -> Result<Download> {
        let request = self.request(Method::GET, &of(project, bucket, key), call::empty())?;
        let response = self.exchange(request, Some(self.timeouts.head)).await?;
        Ok(Download {
            object: read_object(key, response.headers())?,
            body: response.into_body(),
            idle: self.timeouts.idle,
        })
    }

    /// Removes an object; one that is not there is `NotFound`.
    pub async fn delete_object(
        &self,
        project: &ProjectName,
        bucket: &Label,
        key: &str,
        if_match: Option<&str>,
    ) -> Result<()> {
        let mut request = self.request(Method::DELETE, &of(project, bucket, key), call::empty())?;
        if let Some(etag) = if_match {
            request
                .headers_mut()
                .insert(header::IF_MATCH, quoted(etag)?);
        }
        self.exchange(request, Some(self.timeouts.head)).await?;
        Ok(())
    }
}

fn of(project: &ProjectName, bucket: &Label, key: &str) -> String {
    let mut path = format!("/projects/{project}/blobs/{bucket}/");
    wire::escape(key, &mut path);
    with_query(&path, &()).unwrap_or(path)
}

fn quoted(etag: &str) -> Result<HeaderValue> {
    let fault = |e| Error::invalid(format!("not an etag: {etag:?}")).because(e);
    HeaderValue::try_from(format!("\"{etag}\"")).map_err(fault)
}

fn write_put(put: &Put, headers: &mut HeaderMap) -> Result<()> {
    if let Some(media) = &put.content_type {
        let fault = |e| Error::invalid(format!("not a media type: {media:?}")).because(e);
        let value = HeaderValue::try_from(media).map_err(fault)?;
        headers.insert(header::CONTENT_TYPE, value);
    }
    if put.if_absent {
        headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static("*"));
    }
    if let Some(etag) = &put.if_match {
        headers.insert(header::IF_MATCH, quoted(etag)?);
    }
    write_metadata(&put.metadata, headers)
}

fn read_object(key: &str, headers: &HeaderMap) -> Result<Object> {
    let of = |name: &str| headers.get(name)?.to_str().ok();
    let missing = || {
        Error::new(
            Kind::Failed,
            Blame::Platform,
            "the node's answer is not understood",
        )
    };
    Ok(Object {
        key: key.to_owned(),
        size: of("content-length")
            .and_then(|size| size.parse().ok())
            .ok_or_else(missing)?,
        etag: of("etag")
            .map(|etag| etag.trim_matches('"').to_owned())
            .ok_or_else(missing)?,
        version: of(VERSION).unwrap_or_default().to_owned(),
        content_type: of("content-type").unwrap_or_default().to_owned(),
        metadata: read_metadata(headers)?,
        modified_us: of("x-gust-modified-us")
            .and_then(|at| at.parse().ok())
            .unwrap_or(0),
    })
}

// === impl Download ===

impl Download {
    /// The next bytes; `None` when all are here. An object that breaks off is an error.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        wire::next_frame(&mut self.body, self.idle).await
    }
}

/// A reader as a body of a length that nobody knows.
struct Piped<R> {
    from: R,
    sent: u64,
    heard: Upload,
}

impl<R: AsyncRead + Unpin> http_body::Body for Piped<R> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>>>> {
        let mut piece = vec![0; PIECE];
        let mut buffer = ReadBuf::new(&mut piece);
        if let Err(e) = ready!(Pin::new(&mut self.from).poll_read(cx, &mut buffer)) {
            let error = Error::invalid("cannot read what is to be uploaded").because(e);
            return Poll::Ready(Some(Err(error)));
        }
        let filled = buffer.filled().len();
        if filled == 0 {
            return Poll::Ready(None);
        }
        piece.truncate(filled);
        self.sent += filled as u64;
        (self.heard)(self.sent);
        Poll::Ready(Some(Ok(Frame::data(piece.into()))))
    }
}
