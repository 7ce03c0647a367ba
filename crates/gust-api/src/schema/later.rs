//! Calls made later as the API's description shows them.

use utoipa::ToSchema;

use super::{Duration, RetrySpec};

/// How calls of a function are made later.
#[derive(ToSchema)]
pub struct LaterSpec {
    /// What becomes of a call that fails.
    #[schema(required = false)]
    retry: RetrySpec,
    /// How long a result is kept.
    #[schema(required = false)]
    keep: Duration,
    /// Calls made at once.
    #[schema(required = false)]
    concurrency: u32,
    /// Told of each call that the function answered.
    on_success: Option<DestinationText>,
    /// Told of each call that was given up.
    on_failure: Option<DestinationText>,
    /// Whether callers from outside may ask for it.
    #[schema(required = false)]
    public: bool,
    /// Posted to when a call is over.
    callback: Option<String>,
    /// What callbacks are signed with: templates that name one secret variable each.
    #[schema(required = false)]
    callback_secrets: Vec<String>,
    /// Whether callers from outside may name an address.
    #[schema(required = false)]
    callback_public: bool,
}

/// A queue or a topic of the project, or a function of the app.
#[derive(ToSchema)]
#[schema(
    pattern = "^(queue|topic|function):[A-Za-z][A-Za-z0-9_-]{0,62}$",
    example = "queue:failed"
)]
pub struct DestinationText(String);
