//! Works with buckets through `wasi:blobstore`, answering JSON; keys may have slashes in them.
//!
//! | request | does |
//! |---|---|
//! | POST `/put/<bucket>/<key>?when=` | streams the body into an object; `when` says how, see [`put`] |
//! | `/fill/<bucket>/<key>?pieces=<n>` | puts an object of `n` pieces of 64 KiB |
//! | `/room/<bucket>/<key>?first=<n>` | writes `n` bytes, says where they go, and writes on until there is no room: how much |
//! | `/get/<bucket>/<key>?start=&end=` | answers with the bytes themselves, as they come |
//! | `/sum/<bucket>/<key>` | reads all: how many bytes, their sum, why it broke off |
//! | `/peek/<bucket>/<key>` | reads one piece and then nothing for 50 ms |
//! | `/whole/<bucket>/<key>` | reads all at once |
//! | `/info/<bucket>[/<key>]`, `/has/<bucket>/<key>` | what is known |
//! | `/list/<bucket>?page=&skip=` | names, so many at a time |
//! | `/delete/<bucket>/<key>`, `/delete/<bucket>?<key>&…`, `/clear/<bucket>` | removes |
//! | `/copy/<bucket>/<key>?bucket=&key=`, `/move/…` | copies and moves |
//! | `/create/<bucket>`, `/exists/<bucket>`, `/remove/<bucket>` | containers |
//! | `/make/<n>`, `/read/<n>/<bucket>/<key>`, `/lists/<n>/<bucket>`, `/open/<n>/<bucket>` | holds `n` things at once: how many, and the last error |
//! | POST `/once/<bucket>` | reads the object `a`, tries to change the bucket, prints what came of it |

use kit::{Json, Path};
use wasi::blobstore::blobstore::{self, ObjectId};
use wasi::blobstore::container::Container;
use wasi::blobstore::types::{IncomingValue, OutgoingValue};
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

mod hold;
mod read;
mod write;

wit_bindgen::generate!({
    path: "../../../wit",
    world: "gust:host/blobs",
    with: {
        "wasi:io/error@0.2.2": wasip2::io::error,
        "wasi:io/poll@0.2.2": wasip2::io::poll,
        "wasi:io/streams@0.2.2": wasip2::io::streams,
    },
    generate_all,
});

struct Blobs;

wasip2::http::proxy::export!(Blobs);

/// One piece, in bytes.
const PIECE: usize = 64 * 1024;

type Answer<T = Json> = Result<T, String>;

impl Guest for Blobs {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = kit_p2::path(&request);
        let parts = path.parts();
        let (does, rest) = parts.split_first().unwrap_or((&"", &[]));
        if *does == "get" {
            return read::answer(&path, out);
        }
        let answer = match (*does, rest) {
            ("put" | "fill" | "room", [bucket, key @ ..]) => {
                write::answer(does, (bucket, &key.join("/")), &path, &request)
            }
            ("once", [bucket]) => once(bucket),
            ("make" | "read" | "lists" | "open", [n, rest @ ..]) => {
                hold::answer(does, n.parse().unwrap_or(0), rest)
            }
            (_, [bucket]) => container(does, bucket, &path),
            (_, [bucket, key @ ..]) => object(does, bucket, key.join("/"), &path),
            _ => return kit_p2::text(out, 404, "no such path\n"),
        };
        let answer = answer.unwrap_or_else(|e| Json::error("error", e));
        kit_p2::json(out, 200, &answer);
    }
}

fn done(_: ()) -> Json {
    Json::object([("ok", true.into())])
}

fn container(does: &str, bucket: &str, path: &Path) -> Answer {
    match does {
        "create" => {
            let made = blobstore::create_container(bucket)?;
            return Ok(Json::object([("name", made.name()?.into())]));
        }
        "exists" => return blobstore::container_exists(bucket).map(Json::from),
        "remove" => return blobstore::delete_container(bucket).map(done),
        _ => {}
    }
    let open = blobstore::get_container(bucket)?;
    match does {
        "info" => {
            let info = open.info()?;
            let created = info.created_at.into();
            Ok(Json::object([
                ("name", info.name.into()),
                ("created", created),
            ]))
        }
        "list" => list(&open, path),
        "delete" => {
            let names: Vec<_> = path.query.iter().map(|(name, _)| name.clone()).collect();
            open.delete_objects(&names).map(done)
        }
        "clear" => open.clear().map(done),
        _ => Err("no such path".into()),
    }
}

fn object(does: &str, bucket: &str, key: String, path: &Path) -> Answer {
    let open = blobstore::get_container(bucket)?;
    match does {
        "sum" => read::sum(&open, &key),
        "peek" => read::peek(&open, &key),
        "whole" => read::whole(&open, &key),
        "has" => open.has_object(&key).map(Json::from),
        "delete" => open.delete_object(&key).map(done),
        "info" => {
            let info = open.object_info(&key)?;
            Ok(Json::object([
                ("name", info.name.into()),
                ("container", info.container.into()),
                ("created", info.created_at.into()),
                ("size", info.size.into()),
            ]))
        }
        "copy" | "move" => {
            let text = |name: &str| path.query(name).unwrap_or_default().to_owned();
            let from = ObjectId {
                container: bucket.to_owned(),
                object: key,
            };
            let to = ObjectId {
                container: text("bucket"),
                object: text("key"),
            };
            match does {
                "copy" => blobstore::copy_object(&from, &to).map(done),
                _ => blobstore::move_object(&from, &to).map(done),
            }
        }
        _ => Err("no such path".into()),
    }
}

fn list(open: &Container, path: &Path) -> Answer {
    let number = |name: &str| path.query(name).and_then(|n| n.parse::<u64>().ok());
    let names = open.list_objects()?;
    let skipped = names.skip_stream_object_names(number("skip").unwrap_or(0))?;
    let (mut all, mut reads) = (Vec::new(), 0u64);
    loop {
        let (some, over) = names.read_stream_object_names(number("page").unwrap_or(u64::MAX))?;
        all.extend(some.into_iter().map(Json::from));
        reads += 1;
        if over {
            break;
        }
    }
    Ok(Json::object([
        ("skipped", skipped.0.into()),
        ("names", all.into_iter().collect()),
        ("reads", reads.into()),
    ]))
}

/// What a call with a unit of work may do.
fn once(bucket: &str) -> Answer {
    let open = blobstore::get_container(bucket)?;
    let read = open.get_data("a", 0, u64::MAX)?;
    let read = IncomingValue::incoming_value_consume_sync(read)?;
    println!("read {}", String::from_utf8_lossy(&read));
    let value = OutgoingValue::new_outgoing_value();
    println!("write {:?}", open.write_data("b", &value));
    println!("delete {:?}", open.delete_object("a"));
    Ok(done(()))
}
