//! The connection and the server: what clients ask when they begin, and messages.

use bytes::Bytes;
use gust_task::clock;

use super::walk::{MOST, MOST_BYTES};
use crate::{
    args::{first, is, take},
    fault::{Fault, Outcome},
    glob::{self, Glob},
    hub::Hub,
    number::integer,
    reply::Reply,
    run::Cx,
    space::Space,
    table::{self, COMMANDS, Command},
    tx::Tx,
};

/// The version of Redis whose commands and words these are: clients look at it.
pub(crate) const VERSION: &str = "7.0.15";

/// The second words of the commands that have such.
const SUBCOMMANDS: &[(&str, &[&str])] = &[
    (
        "client",
        &[
            "id", "getname", "setname", "setinfo", "info", "no-evict", "no-touch", "reply",
        ],
    ),
    ("command", &["count", "list", "info", "docs", "getkeys"]),
    ("config", &["get"]),
    ("pubsub", &["channels", "numsub", "numpat"]),
];

/// Whether a command knows this second word, if it has to.
pub(crate) fn knows(command: &str, word: Option<&Bytes>) -> Result<(), Fault> {
    let known = SUBCOMMANDS.iter().find(|(name, _)| *name == command);
    match (known, word) {
        (Some((_, known)), Some(word)) if !known.iter().any(|name| is(word, name)) => {
            Err(Fault::subcommand(command, word))
        }
        _ => Ok(()),
    }
}

fn arity(command: &str, subcommand: &[u8]) -> Fault {
    let subcommand = String::from_utf8_lossy(subcommand).to_lowercase();
    Fault::arity(&format!("{command}|{subcommand}"))
}

pub(crate) fn ping(_: &mut Cx<'_>, args: &[Bytes]) -> Outcome {
    match args {
        [] => Ok(Reply::Status("PONG")),
        [text] => Ok(Reply::Bulk(text.clone())),
        _ => Err(Fault::arity("ping")),
    }
}

pub(crate) fn echo(_: &mut Cx<'_>, args: &[Bytes]) -> Outcome {
    let [text] = take(args)?;
    Ok(Reply::Bulk(text.clone()))
}

pub(crate) fn select(_: &mut Cx<'_>, args: &[Bytes]) -> Outcome {
    let [database] = take(args)?;
    match integer(database)? {
        0 => Ok(Reply::OK),
        _ => Err(Fault::of("ERR DB index is out of range")),
    }
}

pub(crate) fn time(_: &mut Cx<'_>, _: &[Bytes]) -> Outcome {
    let now_us = clock::unix_micros();
    let parts = [now_us / 1_000_000, now_us % 1_000_000];
    Ok(Reply::Array(
        parts.map(|part| Reply::text(part.to_string())).into(),
    ))
}

pub(crate) fn client(cx: &mut Cx<'_>, args: &[Bytes]) -> Outcome {
    let (subcommand, args) = first(args)?;
    match args {
        [] if is(subcommand, "id") => Ok(Reply::Int(cx.client.id)),
        [] if is(subcommand, "getname") => Ok(match cx.client.name.is_empty() {
            true => Reply::Null,
            false => Reply::Bulk(cx.client.name.clone()),
        }),
        [name] if is(subcommand, "setname") => {
            cx.client.rename(name)?;
            Ok(Reply::OK)
        }
        [name, value] if is(subcommand, "setinfo") => set_info(cx, name, value),
        [] if is(subcommand, "info") => Ok(Reply::text(cx.client.describe())),
        [word] if is(subcommand, "no-evict") || is(subcommand, "no-touch") => on_or_off(word),
        [word] if is(subcommand, "reply") && is(word, "on") => Ok(Reply::OK),
        _ => Err(arity("client", subcommand)),
    }
}

fn set_info(cx: &mut Cx<'_>, name: &Bytes, value: &Bytes) -> Outcome {
    let is_plain = value.iter().all(|byte| byte.is_ascii_graphic()) && value.len() <= 128;
    let place = match () {
        () if is(name, "lib-name") => &mut cx.client.library,
        () if is(name, "lib-ver") => &mut cx.client.library_version,
        () => {
            let name = String::from_utf8_lossy(name);
            return Err(Fault::new(format!("ERR Unrecognized option '{name}'")));
        }
    };
    if !is_plain {
        let name = String::from_utf8_lossy(name).to_lowercase();
        return Err(Fault::new(format!(
            "ERR {name} cannot contain spaces, newlines or special characters."
        )));
    }
    *place = value.clone();
    Ok(Reply::OK)
}

