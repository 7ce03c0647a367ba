//! The keys of `spin.toml`, version 2.

use super::{Family, Key, Section, key};

/// All sections, in the order of the reference page.
pub(crate) const SPIN: &[&Section] = &[
    &SPIN_ROOT,
    &SPIN_APPLICATION,
    &SPIN_HTTP_SETTINGS,
    &SPIN_REDIS_SETTINGS,
    &SPIN_MQTT_SETTINGS,
    &SPIN_VARIABLE,
    &SPIN_HTTP,
    &SPIN_REDIS,
    &SPIN_MQTT,
    &SPIN_CRON,
    &SPIN_RESPONSE,
    &SPIN_PRIVATE,
    &SPIN_EXECUTOR,
    &SPIN_COMPONENT,
    &SPIN_SOURCE,
    &SPIN_DEPENDENCIES,
    &SPIN_DEPENDENCY,
    &SPIN_FILE,
    &SPIN_BUILD,
    &SPIN_PROFILE,
    &SPIN_PROFILE_BUILD,
];

const fn section(title: &'static str, about: &'static str, keys: &'static [Key]) -> Section {
    Section {
        family: Family::Spin,
        title,
        about,
        open: false,
        keys,
    }
}

/// A row without a default: the meaning is that of the original, `about` says what Gust does with it.
const fn row(name: &'static str, shape: &'static str, about: &'static str) -> Key {
    key(name, shape, "", about)
}

pub(crate) static SPIN_ROOT: Section = section(
    "the top level",
    "The tables of the file.",
    &[
        row("spin_manifest_version", "`2`", "Version 1 is refused."),
        row("application", "table", "Becomes the app."),
        row(
            "variables",
            "table of tables",
            "Become the app's variables.",
        ),
        row(
            "trigger",
            "table of lists",
            "`[[trigger.http]]` becomes routes; `redis`, `mqtt` and `cron` become triggers; other types are refused by name.",
        ),
        row(
            "component",
            "table of tables",
            "Become functions. Upper-case names are lower-cased. A component that no trigger names is left out, with a note.",
        ),
    ],
);

pub(crate) static SPIN_APPLICATION: Section = section(
    "[application]",
    "The app.",
    &[
        row(
            "name",
            "string",
            "Becomes the app's name. What a host name cannot have is replaced by `-`, with a note.",
        ),
        row("version", "string", "Kept."),
        row("description", "string", "Kept."),
        row("authors", "list of strings", "Ignored."),
        row(
            "targets",
            "list of strings",
            "Ignored: what a component needs is checked at deploy.",
        ),
        row(
            "trigger",
            "table of tables",
            "`trigger.http`, `trigger.redis` and `trigger.mqtt` are read; settings of other trigger types are ignored, with a note.",
        ),
        row("tool", "table", "Ignored, as in Spin."),
    ],
);

pub(crate) static SPIN_HTTP_SETTINGS: Section = section(
    "[application.trigger.http]",
    "Settings of all HTTP triggers.",
    &[row("base", "string", "Must be `\"/\"`.")],
);

pub(crate) static SPIN_REDIS_SETTINGS: Section = section(
    "[application.trigger.redis]",
    "Settings of all redis triggers.",
    &[row(
        "address",
        "string",
        "The server of those that name none. A password in it becomes a hidden variable.",
    )],
);

pub(crate) static SPIN_MQTT_SETTINGS: Section = section(
    "[application.trigger.mqtt]",
    "Settings of all mqtt triggers.",
    &[
        row("address", "string", "The broker."),
        row("username", "string", "The user; may be empty."),
        row(
            "password",
            "string",
            "The password; may be empty. It becomes a hidden variable.",
        ),
        row("keep_alive_interval", "string", "Seconds."),
    ],
);

const COMPONENT: Key = row(
    "component",
    "string or table",
    "The component that is called, by its id or written here.",
);

const ID: Key = row(
    "id",
    "string",
    "Becomes the trigger's name; without it the name is made of the component, the type and what it takes from.",
);

pub(crate) static SPIN_REDIS: Section = section(
    "[[trigger.redis]]",
    "What is published to a Redis channel. An event that the component fails on is tried again, which Spin does not do.",
    &[
        ID,
        COMPONENT,
        row("channel", "string", "The channel."),
        row(
            "address",
            "string",
            "The server, when it is not the application's.",
        ),
    ],
);

