//! Which interfaces speak for which settings of a function.

use gust_types::app::Inherit;

/// Settings by their keys in `spin.toml`, with the interfaces that use them, without versions.
const GOVERNED: &[(&str, &[&str])] = &[
    ("ai_models", &["fermyon:spin/llm"]),
    (
        "allowed_outbound_hosts",
        &[
            "fermyon:spin/http",
            "fermyon:spin/mqtt",
            "fermyon:spin/mysql",
            "fermyon:spin/postgres",
            "fermyon:spin/redis",
            "spin:mqtt/mqtt",
            "spin:mysql/mysql",
            "spin:postgres/postgres",
            "spin:redis/redis",
            "wasi:http/client",
            "wasi:http/outgoing-handler",
            "wasi:sockets/ip-name-lookup",
            "wasi:sockets/tcp-create-socket",
            // All of WASI 0.3's sockets; 0.2 has no such interface.
            "wasi:sockets/types",
            "wasi:sockets/udp-create-socket",
        ],
    ),
    ("environment", &["wasi:cli/environment"]),
    ("files", &["wasi:filesystem/preopens"]),
    (
        "key_value_stores",
        &[
            "fermyon:spin/key-value",
            "spin:key-value/key-value",
            "wasi:keyvalue/atomics",
            "wasi:keyvalue/batch",
            "wasi:keyvalue/store",
        ],
    ),
    (
        "sqlite_databases",
        &["fermyon:spin/sqlite", "spin:sqlite/sqlite"],
    ),
    (
        "variables",
        &[
            "fermyon:spin/config",
            "fermyon:spin/variables",
            "spin:variables/variables",
            "wasi:config/store",
        ],
    ),
];

/// Packages of resources that no key of `spin.toml` names: for those that may use everything.
const OTHERS: [&str; 3] = ["gust:", "wasi:blobstore/", "wasi:messaging/"];

/// Whether an interface is one that a part with these rights may not use.
pub(crate) fn denied(interface: &str, inherit: &Inherit) -> bool {
    let Inherit::Only(settings) = inherit else {
        return false;
    };
    let bare = interface.split('@').next().unwrap_or(interface);
    let governed = GOVERNED.iter().find(|(_, of)| of.contains(&bare));
    match governed {
        Some((setting, _)) => !settings.iter().any(|given| given == setting),
        None => OTHERS.iter().any(|package| bare.starts_with(package)),
    }
}
