//! Reading `gust.toml`.

mod changes;
mod events;
mod later;
mod outside;
mod topics;
mod webhook;

use gust_types::{
    AppName, ByteSize, FunctionName, Label, Limits, Span,
    app::{FunctionSpec, HealthSpec, RouteTarget, Source},
    limits::{Reuse, ceiling},
};
use toml::de::{DeTable, DeValue};

use crate::{
    check,
    draft::{Assembled, Draft, Mount, Site},
    keys::{
        APP, BUILD, CGI, FILE, FUNCTION, HEALTH, LIMITS, NAMES, RESPONSE, REUSE, ROOT, ROUTE, SITE,
        VARIABLE,
    },
    parts,
    reader::{At, Cx, Table, Text, kind},
};

/// Reads a parsed file; faults go to `cx`.
pub(crate) fn read<'a>(cx: &'a Cx<'a>, document: &'a DeTable<'a>) -> Option<Assembled> {
    let root = Table::open(cx, &ROOT, "gust.toml", 0..0, document);
    let mut draft = Draft::new(cx);
    app(&mut draft, &root);
    draft.variables = parts::variables(&root, &NAMES, &VARIABLE);
    functions(&mut draft, &root);
    for route in root.tables("route", &ROUTE, "[[route]]") {
        read_route(&mut draft, &route);
    }
    events::read(&mut draft, &root);
    route_the_only_function(&mut draft, &root);
    draft.assemble(&root.key_at("app"))
}

fn app(draft: &mut Draft<'_>, root: &Table<'_>) {
    let Some(app) = root.table("app", &APP, "[app]") else {
        if root.value("app").is_none() {
            root.missing("app");
        }
        return;
    };
    if let Some(name) = app.required_string("name") {
        draft.name = app.cx.take(&name.at, AppName::new(&name.value));
    }
    draft.version = app.string_or_empty("version");
    draft.description = app.string_or_empty("description");
    for host in app.strings("hosts") {
        if let Err(error) = check::host(&host.value) {
            app.cx.refuse(&host.at, error);
        }
        draft.hosts.push(host.value.to_ascii_lowercase());
    }
}

fn functions(draft: &mut Draft<'_>, root: &Table<'_>) {
    let Some(table) = root.table("function", &NAMES, "[function]") else {
        return;
    };
    for (name, value) in table.entries() {
        let title = format!("[function.{}]", name.value);
        let opened = table.as_table(&name.value, value, &FUNCTION, title);
        let valid = table.cx.take(&name.at, FunctionName::new(&name.value));
        if let (Some(function), Some(name_ok)) = (opened, valid) {
            let spec = function_spec(draft, &function, &name_ok);
            draft.function(name_ok.clone(), &name.at, spec);
            function_routes(draft, &function, &name_ok);
        }
    }
}

fn function_spec(draft: &mut Draft<'_>, table: &Table<'_>, name: &FunctionName) -> FunctionSpec {
    let below = |key: &str| format!("[function.{name}.{key}]");
    let picks = parts::picks(table, &FILE);
    let exclude = table.strings("exclude_files");
    draft.mounts.push(Mount {
        function: name.clone(),
        picks,
        exclude,
    });
    let build = table.table("build", &BUILD, below("build"));
    let limits = table.table("limits", &LIMITS, below("limits"));
    let reuse = table.table("reuse", &REUSE, below("reuse"));
    let queues = parts::labels(table, "queues");
    FunctionSpec {
        description: table.string_or_empty("description"),
        source: Source::Path(source(table)),
        build: build.map(|t| parts::build(&t)),
        environment: parts::environment(table),
        variables: parts::own_variables(draft, table),
        files: Vec::new(),
        kv: parts::labels(table, "kv"),
        sql: parts::labels(table, "sql"),
        topics: topics(table, &queues),
        blobs: parts::labels(table, "blobs"),
        queues,
        outbound: parts::outbound(draft, table.strings("outbound")),
        limits: limits.map(|t| read_limits(&t)).unwrap_or_default(),
        reuse: reuse.map(|t| read_reuse(&t)).unwrap_or_default(),
        health: health(table, below("health")),
        later: later::read(draft, table, name),
        cgi: table
            .table("cgi", &CGI, below("cgi"))
            .map(|t| parts::cgi(&t)),
        dependencies: Vec::new(),
    }
}

