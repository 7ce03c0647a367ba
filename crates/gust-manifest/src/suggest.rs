//! "Did you mean": the nearest known word, a word of another dialect, or the section a key belongs to.

use crate::keys::{Family, Section};

/// Words of other manifests and frequent guesses, and ours.
const SYNONYMS: &[(&str, &str)] = &[
    ("allowed_outbound_hosts", "outbound"),
    ("allowed_http_hosts", "outbound"),
    ("application", "app"),
    ("command", "build"),
    ("component", "function"),
    ("databases", "sql"),
    ("dir", "files"),
    ("env", "environment"),
    ("functions", "function"),
    ("key_value_stores", "kv"),
    ("path", "route"),
    ("routes", "route"),
    ("sqlite_databases", "sql"),
    ("static", "files"),
    ("trigger", "route"),
    ("vars", "variables"),
];

/// A hint for an unknown key of a section.
pub(crate) fn key(section: &Section, unknown: &str) -> Option<String> {
    let known = || section.keys.iter().map(|k| k.name);
    if let Some(name) = nearest(unknown, known()) {
        return Some(format!("did you mean `{name}`?"));
    }
    let ours = section.family == Family::Gust;
    let synonym = SYNONYMS
        .iter()
        .find(|(word, name)| ours && *word == unknown && known().any(|k| k == *name));
    if let Some((_, name)) = synonym {
        return Some(format!("did you mean `{name}`?"));
    }
    let elsewhere = section
        .family
        .sections()
        .iter()
        .find(|other| other.keys.iter().any(|k| k.name == unknown));
    if let Some(other) = elsewhere {
        return Some(format!("`{unknown}` belongs in {}", other.title));
    }
    (section.keys.len() <= 8).then(|| {
        let names: Vec<String> = known().map(|k| format!("`{k}`")).collect();
        format!("it has the keys {}", names.join(", "))
    })
}

/// The known word that is nearest, if it is near.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // The distance is quadratic: no need to compare what cannot be a slip of the finger.
    if word.len() > 64 {
        return None;
    }
    let word = word.to_ascii_lowercase().replace('-', "_");
    let most = (word.chars().count() / 3).clamp(1, 3);
    let begins = |k: &str| word.len() >= 3 && k.starts_with(&word);
    known
        .into_iter()
        .map(|k| (strsim::osa_distance(&word, &k.replace('-', "_")), k))
        .filter(|(distance, k)| *distance <= most || begins(k))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, k)| k)
}
