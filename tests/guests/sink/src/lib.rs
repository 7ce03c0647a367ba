//! Takes events: prints one line for each and answers as the event's data asks.
//!
//! `status:503` is that status, `first:503` the same at the first attempt only, `sleep:50` takes 50 ms, `trap` traps;
//! anything else is 204.

use std::time::Duration;

use kit_p2::Body;
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
        // Printed when it is as good as taken, so that the order of the lines is that of the work.
        println!("{kind} {id} attempt {attempt} {body}");
        let status = match word {
            "trap" => panic!("as asked"),
            "status" => number as u16,
            "first" if attempt == "1" => number as u16,
            _ => 204,
        };
        kit_p2::text(out, status, "");
    }
}
