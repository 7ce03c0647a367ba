//! The door's own parsing: pure functions over what a stranger sent. Each is fuzzed.

mod encoding;
mod head;
mod lists;
mod range;

pub use encoding::{Accepted, Coding, accepted_codings};
pub use head::{Framing, framing, is_host};
pub use lists::{accepts_json, etag_listed, tokens};
pub use range::{Part, range};
