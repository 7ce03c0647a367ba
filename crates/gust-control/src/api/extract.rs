//! Reading what a request carries, with its bounds.

use std::time::Duration;

use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, FromRequestParts, Path as AxumPath, Request},
    response::{IntoResponse, Response},
};
use gust_types::{Blame, Error, Kind};
use http::{StatusCode, header, request::Parts};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::{Serialize, de::DeserializeOwned};

use super::error::ApiError;

/// The longest a document may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(30);

/// A JSON body of `MAX` bytes at most. Nesting is bounded by the parser, at 128 levels.
pub(crate) struct Json<T, const MAX: usize>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned, const MAX: usize> FromRequest<S> for Json<T, MAX> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        if !is_json(request.headers()) {
            let error = Error::invalid("the body must be json")
                .hint("send it with content-type: application/json");
            return Err(ApiError::with(error, StatusCode::UNSUPPORTED_MEDIA_TYPE));
        }
        let bytes = bytes(request.into_body(), MAX).await?;
        let document = serde_json::from_slice(&bytes).map_err(|e| {
            Error::invalid("the request body is not what is expected here").because(e)
        })?;
        Ok(Self(document))
    }
}

/// A body of so many bytes at most.
pub(crate) async fn bytes(body: Body, most: usize) -> Result<Bytes, ApiError> {
    let body = Limited::new(body, most).collect();
    let read = tokio::time::timeout(ARRIVAL, body).await.map_err(|_| {
        Error::new(
            Kind::Timeout,
            Blame::Caller,
            "the request body took too long to arrive",
        )
    })?;
    let collected = read.map_err(|e| match e.is::<LengthLimitError>() {
        true => ApiError::too_large(most),
        false => Error::invalid("the request body broke off")
            .because(e)
            .into(),
    })?;
    Ok(collected.to_bytes())
}

fn is_json(headers: &http::HeaderMap) -> bool {
    let value = headers
        .get(header::CONTENT_TYPE)
        .and_then(|v| v.to_str().ok());
    let media = value.and_then(|v| v.split(';').next()).map(str::trim);
    media.is_some_and(|m| m.eq_ignore_ascii_case("application/json"))
}

/// Names in the path, checked by their types.
pub(crate) struct Path<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match AxumPath::<T>::from_request_parts(parts, state).await {
            Ok(AxumPath(path)) => Ok(Self(path)),
            Err(rejected) => Err(Error::invalid("the path has a name that is not allowed")
                .because(rejected.body_text())
                .into()),
        }
    }
}

/// Parameters after the question mark; unknown ones are refused.
pub(crate) struct Query<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match axum::extract::Query::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(query)) => Ok(Self(query)),
            Err(rejected) => Err(Error::invalid("the query is not what is expected here")
                .because(rejected.body_text())
                .into()),
        }
    }
}

/// A JSON answer.
pub(crate) struct Answer<T>(pub(crate) StatusCode, pub(crate) T);

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.1) {
            Ok(bytes) => {
                (self.0, [(header::CONTENT_TYPE, "application/json")], bytes).into_response()
            }
            Err(e) => ApiError::from(Error::internal("cannot write an answer as json").because(e))
                .into_response(),
        }
    }
}

/// 200 with a document.
pub(crate) fn ok<T: Serialize>(document: T) -> Answer<T> {
    Answer(StatusCode::OK, document)
}
