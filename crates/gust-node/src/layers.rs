//! Settings from four places, in order: defaults, `node.toml`, the environment, flags; and where each value came from.

use std::path::Path;

use gust_types::{Error, Result};
use serde::Serialize;
use toml::{Table, Value};

use crate::Settings;

/// Where a value came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum From {
    /// Built in.
    Default,
    /// `node.toml`.
    File,
    /// A `GUST_…` variable.
    Environment,
    /// The command line.
    Flag,
}

/// One setting, explained.
#[derive(Debug, Clone, Serialize)]
pub struct Explained {
    /// Its key in `node.toml`.
    pub key: String,
    /// Its value, as `node.toml` would have it; `None` when it has none.
    pub value: Option<String>,
    /// Where that came from.
    pub from: From,
}

/// Every key of `node.toml`, in order. The environment variable of `max_instances` is `GUST_MAX_INSTANCES`.
const KEYS: &[&str] = &[
    "data",
    "listen",
    "control",
    "s3",
    "redis",
    "postgres",
    "aws",
    "domain",
    "any_host",
    "tls",
    "max_instances",
    "max_instance_memory",
    "max_resident",
    "resident_idle",
    "max_artifact",
    "grace",
    "prices",
    "block_networks",
    "callback_hosts",
    "log",
];

/// Puts the layers together. `environment` reads one variable; `flags` has the keys that were given.
pub fn resolve(
    file: Option<&Path>,
    environment: impl Fn(&str) -> Option<String>,
    flags: Table,
) -> Result<(Settings, Vec<Explained>)> {
    let defaults = Table::try_from(Settings::default())
        .map_err(|e| Error::internal("the default settings cannot be shown").because(e))?;
    let mut layers = vec![(From::Default, defaults)];
    if let Some(path) = file {
        layers.push((From::File, read(path)?));
    }
    layers.push((From::Environment, from_environment(&environment)?));
    layers.push((From::Flag, flags));
    let mut merged = Table::new();
    let mut origin = std::collections::BTreeMap::new();
    for (from, layer) in layers {
        for (key, value) in layer {
            origin.insert(key.clone(), from);
            merged.insert(key, value);
        }
    }
    let explained = explain(&merged, &origin);
    let settings = Settings::from_table(merged)?;
    Ok((settings, explained))
}

fn explain(merged: &Table, origin: &std::collections::BTreeMap<String, From>) -> Vec<Explained> {
    KEYS.iter()
        .map(|key| Explained {
            key: (*key).to_owned(),
            value: merged.get(*key).map(Value::to_string),
            from: origin.get(*key).copied().unwrap_or(From::Default),
        })
        .collect()
}

fn read(path: &Path) -> Result<Table> {
    let text = std::fs::read_to_string(path).map_err(|e| {
        Error::invalid(format!(
            "cannot read the node's settings: {}",
            path.display()
        ))
        .because(e)
        .hint("its keys, with their values here, are shown by: gust config explain")
    })?;
    // Parsed as settings first: its errors point at line, column and key.
    toml::from_str::<Settings>(&text).map_err(|e| {
        let hint = text.parse().ok().and_then(|table| meant(&table));
        let hint = hint.unwrap_or_else(|| "every key is shown by: gust config explain".to_owned());
        Error::invalid(format!("bad settings in {}", path.display()))
            .because(e)
            .hint(hint)
    })?;
    text.parse().map_err(|e: toml::de::Error| {
        Error::invalid(format!("bad settings in {}", path.display())).because(e)
    })
}

/// The key that was meant by the first that is none.
fn meant(table: &Table) -> Option<String> {
    let wrong = table.keys().find(|key| !KEYS.contains(&key.as_str()))?;
    let distance = |known: &&&str| strsim::osa_distance(wrong, known);
    let near = KEYS.iter().min_by_key(distance)?;
    (distance(&near) <= wrong.len() / 3).then(|| format!("did you mean `{near}`?"))
}

