//! Buckets as guests see them. The interface only translates.
//!
//! No object is ever held as a whole: what a guest writes goes through [`outgoing`] and what it reads through
//! [`incoming`], each with a bound on how far one side may be ahead of the other.

use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use gust_backend::blob::{
    Bucket, Condition, Found, GetOptions, Got, ListOptions, Object, PutOptions, check,
};
use gust_types::Error;

use super::{
    View,
    open::{MAX_OPEN, Place, Places},
    outlets::words,
};

pub(super) mod incoming;
pub(super) mod names;
pub(super) mod outgoing;

/// Deletes that are under way at once: they share syncs.
const SIDE_BY_SIDE: usize = 32;

/// What a copy has open, counted.
#[derive(Default)]
pub(crate) struct Open {
    containers: Places,
    listings: Places,
    incoming: Places,
    outgoing: Places,
}

/// Why something was not done, in words for the guest.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Refusal(pub(crate) String);

/// An open bucket.
#[expect(unreachable_pub, reason = "named in generated code")]
pub struct Container {
    pub(crate) name: String,
    pub(crate) bucket: Arc<dyn Bucket>,
    _place: Place,
}

// === impl Container ===

impl Container {
    /// Opens what the manifest gives this function under `name`. Nothing is read yet.
    pub(crate) fn open(view: &View<'_>, name: &str) -> Result<Self, Refusal> {
        let bucket = bucket(view, name)?;
        let place = places(view).containers.take(MAX_OPEN);
        let place = place.ok_or_else(|| Refusal("too many containers are open".to_owned()))?;
        Ok(Self {
            name: name.to_owned(),
            bucket,
            _place: place,
        })
    }
}

fn places<'a>(view: &'a View<'_>) -> &'a Open {
    view.scope.host.blobs.get_or_init(Open::default)
}

/// The bucket of this name, if the function has it.
pub(crate) fn bucket(view: &View<'_>, name: &str) -> Result<Arc<dyn Bucket>, Refusal> {
    let found = view.scope.bindings.blobs.get(name);
    found.cloned().ok_or_else(|| {
        let shown: String = name.chars().take(100).collect();
        Refusal(format!(
            "access denied: the function may not open the container {shown:?} (name it among the function's `blobs`)"
        ))
    })
}

/// An object as it is now.
pub(crate) async fn object(bucket: &dyn Bucket, key: &str) -> Result<Object, Refusal> {
    bucket.head(key).await?.ok_or_else(|| absent(key))
}

fn absent(key: &str) -> Refusal {
    let shown: String = key.chars().take(100).collect();
    Refusal(format!("there is no such object: {shown:?}"))
}

/// Copies an object with what is known of it; answers the one that was copied.
pub(crate) async fn copy(
    from: (&dyn Bucket, &str),
    to: (&dyn Bucket, &str),
) -> Result<Object, Refusal> {
    let Got::Found(Found { object, body, .. }) = from.0.get(from.1, GetOptions::default()).await?
    else {
        return Err(absent(from.1));
    };
    let options = PutOptions {
        content_type: Some(object.content_type.clone()),
        metadata: object.metadata.clone(),
        headers: object.headers.clone(),
        size: Some(object.size),
        ..PutOptions::default()
    };
    to.0.put(to.1, body, options).await?;
    Ok(object)
}

/// Removes the object that was moved, unless it was replaced meanwhile.
pub(crate) async fn delete_this(
    bucket: &dyn Bucket,
    key: &str,
    object: Object,
) -> Result<(), Refusal> {
    let this = Condition::Etag(vec![object.etag]);
    bucket.delete(key, this).await?;
    Ok(())
}

/// Removes objects; those that are not there are no error. All names are checked before any object goes.
pub(crate) async fn delete(bucket: &Arc<dyn Bucket>, keys: Vec<String>) -> Result<(), Refusal> {
    let limits = bucket.limits();
    keys.iter().try_for_each(|key| check::key(key, &limits))?;
    let deletes = stream::iter(keys).map(|key| {
        let bucket = bucket.clone();
        async move { bucket.delete(&key, Condition::Always).await.map(drop) }
    });
    let mut deleted = deletes.buffer_unordered(SIDE_BY_SIDE);
    while deleted.try_next().await?.is_some() {}
    Ok(())
}

/// Removes all objects, page by page. What is put meanwhile may stay.
pub(crate) async fn clear(bucket: &Arc<dyn Bucket>) -> Result<(), Refusal> {
    let mut options = ListOptions::default();
    loop {
        let page = bucket.list(options.clone()).await?;
        let keys = page.objects.into_iter().map(|(key, _)| key).collect();
        delete(bucket, keys).await?;
        if page.next.is_none() {
            return Ok(());
        }
        options.after = page.next;
    }
}

pub(crate) async fn is_empty(bucket: &dyn Bucket) -> Result<bool, Refusal> {
    let one = ListOptions {
        most: 1,
        ..ListOptions::default()
    };
    Ok(bucket.list(one).await?.objects.is_empty())
}

/// The guest gets the message and the hint, never the causes: they speak of the platform's insides.
impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self(words(&error))
    }
}
