use gust_types::Kind;

use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    filters: Vec<FilterSpec>,
}

fn event() -> Event {
    Event::new("1", "/shop/berlin", "com.example.order.placed")
        .unwrap()
        .with("subject", "订单-42.json")
        .unwrap()
        .with("urgent", true)
        .unwrap()
        .with("weight", 7)
        .unwrap()
}

/// The filters of a file.
fn read(toml: &str) -> Result<Filter> {
    let file: File = toml::from_str(toml).unwrap_or_else(|e| panic!("{toml}: {e}"));
    Filter::new(&file.filters)
}

#[track_caller]
fn refused(toml: &str, message: &str) {
    let error = read(toml).unwrap_err();
    assert_eq!((error.kind, &*error.message), (Kind::Invalid, message));
}

#[test]
fn each_dialect_says_what_it_should() {
    for (filter, matches) in [
        ("exact = { type = 'com.example.order.placed' }", true),
        ("exact = { type = 'com.example.order' }", false),
        ("exact = { type = 'COM.example.order.placed' }", false),
        ("exact = { id = '1', source = '/shop/berlin' }", true),
        ("exact = { id = '1', source = '/shop/paris' }", false),
        ("exact = { nothing = 'x' }", false),
        ("exact = { urgent = 'true', weight = '7' }", true),
        ("exact = { specversion = '1.0' }", true),
        ("prefix = { type = 'com.example.', source = '/shop' }", true),
        (
            "prefix = { type = 'com.example.', source = '/store' }",
            false,
        ),
        ("prefix = { subject = '订单' }", true),
        ("prefix = { nothing = 'x' }", false),
        ("suffix = { subject = '.json' }", true),
        ("suffix = { subject = '.xml' }", false),
        ("suffix = { nothing = 'x' }", false),
        ("not = { exact = { id = '1' } }", false),
        ("not = { exact = { nothing = 'x' } }", true),
        ("not = { not = { exact = { id = '1' } } }", true),
        ("all = [{ exact = { id = '1' } }]", true),
        (
            "all = [{ exact = { id = '1' } }, { exact = { id = '2' } }]",
            false,
        ),
        (
            "any = [{ exact = { id = '1' } }, { exact = { id = '2' } }]",
            true,
        ),
        (
            "any = [{ exact = { id = '3' } }, { exact = { id = '2' } }]",
            false,
        ),
        (
            "all = [{ any = [{ prefix = { id = '1' } }] }, { not = { sql = 'weight > 7' } }]",
            true,
        ),
        ("sql = 'weight > 6 AND urgent'", true),
        ("sql = 'weight > 7'", false),
        // A fault is no match, and `not` of that is one.
        ("sql = 'nothing > 7'", false),
        ("sql = 'weight'", false),
        ("not = { sql = 'nothing > 7' }", true),
    ] {
        let filter = read(&format!("filters = [{{ {filter} }}]")).unwrap();
        assert_eq!(filter.matches(&event()), matches, "{filter:?}");
    }
}

#[test]
fn filters_beside_each_other_all_have_to_be_true() {
    for (filters, matches) in [
        ("", true),
        ("filters = []", true),
        (
            "filters = [{ exact = { id = '1' } }, { sql = 'urgent' }]",
            true,
        ),
        (
            "filters = [{ exact = { id = '1' } }, { sql = 'NOT urgent' }]",
            false,
        ),
    ] {
        let filter = read(filters).unwrap();
        assert_eq!(filter.matches(&event()), matches, "{filters}");
    }
    assert!(read("").unwrap().is_everything());
    assert_eq!(read("").unwrap(), Filter::default());
    assert!(
        !read("filters = [{ sql = 'urgent' }]")
            .unwrap()
            .is_everything()
    );
}

#[test]
fn a_filter_is_the_same_in_json() {
    let text = r#"{"all":[{"exact":{"type":"a"}},{"not":{"any":[{"prefix":{"id":"x"}},{"sql":"EXISTS subject"}]}}]}"#;
    let spec: FilterSpec = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_string(&spec).unwrap(), text);
    Filter::new(&[spec]).unwrap();
    for bad in [
        r#"{"near":{"type":"a"}}"#,
        r#"{"exact":{"type":"a"},"prefix":{"type":"a"}}"#,
        r#"{"exact":{"type":5}}"#,
        r#"{"exact":"a"}"#,
        r#"{"not":[]}"#,
        r#"{"sql":{}}"#,
        "{}",
        "[]",
    ] {
        assert!(serde_json::from_str::<FilterSpec>(bad).is_err(), "{bad}");
    }
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    for (filter, message) in [
        (
            "exact = {}",
            "a filter names no attribute: filters[0].exact",
        ),
        (
            "prefix = { type = '' }",
            "filters[0].prefix: a text is empty: type",
        ),
        (
            "suffix = { '' = 'x' }",
            "filters[0].suffix: no attribute has this name: \"\"",
        ),
        (
            "exact = { Type = 'x' }",
            "filters[0].exact: no attribute has this name: \"Type\"",
        ),
        (
            "exact = { data = 'x' }",
            "filters[0].exact: no attribute has this name: \"data\"",
        ),
        ("all = []", "a list of filters is empty: filters[0].all"),
        ("any = []", "a list of filters is empty: filters[0].any"),
        (
            "not = { any = [] }",
            "a list of filters is empty: filters[0].not.any",
        ),
        (
            "all = [{ sql = 'true' }, { any = [{ sql = 'id =' }] }]",
            "filters[0].all[1].any[0].sql: line 1, column 5: expected a value, found: the end of the expression",
        ),
        (
            "sql = 'LENGTH(id)'",
            "filters[0].sql: line 1, column 1: a filter is true or false and not an integer",
        ),
        (
            "sql = ''",
            "filters[0].sql: line 1, column 1: expected a value, found: the end of the expression",
        ),
    ] {
        refused(&format!("filters = [{{ {filter} }}]"), message);
    }
}

#[test]
fn filters_are_bounded() {
    let leaf = FilterSpec::Sql("true".to_owned());
    let nested = |depth: usize| {
        (1..depth).fold(leaf.clone(), |inner, n| match n % 2 {
            0 => FilterSpec::Not(Box::new(inner)),
            _ => FilterSpec::All(vec![inner]),
        })
    };
    let fault = |spec: FilterSpec| Filter::new(&[spec]).unwrap_err().message;
    Filter::new(&[nested(Filter::MAX_DEPTH)]).unwrap();
    for depth in [Filter::MAX_DEPTH + 1, 100] {
        let fault = fault(nested(depth));
        assert!(
            fault.ends_with("filters are nested deeper than they may be: 16"),
            "{fault}"
        );
    }

    let many = |n: usize| FilterSpec::Any(vec![leaf.clone(); n]);
    Filter::new(&[many(Filter::MAX_FILTERS - 1)]).unwrap();
    assert_eq!(
        fault(many(Filter::MAX_FILTERS)),
        "filters[0].any[255]: more filters than a trigger may have: 256"
    );

    let large = "x".repeat(Filter::MAX_BYTES);
    let large = FilterSpec::Exact(BTreeMap::from([("id".to_owned(), large)]));
    assert_eq!(
        fault(large),
        "filters[0].exact: the filters of a trigger have more bytes than they may: 65536"
    );
}
