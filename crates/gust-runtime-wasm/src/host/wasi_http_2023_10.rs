//! `wasi:http@0.2.0-rc-2023-10-18`: translates to WASI 0.2, whose resources it shares.
//!
//! Its functions that change headers have no result to refuse with. A header that is not the guest's to set (`host`,
//! `connection` and their like) is left out, for guests of that day did set them; whatever else is refused traps.

use std::time::Duration;

use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable};
use wasmtime_wasi_http::{
    FieldMap, RequestOptions, WasiHttp, WasiHttpCtxView, WasiHttpView as _,
    p2::{
        HeaderError,
        bindings::http::types as new,
        body::{HostFutureTrailers, HostIncomingBody, HostOutgoingBody},
        types::{
            HostFutureIncomingResponse, HostIncomingRequest, HostIncomingResponse,
            HostOutgoingRequest, HostOutgoingResponse, HostResponseOutparam,
        },
    },
};

use super::{
    outbound,
    wit::http_2023_10::wasi::http::{
        outgoing_handler,
        types::{self as old, Error, Method, Scheme},
    },
};
use crate::guest::Guest;

/// Adds both interfaces that a guest imports.
pub(crate) fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    old::add_to_linker::<_, WasiHttp>(linker, Guest::http)?;
    outgoing_handler::add_to_linker::<_, WasiHttp>(linker, Guest::http)
}

type View<'a> = WasiHttpCtxView<'a>;
type Fields = Resource<FieldMap>;
type Entries = Vec<(String, Vec<u8>)>;

impl old::Host for View<'_> {}

impl outgoing_handler::Host for View<'_> {
    fn handle(
        &mut self,
        request: Resource<HostOutgoingRequest>,
        options: Option<old::RequestOptions>,
    ) -> wasmtime::Result<Result<Resource<HostFutureIncomingResponse>, Error>> {
        let options = match options {
            Some(options) => Some(self.table.push(RequestOptions::from(options))?),
            None => None,
        };
        let lent = options
            .as_ref()
            .map(|options| Resource::new_borrow(options.rep()));
        let view = View {
            ctx: self.ctx,
            table: self.table,
            hooks: self.hooks,
        };
        let handled = outbound::wasi::handle(view, request, lent)?;
        if let Some(options) = options {
            self.table.delete(options)?;
        }
        Ok(handled.map_err(Error::from))
    }
}

impl old::HostFields for View<'_> {
    fn new(&mut self, entries: Entries) -> wasmtime::Result<Fields> {
        let fields = new::HostFields::new(self)?;
        for (name, value) in entries {
            let lent = Resource::new_borrow(fields.rep());
            heard(new::HostFields::append(self, lent, name, value))?;
        }
        Ok(fields)
    }

    fn get(&mut self, fields: Fields, name: String) -> wasmtime::Result<Vec<Vec<u8>>> {
        new::HostFields::get(self, fields, name)
    }

    fn set(&mut self, fields: Fields, name: String, value: Vec<Vec<u8>>) -> wasmtime::Result<()> {
        heard(new::HostFields::set(self, fields, name, value))
    }

    fn delete(&mut self, fields: Fields, name: String) -> wasmtime::Result<()> {
        heard(new::HostFields::delete(self, fields, name))
    }

    fn append(&mut self, fields: Fields, name: String, value: Vec<u8>) -> wasmtime::Result<()> {
        heard(new::HostFields::append(self, fields, name, value))
    }

    fn entries(&mut self, fields: Fields) -> wasmtime::Result<Entries> {
        new::HostFields::entries(self, fields)
    }

    fn clone(&mut self, fields: Fields) -> wasmtime::Result<Fields> {
        new::HostFields::clone(self, fields)
    }

    fn drop(&mut self, fields: Fields) -> wasmtime::Result<()> {
        new::HostFields::drop(self, fields)
    }
}