/// `GUST_MAX_INSTANCES=10` is `max_instances = 10`; a value that is no TOML is taken as text.
fn from_environment(read: &impl Fn(&str) -> Option<String>) -> Result<Table> {
    let mut table = Table::new();
    for key in KEYS.iter().filter(|k| **k != "tls") {
        let Some(text) = read(&format!("GUST_{}", key.to_uppercase())) else {
            continue;
        };
        let value = format!("v = {text}")
            .parse::<Table>()
            .ok()
            .and_then(|mut t| t.remove("v"));
        table.insert((*key).to_owned(), value.unwrap_or(Value::String(text)));
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve_with(
        file: &str,
        env: &[(&str, &str)],
        flags: &str,
    ) -> Result<(Settings, Vec<Explained>)> {
        let path =
            std::env::temp_dir().join(format!("gust-layers-{}.toml", gust_task::ids::random_u64()));
        std::fs::write(&path, file).unwrap();
        let read = |name: &str| {
            env.iter()
                .find(|(n, _)| *n == name)
                .map(|(_, v)| (*v).to_owned())
        };
        let result = resolve(Some(&path), read, flags.parse().unwrap());
        std::fs::remove_file(path).unwrap();
        result
    }

    #[test]
    fn later_layers_win_and_are_named() {
        let (settings, explained) = resolve_with(
            "max_instances = 5\ndomain = \"a.test\"\ngrace = \"1s\"\n",
            &[("GUST_DOMAIN", "b.test"), ("GUST_MAX_INSTANCES", "7")],
            "max_instances = 9\n",
        )
        .unwrap();
        assert_eq!(
            (settings.max_instances, settings.domain.as_str()),
            (9, "b.test")
        );
        let from = |key: &str| explained.iter().find(|e| e.key == key).unwrap().from;
        assert_eq!(
            [
                from("max_instances"),
                from("domain"),
                from("grace"),
                from("listen")
            ],
            [From::Flag, From::Environment, From::File, From::Default]
        );
    }

    #[test]
    fn every_setting_is_explained() {
        let (_, explained) = resolve_with("", &[], "").unwrap();
        let named: Vec<_> = explained.iter().map(|e| e.key.as_str()).collect();
        for key in Table::try_from(Settings::default()).unwrap().keys() {
            assert!(named.contains(&key.as_str()), "{key}");
        }
    }

    #[test]
    fn the_control_api_can_be_off() {
        let (settings, _) = resolve_with("control = \"off\"\n", &[], "").unwrap();
        assert_eq!(settings.control, None);
        let (settings, _) = resolve_with("", &[], "").unwrap();
        assert!(settings.control.is_some());
    }

    #[test]
    fn protocols_of_others_are_off_unless_they_are_set() {
        let (settings, _) = resolve_with("", &[], "").unwrap();
        let off = |s: &Settings| {
            [s.s3, s.redis, s.postgres, s.aws]
                .iter()
                .all(Option::is_none)
        };
        assert!(off(&settings));
        let (settings, _) = resolve_with("", &[("GUST_S3", "127.0.0.1:9000")], "").unwrap();
        assert_eq!(settings.s3.map(|s3| s3.port()), Some(9000));
        let (settings, _) = resolve_with("", &[("GUST_REDIS", "127.0.0.1:0")], "").unwrap();
        assert!(settings.redis.is_some() && settings.s3.is_none());
        let (settings, _) = resolve_with("s3 = \"off\"\naws = \"off\"\n", &[], "").unwrap();
        assert!(off(&settings));
    }

    #[test]
    fn unknown_keys_and_wrong_types_are_refused() {
        for bad in [
            "max_instance = 5\n",
            "max_instances = \"many\"\n",
            "[tls]\ncert = \"a\"\n",
        ] {
            let error = resolve_with(bad, &[], "").unwrap_err();
            assert!(
                error.chain().contains("line 1") || error.chain().contains("missing field"),
                "{}",
                error.chain()
            );
        }
    }
}