/// A function says by name what it publishes to: a name is a queue or a topic.
fn topics(table: &Table<'_>, queues: &[Label]) -> Vec<Label> {
    let topics = parts::labels(table, "topics");
    if let Some(both) = topics.iter().find(|name| queues.contains(name)) {
        let message = format!("`topics` and `queues` have the same name: {both}");
        let hint = "what a function publishes to it calls by name; rename one of them";
        table.cx.fault_hint(&table.key_at("topics"), message, hint);
    }
    topics
}

fn source(table: &Table<'_>) -> String {
    if let Some(value) = table.value("source")
        && matches!(value.get_ref(), DeValue::Table(_))
    {
        let message = "remote sources are not built yet: `source`";
        let hint = "fetch the component and name it by its path";
        table.cx.fault_hint(&value.span(), message, hint);
        return String::new();
    }
    let Some(text) = table.required_string("source") else {
        return String::new();
    };
    table.cx.take(&text.at, check::source(&text.value));
    text.value
}

/// `route`: a path, a list of paths, or `false` / `"private"`.
fn function_routes(draft: &mut Draft<'_>, table: &Table<'_>, name: &FunctionName) {
    let Some(value) = table.value("route") else {
        return;
    };
    let private = match value.get_ref() {
        DeValue::Boolean(false) => true,
        DeValue::String(text) => text == "private",
        DeValue::Array(_) => false,
        other => {
            let message = format!(
                "`route` must be a path, a list of paths, or false, not {}",
                match other {
                    DeValue::Boolean(_) => "true",
                    other => kind(other),
                }
            );
            return table.cx.fault(&value.span(), message);
        }
    };
    if private {
        return draft.private(name.clone(), &value.span());
    }
    for path in table.string_or_strings("route") {
        draft.route(&path, RouteTarget::Function(name.clone()));
    }
}

fn health(table: &Table<'_>, name: String) -> Option<HealthSpec> {
    let value = table.value("health")?;
    let (path, timeout) = match value.get_ref() {
        DeValue::String(_) => (table.string("health")?, None),
        DeValue::Table(_) => {
            let health = table.table("health", &HEALTH, name)?;
            let timeout = health.span("timeout", Span::millis(1), ceiling::HEALTH_TIMEOUT);
            (health.required_string("path")?, timeout)
        }
        other => {
            let message = format!("`health` must be a path or a table, not {}", kind(other));
            table.cx.fault(&value.span(), message);
            return None;
        }
    };
    table.cx.take(&path.at, check::path(&path.value))?;
    Some(HealthSpec {
        path: path.value,
        timeout: timeout.unwrap_or(Span::secs(5)),
    })
}

