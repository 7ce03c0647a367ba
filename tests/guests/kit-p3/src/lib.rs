//! A call through `wasi:http@0.3` in a few words: read the request, answer at once or piece by piece.

use std::future::Future;

mod fetch;

pub use fetch::{fetch, half};

use kit::{Json, Path};
use wasip3::http::types::{ErrorCode, Fields, Method, Request, Response, Trailers};
use wasip3::wit_bindgen::{FutureReader, StreamReader, StreamResult, StreamWriter};
use wasip3::{spawn_local, wit_future, wit_stream};

/// What a handler gives back.
pub type Answered = Result<Response, ErrorCode>;

/// One piece of a body, in bytes.
pub const PIECE: usize = 64 * 1024;

/// The method as it stands on the wire.
pub fn method(request: &Request) -> String {
    match request.get_method() {
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
pub fn path(request: &Request) -> Path {
    Path::parse(&request.get_path_with_query().unwrap_or_default())
}

/// Fields as a list of pairs, in their order.
pub fn fields_json(fields: &Fields) -> Json {
    let pairs = fields.copy_all().into_iter();
    pairs
        .map(|(name, value)| Json::from_iter([name.into(), Json::bytes(value)]))
        .collect()
}

/// A body that comes in, to be read piece by piece.
pub struct Body {
    stream: StreamReader<u8>,
    trailers: FutureReader<Result<Option<Trailers>, ErrorCode>>,
}

impl Body {
    pub fn of_request(request: Request) -> Self {
        let (_, done) = wit_future::new(|| Ok(()));
        let (stream, trailers) = Request::consume_body(request, done);
        Self { stream, trailers }
    }

    pub fn of_response(response: Response) -> Self {
        let (_, done) = wit_future::new(|| Ok(()));
        let (stream, trailers) = Response::consume_body(response, done);
        Self { stream, trailers }
    }

    /// The next piece, or `None` at the end.
    pub async fn piece(&mut self) -> Option<Vec<u8>> {
        loop {
            let (result, piece) = self.stream.read(Vec::with_capacity(PIECE)).await;
            match result {
                _ if !piece.is_empty() => return Some(piece),
                StreamResult::Complete(_) => continue,
                StreamResult::Dropped | StreamResult::Cancelled => return None,
            }
        }
    }

    /// Everything that is left.
    pub async fn all(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(piece) = self.piece().await {
            all.extend_from_slice(&piece);
        }
        all
    }

    /// The trailers behind the body, or the error that ended it. Call it at the end.
    pub async fn trailers(self) -> Result<Option<Trailers>, ErrorCode> {
        drop(self.stream);
        self.trailers.await
    }
}

/// Where a piecewise answer is written. An error means that nobody reads any more.
pub struct Writer(StreamWriter<u8>);

impl Writer {
    pub async fn write(&mut self, bytes: Vec<u8>) -> Result<(), ()> {
        let left = self.0.write_all(bytes).await;
        if left.is_empty() { Ok(()) } else { Err(()) }
    }
}

/// Fields from pairs.
pub fn fields(pairs: &[(&str, &str)]) -> Fields {
    let fields = Fields::new();
    for (name, value) in pairs {
        fields
            .append(name, value.as_bytes())
            .expect("a header that is allowed");
    }
    fields
}

/// An answer whose body `write` produces after the head has gone out, with trailers if it returns any.
pub fn stream<F>(status: u16, headers: &[(&str, &str)], write: impl FnOnce(Writer) -> F) -> Answered
where
    F: Future<Output = Option<Trailers>> + 'static,
{
    let (body, contents) = wit_stream::new();
    let (behind, trailers) = wit_future::new(|| Ok(None));
    let (response, _sent) = Response::new(fields(headers), Some(contents), trailers);
    response
        .set_status_code(status)
        .expect("a status between 100 and 999");
    let writing = write(Writer(body));
    spawn_local(async move {
        if let Some(trailers) = writing.await {
            let _ = behind.write(Ok(Some(trailers))).await;
        }
    });
    Ok(response)
}

/// A whole answer in one go.
pub fn answer(status: u16, content_type: &str, body: Vec<u8>) -> Answered {
    stream(
        status,
        &[("content-type", content_type)],
        |mut writer| async move {
            let _ = writer.write(body).await;
            None
        },
    )
}

/// A whole answer of plain text.
pub fn text(status: u16, body: impl Into<String>) -> Answered {
    answer(status, "text/plain", body.into().into_bytes())
}

/// A whole answer of JSON.
pub fn json(status: u16, body: &Json) -> Answered {
    answer(status, "application/json", body.to_string().into_bytes())
}