pub(crate) static SPIN_MQTT: Section = section(
    "[[trigger.mqtt]]",
    "What is published to an MQTT topic.",
    &[
        ID,
        COMPONENT,
        row("topic", "string", "The topic filter."),
        row(
            "qos",
            "string",
            "`0`, `1` or `2`; 2 becomes 1, with a note.",
        ),
    ],
);

pub(crate) static SPIN_CRON: Section = section(
    "[[trigger.cron]]",
    "A schedule, in UTC. A run that is missed while the node is down is made up for once.",
    &[
        ID,
        COMPONENT,
        row(
            "cron_expression",
            "string",
            "Six or seven fields, seconds first and years last.",
        ),
    ],
);

pub(crate) static SPIN_VARIABLE: Section = section(
    "[variables]",
    "Each has either `required = true` or a `default`.",
    &[
        row("description", "string", "Kept."),
        row("required", "boolean", "The deploy must set it."),
        row("default", "string", "Used when nothing sets it."),
        row("secret", "boolean", "Encrypted at rest and never printed."),
    ],
);

pub(crate) static SPIN_HTTP: Section = section(
    "[[trigger.http]]",
    "One route.",
    &[
        row(
            "id",
            "string",
            "Used to name a component that is written inside the trigger.",
        ),
        row(
            "route",
            "string or table",
            "The path, or `{ private = true }`.",
        ),
        row(
            "component",
            "string or table",
            "The component that answers, by name or written in place.",
        ),
        row(
            "components",
            "table",
            "Refused: the HTTP trigger has no further components.",
        ),
        row(
            "static_response",
            "table",
            "A fixed answer without an instance.",
        ),
        row(
            "executor",
            "table",
            "How the component is called: `{ type = \"http\" }` (or `\"spin\"`), or `wagi`.",
        ),
        row(
            "dependencies",
            "table",
            "Refused when not empty: middleware is not built yet.",
        ),
    ],
);

pub(crate) static SPIN_RESPONSE: Section = section(
    "trigger.http.static_response",
    "A fixed answer.",
    &[
        row("status_code", "integer", "Status code, 200 unless given."),
        row("headers", "table of strings", "Headers."),
        row("body", "string", "Body."),
    ],
);

pub(crate) static SPIN_PRIVATE: Section = section(
    "trigger.http.route",
    "A route that only the app's own components can take.",
    &[row("private", "boolean", "Must be `true`.")],
);

pub(crate) static SPIN_EXECUTOR: Section = section(
    "trigger.http.executor",
    "How the component is called.",
    &[
        row(
            "type",
            "string",
            "`http` or `spin`; `wagi` for a program that is told its request as CGI: see `[function.<name>.cgi]` of `gust.toml`. All routes of a component have the same.",
        ),
        row("argv", "string", "As `argv` there; with `wagi` only."),
        row(
            "entrypoint",
            "string",
            "With `wagi` only; `_start`, which is what programs have.",
        ),
    ],
);

pub(crate) static SPIN_COMPONENT: Section = section(
    "[component.<id>]",
    "One function.",
    &[
        row(
            "source",
            "string or table",
            "A file relative to the manifest's folder, or a table: `url` and `digest`. Registries (`registry`, `package`, `version`) are refused: they are not built yet.",
        ),
        row("description", "string", "Kept."),
        row("variables", "table of strings", "The function's variables."),
        row("environment", "table of strings", "Environment variables."),
        row(
            "files",
            "list of strings or tables",
            "As `files` of `gust.toml`.",
        ),
        row(
            "exclude_files",
            "list of strings",
            "As `exclude_files` of `gust.toml`.",
        ),
        row(
            "allowed_outbound_hosts",
            "list of strings",
            "Become `outbound`, with its rules for private addresses.",
        ),
        row(
            "allowed_http_hosts",
            "list of strings",
            "The deprecated form; becomes `outbound` for http and https, with a note.",
        ),
        row("key_value_stores", "list of strings", "Become `kv`."),
        row("sqlite_databases", "list of strings", "Become `sql`."),
        row(
            "ai_models",
            "list of strings",
            "Accepted with a note: no model is served yet, so calls to one fail.",
        ),
        row(
            "targets",
            "list of strings",
            "Ignored: what a component needs is checked at deploy.",
        ),
        row("build", "table", "Becomes `build`."),
        row("tool", "table", "Ignored, as in Spin."),
        row(
            "dependencies_inherit_configuration",
            "boolean",
            "Whether all `dependencies` may use what the component may use; `false` unless given. Not beside `inherit_configuration`.",
        ),
        row(
            "dependencies",
            "table",
            "Components that this one imports from, by what they serve. They become one with it before a deploy.",
        ),
        row(
            "profile",
            "table of tables",
            "Replaces parts of the component when selected by name.",
        ),
    ],
);

