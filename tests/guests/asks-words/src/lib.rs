//! Imports from `words`, answering JSON: `/upper/text` `/stored/key` `/variable/name` `/env/name` `/fetch?url=` `/file/name`;
//! `/own/name` is its own environment.

use gust_tests::words::words;
use kit::Json;
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

wit_bindgen::generate!({
    path: ["../../../wit", "../words/wit"],
    world: "gust-tests:words/asks",
    generate_all,
});

struct Asks;

wasip2::http::proxy::export!(Asks);

impl Guest for Asks {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = kit_p2::path(&request);
        let failed = |error: String| Json::error("error", error);
        let said = |text: Option<String>| text.map_or(Json::Null, Json::from);
        let value = match path.parts()[..] {
            ["upper", text] => words::upper(text).into(),
            ["stored", key] => words::stored(key).map_or_else(failed, said),
            ["variable", name] => words::variable(name).map_or_else(failed, Json::from),
            ["env", name] => said(words::env(name)),
            ["fetch"] => words::fetch(path.query("url").unwrap_or_default()).into(),
            ["file", name] => words::file(&format!("/{name}")).map_or_else(failed, Json::from),
            ["own", name] => said(std::env::var(name).ok()),
            _ => return kit_p2::text(out, 404, "no such path\n"),
        };
        kit_p2::json(out, 200, &Json::object([("value", value)]));
    }
}
