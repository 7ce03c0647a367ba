//! Values of an app's variables, as far as anybody may see them: their names.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A value to keep, encrypted. It cannot be read back.
#[derive(Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSecret {
    /// The value, 64 KiB at most.
    pub value: String,
}

impl std::fmt::Debug for NewSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NewSecret(..)")
    }
}

/// A value that is set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Secret {
    /// The variable's name.
    pub name: String,
    /// When it was last set, Unix microseconds.
    pub updated_us: u64,
    /// False when the serving deployment has no variable of this name (yet).
    pub used: bool,
}

/// The values that are set for an app.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct Secrets {
    /// By name.
    pub secrets: Vec<Secret>,
}

/// What setting or removing a value did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SecretChanged {
    /// The variable's name.
    pub name: String,
    /// True when the app was serving and serves with the new value from now on.
    pub published: bool,
}
