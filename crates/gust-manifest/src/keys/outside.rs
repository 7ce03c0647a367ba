//! The keys of triggers whose events come from outside the node.

use super::{Key, Section, gust::section, key};

/// Each kind of source with its keys. What the values mean is checked by the kind's plug-in, at the deploy.
pub(crate) const OUTSIDE: &[(&str, &Section)] =
    &[("redis", &REDIS), ("nats", &NATS), ("mqtt", &MQTT)];

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
