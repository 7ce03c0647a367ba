//! A call through `wasi:http@0.2` in a few words: read the request, answer at once or piece by piece.

mod fetch;

pub use fetch::{fetch, half};

use kit::{Json, Path};
use wasip2::http::types::{
    ErrorCode, Fields, FutureTrailers, IncomingBody, IncomingRequest, Method, OutgoingBody,
    OutgoingResponse, ResponseOutparam, Trailers,
};
use wasip2::io::streams::{InputStream, OutputStream, StreamError};

/// One piece of a body, in bytes.
pub const PIECE: u64 = 64 * 1024;

/// The method as it stands on the wire.
pub fn method(request: &IncomingRequest) -> String {
    match request.method() {
        Method::Get => "GET".into(),
        Method::Head => "HEAD".into(),
        Method::Post => "POST".into(),
        Method::Put => "PUT".into(),
        Method::Delete => "DELETE".into(),
        Method::Connect => "CONNECT".into(),
        Method::Options => "OPTIONS".into(),
        Method::Trace => "TRACE".into(),
        Method::Patch => "PATCH".into(),
        Method::Other(name) => name,
    }
}

/// Path and query of the request.
pub fn path(request: &IncomingRequest) -> Path {
    Path::parse(&request.path_with_query().unwrap_or_default())
}

/// Fields as a list of pairs, in their order.
pub fn fields_json(fields: &Fields) -> Json {
    let pairs = fields.entries().into_iter();
    pairs
        .map(|(name, value)| Json::from_iter([name.into(), Json::bytes(value)]))
        .collect()
}

/// The request's body, to be read piece by piece.
pub struct Body {
    stream: InputStream,
    body: IncomingBody,
}

impl Body {
    pub fn of(request: &IncomingRequest) -> Self {
        let body = request.consume().expect("the body is taken once");
        let stream = body.stream().expect("the stream is taken once");
        Self { stream, body }
    }

    /// The next piece, or `None` at the end.
    pub fn piece(&mut self) -> Result<Option<Vec<u8>>, String> {
        loop {
            match self.stream.blocking_read(PIECE) {
                Ok(piece) if piece.is_empty() => continue,
                Ok(piece) => return Ok(Some(piece)),
                Err(StreamError::Closed) => return Ok(None),
                Err(StreamError::LastOperationFailed(e)) => return Err(e.to_debug_string()),
            }
        }
    }

    /// Everything that is left.
    pub fn all(&mut self) -> Result<Vec<u8>, String> {
        let mut all = Vec::new();
        while let Some(piece) = self.piece()? {
            all.extend_from_slice(&piece);
        }
        Ok(all)
    }

    /// The trailers behind the body. Reads nothing: call it at the end.
    pub fn trailers(self) -> Result<Option<Trailers>, ErrorCode> {
        drop(self.stream);
        let trailers: FutureTrailers = IncomingBody::finish(self.body);
        trailers.subscribe().block();
        trailers
            .get()
            .expect("it is ready")
            .expect("it is asked once")
    }
}

/// An answer whose head is sent and whose body is being written.
pub struct Answer {
    stream: OutputStream,
    body: OutgoingBody,
}

impl Answer {
    /// Sends status and headers.
    pub fn begin(out: ResponseOutparam, status: u16, headers: &[(&str, &str)]) -> Self {
        let fields = Fields::new();
        for (name, value) in headers {
            fields
                .append(name, value.as_bytes())
                .expect("a header that is allowed");
        }
        let response = OutgoingResponse::new(fields);
        response
            .set_status_code(status)
            .expect("a status between 100 and 999");
        let body = response.body().expect("the body is taken once");
        ResponseOutparam::set(out, Ok(response));
        let stream = body.write().expect("the stream is taken once");
        Self { stream, body }
    }

    /// Writes all of `bytes`, waiting for room. An error means that nobody reads any more.
    pub fn write(&self, mut bytes: &[u8]) -> Result<(), StreamError> {
        while !bytes.is_empty() {
            let room = self.stream.check_write()?;
            if room == 0 {
                self.stream.subscribe().block();
                continue;
            }
            let (now, later) = bytes.split_at(bytes.len().min(room as usize));
            self.stream.write(now)?;
            bytes = later;
        }
        Ok(())
    }

    /// Pushes out what was written, so that the reader sees it now.
    pub fn flush(&self) -> Result<(), StreamError> {
        self.stream.blocking_flush()
    }

    /// Ends the body.
    pub fn end(self, trailers: Option<Trailers>) {
        let _ = self.flush();
        drop(self.stream);
        let _ = OutgoingBody::finish(self.body, trailers);
    }
}

/// A whole answer in one go.
pub fn answer(out: ResponseOutparam, status: u16, content_type: &str, body: &[u8]) {
    let answer = Answer::begin(out, status, &[("content-type", content_type)]);
    let _ = answer.write(body);
    answer.end(None);
}

/// A whole answer of plain text.
pub fn text(out: ResponseOutparam, status: u16, body: &str) {
    answer(out, status, "text/plain", body.as_bytes());
}

/// A whole answer of JSON.
pub fn json(out: ResponseOutparam, status: u16, body: &Json) {
    answer(out, status, "application/json", body.to_string().as_bytes());
}
