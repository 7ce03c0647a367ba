//! The keys of `gust.toml`.

use super::{AMQP, Family, HTTP, Key, MQTT, NATS, POSTGRES, REDIS, Section, key};

/// All sections, in the order of the reference page.
pub(crate) const GUST: &[&Section] = &[
    &ROOT, &APP, &VARIABLE, &FUNCTION, &FILE, &BUILD, &HEALTH, &CGI, &LIMITS, &REUSE, &ASYNC,
    &ROUTE, &RESPONSE, &SITE, &QUEUE, &TOPIC, &TRIGGER, &WEBHOOK, &RETRY, &REDIS, &NATS, &MQTT,
    &AMQP, &POSTGRES, &HTTP,
];

pub(super) const fn section(
    title: &'static str,
    about: &'static str,
    keys: &'static [Key],
) -> Section {
    Section {
        family: Family::Gust,
        title,
        about,
        open: false,
        keys,
    }
}

pub(crate) static ROOT: Section = section(
    "the top level",
    "The tables of the file.",
    &[
        key("app", "table", "required", "The app itself."),
        key(
            "variables",
            "table of tables",
            "none",
            "Values that a deploy may set.",
        ),
        key(
            "function",
            "table of tables",
            "none",
            "The functions, by name: lower-case letters, digits and `-`, at most 63 characters.",
        ),
        key(
            "route",
            "list of tables",
            "none",
            "Routes that need more than a function's own `route`: fixed answers and files. Served in the order of the file where two match equally well.",
        ),
        key(
            "queue",
            "table of tables",
            "none",
            "How queues of the project behave, by name. A queue needs no table: without one the defaults hold.",
        ),
        key(
            "topic",
            "table of tables",
            "none",
            "How topics of the project behave, by name. A topic needs no table either.",
        ),
        key(
            "trigger",
            "list of tables",
            "none",
            "What starts functions besides requests.",
        ),
    ],
);

pub(crate) static APP: Section = section(
    "[app]",
    "The app as a whole.",
    &[
        key(
            "name",
            "string",
            "required",
            "Unique in its project; the app answers on `<name>.<domain>`. Lower-case letters, digits and `-`, at most 63 characters.",
        ),
        key(
            "version",
            "string",
            "`\"\"`",
            "For people; not interpreted.",
        ),
        key(
            "description",
            "string",
            "`\"\"`",
            "For people; not interpreted.",
        ),
        key(
            "hosts",
            "list of strings",
            "`[]`",
            "Further host names the app answers on.",
        ),
    ],
);

pub(crate) static VARIABLE: Section = section(
    "[variables.<name>]",
    "A value that a deploy may set, by lower_snake_case name. It has either `required = true` or a `default`. Other values mention it as `{{ name }}`.",
    &[
        key("description", "string", "`\"\"`", "For people."),
        key(
            "required",
            "boolean",
            "`false`",
            "The deploy must set it: `gust secret set <name>`.",
        ),
        key("default", "string", "none", "Used when nothing sets it."),
        key(
            "secret",
            "boolean",
            "`false`",
            "Encrypted at rest and never printed.",
        ),
    ],
);

