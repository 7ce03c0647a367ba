//! Triggers on changes of what a project keeps: which of a stream's events they want ([`filter`]), and that nothing is
//! watched for longer than somebody wants it (`watch.rs`).

mod watch;

use gust_types::{
    Result,
    trigger::{ChangesSpec, FilterSpec},
};

pub(crate) use self::watch::Watches;
use crate::filter::Filter;

/// What of its stream a trigger wants.
pub(crate) fn filter(spec: &ChangesSpec) -> Result<Filter> {
    let is = |name: &str, text: String| FilterSpec::Exact([(name.to_owned(), text)].into());
    let mut all = Vec::new();
    if !spec.on.is_empty() {
        let kinds = spec.on.iter();
        let kinds = kinds.map(|kind| is("type", spec.of.event_type(*kind)));
        all.push(FilterSpec::Any(kinds.collect()));
    }
    if !spec.tables.is_empty() {
        let tables = spec.tables.iter();
        let tables = tables.map(|table| is("source", spec.of.source_of_table(table)));
        all.push(FilterSpec::Any(tables.collect()));
    }
    if !spec.prefix.is_empty() {
        let subject = ("subject".to_owned(), spec.prefix.clone());
        all.push(FilterSpec::Prefix([subject].into()));
    }
    // First, so that places in an error are those of the manifest.
    let mut filters = spec.filters.clone();
    filters.extend(all);
    Filter::new(&filters)
}

#[cfg(test)]
mod tests {
    use gust_backend::{
        changes::{Change, ChangeKind, Watched},
        queue::Message,
    };
    use gust_types::{Event, Label, trigger::Beginning};

    use super::*;
    use crate::message;

    fn event(kind: &str, key: &str) -> Event {
        let change = Change {
            source: "/kv/default",
            kind,
            id: "7".into(),
            key,
            time_us: 1,
            extensions: vec![("version", "7".into())],
            data: Some(("text/plain; charset=utf-8", "值".into())),
        };
        let message: Message = change.into_message();
        message::event(&message).unwrap()
    }

    #[test]
    fn a_change_is_read_back_as_the_event_it_is() {
        for key in ["用户/1", "a b%\"c", "", "nul\0", "\u{fffe}"] {
            let event = event("gust.kv.set", key);
            let shown = key.replace(['\0', '\u{fffe}'], "\u{fffd}");
            assert_eq!(event.subject().unwrap_or_default(), shown);
            assert_eq!(event.attribute("keyhex").is_some(), shown != key);
            assert_eq!(
                (event.kind(), event.source()),
                ("gust.kv.set", "/kv/default")
            );
            assert_eq!(&event.data().unwrap().bytes[..], "值".as_bytes());
            let message = message::of_event(&event);
            assert_eq!(message.group.as_deref(), event.partitionkey());
            assert!(message.group.is_some_and(|group| !group.is_empty()));
        }
    }

    #[test]
    fn a_trigger_wants_what_it_says() {
        let mut spec = ChangesSpec {
            of: Watched::Kv(Label::new("default").unwrap()),
            prefix: String::new(),
            tables: Vec::new(),
            on: Vec::new(),
            filters: Vec::new(),
            from: Beginning::Latest,
            batch: 1,
        };
        let wants = |spec: &ChangesSpec| {
            let filter = filter(spec).unwrap();
            let all = [
                ("gust.kv.set", "用户/1"),
                ("gust.kv.deleted", "用户/1"),
                ("gust.kv.set", "订单/1"),
            ];
            all.map(|(kind, key)| filter.matches(&event(kind, key)))
        };
        assert_eq!(wants(&spec), [true, true, true]);
        spec.on = vec![ChangeKind::Set];
        assert_eq!(wants(&spec), [true, false, true]);
        spec.prefix = "用户/".into();
        assert_eq!(wants(&spec), [true, false, false]);
        spec.on.clear();
        assert_eq!(wants(&spec), [true, true, false]);
        spec.filters = vec![FilterSpec::Sql("type = 'gust.kv.deleted'".into())];
        assert_eq!(wants(&spec), [false, true, false]);
        let tables = ChangesSpec {
            of: Watched::Sql(Label::new("default").unwrap()),
            tables: vec!["订单".into()],
            prefix: String::new(),
            on: Vec::new(),
            filters: Vec::new(),
            ..spec.clone()
        };
        let of = |table: &str| {
            let event = event("gust.sql.inserted", "1");
            event
                .with("source", tables.of.source_of_table(table))
                .unwrap()
        };
        let filter = filter(&tables).unwrap();
        assert!(filter.matches(&of("订单")) && !filter.matches(&of("订")));
        spec.on = vec![ChangeKind::Updated];
        let error = spec.check().unwrap_err();
        assert!(
            error
                .message
                .contains("kv:default has no such changes: updated")
        );
    }
}
