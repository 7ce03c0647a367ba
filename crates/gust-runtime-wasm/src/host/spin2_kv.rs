//! `fermyon:spin/key-value@2.0.0`.

use wasmtime::component::Resource;

use super::{
    View,
    kv::{Refusal, Store},
    wit::spin2::fermyon::spin2_0_0::key_value::{Error, Host, HostStore},
};

type Answer<T> = wasmtime::Result<Result<T, Error>>;

impl Host for View<'_> {}

impl HostStore for View<'_> {
    async fn open(&mut self, label: String) -> Answer<Resource<Store>> {
        match Store::open(self, &label) {
            Ok(store) => Ok(Ok(self.table.push(store)?)),
            Err(refusal) => Ok(Err(refusal.into())),
        }
    }

    async fn get(&mut self, store: Resource<Store>, key: String) -> Answer<Option<Vec<u8>>> {
        let keys = self.keys(&store)?;
        Ok(keys.get(&key).await.map_err(Error::from))
    }

    async fn set(&mut self, store: Resource<Store>, key: String, value: Vec<u8>) -> Answer<()> {
        let keys = self.keys(&store)?;
        Ok(keys.set(key, value).await.map_err(Error::from))
    }

    async fn delete(&mut self, store: Resource<Store>, key: String) -> Answer<()> {
        let keys = self.keys(&store)?;
        Ok(keys.delete(key).await.map_err(Error::from))
    }

    async fn exists(&mut self, store: Resource<Store>, key: String) -> Answer<bool> {
        let keys = self.keys(&store)?;
        Ok(keys.exists(&key).await.map_err(Error::from))
    }

    async fn get_keys(&mut self, store: Resource<Store>) -> Answer<Vec<String>> {
        let keys = self.keys(&store)?;
        Ok(keys.all().await.map_err(Error::from))
    }

    async fn drop(&mut self, store: Resource<Store>) -> wasmtime::Result<()> {
        self.table.delete(store)?;
        Ok(())
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::TableFull => Self::StoreTableFull,
            Refusal::NoSuchStore => Self::NoSuchStore,
            Refusal::AccessDenied => Self::AccessDenied,
            Refusal::Other(why) => Self::Other(why),
        }
    }
}