fn read_limits(table: &Table<'_>) -> Limits {
    let d = Limits::default();
    let count = |key: &str, low: u64, high: u32, default: u32| {
        let found = table.integer(key, low, high.into());
        found.and_then(|n| u32::try_from(n).ok()).unwrap_or(default)
    };
    let time = |key: &str, low: Span, high: Span, default: Span| {
        table.span(key, low, high).unwrap_or(default)
    };
    let size = |key: &str, low: ByteSize, high: ByteSize, default: ByteSize| {
        table.size(key, low, high).unwrap_or(default)
    };
    let (none, least, page) = (ByteSize(0), Span::millis(1), ByteSize::kib(64));
    Limits {
        memory: size("memory", page, ceiling::MEMORY, d.memory),
        cpu_time: time("cpu_time", least, ceiling::CPU_TIME, d.cpu_time),
        wall_time: time("wall_time", least, ceiling::WALL_TIME, d.wall_time),
        concurrency: count("concurrency", 1, ceiling::CONCURRENCY, d.concurrency),
        queue: count("queue", 0, ceiling::QUEUE, d.queue),
        queue_time: time(
            "queue_time",
            Span::secs(0),
            ceiling::QUEUE_TIME,
            d.queue_time,
        ),
        rate: count("rate", 0, u32::MAX, d.rate),
        request_body: size("request_body", none, ceiling::REQUEST_BODY, d.request_body),
        response_body: size(
            "response_body",
            none,
            ceiling::RESPONSE_BODY,
            d.response_body,
        ),
        table_elements: count(
            "table_elements",
            1,
            ceiling::TABLE_ELEMENTS,
            d.table_elements,
        ),
        core_instances: count(
            "core_instances",
            1,
            ceiling::CORE_INSTANCES,
            d.core_instances,
        ),
        log_bytes: size("log_bytes", none, ceiling::LOG_BYTES, d.log_bytes),
    }
}

fn read_reuse(table: &Table<'_>) -> Reuse {
    let count = |key: &str, high: u32| {
        let found = table.integer(key, 1, high.into());
        found.and_then(|n| u32::try_from(n).ok())
    };
    Reuse {
        calls: count("calls", ceiling::REUSE_CALLS),
        concurrent: count("concurrent", ceiling::REUSE_CONCURRENT),
        idle: table.span("idle", Span::secs(0), ceiling::REUSE_IDLE),
    }
}

fn read_route(draft: &mut Draft<'_>, table: &Table<'_>) {
    let path = table.required_string("path");
    let given: Vec<&str> = ["function", "response", "files"]
        .into_iter()
        .filter(|key| table.value(key).is_some())
        .collect();
    let [only] = given[..] else {
        let message = "a route needs exactly one of the keys `function`, `response` and `files`";
        return table.cx.fault(&table.key_at("path"), message);
    };
    let target = match only {
        "function" => function_target(table),
        "response" => table
            .table("response", &RESPONSE, "[route.response]")
            .map(|t| parts::response(&t, "status")),
        _ => table
            .table("files", &SITE, "[route.files]")
            .and_then(|t| site(draft, &t, path.as_ref())),
    };
    if let (Some(path), Some(target)) = (path, target) {
        draft.route(&path, target);
    }
}

fn function_target(table: &Table<'_>) -> Option<RouteTarget> {
    let name = table.string("function")?;
    let name = table.cx.take(&name.at, FunctionName::new(&name.value))?;
    Some(RouteTarget::Function(name))
}

fn site(draft: &mut Draft<'_>, table: &Table<'_>, path: Option<&Text>) -> Option<RouteTarget> {
    let dir = table.required_string("dir")?;
    let index = table.string("index");
    let fallback = table.string("fallback");
    if let Some(index) = &index
        && (index.value.is_empty() || index.value.contains(['/', '\0']))
    {
        let message = format!("`index` must be the name of a file: {:?}", index.value);
        table.cx.fault(&index.at, message);
    }
    draft.sites.push(Site {
        route: path?.at.start,
        dir,
        fallback: fallback.clone(),
    });
    Some(RouteTarget::Files {
        files: Vec::new(),
        index: index.map_or_else(|| "index.html".to_owned(), |t| t.value),
        fallback: fallback.map(|t| t.value.trim_start_matches('/').to_owned()),
    })
}

/// The smallest app needs no route: its only function answers everything.
fn route_the_only_function(draft: &mut Draft<'_>, root: &Table<'_>) {
    let at: At = root.key_at("function");
    let mut names = draft.functions.keys();
    if let (Some(name), None, true) = (names.next().cloned(), names.next(), draft.has_no_routes())
        && root.value("route").is_none()
    {
        let everything = Text {
            value: "/...".to_owned(),
            at,
        };
        draft.route(&everything, RouteTarget::Function(name));
    }
}
