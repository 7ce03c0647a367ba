//! `spin:key-value/key-value@3.0.0`: async, other calls of the same copy go on meanwhile.

use futures::StreamExt as _;
use wasmtime::component::{Accessor, Resource};

use super::{
    Ours, View,
    kv::{Keys, Refusal, Store},
    rows::{self, Ends},
    wit::spin3::spin::key_value::key_value::{Error, Host, HostStore, HostStoreWithStore},
};
use crate::guest::Guest;

type Answer<T> = wasmtime::Result<Result<T, Error>>;

impl Host for View<'_> {}

impl HostStore for View<'_> {
    async fn drop(&mut self, store: Resource<Store>) -> wasmtime::Result<()> {
        self.table.delete(store)?;
        Ok(())
    }
}

fn keys(guest: &Accessor<Guest, Ours>, store: &Resource<Store>) -> wasmtime::Result<Keys> {
    guest.with(|mut guest| guest.get().keys(store))
}

impl HostStoreWithStore<Guest> for Ours {
    async fn open(guest: &Accessor<Guest, Self>, label: String) -> Answer<Resource<Store>> {
        guest.with(|mut guest| {
            let view = guest.get();
            match Store::open(&view, &label) {
                Ok(store) => Ok(Ok(view.table.push(store)?)),
                Err(refusal) => Ok(Err(refusal.into())),
            }
        })
    }

    async fn get(
        guest: &Accessor<Guest, Self>,
        store: Resource<Store>,
        key: String,
    ) -> Answer<Option<Vec<u8>>> {
        let keys = keys(guest, &store)?;
        Ok(keys.get(&key).await.map_err(Error::from))
    }

    async fn set(
        guest: &Accessor<Guest, Self>,
        store: Resource<Store>,
        key: String,
        value: Vec<u8>,
    ) -> Answer<()> {
        let keys = keys(guest, &store)?;
        Ok(keys.set(key, value).await.map_err(Error::from))
    }

    async fn delete(
        guest: &Accessor<Guest, Self>,
        store: Resource<Store>,
        key: String,
    ) -> Answer<()> {
        let keys = keys(guest, &store)?;
        Ok(keys.delete(key).await.map_err(Error::from))
    }

    async fn exists(
        guest: &Accessor<Guest, Self>,
        store: Resource<Store>,
        key: String,
    ) -> Answer<bool> {
        let keys = keys(guest, &store)?;
        Ok(keys.exists(&key).await.map_err(Error::from))
    }

    async fn get_keys(
        guest: &Accessor<Guest, Self>,
        store: Resource<Store>,
    ) -> wasmtime::Result<Ends<String, Error>> {
        let listing = keys(guest, &store)?.stream();
        let listing = listing.map(|key| key.map_err(|e| Refusal::from(e).into()));
        rows::ends(guest, listing.boxed())
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
