//! Publishes through `gust:events/publish-async`, answering JSON.
//!
//! `/queue/<name>?<attributes>` publishes the body; `/many/<name>/<n>` publishes it `n` times at once, each in a send of its
//! own, and answers how many were kept and which errors there were.

use gust::events::publish::{Error, Message};
use gust::events::publish_async;
use kit::Json;
use wasip3::exports::http::handler::Guest;
use wasip3::http::types::{ErrorCode, Request, Response};

wit_bindgen::generate!({
    path: "../../../wit",
    world: "gust:host/messaging-async",
    generate_all,
});

struct Publisher;

wasip3::http::service::export!(Publisher);

impl Guest for Publisher {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let path = kit_p3::path(&request);
        let data = kit_p3::Body::of_request(request).all().await;
        let attributes = path.query.clone();
        let message = move || Message {
            data: data.clone(),
            content_type: None,
            attributes: attributes.clone(),
            key: None,
            group: None,
            priority: 0,
            delay_ms: 0,
        };
        let answer = match path.parts()[..] {
            ["queue", queue] => match publish_async::send(queue.to_owned(), message()).await {
                Ok(published) => Json::object([
                    ("number", published.number.into()),
                    ("duplicate", published.duplicate.into()),
                ]),
                Err(e) => Json::error(name(&e), format!("{e:?}")),
            },
            ["many", queue, n] => many(queue, n.parse().unwrap_or(0), message).await,
            _ => return kit_p3::text(404, "no such path\n"),
        };
        kit_p3::json(200, &answer)
    }
}

async fn many(queue: &str, count: usize, message: impl Fn() -> Message) -> Json {
    let sends = (0..count).map(|_| publish_async::send(queue.to_owned(), message()));
    let answers = futures::future::join_all(sends).await;
    let kept = answers.iter().filter(|answer| answer.is_ok()).count();
    let refused = answers.iter().filter_map(|answer| answer.as_ref().err());
    Json::object([
        ("kept", kept.into()),
        ("refused", refused.map(|e| Json::from(name(e))).collect()),
    ])
}

fn name(e: &Error) -> &'static str {
    match e {
        Error::AccessDenied(_) => "access-denied",
        Error::Full(_) => "full",
        Error::TooLarge(_) => "too-large",
        Error::Invalid(_) => "invalid",
        Error::Other(_) => "other",
    }
}
