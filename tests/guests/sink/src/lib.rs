//! Takes events: prints one line for each and answers as the event's data asks.
//!
//! `status:503` is that status, `first:503` the same at the first attempt only, `sleep:50` takes 50 ms, `trap` traps;
//! anything else is 204. At the path `/subject` the event's subject, as headers have it, stands before the data in the line. At
//! the path `/answer/TYPE` that success is an event of this type with the same data, at
//! `/batch/TYPE/TYPE` a batch of two, and at `/broken` an event without its attributes.

use std::time::Duration;

use kit_p2::{Answer, Body};
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

struct Sink;

wasip2::http::proxy::export!(Sink);

impl Guest for Sink {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let headers = request.headers();
        let of = |name: &str| {
            let value = headers.get(name).pop().unwrap_or_default();
            String::from_utf8_lossy(&value).into_owned()
        };
        let (id, kind, attempt) = (of("ce-id"), of("ce-type"), of("ce-gustattempt"));
        let body = Body::of(&request).all().unwrap_or_default();
        let body = String::from_utf8_lossy(&body).into_owned();
        let (word, number) = body.split_once(':').unwrap_or((&body, ""));
        let number = number.parse().unwrap_or(0);
        if word == "sleep" {
            std::thread::sleep(Duration::from_millis(number));
        }
        let path = kit_p2::path(&request);
        let subject = match path.parts()[..] {
            ["subject"] => format!("{} ", of("ce-subject")),
            _ => String::new(),
        };
        // Printed when it is as good as taken, so that the order of the lines is that of the work.
        println!("{kind} {id} attempt {attempt} {subject}{body}");
        let status = match word {
            "trap" => panic!("as asked"),
            "status" => number as u16,
            "first" if attempt == "1" => number as u16,
            _ => 204,
        };
        if status != 204 {
            return kit_p2::text(out, status, "");
        }
        match path.parts()[..] {
            ["answer", kind] => event(out, &id, kind, &body),
            ["batch", first, second] => batch(out, &id, [first, second]),
            ["broken"] => Answer::begin(out, 200, &[("ce-id", &id)]).end(None),
            _ => kit_p2::text(out, 204, ""),
        }
    }
}

/// An event that is led to by another.
fn event(out: ResponseOutparam, id: &str, kind: &str, body: &str) {
    let headers = [
        ("ce-specversion", "1.0"),
        ("ce-id", &format!("{id}+")),
        ("ce-source", "/sink"),
        ("ce-type", kind),
        ("content-type", "text/plain"),
    ];
    let answer = Answer::begin(out, 200, &headers);
    let _ = answer.write(body.as_bytes());
    answer.end(None);
}

fn batch(out: ResponseOutparam, id: &str, kinds: [&str; 2]) {
    let one = |kind| {
        format!(r#"{{"specversion":"1.0","id":"{id}+{kind}","source":"/sink","type":"{kind}"}}"#)
    };
    let media = "application/cloudevents-batch+json";
    let body = format!("[{}]", kinds.map(one).join(","));
    kit_p2::answer(out, 200, media, body.as_bytes());
}