fn on_or_off(word: &[u8]) -> Outcome {
    match is(word, "on") || is(word, "off") {
        true => Ok(Reply::OK),
        false => Err(Fault::SYNTAX),
    }
}

pub(crate) fn command(_: &mut Cx<'_>, args: &[Bytes]) -> Outcome {
    let Some((subcommand, args)) = args.split_first() else {
        return Ok(Reply::Array(COMMANDS.iter().map(Command::told).collect()));
    };
    let every = |with: fn(&Command) -> Reply| COMMANDS.iter().map(with).collect();
    match args {
        [] if is(subcommand, "count") => Ok(Reply::count(COMMANDS.len())),
        [] if is(subcommand, "list") => Ok(Reply::Array(every(|c| Reply::word(c.name)))),
        [] if is(subcommand, "info") => Ok(Reply::Array(every(Command::told))),
        names if is(subcommand, "info") => {
            let told = |name: &Bytes| table::find(name).map_or(Reply::NullArray, Command::told);
            Ok(Reply::Array(names.iter().map(told).collect()))
        }
        names if is(subcommand, "docs") => {
            let is_asked = |command: &&Command| {
                names.is_empty() || names.iter().any(|name| is(name, command.name))
            };
            Ok(Reply::Map(
                COMMANDS.iter().filter(is_asked).map(docs).collect(),
            ))
        }
        [name, ..] if is(subcommand, "getkeys") => {
            let command = table::find(name).filter(|command| command.takes(args.len()));
            let command = command.ok_or(Fault::of("ERR Invalid command specified"))?;
            match command.keys(args) {
                keys if keys.is_empty() => Err(Fault::of("ERR The command has no key arguments")),
                keys => Ok(Reply::Array(Reply::bulks(keys))),
            }
        }
        _ => Err(arity("command", subcommand)),
    }
}

fn docs(command: &Command) -> (Reply, Reply) {
    let says = vec![
        (Reply::word("summary"), Reply::word(command.name)),
        (Reply::word("group"), Reply::word(command.group)),
    ];
    (Reply::word(command.name), Reply::Map(says))
}

/// Patterns of settings that are asked for at once.
const ASKED: usize = 64;

/// What clients ask for; none of it can be changed.
const SETTINGS: &[(&str, &str)] = &[
    ("appendfsync", "always"),
    ("appendonly", "yes"),
    ("databases", "1"),
    ("maxmemory", "0"),
    ("maxmemory-policy", "noeviction"),
    ("notify-keyspace-events", ""),
    ("save", ""),
    ("timeout", "3600"),
];

pub(crate) fn config(_: &mut Cx<'_>, args: &[Bytes]) -> Outcome {
    let (subcommand, patterns) = first(args)?;
    if patterns.is_empty() {
        return Err(arity("config", subcommand));
    }
    if patterns.len() > ASKED {
        return Err(Fault::new(format!(
            "ERR CONFIG GET takes at most {ASKED} patterns"
        )));
    }
    let compile = |pattern: &Bytes| Glob::new(&pattern.to_ascii_lowercase().into());
    let patterns: Vec<_> = patterns.iter().map(compile).collect::<Result<_, _>>()?;
    let is_asked = |(name, _): &&(&str, &str)| {
        let matches = |pattern: &Glob| pattern.matches_short(name);
        patterns.iter().any(matches)
    };
    let found = SETTINGS.iter().filter(is_asked);
    let pair =
        |(name, value): &(&'static str, &'static str)| (Reply::word(name), Reply::word(value));
    Ok(Reply::Map(found.map(pair).collect()))
}

