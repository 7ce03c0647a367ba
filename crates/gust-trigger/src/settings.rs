//! From a manifest's table to a plug-in's settings.

use gust_types::{Error, Result, trigger::ExternalSettings};

use crate::Kind;

/// The settings of a kind. An error names the key where it can and never shows a value: any may be a secret.
pub(crate) fn read<K: Kind>(settings: &ExternalSettings) -> Result<K::Settings> {
    let value = serde_json::Value::Object(settings.clone());
    serde_json::from_value(value).map_err(|error| {
        let text = error.to_string();
        let about_keys = ["unknown field", "missing field", "duplicate field"];
        let kind = K::KIND;
        match about_keys.iter().any(|about| text.starts_with(about)) {
            true => Error::invalid(format!("the settings of {kind} are malformed: {text}")),
            false => Error::invalid(format!(
                "the settings of {kind} are malformed: a value is not of its type"
            )),
        }
    })
}
