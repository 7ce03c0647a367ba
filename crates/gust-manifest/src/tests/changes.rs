//! `kv`, `sql` and `blob` of a trigger.

use gust_types::{
    Label,
    changes::{ChangeKind, Watched},
    trigger::{Beginning, ChangesSpec, FilterSpec, TriggerSource},
};

use super::{gust_fault, with};
use crate::parse_gust;

fn app(trigger: &str) -> String {
    with(&format!(
        "kv = [\"default\"]\nsql = [\"shop\"]\n\n[[trigger]]\nfunction = \"hello\"\n{trigger}\n"
    ))
}

fn spec(trigger: &str) -> ChangesSpec {
    let (app, notes) = parse_gust(&app(trigger)).unwrap();
    assert!(notes.is_empty(), "{notes:?}");
    match app.events.triggers[0].source.clone() {
        TriggerSource::Changes(spec) => spec,
        other => panic!("{other:?}"),
    }
}

#[test]
fn changes_of_a_store_and_of_a_database_arrive() {
    let label = |name: &str| Label::new(name).unwrap();
    let plain = ChangesSpec {
        of: Watched::Kv(label("default")),
        prefix: String::new(),
        suffix: String::new(),
        tables: Vec::new(),
        on: Vec::new(),
        filters: Vec::new(),
        from: Beginning::Latest,
        batch: 1,
    };
    assert_eq!(spec("kv = \"default\""), plain);
    let more = "kv = \"default\"\nprefix = \"用户/\"\non = [\"deleted\", \"set\", \"set\"]\nfrom = \"earliest\"\nbatch = 5\nfilter = \"subject <> 'a'\"";
    assert_eq!(
        spec(more),
        ChangesSpec {
            prefix: "用户/".to_owned(),
            on: vec![ChangeKind::Deleted, ChangeKind::Set],
            filters: vec![FilterSpec::Sql("subject <> 'a'".to_owned())],
            from: Beginning::Earliest,
            batch: 5,
            ..plain.clone()
        }
    );
    assert_eq!(
        spec("sql = \"shop\"\ntables = [\"订单\", \"Orders\"]\non = [\"inserted\"]"),
        ChangesSpec {
            of: Watched::Sql(label("shop")),
            tables: vec!["订单".to_owned(), "Orders".to_owned()],
            on: vec![ChangeKind::Inserted],
            ..plain.clone()
        }
    );
    assert_eq!(
        spec(
            "blob = \"photos\"\nprefix = \"in/\"\nsuffix = \".jpg\"\non = [\"created\", \"deleted\"]"
        ),
        ChangesSpec {
            of: Watched::Blob(label("photos")),
            prefix: "in/".to_owned(),
            suffix: ".jpg".to_owned(),
            on: vec![ChangeKind::Created, ChangeKind::Deleted],
            ..plain
        }
    );
    let (whole, _) = parse_gust(&app("kv = \"default\"\non = [\"set\"]")).unwrap();
    let json = serde_json::to_string(&whole).unwrap();
    assert!(json.contains("\"of\":\"kv:default\""), "{json}");
    let read: gust_types::AppSpec = serde_json::from_str(&json).unwrap();
    assert_eq!(read, whole);
}

#[test]
fn what_nobody_of_the_app_opens_is_noted() {
    let (_, notes) = parse_gust(&app("kv = \"defualt\"")).unwrap();
    assert!(
        notes[0].contains("line 11: no function of this app opens kv:defualt"),
        "{notes:?}"
    );
}

#[test]
fn what_means_nothing_is_refused_with_its_place() {
    for (trigger, wanted) in [
        ("kv = \"a b\"", "label"),
        (
            "kv = \"default\"\non = [\"inserted\"]",
            "write \"set\", \"deleted\"",
        ),
        (
            "kv = \"default\"\ntables = [\"t\"]",
            "`tables` means nothing",
        ),
        ("kv = \"default\"\nreply = true", "`reply` means nothing"),
        ("kv = \"default\"\nsuffix = \"x\"", "`suffix` means nothing"),
        (
            "blob = \"photos\"\non = [\"set\"]",
            "write \"created\", \"deleted\"",
        ),
        (
            "blob = \"photos\"\ntables = [\"t\"]",
            "`tables` means nothing",
        ),
        ("kv = \"default\"\nqueue = \"q\"", "exactly one of"),
        (
            "kv = \"default\"\ntimezone = \"UTC\"",
            "`timezone` means nothing",
        ),
        ("sql = \"shop\"", "no tables of sql:shop are named"),
        (
            "sql = \"shop\"\ntables = []",
            "no tables of sql:shop are named",
        ),
        (
            "sql = \"shop\"\ntables = [\"_GUST_changes\"]",
            "not a table that can be watched",
        ),
        (
            "sql = \"shop\"\ntables = [\"\"]",
            "not a table that can be watched",
        ),
        (
            "sql = \"shop\"\ntables = [\"t\"]\nprefix = \"a\"",
            "`prefix` means nothing",
        ),
        (
            "sql = \"shop\"\ntables = [\"t\"]\non = [\"set\"]",
            "no such changes: \"set\"",
        ),
        ("queue = \"q\"\nprefix = \"a\"", "`prefix` means nothing"),
        ("cron = \"* * * * *\"\non = []", "`on` means nothing"),
    ] {
        let fault = gust_fault(&app(trigger));
        assert!(fault.contains(wanted), "{trigger}\n{fault}");
    }
}
