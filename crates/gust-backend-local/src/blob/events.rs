//! What happened to objects, as events of the bucket's change stream.

use bytes::Bytes;
use gust_backend::{
    blob::Object,
    changes::{Change, ChangeKind},
    queue::Message,
};

use super::keys::BucketKey;

/// The event of an object that came, or of one that went. What is put in place of another comes; the other does not go.
pub(super) fn event(
    bucket: &BucketKey,
    kind: ChangeKind,
    key: &str,
    object: &Object,
    now_us: u64,
) -> Message {
    let watched = bucket.watched();
    let version = &object.version;
    let id = match kind {
        ChangeKind::Deleted => format!("{version}-deleted"),
        _ => version.clone(),
    };
    let data = serde_json::json!({
        "bucket": watched.name().as_str(),
        "key": key,
        "size": object.size,
        "etag": object.etag,
        "version": version,
        "content_type": object.content_type,
        "metadata": object.metadata,
    });
    let change = Change {
        source: &watched.source(),
        kind: &watched.event_type(kind),
        id,
        key,
        time_us: now_us,
        extensions: Vec::new(),
        data: Some(("application/json", Bytes::from(data.to_string()))),
    };
    change.into_message()
}
