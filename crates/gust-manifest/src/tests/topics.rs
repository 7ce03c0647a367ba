//! What `gust.toml` says of topics.

use gust_types::{
    ByteSize, Label, Span,
    trigger::{Beginning, FilterSpec, ReplySpec, TopicSettings, TriggerSource},
};

use super::{gust_fault, with};
use crate::parse_gust;

fn trigger(more: &str) -> String {
    with(&format!(
        "\n[[trigger]]\nfunction = \"hello\"\ntopic = \"orders\"\n{more}\n"
    ))
}

fn source(more: &str) -> TriggerSource {
    let (app, _) = parse_gust(&trigger(more)).unwrap();
    app.events.triggers[0].source.clone()
}

fn exact(name: &str, text: &str) -> FilterSpec {
    FilterSpec::Exact([(name.to_owned(), text.to_owned())].into())
}

#[test]
fn a_trigger_takes_everything_from_now_on_unless_it_says() {
    let topic = Label::new("orders").unwrap();
    let plain = TriggerSource::Topic {
        topic: topic.clone(),
        filters: Vec::new(),
        from: Beginning::Latest,
        batch: 1,
        reply: ReplySpec::Same,
    };
    assert_eq!(source(""), plain);
    assert_eq!(source("reply = true\nfrom = \"latest\""), plain);
    let more = "filter = \"type = 'a'\"\nfrom = \"earliest\"\nbatch = 7\nreply = \"done\"";
    assert_eq!(
        source(more),
        TriggerSource::Topic {
            topic,
            filters: vec![FilterSpec::Sql("type = 'a'".to_owned())],
            from: Beginning::Earliest,
            batch: 7,
            reply: ReplySpec::Topic(Label::new("done").unwrap()),
        }
    );
    let TriggerSource::Topic { reply, .. } = source("reply = false") else {
        panic!("a topic");
    };
    assert_eq!(reply, ReplySpec::Off);
}

#[test]
fn every_dialect_arrives() {
    let more = r#"filters = [
        { exact = { type = "a" } }, { prefix = { source = "/x" } }, { suffix = { source = "y" } },
        { all = ["EXISTS b", { not = { exact = { c = "d" } } }] },
        { any = [{ sql = "e > 1" }] },
    ]"#;
    let TriggerSource::Topic { filters, .. } = source(more) else {
        panic!("a topic");
    };
    let map = |name: &str, text: &str| [(name.to_owned(), text.to_owned())].into();
    assert_eq!(
        filters,
        [
            exact("type", "a"),
            FilterSpec::Prefix(map("source", "/x")),
            FilterSpec::Suffix(map("source", "y")),
            FilterSpec::All(vec![
                FilterSpec::Sql("EXISTS b".to_owned()),
                FilterSpec::Not(Box::new(exact("c", "d")))
            ]),
            FilterSpec::Any(vec![FilterSpec::Sql("e > 1".to_owned())]),
        ]
    );
}

#[test]
fn a_topic_has_settings() {
    let (app, _) = parse_gust(&with(
        "\n[topic.orders]\nmax_age = \"30d\"\nmax_bytes = \"2MiB\"\n[topic.plain]\n",
    ))
    .unwrap();
    let of = |name: &str| app.events.topics[&Label::new(name).unwrap()].clone();
    assert_eq!(of("plain"), TopicSettings::default());
    assert_eq!(
        of("orders"),
        TopicSettings {
            max_age: Span::secs(30 * 86_400),
            max_bytes: ByteSize::mib(2),
            ..TopicSettings::default()
        }
    );
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    for (more, wanted) in [
        (
            "filter = { type = \"a\" }",
            "not a dialect of filters: `type`",
        ),
        (
            "filter = { exact = { a = \"b\" }, sql = \"c\" }",
            "exactly one of",
        ),
        (
            "filter = 3",
            "must be a table or an expression, not an integer",
        ),
        (
            "filter = { exact = \"a\" }",
            "must be a table of attributes",
        ),
        (
            "filter = { exact = { a = 3 } }",
            "write it in quotes: \"3\"",
        ),
        ("filters = \"a\"", "must be a list of filters"),
        (
            "filters = [{ any = {} }]",
            "`any` must be a list of filters",
        ),
        ("filter = \"a\"\nfilters = []", "not both"),
        ("from = \"now\"", "write \"latest\" or \"earliest\""),
        ("reply = 3", "true, false or a topic"),
        ("reply = \"a b\"", "label"),
        ("timezone = \"UTC\"", "`timezone` means nothing"),
        ("queue = \"q\"", "exactly one of"),
    ] {
        let fault = gust_fault(&trigger(more));
        assert!(fault.contains(wanted), "{more}\n{fault}");
    }
    let queue = with("\n[[trigger]]\nfunction = \"hello\"\nqueue = \"q\"\nfilter = \"a\"\n");
    assert!(gust_fault(&queue).contains("`filter` means nothing"));
    let deep = format!("filter = {}\"a\"{}", "{ not = ".repeat(40), " }".repeat(40));
    assert!(gust_fault(&trigger(&deep)).contains("nested too deep"));
    assert!(gust_fault(&with("\n[topic.t]\nmax_aeg = \"1d\"\n")).contains("max_age"));
}
