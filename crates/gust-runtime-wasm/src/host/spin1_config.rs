//! `fermyon:spin/config` of Spin 1. It has no word for "undefined": that is an invalid key.

use super::{
    View,
    variables::{self, Missing},
    wit::spin1::fermyon::spin::config::{Error, Host},
};

impl Host for View<'_> {
    async fn get_config(&mut self, key: String) -> wasmtime::Result<Result<String, Error>> {
        Ok(variables::get(self, &key).map_err(|missing| match missing {
            Missing::InvalidName(why) | Missing::Undefined(why) => Error::InvalidKey(why),
        }))
    }
}
