//! The two ways in which these services are spoken to, which come to the same inside.
//!
//! - `json.rs`: a JSON document, the operation in a header. What SDKs speak to SQS today, and to EventBridge.
//! - `query.rs`: a form, the operation in it. What older SDKs speak to SQS, and all to SNS.
//! - `xml.rs`: what a form is answered with.

mod json;
mod query;
pub(crate) mod xml;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde_json::Value;

use crate::{
    fault::{Code, Fault, Result},
    operations::Service,
};

/// How a request is spoken, and so its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// With the version of the protocol: `1.0` or `1.1`.
    Json(&'static str),
    Query,
}

/// What a request asks for.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) service: Service,
    pub(crate) action: String,
    pub(crate) params: Value,
}

// === impl Protocol ===

impl Protocol {
    /// As the head says.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let media = headers.get(header::CONTENT_TYPE);
        let media = media.and_then(|m| m.to_str().ok()).unwrap_or_default();
        let start = media.split(';').next().unwrap_or_default().trim();
        match start {
            "application/x-amz-json-1.1" => Self::Json("1.1"),
            "application/x-amz-json-1.0" => Self::Json("1.0"),
            _ if headers.contains_key(json::TARGET) => Self::Json("1.0"),
            _ => Self::Query,
        }
    }

    /// What is asked for. `signed` is the service that the request was signed for: which one is meant, where it says
    /// nothing else.
    pub(crate) fn read(self, headers: &HeaderMap, body: &[u8], signed: &str) -> Result<Asked> {
        match self {
            Self::Json(_) => json::read(headers, body),
            Self::Query => query::read(body, signed),
        }
    }

    /// What came of it.
    pub(crate) fn answer(
        self,
        (service, action): (Service, &str),
        value: &Value,
        id: &str,
    ) -> Response<Bytes> {
        let body = match self {
            Self::Json(_) if value.is_null() => Bytes::new(),
            Self::Json(_) => value.to_string().into(),
            Self::Query => xml::answer(service, action, value, id).into(),
        };
        self.response(StatusCode::OK, body)
    }

    /// Why not. `service` is the one that was meant, as far as that is known.
    pub(crate) fn refusal(self, service: Service, fault: &Fault, id: &str) -> Response<Bytes> {
        let Code { query, status, .. } = fault.code;
        let body: Bytes = match self {
            Self::Json(_) => json::refusal(service, fault).into(),
            Self::Query => xml::refusal(service, fault, id).into(),
        };
        let mut response = self.response(status, body);
        if matches!(self, Self::Json(_)) && service == Service::Sqs {
            // Programs still compare the older names.
            let whose = match fault.code.is_senders() {
                true => "Sender",
                false => "Receiver",
            };
            if let Ok(value) = HeaderValue::from_str(&format!("{query};{whose}")) {
                response.headers_mut().insert("x-amzn-query-error", value);
            }
        }
        response
    }

    fn response(self, status: StatusCode, body: Bytes) -> Response<Bytes> {
        let media = match self {
            Self::Json("1.1") => "application/x-amz-json-1.1",
            Self::Json(_) => "application/x-amz-json-1.0",
            Self::Query => "text/xml",
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
        response
    }
}