pub(crate) static SPIN_DEPENDENCIES: Section = Section {
    family: Family::Spin,
    title: "[component.<id>.dependencies]",
    about: "By what they serve: an interface (`\"a:b/c@1.0.0\"`, with or without the version), all interfaces of a package (`\"a:b\"`), or a plain name. A version alone means a registry, and registries are refused: they are not built yet.",
    open: true,
    keys: &[],
};

pub(crate) static SPIN_DEPENDENCY: Section = section(
    "component.<id>.dependencies.<name> = { ... }",
    "One of `path`, `url` and `component` says where its code is, which has to be a component.",
    &[
        row(
            "path",
            "string",
            "A file relative to the manifest's folder.",
        ),
        row("url", "string", "As in `source`."),
        row("digest", "string", "As in `source`; goes with `url`."),
        row(
            "component",
            "string",
            "Another component of the file, which is built with this one. It cannot have dependencies itself.",
        ),
        row(
            "export",
            "string",
            "The export that serves the import, when that has another name.",
        ),
        row(
            "inherit_configuration",
            "boolean or list of strings",
            "What it may use of what the component may use: all, nothing (unless given), or the settings that are listed: `ai_models`, `allowed_outbound_hosts`, `environment`, `files`, `key_value_stores`, `sqlite_databases`, `variables`. What it may not use answers with its own error for that, or is empty. Standard input and output are the component's in any case.",
        ),
        row(
            "version",
            "string",
            "Refused: registries are not built yet.",
        ),
        row(
            "registry",
            "string",
            "Refused: registries are not built yet.",
        ),
        row(
            "package",
            "string",
            "Refused: registries are not built yet.",
        ),
    ],
);

pub(crate) static SPIN_FILE: Section = section(
    "component.<id>.files = [{ ... }]",
    "A file or folder that the guest sees elsewhere.",
    &[
        row(
            "source",
            "string",
            "A file or a folder inside the manifest's folder.",
        ),
        row("destination", "string", "Where the guest sees it."),
    ],
);

pub(crate) static SPIN_SOURCE: Section = section(
    "[component.<id>.source]",
    "Code that is fetched when the app is deployed or run, and kept: the same digest is not fetched again.",
    &[
        row(
            "url",
            "string",
            "`https://…` or `http://…`, of at most 256 MiB. Followed where it leads, but never from TLS to a place without.",
        ),
        row(
            "digest",
            "string",
            "`sha256:` and 64 hex digits. What is fetched has to have it.",
        ),
    ],
);

pub(crate) static SPIN_BUILD: Section = section(
    "[component.<id>.build]",
    "How the component is built.",
    &[
        row(
            "command",
            "string or list of strings",
            "Shell commands, in order.",
        ),
        row("workdir", "string", "Where they run."),
        row(
            "watch",
            "list of strings",
            "Globs of sources, relative to `workdir`.",
        ),
    ],
);

pub(crate) static SPIN_PROFILE: Section = section(
    "[component.<id>.profile.<name>]",
    "What replaces the component's own keys when the profile is selected.",
    &[
        row("source", "string or table", "Replaces `source`."),
        row(
            "environment",
            "table of strings",
            "Added to `environment`; its values win.",
        ),
        row(
            "dependencies",
            "table",
            "Added to `dependencies`; those for the same import replace them.",
        ),
        row("build", "table", "Its `command` replaces that of `build`."),
    ],
);

pub(crate) static SPIN_PROFILE_BUILD: Section = section(
    "[component.<id>.profile.<name>.build]",
    "How the component is built under the profile.",
    &[row(
        "command",
        "string or list of strings",
        "Shell commands, in order.",
    )],
);
