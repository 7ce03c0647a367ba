//! Sending what the node does not have.

use std::{
    path::Path,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use gust_types::{Blame, Body, Digest, Error, Kind, Result};
use http::Method;
use http_body_util::BodyExt as _;
use hyper::body::Frame;
use tokio::io::{AsyncRead, ReadBuf};

use super::Client;
use crate::deploy::{Digests, Missing, Stored};

/// Bytes read and sent at a time.
const PIECE: usize = 64 << 10;

/// Hears how many bytes of an upload have been handed to the connection.
pub type Upload = Arc<dyn Fn(u64) + Send + Sync>;

impl Client {
    /// Which of these the node does not have.
    pub async fn missing(&self, digests: Vec<Digest>) -> Result<Vec<Digest>> {
        let body = Digests { digests };
        let answer: Missing = self.send(Method::POST, "/artifacts/missing", &body).await?;
        Ok(answer.missing)
    }

    /// Sends bytes that are in memory.
    pub async fn upload(&self, digest: &Digest, bytes: Bytes, heard: Upload) -> Result<Stored> {
        let size = bytes.len() as u64;
        self.put(digest, size, std::io::Cursor::new(bytes), heard)
            .await
    }

    /// Sends a file.
    pub async fn upload_file(&self, digest: &Digest, path: &Path, heard: Upload) -> Result<Stored> {
        let fault = |e| {
            Error::new(
                Kind::NotFound,
                Blame::Caller,
                format!("cannot read: {}", path.display()),
            )
            .because(e)
        };
        let file = tokio::fs::File::open(path).await.map_err(fault)?;
        let size = file.metadata().await.map_err(fault)?.len();
        self.put(digest, size, file, heard).await
    }

    async fn put(
        &self,
        digest: &Digest,
        size: u64,
        from: impl AsyncRead + Send + Unpin + 'static,
        heard: Upload,
    ) -> Result<Stored> {
        let body: Body = Reading::new(from, size, heard).boxed_unsync();
        let request = self.request(Method::PUT, &format!("/artifacts/{digest}"), body)?;
        // No bound on the whole: a large upload over a slow line is fine as long as the node takes it. The node
        // bounds how long it waits for bytes.
        let response = self.exchange(request, None).await?;
        let bytes = response
            .into_body()
            .collect()
            .await
            .map_err(|e| Error::unavailable("the node's answer broke off").because(e))?
            .to_bytes();
        serde_json::from_slice(&bytes)
            .map_err(|e| Error::unavailable("the node's answer is not understood").because(e))
    }
}

/// A reader as a body of a known length.
pub(super) struct Reading<R> {
    from: R,
    left: u64,
    sent: u64,
    heard: Upload,
}

impl<R> Reading<R> {
    pub(super) fn new(from: R, size: u64, heard: Upload) -> Self {
        Self {
            from,
            left: size,
            sent: 0,
            heard,
        }
    }
}

impl<R: AsyncRead + Unpin> http_body::Body for Reading<R> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let mut piece = vec![0; PIECE.min(usize::try_from(self.left).unwrap_or(PIECE))];
        let mut buffer = ReadBuf::new(&mut piece);
        let read = ready!(Pin::new(&mut self.from).poll_read(cx, &mut buffer));
        let filled = buffer.filled().len();
        match read {
            Err(e) => Poll::Ready(Some(Err(Error::invalid(
                "cannot read what is to be uploaded",
            )
            .because(e)))),
            Ok(()) if filled == 0 => Poll::Ready(Some(Err(Error::invalid(
                "what is to be uploaded became shorter while it was read",
            )))),
            Ok(()) => {
                piece.truncate(filled);
                self.left -= filled as u64;
                self.sent += filled as u64;
                (self.heard)(self.sent);
                Poll::Ready(Some(Ok(Frame::data(piece.into()))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::SizeHint::with_exact(self.left)
    }
}