impl old::HostIncomingRequest for View<'_> {
    fn method(&mut self, request: Resource<HostIncomingRequest>) -> wasmtime::Result<Method> {
        Ok(new::HostIncomingRequest::method(self, request)?.into())
    }

    fn path_with_query(
        &mut self,
        request: Resource<HostIncomingRequest>,
    ) -> wasmtime::Result<Option<String>> {
        new::HostIncomingRequest::path_with_query(self, request)
    }

    fn scheme(
        &mut self,
        request: Resource<HostIncomingRequest>,
    ) -> wasmtime::Result<Option<Scheme>> {
        Ok(new::HostIncomingRequest::scheme(self, request)?.map(Scheme::from))
    }

    fn authority(
        &mut self,
        request: Resource<HostIncomingRequest>,
    ) -> wasmtime::Result<Option<String>> {
        new::HostIncomingRequest::authority(self, request)
    }

    fn headers(&mut self, request: Resource<HostIncomingRequest>) -> wasmtime::Result<Fields> {
        new::HostIncomingRequest::headers(self, request)
    }

    fn consume(
        &mut self,
        request: Resource<HostIncomingRequest>,
    ) -> wasmtime::Result<Result<Resource<HostIncomingBody>, ()>> {
        new::HostIncomingRequest::consume(self, request)
    }

    fn drop(&mut self, request: Resource<HostIncomingRequest>) -> wasmtime::Result<()> {
        new::HostIncomingRequest::drop(self, request)
    }
}

impl old::HostOutgoingRequest for View<'_> {
    /// What is wrong with a request shows when it is sent: there it can be said.
    fn new(
        &mut self,
        method: Method,
        path_with_query: Option<String>,
        scheme: Option<Scheme>,
        authority: Option<String>,
        headers: Fields,
    ) -> wasmtime::Result<Resource<HostOutgoingRequest>> {
        let headers = new::HostFields::clone(self, headers)?;
        let request = new::HostOutgoingRequest::new(self, headers)?;
        let made = self.table.get_mut(&request)?;
        made.method = method.into();
        made.path_with_query = path_with_query;
        made.scheme = scheme.map(new::Scheme::from);
        made.authority = authority;
        Ok(request)
    }

    fn write(
        &mut self,
        request: Resource<HostOutgoingRequest>,
    ) -> wasmtime::Result<Result<Resource<HostOutgoingBody>, ()>> {
        new::HostOutgoingRequest::body(self, request)
    }

    fn drop(&mut self, request: Resource<HostOutgoingRequest>) -> wasmtime::Result<()> {
        new::HostOutgoingRequest::drop(self, request)
    }
}

impl old::HostResponseOutparam for View<'_> {
    fn set(
        &mut self,
        outparam: Resource<HostResponseOutparam>,
        response: Result<Resource<HostOutgoingResponse>, Error>,
    ) -> wasmtime::Result<()> {
        let response = response.map_err(new::ErrorCode::from);
        new::HostResponseOutparam::set(self, outparam, response)
    }

    fn drop(&mut self, outparam: Resource<HostResponseOutparam>) -> wasmtime::Result<()> {
        new::HostResponseOutparam::drop(self, outparam)
    }
}

impl old::HostIncomingResponse for View<'_> {
    fn status(&mut self, response: Resource<HostIncomingResponse>) -> wasmtime::Result<u16> {
        new::HostIncomingResponse::status(self, response)
    }

    fn headers(&mut self, response: Resource<HostIncomingResponse>) -> wasmtime::Result<Fields> {
        new::HostIncomingResponse::headers(self, response)
    }

    fn consume(
        &mut self,
        response: Resource<HostIncomingResponse>,
    ) -> wasmtime::Result<Result<Resource<HostIncomingBody>, ()>> {
        new::HostIncomingResponse::consume(self, response)
    }

    fn drop(&mut self, response: Resource<HostIncomingResponse>) -> wasmtime::Result<()> {
        new::HostIncomingResponse::drop(self, response)
    }
}

