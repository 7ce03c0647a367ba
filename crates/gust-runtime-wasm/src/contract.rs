//! What an artifact is: read from its bytes before anything is compiled.

use gust_types::{Error, Result};
use serde::{Deserialize, Serialize};
use wasmparser::{Encoding, Parser, Payload, Validator, WasmFeatures};

use crate::{Lane, edition, lane};

/// How a component is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Contract {
    /// `wasi:http/incoming-handler@0.2.x`, and in the two release candidates of 2023.
    Http02,
    /// `wasi:http/handler@0.3.x`.
    Http03,
    /// `fermyon:spin/inbound-http`: request and response by value.
    SpinHttp,
    /// `fermyon:spin/inbound-redis`: a message by value.
    SpinRedis,
    /// `spin:redis/inbound-redis@3.0.x`: the same, async.
    SpinRedis03,
    /// `handle-cron-event` of `fermyon:spin-cron`: a time.
    SpinCron,
    /// `handle-message` of Spin's MQTT trigger: a message and its topic.
    SpinMqtt,
    /// `wasi:cli/run@0.2.x`: a command, run once a call.
    Run02,
    /// `wasi:cli/run@0.3.x`.
    Run03,
}

/// What a component says about itself.
pub(crate) struct Profile {
    pub(crate) contract: Contract,
    /// The export as the component spells it.
    pub(crate) export: String,
    pub(crate) lane: Lane,
}

/// What the first bytes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Component,
    Module,
}

/// The exports that are accepted, most wanted first.
const ACCEPTED: [(&str, &str, Contract); 9] = [
    ("wasi:http/handler", "0.3.", Contract::Http03),
    ("wasi:http/incoming-handler", "0.2.", Contract::Http02),
    ("fermyon:spin/inbound-http", "", Contract::SpinHttp),
    ("fermyon:spin/inbound-redis", "", Contract::SpinRedis),
    ("spin:redis/inbound-redis", "3.0.", Contract::SpinRedis03),
    ("handle-cron-event", "", Contract::SpinCron),
    ("handle-message", "", Contract::SpinMqtt),
    ("wasi:cli/run", "0.3.", Contract::Run03),
    ("wasi:cli/run", "0.2.", Contract::Run02),
];

const ACCEPTED_TEXT: &str = "accepted are wasi:http/handler@0.3.0, wasi:http/incoming-handler@0.2.x (also \
     0.2.0-rc-2023-10-18 and 0.2.0-rc-2023-11-10), fermyon:spin/inbound-http, the handlers of Spin's redis, cron and mqtt \
     triggers, and wasi:cli/run";

/// Component or module, by the header.
pub(crate) fn form(bytes: &[u8]) -> Result<Form> {
    if !bytes.starts_with(b"\0asm") {
        return Err(not_wasm(bytes));
    }
    match bytes.get(4..8) {
        Some([0x01, 0, 0, 0]) => Ok(Form::Module),
        Some([_, 0, 1, 0]) => Ok(Form::Component),
        Some(version) => Err(Error::invalid(format!(
            "unknown version of the wasm format: {version:02x?}"
        ))),
        None => Err(truncated("the header is cut off")),
    }
}

fn not_wasm(bytes: &[u8]) -> Error {
    let looks = match bytes {
        [] => "an empty file",
        [b'#', b'!', ..] => "a script",
        [0x7f, b'E', b'L', b'F', ..] => "a native program",
        [b'P', b'K', 3, 4, ..] => "a zip archive",
        [0x1f, 0x8b, ..] => "a gzip archive",
        [b'(', ..] => "WebAssembly text",
        _ => "something else",
    };
    Error::invalid(format!("not a WebAssembly file, it looks like: {looks}"))
        .hint("build the function for wasm32-wasip2 and deploy the .wasm file")
}

pub(crate) fn truncated(why: impl std::fmt::Display) -> Error {
    Error::invalid(format!("the WebAssembly file is cut off or damaged: {why}"))
        .hint("build it again, then deploy it again")
}

/// Reads what a component exports and which lane it needs. Names of 2023 have been written anew ([`edition`]).
pub(crate) fn profile(bytes: &[u8]) -> Result<Profile> {
    let exports = exports(bytes)?;
    let found = ACCEPTED.iter().find_map(|(name, version, contract)| {
        let export = exports.iter().find(|e| matches(e, name, version))?;
        Some((*contract, export.clone()))
    });
    let Some((contract, export)) = found else {
        return Err(unknown_world(&exports));
    };
    Ok(Profile {
        contract,
        export: edition::spelled(&export),
        lane: lane(bytes)?,
    })
}

