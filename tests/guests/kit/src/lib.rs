//! What guests share whatever world they live in: JSON by hand, and a request's path taken apart.
//!
//! Kept free of WASI so that a guest imports only what its own source calls.

pub mod faults;
pub mod json;
pub mod path;
pub mod sql;
pub mod url;

pub use json::Json;
pub use path::Path;