impl old::HostIncomingBody for View<'_> {
    fn stream(
        &mut self,
        body: Resource<HostIncomingBody>,
    ) -> wasmtime::Result<Result<Resource<DynInputStream>, ()>> {
        new::HostIncomingBody::stream(self, body)
    }

    fn finish(
        &mut self,
        body: Resource<HostIncomingBody>,
    ) -> wasmtime::Result<Resource<HostFutureTrailers>> {
        new::HostIncomingBody::finish(self, body)
    }

    fn drop(&mut self, body: Resource<HostIncomingBody>) -> wasmtime::Result<()> {
        new::HostIncomingBody::drop(self, body)
    }
}

impl old::HostFutureTrailers for View<'_> {
    fn subscribe(
        &mut self,
        future: Resource<HostFutureTrailers>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        new::HostFutureTrailers::subscribe(self, future)
    }

    /// There was no word for a body without trailers but to have none of them.
    fn get(
        &mut self,
        future: Resource<HostFutureTrailers>,
    ) -> wasmtime::Result<Option<Result<Fields, Error>>> {
        Ok(match new::HostFutureTrailers::get(self, future)? {
            None => None,
            Some(Ok(Ok(Some(trailers)))) => Some(Ok(trailers)),
            Some(Ok(Ok(None))) => Some(Ok(new::HostFields::new(self)?)),
            Some(Ok(Err(e))) => Some(Err(e.into())),
            Some(Err(())) => wasmtime::bail!("the trailers were taken before"),
        })
    }

    fn drop(&mut self, future: Resource<HostFutureTrailers>) -> wasmtime::Result<()> {
        new::HostFutureTrailers::drop(self, future)
    }
}

impl old::HostOutgoingResponse for View<'_> {
    fn new(
        &mut self,
        status: u16,
        headers: Fields,
    ) -> wasmtime::Result<Resource<HostOutgoingResponse>> {
        let headers = new::HostFields::clone(self, headers)?;
        let response = new::HostOutgoingResponse::new(self, headers)?;
        self.table.get_mut(&response)?.status = http::StatusCode::from_u16(status)?;
        Ok(response)
    }

    fn write(
        &mut self,
        response: Resource<HostOutgoingResponse>,
    ) -> wasmtime::Result<Result<Resource<HostOutgoingBody>, ()>> {
        new::HostOutgoingResponse::body(self, response)
    }

    fn drop(&mut self, response: Resource<HostOutgoingResponse>) -> wasmtime::Result<()> {
        new::HostOutgoingResponse::drop(self, response)
    }
}

impl old::HostOutgoingBody for View<'_> {
    fn write(
        &mut self,
        body: Resource<HostOutgoingBody>,
    ) -> wasmtime::Result<Result<Resource<DynOutputStream>, ()>> {
        new::HostOutgoingBody::write(self, body)
    }

    fn finish(
        &mut self,
        body: Resource<HostOutgoingBody>,
        trailers: Option<Fields>,
    ) -> wasmtime::Result<()> {
        Ok(new::HostOutgoingBody::finish(self, body, trailers)?)
    }

    fn drop(&mut self, body: Resource<HostOutgoingBody>) -> wasmtime::Result<()> {
        new::HostOutgoingBody::drop(self, body)
    }
}

impl old::HostFutureIncomingResponse for View<'_> {
    fn get(
        &mut self,
        future: Resource<HostFutureIncomingResponse>,
    ) -> wasmtime::Result<Option<Result<Result<Resource<HostIncomingResponse>, Error>, ()>>> {
        let arrived = new::HostFutureIncomingResponse::get(self, future)?;
        Ok(arrived.map(|taken| taken.map(|response| response.map_err(Error::from))))
    }

    fn subscribe(
        &mut self,
        future: Resource<HostFutureIncomingResponse>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        new::HostFutureIncomingResponse::subscribe(self, future)
    }

    fn drop(&mut self, future: Resource<HostFutureIncomingResponse>) -> wasmtime::Result<()> {
        new::HostFutureIncomingResponse::drop(self, future)
    }
}

