//! The control API over HTTP: one file per resource, each a thin handler over a method of [`Control`].
//!
//! Every request passes the same gates, outside in: a request id, a place among the requests under way, a guard against
//! panics, the token (below `/v1`), a bound on the time to the head of the answer. Bodies are bounded where they are read.

pub(crate) mod apps;
pub(crate) mod artifacts;
pub(crate) mod blobs;
pub(crate) mod deploys;
pub(crate) mod error;
pub(crate) mod extract;
pub(crate) mod gates;
pub(crate) mod invoke;
pub(crate) mod keys;
pub(crate) mod kv;
pub(crate) mod later;
pub(crate) mod logs;
pub(crate) mod money;
pub(crate) mod node;
pub(crate) mod projects;
pub(crate) mod queues;
pub(crate) mod secrets;
pub(crate) mod sql;
mod stream;
pub(crate) mod topics;

use axum::{Router, extract::Request, middleware, response::Response};
use gust_api::Problem;
use gust_types::Error;
use utoipa::{
    Modify, OpenApi,
    openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use self::error::ApiError;
use crate::control::Control;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Gust control API",
        description = "Deploys apps to a node and answers what runs, what it wrote, what it took and what it costs.\n\n\
            Everything below `/v1` needs the node's token as a bearer token. Errors are problem documents \
            (`application/problem+json`) that say whose fault they are and what to do next."
    ),
    components(schemas(Problem)),
    modifiers(&Token),
    security(("token" = []))
)]
struct Description;

struct Token;

impl Modify for Token {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some(
                "Made at the node's first start and written to `token` in its data folder.",
            ))
            .build();
        if let Some(components) = openapi.components.as_mut() {
            components.add_security_scheme("token", SecurityScheme::Http(scheme));
        }
    }
}

/// The API's description, OpenAPI 3.1.
pub fn openapi() -> utoipa::openapi::OpenApi {
    let (_, mut described) = described().split_for_parts();
    described.info.version = env!("CARGO_PKG_VERSION").to_owned();
    // The router's word for the rest of a path is none of OpenAPI's.
    let paths = std::mem::take(&mut described.paths.paths);
    let plain = paths
        .into_iter()
        .map(|(path, item)| (path.replace("{*", "{"), item));
    described.paths.paths = plain.collect();
    described
}

/// Everything that is served.
pub(crate) fn router(control: Control) -> Router {
    let (router, _) = described().split_for_parts();
    router
        .fallback(async |request: Request| -> Response {
            let path = request.uri().path().to_owned();
            ApiError::from(Error::not_found(format!(
                "the api has no such path: {path}"
            )))
            .respond(&request)
        })
        .method_not_allowed_fallback(async |request: Request| -> Response {
            let message = format!("the path does not take this method: {}", request.method());
            ApiError::with(
                Error::invalid(message),
                http::StatusCode::METHOD_NOT_ALLOWED,
            )
            .respond(&request)
        })
        .layer(middleware::from_fn_with_state(control.clone(), gates::pass))
        .with_state(control)
}

fn described() -> OpenApiRouter<Control> {
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(node::healthz))
        .routes(routes!(node::readyz))
        .routes(routes!(node::metrics))
        .routes(routes!(node::openapi_json))
        .routes(routes!(node::status))
        .routes(routes!(artifacts::missing))
        .routes(routes!(artifacts::upload))
        .routes(routes!(projects::list, projects::create))
        .routes(routes!(projects::remove))
        .routes(routes!(apps::list))
        .routes(routes!(apps::show, apps::remove))
        .routes(routes!(deploys::deploy))
        .routes(routes!(deploys::list))
        .routes(routes!(deploys::rollback))
        .routes(routes!(invoke::invoke))
        .routes(routes!(later::list))
        .routes(routes!(later::show, later::cancel))
        .routes(routes!(later::result))
        .routes(routes!(logs::logs))
        .routes(routes!(secrets::list))
        .routes(routes!(secrets::set, secrets::remove))
        .routes(routes!(keys::list, keys::create))
        .routes(routes!(keys::remove))
        .routes(routes!(queues::list))
        .routes(routes!(queues::show))
        .routes(routes!(queues::publish, queues::peek))
        .routes(routes!(queues::dead))
        .routes(routes!(queues::redrive))
        .routes(routes!(queues::purge))
        .routes(routes!(queues::triggers))
        .routes(routes!(kv::stores))
        .routes(routes!(kv::list))
        .routes(routes!(kv::get, kv::set, kv::remove))
        .routes(routes!(kv::increment))
        .routes(routes!(sql::databases))
        .routes(routes!(sql::run))
        .routes(routes!(sql::dump))
        .routes(routes!(blobs::buckets))
        .routes(routes!(blobs::list))
        .routes(routes!(blobs::scrub))
        .routes(routes!(blobs::put, blobs::get, blobs::remove))
        .routes(routes!(topics::list))
        .routes(routes!(topics::show))
        .routes(routes!(topics::publish, topics::read))
        .routes(routes!(topics::seek))
        .routes(routes!(topics::purge))
        .routes(routes!(topics::dead))
        .routes(routes!(topics::redrive))
        .routes(routes!(topics::purge_trigger))
        .routes(routes!(money::usage))
        .routes(routes!(money::usage_of_all))
        .routes(routes!(money::records))
        .routes(routes!(money::records_of_all))
        .routes(routes!(money::bill))
        .routes(routes!(money::bill_of_all))
        .routes(routes!(
            money::budget,
            money::set_budget,
            money::clear_budget
        ))
}