pub(crate) static FUNCTION: Section = section(
    "[function.<name>]",
    "One function. It also answers on `<function>.<app>.<domain>` unless it is private. In an app with one function and no routes at all, that function answers every path.",
    &[
        key(
            "source",
            "string",
            "required",
            "The Wasm file, relative to the manifest's folder: a component, or a core module that is made one at deploy.",
        ),
        key("description", "string", "`\"\"`", "For people."),
        key(
            "route",
            "string, list of strings, `false` or `\"private\"`",
            "none",
            "The paths it answers: `/exact`, `/users/:id`, `/prefix/...`. `false` or `\"private\"` makes it reachable from the app's own functions only.",
        ),
        key(
            "kv",
            "list of strings",
            "`[]`",
            "Key-value stores it may open, by label.",
        ),
        key(
            "sql",
            "list of strings",
            "`[]`",
            "SQL databases it may open, by label.",
        ),
        key(
            "queues",
            "list of strings",
            "`[]`",
            "Queues it may publish to, by name. A queue belongs to the project; the first message makes it.",
        ),
        key(
            "topics",
            "list of strings",
            "`[]`",
            "Topics it may publish to, by name; none of its queues has the same. A topic belongs to the project.",
        ),
        key(
            "blobs",
            "list of strings",
            "`[]`",
            "Buckets it may open, by name. A bucket belongs to the project; the first object makes it.",
        ),
        key(
            "outbound",
            "list of strings",
            "`[]`",
            "Hosts it may reach, as `scheme://host[:port]`. Each part may be `*`; the host may be `*.example.com`, an address or a CIDR block; `self` is the app itself. Names and wildcards reach public addresses only, whatever they resolve to; a private address is reached when the list has it, or a network around it, or under a name written in full that is plainly local: `localhost`, a name without a dot, or one that ends in `.localhost`, `.internal`, `.local`, `.lan` or `.home.arpa`. Link-local addresses, where clouds keep credentials (`169.254.0.0/16`, `fd00:ec2::254`), need to be on the list themselves. Sockets and look-ups of names need an entry with the scheme `tcp`, `udp` or `*`. May mention variables.",
        ),
        key(
            "environment",
            "table of strings",
            "`{}`",
            "Environment variables, as they are.",
        ),
        key(
            "variables",
            "table of strings",
            "`{}`",
            "The function's own variables, by lower_snake_case name. May mention the app's variables.",
        ),
        key(
            "files",
            "list of strings or tables",
            "`[]`",
            "Files the guest may read: globs relative to the manifest's folder, found at the same path from `/`, or tables with `source` and `destination`.",
        ),
        key(
            "exclude_files",
            "list of strings",
            "`[]`",
            "Globs of files that `files` leaves out; `*` also crosses `/` here.",
        ),
        key(
            "health",
            "string or table",
            "none",
            "A path that must answer 2xx before a new revision serves.",
        ),
        key("build", "table", "none", "How `gust build` makes `source`."),
        key(
            "cgi",
            "table",
            "none",
            "Tells a program (one that exports `wasi:cli/run`) its request as CGI; `cgi = {}` with all defaults. Without it the program's output is the body of the answer.",
        ),
        key(
            "limits",
            "table",
            "see below",
            "What the function may take.",
        ),
        key(
            "reuse",
            "table",
            "see below",
            "How often an instance is used again.",
        ),
        key(
            "async",
            "table",
            "see below",
            "How its calls are made later, for callers that do not wait.",
        ),
    ],
);

pub(crate) static FILE: Section = section(
    "files = [{ ... }]",
    "A file or folder that the guest sees elsewhere.",
    &[
        key(
            "source",
            "string",
            "required",
            "A file or a folder, relative to the manifest's folder and inside it.",
        ),
        key(
            "destination",
            "string",
            "required",
            "Where the guest sees it, from `/`.",
        ),
    ],
);

pub(crate) static BUILD: Section = section(
    "[function.<name>.build]",
    "How `gust build`, `gust up --build` and `gust deploy --build` make the function.",
    &[
        key(
            "command",
            "string or list of strings",
            "required",
            "Shell commands, run in order; the first that fails stops the build.",
        ),
        key(
            "workdir",
            "string",
            "`\".\"`",
            "Where they run, relative to the manifest's folder.",
        ),
        key(
            "watch",
            "list of strings",
            "`[]`",
            "Globs of sources, relative to `workdir`; `gust up --watch` builds again when one changes.",
        ),
    ],
);

pub(crate) static HEALTH: Section = section(
    "[function.<name>.health]",
    "A call made to a new revision before it serves. `health = \"/path\"` is short for a table with `path` alone.",
    &[
        key("path", "string", "required", "Must answer 2xx."),
        key(
            "timeout",
            "duration",
            "`\"5s\"`",
            "How long the answer may take; from 1ms to 1m.",
        ),
    ],
);

pub(crate) static CGI: Section = section(
    "[function.<name>.cgi]",
    "CGI (RFC 3875): the request in variables of the environment (`REQUEST_METHOD`, `PATH_INFO`, `QUERY_STRING`, `HTTP_…`) and its body on the standard input; before its output the program writes a header with `Content-Type`, `Location` or `Status`, and a blank line. `CONTENT_LENGTH` is set when the length is known before the body has come. Headers with `_` in their names are left out, and so are `Authorization` and `Proxy`; an `HTTP_…` that the function's own environment names stays what it says.",
    &[key(
        "argv",
        "string",
        "`\"${SCRIPT_NAME} ${ARGS}\"`",
        "The program's arguments, separated by spaces. `${SCRIPT_NAME}` becomes the path, `${ARGS}` the query with a space for each `&`.",
    )],
);

