//! What a function publishes becomes an event of a topic.

use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use gust_types::{
    Error, Result,
    event::{Cause, Data, Event, Form},
};

use super::check;
use crate::queue::{
    Message, QueueLimits,
    check::MEDIA_TYPE,
    event::{PREFIX, of_event},
};

/// The type of what nobody has given one.
pub const TYPE: &str = "gust.topic.message";
/// Before the key that a function gives: other publishers have theirs.
const KEY: &str = "key/";
/// What functions get with an event and like to send on.
const ATTEMPT: &str = "gustattempt";

/// Events out of messages: with a type and a time, and with what led to them. A message's group is the event's
/// `partitionkey`. Refuses what is no event, what only a queue's message can have, and what would go on with a loop.
pub fn events(
    messages: Vec<Message>,
    cause: Option<&Cause>,
    limits: &QueueLimits,
    now_us: u64,
) -> Result<Vec<Message>> {
    if let Some(cause) = cause {
        cause.leads_on()?;
    }
    check::events(&messages, limits)?;
    let events: Vec<_> = messages
        .into_iter()
        .map(|message| event(message, cause, now_us))
        .collect::<Result<_>>()?;
    check::events(&events, limits)?;
    Ok(events)
}

fn event(message: Message, cause: Option<&Cause>, now_us: u64) -> Result<Message> {
    let mut event = Event::new("0", "/", TYPE)?;
    for (name, value) in message.attributes {
        match name.as_str() {
            ATTEMPT | Event::HOPS | Event::TRAIL => {}
            MEDIA_TYPE => event.set("datacontenttype", value)?,
            name if name.starts_with(PREFIX) => {
                return Err(Error::invalid(format!(
                    "not the name of an attribute: {name:?}"
                )));
            }
            name => event.set(name, value)?,
        }
    }
    if let Some(group) = message.group {
        event.set(Event::PARTITION_KEY, group)?;
    }
    if event.time().is_none() {
        let time = UNIX_EPOCH + Duration::from_micros(now_us);
        event.set("time", humantime::format_rfc3339_micros(time).to_string())?;
    }
    for (name, value) in cause.into_iter().flat_map(Cause::extensions) {
        event.set(name, value)?;
    }
    let mut made = of_event(&with_data(event, message.body));
    made.key = message.key.map(|key| format!("{KEY}{key}"));
    Ok(made)
}

fn with_data(event: Event, bytes: Bytes) -> Event {
    if bytes.is_empty() {
        return event;
    }
    // What it is meant as says its media type, which is kept.
    let form = Form::Binary;
    event.with_data(Data { bytes, form })
}

#[cfg(test)]
mod tests {
    use gust_types::Kind;

    use super::*;

    fn shaped(message: Message, cause: Option<&Cause>) -> Result<Message> {
        let limits = QueueLimits::default();
        let mut events = events(vec![message], cause, &limits, 1_700_000_000_000_000)?;
        Ok(events.remove(0))
    }

    fn message(attributes: &[(&str, &str)]) -> Message {
        let mut message = Message::new("数据");
        for (name, value) in attributes {
            let pair = ((*name).to_owned(), (*value).to_owned());
            message.attributes.extend([pair]);
        }
        message
    }

    #[test]
    fn a_message_becomes_an_event() {
        let given = [
            ("id", "7"),
            ("source", "/apps/shop/functions/till"),
            ("content-type", "text/plain"),
            ("colour", "红 1"),
            ("gustattempt", "3"),
            ("gusthops", "9"),
        ];
        let mut plain = message(&given).with_key("k");
        plain.group = Some("客户".into());
        let made = shaped(plain, None).unwrap();
        let of = |name: &str| made.attributes.get(name).map(String::as_str);
        assert_eq!((of("ce-id"), of("ce-type")), (Some("7"), Some(TYPE)));
        assert_eq!(of("ce-specversion"), Some("1.0"));
        assert_eq!(of("ce-time"), Some("2023-11-14T22:13:20.000000Z"));
        assert_eq!(of("ce-colour"), Some("%E7%BA%A2%201"));
        assert_eq!(of("content-type"), Some("text/plain"));
        assert_eq!((of("ce-gustattempt"), of("ce-gusthops")), (None, None));
        assert_eq!(made.group.as_deref(), Some("客户"));
        assert_eq!(of("ce-partitionkey"), Some("%E5%AE%A2%E6%88%B7"));
        assert_eq!(made.key.as_deref(), Some("key/k"));
        assert_eq!(&made.body[..], "数据".as_bytes());
    }

    #[test]
    fn it_says_what_led_to_it() {
        let cause = |hops| Cause {
            hops,
            trail: "shop/a,shop/b".into(),
        };
        let made = shaped(message(&[("type", "order.placed")]), Some(&cause(2))).unwrap();
        assert_eq!(made.attributes["ce-type"], "order.placed");
        assert_eq!(made.attributes["ce-gusthops"], "2");
        assert_eq!(made.attributes["ce-gusttrail"], "shop/a,shop/b");
        let refused = shaped(message(&[]), Some(&cause(17))).unwrap_err();
        assert!(refused.message.ends_with("triggers: shop/a"), "{refused:?}");
    }

    #[test]
    fn what_a_topic_cannot_keep_is_refused() {
        let mut hurried = message(&[]);
        hurried.priority = 1;
        let mut late = message(&[]);
        late.delay = Some(Duration::from_secs(1));
        let mut grouped = message(&[]);
        grouped.group = Some("a\u{7}b".into());
        for bad in [
            hurried,
            late,
            grouped,
            message(&[("time", "yesterday")]),
            message(&[("Bad Name", "")]),
            message(&[("ce-type", "t")]),
            message(&[("type", "")]),
        ] {
            let refused = shaped(bad.clone(), None).unwrap_err();
            assert_eq!(refused.kind, Kind::Invalid, "{bad:?}");
        }
    }
}
