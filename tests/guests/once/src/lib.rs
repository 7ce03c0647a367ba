//! Counts the events that it takes, in a key-value store (`/kv`) or a database (`/sql`), and writes down which they were.
//!
//! `/kv` adds 1 to `n` in the store `default` and sets `seen/ID`. `/sql` adds 1 to a row of the database `default`, inserts
//! the event's id, sets `seen/ID` in the store and publishes to the queue `told`. Both do all of it before they do what the
//! data says: `fail` answers 503, `trap` traps, `first` answers 503 at the first attempt, `begin` is a BEGIN of their own.
//! A batch is counted as many times as it has events, and answers that the first one failed where it contains `part`.

use kit_p2::Body;
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

use fermyon::spin2_0_0::sqlite::{Connection, Value};
use gust::events::publish::{self, Message};
use wasi::keyvalue::{atomics, store};

wit_bindgen::generate!({
    path: "../../../wit",
    inline: "
        package gust:once;
        world once {
            import wasi:keyvalue/store@0.2.0-draft2;
            import wasi:keyvalue/atomics@0.2.0-draft2;
            import fermyon:spin/sqlite@2.0.0;
            import gust:events/publish@0.1.0;
        }
    ",
    world: "gust:once/once",
    generate_all,
});

struct Once;

wasip2::http::proxy::export!(Once);

impl Guest for Once {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let headers = request.headers();
        let of = |name: &str| {
            let value = headers.get(name).pop().unwrap_or_default();
            String::from_utf8_lossy(&value).into_owned()
        };
        let (id, attempt) = (of("ce-id"), of("ce-gustattempt"));
        let body = Body::of(&request).all().unwrap_or_default();
        let body = String::from_utf8_lossy(&body).into_owned();
        let is_batch = of("content-type").starts_with("application/cloudevents-batch");
        let done = match kit_p2::path(&request).parts()[..] {
            ["sql"] => count_in_database(&id, &body),
            _ => count_in_store(
                &id,
                if is_batch {
                    body.matches("specversion").count()
                } else {
                    1
                },
            ),
        };
        if let Err(why) = done {
            println!("{id} attempt {attempt} refused: {why}");
            return kit_p2::text(out, 500, &why);
        }
        println!("{id} attempt {attempt}");
        match body.as_str() {
            "trap" => panic!("as asked"),
            "fail" => kit_p2::text(out, 503, ""),
            "first" if attempt == "1" => kit_p2::text(out, 503, ""),
            _ if is_batch && body.contains("part") => {
                let failed = first_id(&body);
                let answer =
                    format!(r#"{{"batchItemFailures":[{{"itemIdentifier":"{failed}"}}]}}"#);
                kit_p2::answer(out, 200, "application/json", answer.as_bytes());
            }
            _ => kit_p2::text(out, 204, ""),
        }
    }
}

fn count_in_store(id: &str, by: usize) -> Result<(), String> {
    let bucket = store::open("default").map_err(|e| format!("{e:?}"))?;
    atomics::increment(&bucket, "n", by as i64).map_err(|e| format!("{e:?}"))?;
    bucket
        .set(&format!("seen/{id}"), b"1")
        .map_err(|e| format!("{e:?}"))
}

fn count_in_database(id: &str, body: &str) -> Result<(), String> {
    let words = |e| format!("{e:?}");
    let database = Connection::open("default").map_err(words)?;
    let run = |statement: &str, parameters: &[Value]| {
        database
            .execute(statement, parameters)
            .map(drop)
            .map_err(words)
    };
    if body == "begin" {
        run("BEGIN", &[])?;
    }
    run("CREATE TABLE IF NOT EXISTS counter (n INTEGER)", &[])?;
    run("CREATE TABLE IF NOT EXISTS seen (id TEXT)", &[])?;
    run(
        "INSERT INTO counter SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM counter)",
        &[],
    )?;
    run("UPDATE counter SET n = n + 1", &[])?;
    run(
        "INSERT INTO seen VALUES (?1)",
        &[Value::Text(id.to_owned())],
    )?;
    let bucket = store::open("default").map_err(|e| format!("{e:?}"))?;
    bucket
        .set(&format!("seen/{id}"), b"1")
        .map_err(|e| format!("{e:?}"))?;
    let message = Message {
        data: id.as_bytes().to_vec(),
        content_type: Some("text/plain".to_owned()),
        attributes: Vec::new(),
        key: None,
        group: None,
        priority: 0,
        delay_ms: 0,
    };
    publish::send("told", &message)
        .map(drop)
        .map_err(|e| format!("{e:?}"))
}

/// The id of the first event of a batch.
fn first_id(body: &str) -> &str {
    let (_, rest) = body.split_once(r#""id":""#).unwrap_or_default();
    rest.split('"').next().unwrap_or_default()
}
