//! `wasi:config/store@0.2.0-draft-2024-09-27`: the function's variables. What is not there is not an error.

use super::{
    View, variables,
    wit::drafts::wasi::config::store::{Error, Host},
};

type Answer<T> = wasmtime::Result<Result<T, Error>>;

impl Host for View<'_> {
    async fn get(&mut self, key: String) -> Answer<Option<String>> {
        Ok(Ok(variables::get(self, &key).ok()))
    }

    async fn get_all(&mut self) -> Answer<Vec<(String, String)>> {
        let all = self.scope.bindings.variables.iter();
        Ok(Ok(all.map(|(k, v)| (k.clone(), v.clone())).collect()))
    }
}
