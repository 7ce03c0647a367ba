//! The reference pages are what the code says; `GUST_BLESS=1` renews them.

use std::{fs, path::Path};

use gust_types::limits::ceiling;

use crate::{
    keys::{GUST, HEALTH, LIMITS, REUSE, SPIN, Section},
    reference, spin_reference,
};

fn compare(name: &str, page: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../docs/reference")
        .join(name);
    if std::env::var_os("GUST_BLESS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, page).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == page,
        "docs/reference/{name} is out of date; renew it with: GUST_BLESS=1 cargo test -p gust-manifest"
    );
}

#[test]
fn the_pages_are_up_to_date() {
    compare("gust-toml.md", &reference());
    compare("spin-toml.md", &spin_reference());
}

#[test]
fn every_limit_of_the_type_is_a_key() {
    let fields = toml::Table::try_from(gust_types::Limits::default()).unwrap();
    let keys: Vec<&str> = LIMITS.keys.iter().map(|k| k.name).collect();
    let fields: Vec<&str> = fields.keys().map(String::as_str).collect();
    assert_eq!(keys, fields);
}

#[test]
fn the_pages_name_the_ceilings() {
    let most: [(&Section, &str, String); 15] = [
        (&LIMITS, "memory", ceiling::MEMORY.to_string()),
        (&LIMITS, "cpu_time", ceiling::CPU_TIME.to_string()),
        (&LIMITS, "wall_time", ceiling::WALL_TIME.to_string()),
        (&LIMITS, "concurrency", ceiling::CONCURRENCY.to_string()),
        (&LIMITS, "queue", ceiling::QUEUE.to_string()),
        (&LIMITS, "queue_time", ceiling::QUEUE_TIME.to_string()),
        (&LIMITS, "request_body", ceiling::REQUEST_BODY.to_string()),
        (&LIMITS, "response_body", ceiling::RESPONSE_BODY.to_string()),
        (
            &LIMITS,
            "table_elements",
            ceiling::TABLE_ELEMENTS.to_string(),
        ),
        (
            &LIMITS,
            "core_instances",
            ceiling::CORE_INSTANCES.to_string(),
        ),
        (&LIMITS, "log_bytes", ceiling::LOG_BYTES.to_string()),
        (&REUSE, "calls", ceiling::REUSE_CALLS.to_string()),
        (&REUSE, "concurrent", ceiling::REUSE_CONCURRENT.to_string()),
        (&REUSE, "idle", ceiling::REUSE_IDLE.to_string()),
        (&HEALTH, "timeout", ceiling::HEALTH_TIMEOUT.to_string()),
    ];
    for (section, name, most) in most {
        let key = section.keys.iter().find(|key| key.name == name).unwrap();
        let told = key.shape.ends_with(&format!(" to {most}"))
            || key.about.ends_with(&format!(" to {most}."));
        assert!(told, "{} {name}: {most}", section.title);
    }
}

#[test]
fn every_key_is_explained() {
    for section in GUST.iter().chain(SPIN) {
        assert!(section.about.ends_with('.'), "{}", section.title);
        for key in section.keys {
            assert!(!key.shape.is_empty(), "{} {}", section.title, key.name);
            assert!(key.about.ends_with('.'), "{} {}", section.title, key.name);
        }
    }
}
