//! The keys of triggers whose events come from outside the node.

use super::{Key, Section, TRIGGER, gust::section, key};

/// Each kind of source with its keys. What the values mean is checked by the kind's plug-in, at the deploy.
pub(crate) const OUTSIDE: &[(&str, &Section)] = &[
    ("redis", &REDIS),
    ("nats", &NATS),
    ("mqtt", &MQTT),
    ("amqp", &AMQP),
    ("postgres", &POSTGRES),
    ("http", &HTTP),
];

/// Kinds that somebody may look for, and what to do without them.
const NOT_BUILT: &[(&str, &str)] = &[
    (
        "kafka",
        "something that reads it and publishes to a topic of this node over HTTP takes its place",
    ),
    (
        "sqs",
        "something that reads it and publishes to a topic of this node over HTTP takes its place",
    ),
    (
        "s3",
        "a `webhook` takes its place where the store can call one",
    ),
];

/// What to do instead of a trigger of a kind that is not built.
pub(crate) fn instead(section: &Section, key: &str) -> Option<&'static str> {
    let of = |(kind, instead): &(&str, &'static str)| (*kind == key).then_some(*instead);
    let found = NOT_BUILT.iter().find_map(of);
    found.filter(|_| section.title == TRIGGER.title)
}

const CA: Key = key(
    "ca",
    "string",
    "the authorities that everybody trusts",
    "A certificate in PEM form: trusted, and no other, for TLS.",
);

const fn password(about: &'static str) -> Key {
    key("password", "string", "that of `url`", about)
}

pub(crate) static REDIS: Section = section(
    "[trigger.redis]",
    "Exactly one of `channel`, `pattern` and `stream`. Values may mention variables; a password has to be one.",
    &[
        key(
            "url",
            "string",
            "required",
            "`redis://[user:password@]host[:port][/database]`, or `rediss://` for TLS.",
        ),
        key(
            "channel",
            "string",
            "none",
            "What is published to this channel. Redis keeps none of it: at most once.",
        ),
        key(
            "pattern",
            "string",
            "none",
            "The same for all channels of a pattern.",
        ),
        key(
            "stream",
            "string",
            "none",
            "What is added to this stream, read in a consumer group: at least once. The data is a JSON object of the fields.",
        ),
        key(
            "group",
            "string",
            "one of its own",
            "The consumer group, made when it is not there.",
        ),
        key(
            "consumer",
            "string",
            "one of its own",
            "The name in the group.",
        ),
        key(
            "from",
            "`start` or `end`",
            "`\"end\"`",
            "Where a group begins that is made.",
        ),
        key(
            "claim_after",
            "duration",
            "`\"60s\"`",
            "What another consumer was given this long ago and did not acknowledge is claimed.",
        ),
        password("May stand here instead of in `url`."),
        CA,
    ],
);

pub(crate) static NATS: Section = section(
    "[trigger.nats]",
    "Either `subject`, at most once, or `stream`, at least once. Values may mention variables; a password or token has to be one.",
    &[
        key(
            "url",
            "string",
            "required",
            "`nats://[user:password@]host[:port]`, or `tls://` to insist on TLS.",
        ),
        key(
            "subject",
            "string",
            "none",
            "What is published to this subject, `*` and `>` as usual. With `stream`, the messages of it that a new consumer gets.",
        ),
        key(
            "queue",
            "string",
            "none",
            "The queue group that shares a subject.",
        ),
        key(
            "stream",
            "string",
            "none",
            "What this JetStream stream holds.",
        ),
        key(
            "consumer",
            "string",
            "one of its own",
            "The durable consumer, made when it is not there.",
        ),
        key(
            "from",
            "`start` or `end`",
            "`\"end\"`",
            "Where a consumer begins that is made.",
        ),
        key(
            "ack_wait",
            "duration",
            "`\"60s\"`",
            "After which a consumer that is made sends again what was not acknowledged.",
        ),
        key("token", "string", "none", "A token to log in with."),
        password("May stand here instead of in `url`."),
        CA,
    ],
);

