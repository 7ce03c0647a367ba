//! Publishes through `gust:events` and `wasi:messaging`, answering JSON, and takes what was published.
//!
//! | request | does |
//! |---|---|
//! | POST `/queue/<name>?key=&group=&priority=&delay_ms=&media=&…` | publishes the body; other names are attributes |
//! | POST `/many/<name>/<n>` | publishes `n` messages together, each of the body |
//! | POST `/topic/<name>?media=&…` | publishes the body through `wasi:messaging`; other names are metadata |
//! | `/connect/<name>` | connects to that |
//! | `/hold/<n>` | holds `n` messages of 1 MiB |
//! | POST `/take` | prints the event: type, source, trace, data |

use gust::events::publish::{self, Error, Message, Published};
use kit::{Json, Path};
use wasi::messaging::{producer, types};
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

wit_bindgen::generate!({
    path: "../../../wit",
    world: "gust:host/messaging",
    generate_all,
});

struct Publisher;

wasip2::http::proxy::export!(Publisher);

impl Guest for Publisher {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = kit_p2::path(&request);
        let headers = request.headers();
        let of = |name: &str| {
            let value = headers.get(name).pop().unwrap_or_default();
            String::from_utf8_lossy(&value).into_owned()
        };
        let body = kit_p2::Body::of(&request).all().unwrap_or_default();
        let answer = match path.parts()[..] {
            ["queue", queue] => match publish::send(queue, &message(&path, body)) {
                Ok(published) => one(&published),
                Err(e) => error(e),
            },
            ["many", queue, n] => {
                let count = n.parse().unwrap_or(0);
                let messages: Vec<_> = (0..count).map(|_| message(&path, body.clone())).collect();
                match publish::send_many(queue, &messages) {
                    Ok(published) => published.iter().map(one).collect(),
                    Err(e) => error(e),
                }
            }
            ["topic", topic] => send(topic, &path, &body).unwrap_or_else(messaging_error),
            ["connect", name] => match types::Client::connect(name) {
                Ok(client) => match client.disconnect() {
                    Ok(()) => Json::object([("ok", true.into())]),
                    Err(e) => messaging_error(e),
                },
                Err(e) => messaging_error(e),
            },
            ["hold", n] => hold(n.parse().unwrap_or(0)),
            ["take"] => {
                let body = String::from_utf8_lossy(&body);
                let (kind, source, trace) = (of("ce-type"), of("ce-source"), of("traceparent"));
                println!("{kind} {source} {trace} {body}");
                return kit_p2::text(out, 204, "");
            }
            _ => return kit_p2::text(out, 404, "no such path\n"),
        };
        kit_p2::json(out, 200, &answer);
    }
}

/// Query names that say something of the message itself.
const OWN: [&str; 5] = ["key", "group", "priority", "delay_ms", "media"];

fn attributes(path: &Path) -> Vec<(String, String)> {
    let pairs = path.query.iter();
    let others = pairs.filter(|(name, _)| !OWN.contains(&name.as_str()));
    others.cloned().collect()
}

fn message(path: &Path, data: Vec<u8>) -> Message {
    let text = |name: &str| path.query(name).map(str::to_owned);
    let number = |name: &str| path.query(name).and_then(|n| n.parse::<u64>().ok());
    Message {
        data,
        content_type: text("media"),
        attributes: attributes(path),
        key: text("key"),
        group: text("group"),
        priority: number("priority").unwrap_or(0) as u8,
        delay_ms: number("delay_ms").unwrap_or(0),
    }
}

fn one(published: &Published) -> Json {
    Json::object([
        ("number", published.number.into()),
        ("duplicate", published.duplicate.into()),
    ])
}

fn send(topic: &str, path: &Path, data: &[u8]) -> Result<Json, types::Error> {
    let client = types::Client::connect("default")?;
    let message = types::Message::new(data);
    if let Some(media) = path.query("media") {
        message.set_content_type(media);
    }
    message.set_metadata(&attributes(path));
    message.add_metadata("passing", "1");
    message.remove_metadata("passing");
    assert_eq!(message.data(), data);
    assert_eq!(message.content_type().as_deref(), path.query("media"));
    assert_eq!(message.metadata().unwrap_or_default(), attributes(path));
    assert!(message.topic().is_none());
    producer::send(&client, topic, message)?;
    Ok(Json::object([("ok", true.into())]))
}

fn hold(count: usize) -> Json {
    let piece = vec![0; 1 << 20];
    let held: Vec<_> = (0..count).map(|_| types::Message::new(&piece)).collect();
    Json::object([("held", held.len().into())])
}

fn error(e: Error) -> Json {
    match e {
        Error::AccessDenied(e) => Json::error("access-denied", e),
        Error::Full(e) => Json::error("full", e),
        Error::TooLarge(e) => Json::error("too-large", e),
        Error::Invalid(e) => Json::error("invalid", e),
        Error::Other(e) => Json::error("other", e),
    }
}

fn messaging_error(e: types::Error) -> Json {
    match e {
        types::Error::Timeout => Json::error("timeout", ""),
        types::Error::Connection(e) => Json::error("connection", e),
        types::Error::PermissionDenied(e) => Json::error("permission-denied", e),
        types::Error::Other(e) => Json::error("other", e),
    }
}