pub(crate) fn info(cx: &mut Cx<'_>, args: &[Bytes]) -> Outcome {
    let sections = [
        (
            "Server",
            format!(
                "redis_version:{VERSION}\r\nredis_mode:standalone\r\nserver_name:gust\r\nuptime_in_seconds:{}\r\n",
                cx.space.door.age().as_secs()
            ),
        ),
        ("Clients", "maxclients:1024\r\n".to_owned()),
        ("Persistence", "loading:0\r\naof_enabled:1\r\n".to_owned()),
        (
            "Replication",
            "role:master\r\nconnected_slaves:0\r\n".to_owned(),
        ),
        ("Cluster", "cluster_enabled:0\r\n".to_owned()),
    ];
    let is_all = |word: &Bytes| {
        ["all", "default", "everything"]
            .iter()
            .any(|all| is(word, all))
    };
    let is_asked =
        |name: &str| args.is_empty() || args.iter().any(|word| is(word, name) || is_all(word));
    let asked = sections.iter().filter(|(name, _)| is_asked(name));
    let texts: Vec<_> = asked
        .map(|(name, text)| format!("# {name}\r\n{text}"))
        .collect();
    Ok(Reply::text(texts.join("\r\n")))
}

/// Goes out when the transaction is durable; those who hear it are counted now.
pub(crate) async fn publish(tx: &mut Tx, space: &Space, args: &[Bytes]) -> Outcome {
    let [channel, message] = take(args)?;
    glob::channel(channel)?;
    let listeners = space.hub.listeners(channel).await;
    tx.published.push((channel.clone(), message.clone()));
    Ok(Reply::count(listeners))
}

pub(crate) async fn pubsub(_: &mut Tx, space: &Space, args: &[Bytes]) -> Outcome {
    let (subcommand, args) = first(args)?;
    let hub = &space.hub;
    match args {
        [] if is(subcommand, "numpat") => Ok(Reply::count(hub.patterns())),
        [] if is(subcommand, "channels") => channels(hub, None).await,
        [pattern] if is(subcommand, "channels") => channels(hub, Some(&Glob::new(pattern)?)).await,
        channels if is(subcommand, "numsub") => {
            let count = |channel: &Bytes| {
                let there = Reply::count(hub.subscribers(channel));
                [Reply::Bulk(channel.clone()), there]
            };
            Ok(Reply::Array(channels.iter().flat_map(count).collect()))
        }
        _ => Err(arity("pubsub", subcommand)),
    }
}

async fn channels(hub: &Hub, pattern: Option<&Glob>) -> Outcome {
    let found = hub.channels(pattern, MOST, MOST_BYTES).await;
    let found = found.ok_or_else(|| {
        Fault::new(format!(
            "ERR more channels match than one answer can carry, {MOST}; use a narrower pattern"
        ))
    })?;
    Ok(Reply::Array(Reply::bulks(&found)))
}

/// The name that a client gave itself.
pub(crate) fn is_name(name: &[u8]) -> Result<(), Fault> {
    if name.len() <= 128 && name.iter().all(u8::is_ascii_graphic) {
        return Ok(());
    }
    Err(Fault::of(
        "ERR Client names cannot contain spaces, newlines or special characters.",
    ))
}

/// `HELLO` with what was asked for, but for the version.
pub(crate) fn hello_options(args: &[Bytes]) -> Result<Hello<'_>, Fault> {
    let mut hello = Hello::default();
    let mut rest = args;
    while let [word, more @ ..] = rest {
        match more {
            [user, password, more @ ..] if is(word, "auth") => {
                hello.auth = Some((user, password));
                rest = more;
            }
            [name, more @ ..] if is(word, "setname") => {
                hello.name = Some(name);
                rest = more;
            }
            _ => {
                let word = String::from_utf8_lossy(word);
                return Err(Fault::new(format!(
                    "ERR Syntax error in HELLO option '{word}'"
                )));
            }
        }
    }
    Ok(hello)
}

/// What `HELLO` says beside the version.
#[derive(Default)]
pub(crate) struct Hello<'a> {
    pub(crate) auth: Option<(&'a Bytes, &'a Bytes)>,
    pub(crate) name: Option<&'a Bytes>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_hello() {
        let words = |text: &'static str| text.split(' ').map(Bytes::from).collect::<Vec<_>>();
        let args = words("auth u p SETNAME n");
        let hello = hello_options(&args).unwrap();
        assert_eq!(hello.auth, Some((&args[1], &args[2])));
        assert_eq!(hello.name, Some(&args[4]));
        assert!(hello_options(&words("auth u")).is_err());
        assert!(is_name(b"a b").is_err() && is_name(b"worker-1").is_ok());
    }
}
