//! What happened to keys, as events of the store's change stream.

use gust_backend::{
    changes::{Change, REASON, VERSION, media_type},
    queue::Message,
};

use super::{
    group::{Told, What},
    keys::StoreKey,
};

/// The events of what a request did to a store, in order.
pub(crate) fn events(store: &StoreKey, told: Vec<Told>, now_us: u64) -> Vec<Message> {
    let source = store.source();
    let event = |told| event(&source, told, now_us);
    told.into_iter().map(event).collect()
}

fn event(source: &str, told: Told, now_us: u64) -> Message {
    let Told { key, version, what } = told;
    let mut extensions = vec![(VERSION, version.to_string())];
    if what == What::Expired {
        extensions.push((REASON, "expired".to_owned()));
    }
    // A version is given once, and goes once.
    let (kind, id, data) = match what {
        What::Set(value) => {
            let data = Some((media_type(&value), value));
            ("gust.kv.set", version.to_string(), data)
        }
        What::Deleted | What::Expired => ("gust.kv.deleted", format!("{version}-deleted"), None),
    };
    let change = Change {
        source,
        kind,
        id,
        key: &key,
        time_us: now_us,
        extensions,
        data,
    };
    change.into_message()
}
