//! `fermyon:spin/variables@2.0.0`.

use super::{
    View,
    variables::{self, Missing},
    wit::spin2::fermyon::spin2_0_0::variables::{Error, Host},
};

impl Host for View<'_> {
    async fn get(&mut self, name: String) -> wasmtime::Result<Result<String, Error>> {
        Ok(
            variables::get(self, &name).map_err(|missing| match missing {
                Missing::InvalidName(why) => Error::InvalidName(why),
                Missing::Undefined(why) => Error::Undefined(why),
            }),
        )
    }
}
