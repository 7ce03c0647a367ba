//! A component that others import from: no function of its own, see `wit/words.wit`.

use exports::gust_tests::words::words::Guest;
use fermyon::spin2_0_0::key_value::{Error as StoreError, Store};
use fermyon::spin2_0_0::variables::{self, Error as VariableError};
use kit::Path;

wit_bindgen::generate!({
    path: ["../../../wit", "wit"],
    world: "gust-tests:words/library",
    generate_all,
});

struct Words;

export!(Words);

impl Guest for Words {
    fn upper(text: String) -> String {
        text.to_uppercase()
    }

    fn stored(key: String) -> Result<Option<String>, String> {
        let name = |error| match error {
            StoreError::AccessDenied => "access-denied".to_owned(),
            StoreError::NoSuchStore => "no-such-store".to_owned(),
            StoreError::StoreTableFull => "store-table-full".to_owned(),
            StoreError::Other(text) => format!("other: {text}"),
        };
        let store = Store::open("default").map_err(name)?;
        let value = store.get(&key).map_err(name)?;
        Ok(value.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    fn variable(name: String) -> Result<String, String> {
        variables::get(&name).map_err(|error| match error {
            VariableError::InvalidName(text) => format!("invalid-name: {text}"),
            VariableError::Undefined(text) => format!("undefined: {text}"),
            VariableError::Provider(text) => format!("provider: {text}"),
            VariableError::Other(text) => format!("other: {text}"),
        })
    }

    fn env(name: String) -> Option<String> {
        std::env::var(name).ok()
    }

    fn fetch(url: String) -> String {
        kit_p2::fetch(&Path::parse(&format!("/fetch?url={url}"))).to_string()
    }

    fn file(path: String) -> Result<String, String> {
        std::fs::read_to_string(path).map_err(|error| error.kind().to_string())
    }
}