pub(crate) static LIMITS: Section = section(
    "[function.<name>.limits]",
    "What one function may take. The operator's ceilings are applied on top at deploy.",
    &[
        key(
            "memory",
            "size, 64KiB to 4GiB",
            "",
            "Linear memory of one instance.",
        ),
        key(
            "cpu_time",
            "duration, 1ms to 15m",
            "",
            "Time one call may spend computing.",
        ),
        key(
            "wall_time",
            "duration, 1ms to 15m",
            "",
            "Time one call may take from admission to the last byte. A node keeps no call for more than 15 minutes, waiting included.",
        ),
        key(
            "concurrency",
            "integer, 1 to 100000",
            "",
            "Calls in flight at once.",
        ),
        key(
            "queue",
            "integer, 0 to 100000",
            "",
            "Calls that wait for one of those places; further ones are answered 503.",
        ),
        key(
            "queue_time",
            "duration, 0s to 5m",
            "",
            "The longest a call waits there.",
        ),
        key(
            "rate",
            "integer, calls per second",
            "",
            "Calls from one caller's address; further ones are answered 429. 0 means no limit.",
        ),
        key("request_body", "size, 0B to 1GiB", "", "Request body."),
        key(
            "response_body",
            "size, 0B to 10GiB",
            "",
            "Response body. A Spin 1 function hands over its whole response at once and gets no further than 32MiB.",
        ),
        key(
            "table_elements",
            "integer, 1 to 100000",
            "",
            "Elements of all Wasm tables of an instance.",
        ),
        key(
            "core_instances",
            "integer, 1 to 200",
            "",
            "Core instances inside one component instance.",
        ),
        key(
            "log_bytes",
            "size, 0B to 64MiB",
            "",
            "Bytes of stdout and stderr kept of one call.",
        ),
    ],
);

pub(crate) static REUSE: Section = section(
    "[function.<name>.reuse]",
    "How often and for how long an instance is used again. Without these keys a WASI 0.3 component serves 128 calls, 16 at once, and stays 1 s idle; a WASI 0.2 component gets a fresh instance for each call.",
    &[
        key(
            "calls",
            "integer, 1 to 1000000",
            "the runtime's own",
            "Calls that one instance serves in its life; 1 means a fresh instance for each call.",
        ),
        key(
            "concurrent",
            "integer, 1 to 100000",
            "the runtime's own",
            "Calls that one instance serves at the same time (WASI 0.3 only).",
        ),
        key(
            "idle",
            "duration, 0s to 1d",
            "the runtime's own",
            "How long an idle instance is kept.",
        ),
    ],
);

pub(crate) static ASYNC: Section = section(
    "[function.<name>.async]",
    "How calls of the function are made later: `gust invoke --async`, and `Prefer: respond-async` of the control API. Every function can be called so; without this table by the defaults.",
    &[
        key(
            "retry",
            "table, as `[trigger.retry]`",
            "three attempts, `delay = \"1m\"`",
            "What becomes of a call that the function fails: that it ends without an answer, or with 408, 425, 429 or 5xx. Any other answer is the result. `max_age` is 7 d at most.",
        ),
        key(
            "keep",
            "duration, 1 m to 14 d",
            "`\"1d\"`",
            "How long a result can be fetched.",
        ),
        key(
            "concurrency",
            "integer, 1 to 1,000",
            "`100`",
            "Of these calls, as many as are made at once; never more than `limits.concurrency`.",
        ),
        key(
            "on_success",
            "string",
            "none",
            "Who is told of a call that was answered: `\"queue:NAME\"` or `\"topic:NAME\"` of the project, or `\"function:NAME\"` of this app. Gets an event of the type `gust.call.succeeded`.",
        ),
        key(
            "on_failure",
            "string",
            "none",
            "Who is told of a call that was given up; an event of the type `gust.call.failed`.",
        ),
        key(
            "public",
            "boolean",
            "`false`",
            "Whether callers from outside get their wish when they send `Prefer: respond-async`. They are answered 202 at once, and no result is shown to them.",
        ),
        key(
            "callback",
            "string, an https address",
            "none",
            "What comes of a call is posted there when it is over, as a CloudEvent, unless who asked for the call named another address (`gust-callback`).",
        ),
        key(
            "callback_secret",
            "string or list of 1 to 8 strings",
            "none",
            "What callbacks are signed with, after Standard Webhooks: each is `\"{{ name }}\"`, with `name` a variable that is secret. Without it there are no callbacks.",
        ),
        key(
            "callback_public",
            "boolean",
            "`false`",
            "Whether callers from outside may name an address.",
        ),
    ],
);