/// Whether `export` is `name` in a version that begins with `version` and is no release candidate. Build metadata says
/// nothing about a version.
fn matches(export: &str, name: &str, version: &str) -> bool {
    let (base, found) = export.split_once('@').unwrap_or((export, ""));
    base == name
        && if version.is_empty() {
            found.is_empty()
        } else {
            let release = found.split('+').next().unwrap_or(found);
            release.starts_with(version) && !release.contains('-')
        }
}

fn unknown_world(exports: &[String]) -> Error {
    let candidate = exports.iter().find(|e| {
        (e.starts_with("wasi:http/") || e.starts_with("wasi:cli/run")) && e.contains("-rc-")
    });
    if let Some(candidate) = candidate {
        return Error::invalid(format!(
            "the component exports a release candidate of WASI that is not supported: {candidate}"
        ))
        .hint(format!(
            "build it with a toolchain of a released WASI; {ACCEPTED_TEXT}"
        ));
    }
    let listed = match exports {
        [] => "nothing".to_owned(),
        some => some.join(", "),
    };
    Error::invalid(format!(
        "the component exports nothing that can be called; it exports: {listed}"
    ))
    .hint(ACCEPTED_TEXT)
}

/// The names of a component's own exports.
fn exports(bytes: &[u8]) -> Result<Vec<String>> {
    let mut depth = 0usize;
    let mut names = Vec::new();
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(truncated)? {
            Payload::Version { encoding, .. } => {
                if depth == 0 && encoding != Encoding::Component {
                    return Err(truncated("not a component"));
                }
                depth += 1;
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentExportSection(section) if depth == 1 => {
                for export in section {
                    names.push(export.map_err(truncated)?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(names)
}

/// A component that is valid without the async parts of the component model runs in the lane without them, if that
/// lane has what it imports.
fn lane(bytes: &[u8]) -> Result<Lane> {
    let all = WasmFeatures::all();
    if Validator::new_with_features(all.difference(WasmFeatures::CM_ASYNC))
        .validate_all(bytes)
        .is_ok()
        && !lane::needs_p3(bytes)
    {
        return Ok(Lane::P2);
    }
    match Validator::new_with_features(all).validate_all(bytes) {
        Ok(_) => Ok(Lane::P3),
        Err(error) => Err(truncated(error)),
    }
}

// === impl Contract ===

impl Contract {
    /// Whether its instances are used again when the function does not say.
    pub(crate) fn reused_by_default(self) -> bool {
        self == Contract::Http03
    }

    /// Whether its instances can be used again at all: a command's run is its whole life.
    pub(crate) fn reusable(self) -> bool {
        !matches!(self, Contract::Run02 | Contract::Run03)
    }

    /// Whether several calls may be under way in one instance.
    pub(crate) fn shareable(self) -> bool {
        self == Contract::Http03
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_match_their_track_and_no_candidate() {
        for (export, name, version, expected) in [
            ("wasi:http/handler@0.3.0", "wasi:http/handler", "0.3.", true),
            ("wasi:http/handler@0.3.1", "wasi:http/handler", "0.3.", true),
            (
                "wasi:http/handler@0.3.0-rc-2026-03-15",
                "wasi:http/handler",
                "0.3.",
                false,
            ),
            (
                "wasi:http/incoming-handler@0.2.0-rc-2023-11-10",
                "wasi:http/incoming-handler",
                "0.2.",
                false,
            ),
            (
                "wasi:http/incoming-handler@0.2.0+rc-2023-11-10",
                "wasi:http/incoming-handler",
                "0.2.",
                true,
            ),
            (
                "wasi:cli/run@0.2.0+rc-2023-10-18",
                "wasi:cli/run",
                "0.2.",
                true,
            ),
            (
                "fermyon:spin/inbound-http",
                "fermyon:spin/inbound-http",
                "",
                true,
            ),
            (
                "fermyon:spin/inbound-http@2.0.0",
                "fermyon:spin/inbound-http",
                "",
                false,
            ),
        ] {
            assert_eq!(matches(export, name, version), expected, "{export}");
        }
    }

    #[test]
    fn what_is_not_wasm_is_named() {
        for (bytes, expected) in [
            (&b""[..], "an empty file"),
            (b"#!/bin/sh", "a script"),
            (b"\x7fELF....", "a native program"),
            (b"(module)", "WebAssembly text"),
            (b"\0asm", "cut off"),
            (b"\0asm\x09\0\0\0", "unknown version"),
        ] {
            let error = form(bytes).unwrap_err();
            assert_eq!(error.kind, gust_types::Kind::Invalid);
            assert!(error.message.contains(expected), "{}", error.message);
        }
        assert_eq!(form(b"\0asm\x0d\0\x01\0").unwrap(), Form::Component);
        assert_eq!(form(b"\0asm\x01\0\0\0").unwrap(), Form::Module);
    }
}
