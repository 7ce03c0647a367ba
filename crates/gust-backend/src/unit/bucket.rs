//! A bucket in a call with a unit: to be read. What would be put could neither wait for the unit nor be taken back.

use std::sync::Arc;

use async_trait::async_trait;
use gust_types::{Blame, Error, Kind, Result};

use super::Unit;
use crate::blob::{
    BlobLimits, Body, Bucket, Condition, GetOptions, Got, ListOptions, Object, Page, PutOptions,
};

/// A bucket that refuses changes.
pub(super) struct UnitBucket {
    unit: Arc<Unit>,
    bucket: Arc<dyn Bucket>,
}

// === impl UnitBucket ===

impl UnitBucket {
    pub(super) fn new(unit: Arc<Unit>, bucket: Arc<dyn Bucket>) -> Self {
        Self { unit, bucket }
    }

    /// Nothing is read after the answer, as in a store.
    fn open(&self) -> Result<&dyn Bucket> {
        self.unit.state.lock().open()?;
        Ok(&*self.bucket)
    }
}

fn refused<T>() -> Result<T> {
    let text = "objects are not written in a call with exactly_once: they cannot be part of its one commit";
    Err(Error::new(Kind::Invalid, Blame::Function, text)
        .hint("write them in a function that a message of this call starts, or take exactly_once off the trigger"))
}

#[async_trait]
impl Bucket for UnitBucket {
    async fn put(&self, _: &str, _: Body, _: PutOptions) -> Result<Object> {
        refused()
    }

    async fn get(&self, key: &str, options: GetOptions) -> Result<Got> {
        self.open()?.get(key, options).await
    }

    async fn head(&self, key: &str) -> Result<Option<Object>> {
        self.open()?.head(key).await
    }

    async fn delete(&self, _: &str, _: Condition) -> Result<Option<Object>> {
        refused()
    }

    async fn list(&self, options: ListOptions) -> Result<Page> {
        self.open()?.list(options).await
    }

    fn limits(&self) -> BlobLimits {
        self.bucket.limits()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use gust_types::{Label, ProjectName};

    use super::*;
    use crate::{Backends as _, blob::BucketExt as _, unit::memory::MemoryBackends};

    #[tokio::test]
    async fn it_is_read_and_not_written() {
        let backends = Arc::new(MemoryBackends::default());
        let project = ProjectName::default_project();
        let label = Label::new("photos").unwrap();
        let plain = backends.blob(&project, &label).unwrap();
        plain.put_bytes("猫", Bytes::from("x")).await.unwrap();
        let unit = Unit::new(backends, project, label, Vec::new());
        let bucket = unit.bucket(plain.clone());
        let (_, bytes) = bucket.read("猫", 9).await.unwrap().unwrap();
        assert_eq!(bytes, "x");
        let put = bucket.put_bytes("猫", Bytes::from("y")).await.unwrap_err();
        assert!(put.message.contains("exactly_once"), "{}", put.message);
        let gone = bucket.delete("猫", Condition::Always).await.unwrap_err();
        assert_eq!((gone.kind, gone.blame), (Kind::Invalid, Blame::Function));
        let (object, _) = plain.read("猫", 9).await.unwrap().unwrap();
        assert_eq!(object.size, 1);
        unit.close();
        let late = bucket.head("猫").await.unwrap_err();
        assert_eq!(late.kind, Kind::Invalid);
    }
}