pub(crate) static ROUTE: Section = section(
    "[[route]]",
    "One route of the app. It has `path` and exactly one of the other keys.",
    &[
        key(
            "path",
            "string",
            "required",
            "`/exact`, `/users/:id` (one segment) or `/prefix/...` (the rest; `/prefix/*` means the same).",
        ),
        key("function", "string", "none", "The function that answers."),
        key(
            "response",
            "table",
            "none",
            "A fixed answer, given without an instance.",
        ),
        key(
            "files",
            "table",
            "none",
            "A folder of files, served without an instance. The path must end in `/...`.",
        ),
    ],
);

pub(crate) static RESPONSE: Section = section(
    "[route.response]",
    "A fixed answer.",
    &[
        key("status", "integer, 200 to 599", "`200`", "Status code."),
        key(
            "headers",
            "table of strings",
            "`{}`",
            "Header names and values.",
        ),
        key("body", "string", "`\"\"`", "Body."),
    ],
);

pub(crate) static SITE: Section = section(
    "[route.files]",
    "A folder of files. Names that begin with a dot are left out, except `.well-known`.",
    &[
        key(
            "dir",
            "string",
            "required",
            "The folder, relative to the manifest's folder and inside it.",
        ),
        key(
            "index",
            "string",
            "`\"index.html\"`",
            "The file served for a folder.",
        ),
        key(
            "fallback",
            "string",
            "none",
            "The file, below `dir`, served with 200 for a path that no file has (single-page apps).",
        ),
    ],
);

pub(crate) static QUEUE: Section = section(
    "[queue.NAME]",
    "How a queue behaves. Queues belong to the project: two apps that name the same queue share it.",
    &[
        key(
            "visibility",
            "duration",
            "`\"30s\"`",
            "How long a taken message is its consumer's before others may take it. Triggers take messages for as long as their function may run, whatever stands here.",
        ),
        key(
            "delay",
            "duration, 0 s to 14 d",
            "`\"0s\"`",
            "Before a published message can be taken.",
        ),
        key(
            "attempts",
            "integer, 0 to 10,000",
            "`10`",
            "A message that was taken this often without being done is given up and kept among the dead; 0 for never.",
        ),
        key(
            "max_age",
            "duration, 1 s to 14 d",
            "`\"4d\"`",
            "A message that is older is given up.",
        ),
        key(
            "dead_age",
            "duration, 1 s to 14 d",
            "`\"14d\"`",
            "How long messages that were given up are kept.",
        ),
        key(
            "max_bytes",
            "size, 1 KiB to 1 TiB",
            "`\"1GiB\"`",
            "Bytes of all messages together, dead ones too; publishing more is refused.",
        ),
        key(
            "dedup",
            "duration, 1 s to 14 d",
            "`\"5m\"`",
            "For how long a message's key is remembered: published again under the same key, it is not kept again.",
        ),
    ],
);

pub(crate) static TOPIC: Section = section(
    "[topic.NAME]",
    "How a topic behaves. Topics belong to the project: two apps that name the same topic share it.",
    &[
        key(
            "max_age",
            "duration, 1 s to 366 d",
            "`\"7d\"`",
            "How long an event is kept.",
        ),
        key(
            "max_bytes",
            "size",
            "`\"1GiB\"`",
            "Bytes of all events together, attributes included, with 128 for each; beyond it the oldest go.",
        ),
        key(
            "dedup",
            "duration",
            "`\"5m\"`",
            "For how long an event that was published once (`--once`) is known again by its source and id.",
        ),
    ],
);

