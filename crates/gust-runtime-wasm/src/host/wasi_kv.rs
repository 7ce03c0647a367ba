//! `wasi:keyvalue/store` and `atomics`, `@0.2.0-draft2`. `batch` is in `wasi_batch`.

use gust_backend::kv::Version;
use wasmtime::component::Resource;

use super::{
    View,
    kv::{Keys, Refusal, Store},
    wit::drafts::wasi::keyvalue::{
        atomics::{self, CasError},
        store::{self, Error, KeyResponse},
    },
};

type Answer<T> = wasmtime::Result<Result<T, Error>>;

/// A value as it was when the guest last looked, and the wish to replace it.
#[expect(unreachable_pub, reason = "named in generated code")]
pub struct Cas {
    keys: Keys,
    key: String,
    seen: Option<Version>,
}

impl store::Host for View<'_> {
    async fn open(&mut self, identifier: String) -> Answer<Resource<Store>> {
        match Store::open(self, &identifier) {
            Ok(store) => Ok(Ok(self.table.push(store)?)),
            Err(refusal) => Ok(Err(refusal.into())),
        }
    }
}

impl store::HostBucket for View<'_> {
    async fn get(&mut self, bucket: Resource<Store>, key: String) -> Answer<Option<Vec<u8>>> {
        let keys = self.keys(&bucket)?;
        Ok(keys.get(&key).await.map_err(Error::from))
    }

    async fn set(&mut self, bucket: Resource<Store>, key: String, value: Vec<u8>) -> Answer<()> {
        let keys = self.keys(&bucket)?;
        Ok(keys.set(key, value).await.map_err(Error::from))
    }

    async fn delete(&mut self, bucket: Resource<Store>, key: String) -> Answer<()> {
        let keys = self.keys(&bucket)?;
        Ok(keys.delete(key).await.map_err(Error::from))
    }

    async fn exists(&mut self, bucket: Resource<Store>, key: String) -> Answer<bool> {
        let keys = self.keys(&bucket)?;
        Ok(keys.exists(&key).await.map_err(Error::from))
    }

    async fn list_keys(
        &mut self,
        bucket: Resource<Store>,
        cursor: Option<String>,
    ) -> Answer<KeyResponse> {
        let keys = self.keys(&bucket)?;
        let page = keys.page(cursor).await;
        Ok(page
            .map(|(keys, cursor)| KeyResponse { keys, cursor })
            .map_err(Error::from))
    }

    async fn drop(&mut self, bucket: Resource<Store>) -> wasmtime::Result<()> {
        self.table.delete(bucket)?;
        Ok(())
    }
}

impl atomics::Host for View<'_> {
    async fn increment(&mut self, bucket: Resource<Store>, key: String, delta: i64) -> Answer<i64> {
        let keys = self.keys(&bucket)?;
        Ok(keys.increment(&key, delta).await.map_err(Error::from))
    }

    async fn swap(
        &mut self,
        cas: Resource<Cas>,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<(), CasError>> {
        let Cas { keys, key, seen } = self.table.delete(cas)?;
        self.scope.meter.host.kv += 1;
        match keys.swap(&key, seen, value).await {
            Ok(true) => Ok(Ok(())),
            Ok(false) => match look(keys, key).await {
                Ok(fresh) => Ok(Err(CasError::CasFailed(self.table.push(fresh)?))),
                Err(refusal) => Ok(Err(CasError::StoreError(refusal.into()))),
            },
            Err(refusal) => Ok(Err(CasError::StoreError(refusal.into()))),
        }
    }
}

impl atomics::HostCas for View<'_> {
    async fn new(&mut self, bucket: Resource<Store>, key: String) -> Answer<Resource<Cas>> {
        let keys = self.keys(&bucket)?;
        match look(keys, key).await {
            Ok(cas) => Ok(Ok(self.table.push(cas)?)),
            Err(refusal) => Ok(Err(refusal.into())),
        }
    }

    async fn current(&mut self, handle: Resource<Cas>) -> Answer<Option<Vec<u8>>> {
        self.scope.meter.host.kv += 1;
        let cas = self.table.get(&handle)?;
        let (keys, key) = (cas.keys.clone(), cas.key.clone());
        match keys.versioned(&key).await {
            Ok(found) => {
                self.table.get_mut(&handle)?.seen = found.as_ref().map(|v| v.version);
                Ok(Ok(found.map(|v| v.value.into())))
            }
            Err(refusal) => Ok(Err(refusal.into())),
        }
    }

    async fn drop(&mut self, cas: Resource<Cas>) -> wasmtime::Result<()> {
        self.table.delete(cas)?;
        Ok(())
    }
}

async fn look(keys: Keys, key: String) -> Result<Cas, Refusal> {
    let seen = keys.versioned(&key).await?.map(|found| found.version);
    Ok(Cas { keys, key, seen })
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NoSuchStore => Self::NoSuchStore,
            Refusal::AccessDenied => Self::AccessDenied,
            Refusal::TableFull => Self::Other("too many stores are open".to_owned()),
            Refusal::Other(why) => Self::Other(why),
        }
    }
}
