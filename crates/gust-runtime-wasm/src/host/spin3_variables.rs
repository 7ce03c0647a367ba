//! `spin:variables/variables@3.0.0`.

use wasmtime::component::Accessor;

use super::{
    Ours, View,
    variables::{self, Missing},
    wit::spin3::spin::variables::variables::{Error, Host, HostWithStore},
};
use crate::guest::Guest;

impl Host for View<'_> {}

impl HostWithStore<Guest> for Ours {
    async fn get(
        guest: &Accessor<Guest, Self>,
        name: String,
    ) -> wasmtime::Result<Result<String, Error>> {
        let found = guest.with(|mut guest| variables::get(&guest.get(), &name));
        Ok(found.map_err(|missing| match missing {
            Missing::InvalidName(why) => Error::InvalidName(why),
            Missing::Undefined(why) => Error::Undefined(why),
        }))
    }
}