pub(crate) static MQTT: Section = section(
    "[trigger.mqtt]",
    "Values may mention variables; a password has to be one.",
    &[
        key(
            "url",
            "string",
            "required",
            "`mqtt://[user:password@]host[:port]`, or `mqtts://` for TLS.",
        ),
        key(
            "topic",
            "string",
            "required",
            "A topic filter, `+` and `#` as usual.",
        ),
        key(
            "qos",
            "integer",
            "`1`",
            "1: at least once, and what is published while the node is away waits at the broker. 0: at most once.",
        ),
        key(
            "share",
            "string",
            "none",
            "The name of a shared subscription.",
        ),
        key("version", "integer", "`3`", "3 (3.1.1) or 5."),
        key(
            "client_id",
            "string",
            "one of its own",
            "Under which the broker keeps the session. One that is made is another for another topic.",
        ),
        key(
            "keep_alive",
            "duration",
            "`\"30s\"`",
            "The longest silence towards the broker.",
        ),
        key(
            "session",
            "duration",
            "`\"1d\"`",
            "How long the broker keeps a session that nobody uses. Version 5.",
        ),
        key(
            "user",
            "string",
            "that of `url`",
            "May stand here instead of in `url`.",
        ),
        password("May stand here instead of in `url`."),
        CA,
    ],
);

pub(crate) static AMQP: Section = section(
    "[trigger.amqp]",
    "What a queue of RabbitMQ or another broker of AMQP 0-9-1 holds: at least once. Values may mention variables; a password has to be one.",
    &[
        key(
            "url",
            "string",
            "required",
            "`amqp://[user:password@]host[:port][/virtual-host]`, or `amqps://` for TLS.",
        ),
        key("queue", "string", "required", "The queue."),
        key(
            "exchange",
            "string",
            "none",
            "Bind the queue to this exchange. The queue is made, durable, when it is not there; without an exchange it has to be.",
        ),
        key(
            "exchange_type",
            "string",
            "none",
            "`topic`, `direct`, `fanout` and so on: the exchange is made, durable, when it is not there. Without a type it has to be.",
        ),
        key(
            "keys",
            "list of strings",
            "`[\"\"]`",
            "The binding keys. One that is taken away later stays bound at the broker.",
        ),
        key(
            "prefetch",
            "integer",
            "`500`",
            "Messages given out and not acknowledged, 10,000 at most.",
        ),
        password("May stand here instead of in `url`."),
        CA,
    ],
);

pub(crate) static POSTGRES: Section = section(
    "[trigger.postgres]",
    "Either `channel`, at most once, or `publication`, at least once. Values may mention variables; a password has to be one.",
    &[
        key(
            "url",
            "string",
            "required",
            "`postgres://[user:password@]host[:port][/database]`, with `?sslmode=verify-full` for TLS.",
        ),
        key(
            "channel",
            "string",
            "none",
            "What is notified on this channel. PostgreSQL keeps none of it.",
        ),
        key(
            "publication",
            "string",
            "none",
            "Changes of the tables of this publication. The server needs `wal_level = logical`.",
        ),
        key(
            "slot",
            "string",
            "one of its own",
            "The replication slot, made when it is not there. It stays when the trigger goes, and holds the log until it is dropped.",
        ),
        key(
            "every",
            "duration, 100 ms at least",
            "`\"1s\"`",
            "How often to look for changes.",
        ),
        password("May stand here instead of in `url`."),
        CA,
    ],
);

pub(crate) static HTTP: Section = section(
    "[trigger.http]",
    "A page that is asked for again and again: one event when it has changed, or one for each new element. Values may mention variables; what is secret has to.",
    &[
        key(
            "url",
            "string",
            "required",
            "`http://` or `https://`, with `user:password@` in front of the host where it wants them.",
        ),
        key(
            "every",
            "duration, 1 s at least",
            "`\"60s\"`",
            "How often to ask, up to a tenth sooner.",
        ),
        key(
            "items",
            "string",
            "none",
            "Each new element is an event of its own: of the list at this JSON pointer (`\"/items\"`, `\"\"` for the answer itself), or of `\"lines\"`, each of which is JSON.",
        ),
        key(
            "id",
            "string",
            "all of the element",
            "A JSON pointer within an element: what it is known again by.",
        ),
        key(
            "from",
            "`start` or `end`",
            "`\"end\"`",
            "What a new trigger begins with: what is there, or the first change.",
        ),
        key(
            "headers",
            "table of strings",
            "`{}`",
            "Sent to the place that `url` names and to no other.",
        ),
        key(
            "timeout",
            "duration, 100 ms to 10 min",
            "`\"30s\"`",
            "How long a whole answer may take.",
        ),
        key(
            "token",
            "string",
            "none",
            "Sent as `Authorization: Bearer`.",
        ),
        password("May stand here instead of in `url`."),
        CA,
    ],
);