/// The result of a change of fields, for a guest that hears of none.
fn heard(changed: Result<(), HeaderError>) -> wasmtime::Result<()> {
    let Err(refused) = changed else {
        return Ok(());
    };
    match refused.downcast()? {
        new::HeaderError::Forbidden => Ok(()),
        refused => {
            wasmtime::bail!("the function changed a header in a way that is refused: {refused}")
        }
    }
}

// === impl RequestOptions, Error, Method, Scheme ===

impl From<old::RequestOptions> for RequestOptions {
    fn from(options: old::RequestOptions) -> Self {
        let time = |millis: Option<u32>| millis.map(|n| Duration::from_millis(n.into()));
        Self {
            connect_timeout: time(options.connect_timeout_ms),
            first_byte_timeout: time(options.first_byte_timeout_ms),
            between_bytes_timeout: time(options.between_bytes_timeout_ms),
        }
    }
}

impl From<new::ErrorCode> for Error {
    /// The code's name is the text.
    fn from(code: new::ErrorCode) -> Self {
        use new::ErrorCode as Code;
        let text = format!("{code:?}");
        let text = text.strip_prefix("ErrorCode::").unwrap_or(&text).to_owned();
        match code {
            Code::HttpRequestUriInvalid | Code::HttpRequestUriTooLong => Self::InvalidUrl(text),
            Code::DnsTimeout
            | Code::ConnectionTimeout
            | Code::ConnectionReadTimeout
            | Code::ConnectionWriteTimeout
            | Code::HttpResponseTimeout => Self::TimeoutError(text),
            Code::HttpProtocolError
            | Code::HttpRequestMethodInvalid
            | Code::HttpResponseIncomplete
            | Code::TlsProtocolError => Self::ProtocolError(text),
            _ => Self::UnexpectedError(text),
        }
    }
}

impl From<Error> for new::ErrorCode {
    fn from(error: Error) -> Self {
        let (kind, text) = match error {
            Error::InvalidUrl(text) => ("invalid url", text),
            Error::TimeoutError(text) => ("timeout", text),
            Error::ProtocolError(text) => ("protocol error", text),
            Error::UnexpectedError(text) => ("unexpected error", text),
        };
        Self::InternalError(Some(format!("{kind}: {text}")))
    }
}

impl From<new::Method> for Method {
    fn from(method: new::Method) -> Self {
        match method {
            new::Method::Get => Self::Get,
            new::Method::Head => Self::Head,
            new::Method::Post => Self::Post,
            new::Method::Put => Self::Put,
            new::Method::Delete => Self::Delete,
            new::Method::Connect => Self::Connect,
            new::Method::Options => Self::Options,
            new::Method::Trace => Self::Trace,
            new::Method::Patch => Self::Patch,
            new::Method::Other(name) => Self::Other(name),
        }
    }
}

impl From<Method> for new::Method {
    fn from(method: Method) -> Self {
        match method {
            Method::Get => Self::Get,
            Method::Head => Self::Head,
            Method::Post => Self::Post,
            Method::Put => Self::Put,
            Method::Delete => Self::Delete,
            Method::Connect => Self::Connect,
            Method::Options => Self::Options,
            Method::Trace => Self::Trace,
            Method::Patch => Self::Patch,
            Method::Other(name) => Self::Other(name),
        }
    }
}

impl From<new::Scheme> for Scheme {
    fn from(scheme: new::Scheme) -> Self {
        match scheme {
            new::Scheme::Http => Self::Http,
            new::Scheme::Https => Self::Https,
            new::Scheme::Other(name) => Self::Other(name),
        }
    }
}

impl From<Scheme> for new::Scheme {
    fn from(scheme: Scheme) -> Self {
        match scheme {
            Scheme::Http => Self::Http,
            Scheme::Https => Self::Https,
            Scheme::Other(name) => Self::Other(name),
        }
    }
}