pub(crate) static TRIGGER: Section = section(
    "[[trigger]]",
    "What starts a function. Exactly one of `queue`, `topic`, `kv`, `sql`, `blob`, `cron`, `rate`, `at`, `webhook`, `redis`, `nats`, `mqtt`, `amqp`, `postgres` and `http`.",
    &[
        key(
            "function",
            "string",
            "required",
            "The function that is called.",
        ),
        key(
            "name",
            "string",
            "the function's name",
            "Unique in the app; required from a function's second trigger on. Letters, digits, `-` and `_`. What waits for a trigger is kept under its name.",
        ),
        key("path", "string", "`\"/\"`", "The path it is called at."),
        key("queue", "string", "none", "Messages of this queue."),
        key(
            "batch",
            "integer, 1 to 1,000",
            "`1`",
            "Messages in one call, of a queue, a topic, a store, a database or a bucket. More than 1 come as a CloudEvents batch, and the function may say which of them it could not take.",
        ),
        key(
            "topic",
            "string",
            "none",
            "Events of this topic, each of which comes to every trigger that wants it.",
        ),
        key(
            "filter",
            "string or table",
            "none",
            "Which events of the topic, store, database or bucket are wanted: a CloudEvents SQL expression, or a table of one dialect, as in `{ exact = { type = \"order.placed\" } }`. Dialects: `exact`, `prefix`, `suffix`, `all`, `any`, `not`, `sql`.",
        ),
        key(
            "filters",
            "list of strings and tables",
            "none",
            "Several filters, all of which an event has to match.",
        ),
        key(
            "from",
            "`latest` or `earliest`",
            "`\"latest\"`",
            "Where a new trigger begins in its topic, or in the changes of its store, database or bucket: with what is published after the deploy, or with the oldest event that is kept. One that is there already goes on where it is.",
        ),
        key(
            "reply",
            "boolean or string",
            "`true`",
            "Events that the function answers with are published to the same topic; `false` for nowhere, or the name of another topic.",
        ),
        key(
            "kv",
            "string",
            "none",
            "Changes of this key-value store, by label. Those of one key are handled in their order.",
        ),
        key(
            "prefix",
            "string",
            "all keys",
            "Of a key-value store or a bucket, only changes of keys that begin so.",
        ),
        key(
            "blob",
            "string",
            "none",
            "Objects that are put into this bucket or deleted from it, by label. Those of one key are handled in their order.",
        ),
        key(
            "suffix",
            "string",
            "all keys",
            "Of a bucket, only changes of keys that end so.",
        ),
        key(
            "sql",
            "string",
            "none",
            "Changes of rows of this SQL database, by label. Those of one row are handled in their order.",
        ),
        key(
            "tables",
            "list of strings",
            "required with `sql`",
            "The tables that are watched. One that is not there yet is watched from when it is made.",
        ),
        key(
            "on",
            "list of strings",
            "all of them",
            "Which changes are wanted: `set` and `deleted` of a store, `inserted`, `updated` and `deleted` of a database, `created` and `deleted` of a bucket.",
        ),
        key(
            "cron",
            "string",
            "none",
            "A cron line: five fields, or six or seven with seconds first and years last; `L`, `#` and `W` as usual.",
        ),
        key("rate", "duration, 1 s at least", "none", "Every so often."),
        key("at", "string", "none", "Once, at this RFC 3339 time."),
        key(
            "webhook",
            "table",
            "none",
            "Requests that somebody else's program makes when something happens; see below.",
        ),
        key(
            "redis",
            "table",
            "none",
            "What a Redis server publishes or holds, see below.",
        ),
        key(
            "nats",
            "table",
            "none",
            "What a NATS server publishes or holds, see below.",
        ),
        key(
            "mqtt",
            "table",
            "none",
            "What an MQTT broker publishes, see below.",
        ),
        key(
            "amqp",
            "table",
            "none",
            "What a queue of RabbitMQ holds, see below.",
        ),
        key(
            "postgres",
            "table",
            "none",
            "What PostgreSQL notifies, or how its tables change, see below.",
        ),
        key("http", "table", "none", "A page that changes, see below."),
        key(
            "timezone",
            "string",
            "`\"UTC\"`",
            "The cron line's time zone, like `Asia/Shanghai`.",
        ),
        key(
            "overlap",
            "`allow`, `skip` or `queue`",
            "`\"allow\"`",
            "When it fires and the run before is still going: run beside it, leave it out, or run when that is over.",
        ),
        key(
            "missed",
            "`skip`, `last` or `all`",
            "`\"last\"`",
            "Runs that were missed while the node was down: leave them out, make up for the last one, or for all of them (up to 1,000).",
        ),
        key(
            "missed_within",
            "duration",
            "`\"1d\"`",
            "Missed runs that are older are left out.",
        ),
        key(
            "jitter",
            "duration",
            "none",
            "Fires up to this much later, always by the same amount.",
        ),
        key(
            "concurrency",
            "integer, 1 to 10,000",
            "`16`",
            "Calls of this trigger at once. Schedules have none: their `overlap` says whether a run waits for the one before.",
        ),
        key(
            "exactly_once",
            "boolean",
            "`false`",
            "What the function writes to key-value stores, to a database and to queues while it handles an event, and the end of the event, are one commit: all of it or nothing, however often the event is delivered.",
        ),
        key(
            "mode",
            "`binary` or `structured`",
            "`\"binary\"`",
            "How one event is laid into a call, as the CloudEvents HTTP binding has it: its attributes as `ce-` headers and its data as the body, or all of it as one JSON document. Several events are always a batch.",
        ),
        key(
            "retry",
            "table",
            "see below",
            "What becomes of an event that the function does not take.",
        ),
    ],
);

