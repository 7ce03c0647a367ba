//! `fermyon:spin/key-value` of Spin 1: stores are numbers, and a missing key is an error.

use super::{
    View,
    kv::{Keys, Refusal, Store},
    wit::spin1::fermyon::spin::key_value::{Error, Host},
};

type Answer<T> = wasmtime::Result<Result<T, Error>>;

impl View<'_> {
    fn spin1_keys(&mut self, store: u32) -> Result<Keys, Error> {
        let store = self.scope.host.spin1_stores.get(store);
        let keys = store.ok_or(Error::InvalidStore)?.keys();
        self.scope.meter.host.kv += 1;
        Ok(keys)
    }
}

impl Host for View<'_> {
    async fn open(&mut self, name: String) -> Answer<u32> {
        let opened = Store::open(self, &name);
        let numbered = &mut self.scope.host.spin1_stores;
        Ok(opened.map(|store| numbered.add(store)).map_err(Error::from))
    }

    async fn get(&mut self, store: u32, key: String) -> Answer<Vec<u8>> {
        Ok(match self.spin1_keys(store) {
            Ok(keys) => match keys.get(&key).await {
                Ok(value) => value.ok_or(Error::NoSuchKey),
                Err(refusal) => Err(refusal.into()),
            },
            Err(e) => Err(e),
        })
    }

    async fn set(&mut self, store: u32, key: String, value: Vec<u8>) -> Answer<()> {
        Ok(match self.spin1_keys(store) {
            Ok(keys) => keys.set(key, value).await.map_err(Error::from),
            Err(e) => Err(e),
        })
    }

    async fn delete(&mut self, store: u32, key: String) -> Answer<()> {
        Ok(match self.spin1_keys(store) {
            Ok(keys) => keys.delete(key).await.map_err(Error::from),
            Err(e) => Err(e),
        })
    }

    async fn exists(&mut self, store: u32, key: String) -> Answer<bool> {
        Ok(match self.spin1_keys(store) {
            Ok(keys) => keys.exists(&key).await.map_err(Error::from),
            Err(e) => Err(e),
        })
    }

    async fn get_keys(&mut self, store: u32) -> Answer<Vec<String>> {
        Ok(match self.spin1_keys(store) {
            Ok(keys) => keys.all().await.map_err(Error::from),
            Err(e) => Err(e),
        })
    }

    async fn close(&mut self, store: u32) -> wasmtime::Result<()> {
        self.scope.host.spin1_stores.close(store);
        Ok(())
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::TableFull => Self::StoreTableFull,
            Refusal::NoSuchStore => Self::NoSuchStore,
            Refusal::AccessDenied => Self::AccessDenied,
            Refusal::Other(why) => Self::Io(why),
        }
    }
}
