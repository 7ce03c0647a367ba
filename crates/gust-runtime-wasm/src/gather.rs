//! A guest's answer while it comes in.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use gust_types::{Body, Reply};
use http::HeaderMap;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;
use wasmtime_wasi_http::{Error as HttpError, WasiBody};

use crate::{fault::Fault, seat::Answer, stream::body_error};

/// A body up to this size is answered whole when the guest gives it without waiting.
const WHOLE: usize = 64 * 1024;

/// An answer as far as it is known.
pub(crate) enum Gathered {
    /// The guest said that it has none.
    Refused(Fault),
    /// A head, and some of its body.
    Head(Box<Head>),
}

/// A head, the pieces that were taken from its body, and the body.
pub(crate) struct Head {
    pub(crate) parts: http::response::Parts,
    pub(crate) pieces: Pieces,
    pub(crate) body: WasiBody,
}

/// Pieces of a body, in order.
#[derive(Default)]
pub(crate) struct Pieces {
    pub(crate) data: VecDeque<Bytes>,
    size: usize,
    pub(crate) trailers: Option<HeaderMap>,
    /// How it ended, if it has.
    pub(crate) end: Option<Result<(), HttpError>>,
}

// === impl Gathered ===

impl Gathered {
    pub(crate) fn new(answer: Answer) -> Self {
        match answer {
            Ok(response) => {
                let (parts, body) = response.into_parts();
                Self::Head(Box::new(Head {
                    parts,
                    pieces: Pieces::default(),
                    body,
                }))
            }
            Err(fault) => Self::Refused(fault),
        }
    }

    /// Takes what is there of the body. True when something was taken.
    pub(crate) fn advance(&mut self, cx: &mut Context<'_>) -> bool {
        let Self::Head(head) = self else {
            return false;
        };
        let before = head.pieces.size;
        while head.pieces.end.is_none() && head.pieces.size < WHOLE {
            match Pin::new(&mut head.body).poll_frame(cx) {
                Poll::Pending => break,
                Poll::Ready(frame) => head.pieces.push(frame),
            }
        }
        head.pieces.size > before
    }

    /// Whether the answer is complete.
    pub(crate) fn is_whole(&self) -> bool {
        matches!(self, Self::Head(head) if matches!(head.pieces.end, Some(Ok(()))))
    }

    /// The reply of a guest that is done. What is left of the body needs no guest.
    pub(crate) fn into_reply(self) -> Reply {
        match self {
            Self::Refused(fault) => {
                // Callers look first; a refusal has no reply.
                let mut reply = http::Response::new(gust_types::call::full(fault.error().message));
                *reply.status_mut() = http::StatusCode::BAD_GATEWAY;
                reply
            }
            Self::Head(head) => {
                let Head {
                    parts,
                    pieces,
                    body,
                } = *head;
                let body = if matches!(pieces.end, Some(Ok(()))) {
                    pieces.into_body()
                } else {
                    Rest { pieces, body }.boxed_unsync()
                };
                http::Response::from_parts(parts, body)
            }
        }
    }
}

// === impl Pieces ===

impl Pieces {
    fn push(&mut self, frame: Option<Result<Frame<Bytes>, HttpError>>) {
        match frame {
            None => self.end = Some(Ok(())),
            Some(Err(error)) => self.end = Some(Err(error)),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => {
                    self.size += data.len();
                    self.data.push_back(data);
                }
                Err(frame) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        self.trailers = Some(trailers);
                        self.end = Some(Ok(()));
                    }
                }
            },
        }
    }

    /// The next frame of what was gathered.
    pub(crate) fn next(&mut self) -> Option<Frame<Bytes>> {
        if let Some(data) = self.data.pop_front() {
            return Some(Frame::data(data));
        }
        self.trailers.take().map(Frame::trailers)
    }

    /// One buffer, so that head and body go out in one write.
    fn into_body(mut self) -> Body {
        let data = if self.data.len() > 1 {
            let mut all = BytesMut::with_capacity(self.size);
            self.data
                .iter()
                .for_each(|piece| all.extend_from_slice(piece));
            all.freeze()
        } else {
            self.data.pop_front().unwrap_or_default()
        };
        match self.trailers {
            None => gust_types::call::full(data),
            Some(trailers) => {
                self.data = VecDeque::from([data]);
                self.trailers = Some(trailers);
                Buffered(self).boxed_unsync()
            }
        }
    }
}

/// A complete body with trailers. Its size is not told, since with a known length no trailers are sent.
struct Buffered(Pieces);

impl http_body::Body for Buffered {
    type Data = Bytes;
    type Error = gust_types::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, gust_types::Error>>> {
        Poll::Ready(self.0.next().map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.0.data.is_empty() && self.0.trailers.is_none()
    }
}

/// The rest of a body that needs no guest any more.
struct Rest {
    pieces: Pieces,
    body: WasiBody,
}

impl http_body::Body for Rest {
    type Data = Bytes;
    type Error = gust_types::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, gust_types::Error>>> {
        if let Some(frame) = self.pieces.next() {
            return Poll::Ready(Some(Ok(frame)));
        }
        match self.pieces.end.take() {
            Some(Err(error)) => {
                self.pieces.end = Some(Ok(()));
                Poll::Ready(Some(Err(body_error(&error))))
            }
            Some(Ok(())) => {
                self.pieces.end = Some(Ok(()));
                Poll::Ready(None)
            }
            None => Pin::new(&mut self.body)
                .poll_frame(cx)
                .map_err(|error| body_error(&error)),
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