pub(crate) static WEBHOOK: Section = section(
    "[trigger.webhook]",
    "A path on the app's hosts where somebody else's program tells of something. What it sends is kept before it is answered with 202, and delivered as an event. A function that nothing but webhooks starts is private.",
    &[
        key(
            "path",
            "string",
            "required",
            "One path, such as `/hooks/github`. No route may have it too.",
        ),
        key(
            "scheme",
            "`github`, `stripe`, `slack`, `hmac` or `none`",
            "required",
            "How requests are signed. `hmac` is a keyed hash of the body in a header; with `none` anybody may call.",
        ),
        key(
            "secret",
            "string or list of strings",
            "required, but for `none`",
            "What requests are signed with: `\"{{ name }}\"`, with `name` a secret variable. With several, any may have signed; so a secret is changed without a gap. At most 8.",
        ),
        key(
            "tolerance",
            "duration, 1 s to 1 d",
            "`\"5m\"`",
            "How far the signed time may be from now. For `stripe` and `slack`, which sign one.",
        ),
        key(
            "header",
            "string",
            "required for `hmac`",
            "The header with the hash.",
        ),
        key(
            "prefix",
            "string",
            "`\"\"`",
            "What stands before the hash, such as `sha256=`. For `hmac`.",
        ),
        key(
            "encoding",
            "`hex` or `base64`",
            "`\"hex\"`",
            "How the hash is written. For `hmac`.",
        ),
        key(
            "algorithm",
            "`sha256` or `sha512`",
            "`\"sha256\"`",
            "Which hash it is. For `hmac`.",
        ),
        key(
            "id_header",
            "string",
            "none",
            "The header with a delivery's own id: one that is known is not delivered again within a day. Without it the same body counts as the same delivery for 10 minutes with `hmac`, and nothing is known again with `none`.",
        ),
        key(
            "event_header",
            "string",
            "none",
            "The header that says what happened; it becomes the extension `webhookevent`. For `hmac` and `none`.",
        ),
    ],
);

pub(crate) static RETRY: Section = section(
    "[trigger.retry]",
    "Tried again are: no answer, 5xx, 404, 408, 409, 425 and 429. Any other answer but 2xx gives the event up at once. What is given up is kept among the queue's dead.",
    &[
        key(
            "attempts",
            "integer, 1 to 1,000",
            "`8`",
            "Attempts in all, the first included.",
        ),
        key(
            "backoff",
            "`none`, `linear` or `exponential`",
            "`\"exponential\"`",
            "How the time between attempts grows. A longer `Retry-After` of the function is honoured.",
        ),
        key(
            "delay",
            "duration",
            "`\"1s\"`",
            "Before the second attempt.",
        ),
        key(
            "max_delay",
            "duration",
            "`\"5m\"`",
            "The longest time between attempts.",
        ),
        key(
            "jitter",
            "integer, 0 to 100",
            "`20`",
            "The part of that time that is left to chance, in percent.",
        ),
        key(
            "max_age",
            "duration",
            "`\"6h\"`",
            "An event that is older is given up.",
        ),
    ],
);
