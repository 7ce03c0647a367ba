//! Access keys: what clients of a project's backends sign their requests with.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A key to make.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAccessKey {
    /// What it is for, to tell it from others: 100 characters at most.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// A key that was made. Its secret is told this once.
#[derive(Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MadeAccessKey {
    /// What requests name it by: AWS_ACCESS_KEY_ID.
    pub id: String,
    /// What they are signed with: AWS_SECRET_ACCESS_KEY.
    pub secret: String,
    /// What it is for.
    pub note: String,
    /// When it was made, Unix microseconds.
    pub created_us: u64,
}

/// A key that is good.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AccessKey {
    /// What requests name it by.
    pub id: String,
    /// What it is for.
    pub note: String,
    /// When it was made, Unix microseconds.
    pub created_us: u64,
}

/// The keys of a project.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct AccessKeys {
    /// The oldest first.
    pub keys: Vec<AccessKey>,
}

impl std::fmt::Debug for MadeAccessKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MadeAccessKey")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
