//! The ring `promise`: measures, and holds the figures against the numbers of `SPEC.md` in `tests/promises`.

use std::{collections::BTreeSet, fs};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Map, Value};

use crate::{bench, tools::root};

const FILE: &str = "tests/promises/promises.toml";

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Promises {
    promise: Vec<Promise>,
}

/// One number of a benchmark's document, with its bounds.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Promise {
    bench: String,
    /// The names on the way to it, with dots.
    key: String,
    at_least: Option<f64>,
    at_most: Option<f64>,
    /// The page that says why it is not reached yet.
    missed: Option<String>,
}

/// Runs the benchmarks that promises name, and fails when one is not kept.
pub fn run() -> Result<()> {
    let promises = read()?;
    let names: BTreeSet<&str> = promises.iter().map(|p| p.bench.as_str()).collect();
    let names: Vec<&str> = names.into_iter().collect();
    let figures = bench::figures(&names)?;
    let mut wrong = 0;
    for promise in &promises {
        let found = promise.of(&figures);
        let verdict = match (found.is_some_and(|f| promise.holds(f)), &promise.missed) {
            (true, None) => "kept",
            (false, Some(_)) => "not reached yet",
            (true, Some(_)) => "reached: take its `missed` away",
            (false, None) => {
                wrong += 1;
                "BROKEN"
            }
        };
        let found = found.map_or("no figure".to_owned(), |found| found.to_string());
        eprintln!("{} {}: {found}, {verdict}", promise.bench, promise.key);
    }
    ensure!(wrong == 0, "{wrong} promises are not kept");
    Ok(())
}

fn read() -> Result<Vec<Promise>> {
    let text = fs::read_to_string(root().join(FILE)).with_context(|| format!("no {FILE}"))?;
    let promises: Promises = toml::from_str(&text).with_context(|| format!("bad {FILE}"))?;
    Ok(promises.promise)
}

impl Promise {
    fn of(&self, figures: &Map<String, Value>) -> Option<f64> {
        let document = figures.get(&self.bench)?;
        let found = self
            .key
            .split('.')
            .try_fold(document, |at, key| at.get(key));
        found?.as_f64()
    }

    fn holds(&self, found: f64) -> bool {
        self.at_least.is_none_or(|least| found >= least)
            && self.at_most.is_none_or(|most| found <= most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_promise_names_a_benchmark_a_bound_and_a_page_that_is_there() {
        let promises = read().unwrap();
        assert!(promises.len() > 10);
        for promise in promises {
            assert!(bench::NAMES.contains(&&*promise.bench), "{}", promise.bench);
            let bounds = promise.at_least.is_some() || promise.at_most.is_some();
            assert!(bounds, "{}", promise.key);
            if let Some(page) = promise.missed {
                assert!(root().join(&page).is_file(), "{page}");
            }
        }
    }

    #[test]
    fn bounds_are_kept_or_not() {
        let promise = Promise {
            bench: "b".to_owned(),
            key: "a.p99".to_owned(),
            at_least: None,
            at_most: Some(1.0),
            missed: None,
        };
        let figures = serde_json::json!({ "b": { "a": { "p99": 1.0 } } });
        assert_eq!(promise.of(figures.as_object().unwrap()), Some(1.0));
        assert!(promise.holds(1.0) && !promise.holds(1.1));
        let other = serde_json::json!({ "b": { "a": null } });
        assert_eq!(promise.of(other.as_object().unwrap()), None);
    }
}
