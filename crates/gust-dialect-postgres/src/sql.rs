//! What becomes of a statement's text: cut into tokens, split, recognised, and put into SQLite's words.
//!
//! Everything here is a pure function of text. What SQLite is given in the end is made of tokens, never of the text as it
//! came: comments are gone, strings are closed, so that both sides agree on where a statement ends.
//!
//! - `token.rs`: text into tokens, tokens into statements.
//! - `plan.rs`: what kind of statement it is, and who does it.
//! - `settings.rs`: SET, RESET and SHOW.
//! - `outline.rs`: which columns and parameters it has, as far as its text tells.
//! - `rewrite.rs`, `casts.rs`, `tables.rs`: PostgreSQL's spellings into SQLite's.
//! - `catalog.rs`: the questions to PostgreSQL's catalogs that are answered.

pub(crate) mod casts;
pub(crate) mod catalog;
pub(crate) mod outline;
pub(crate) mod plan;
pub(crate) mod rewrite;
pub(crate) mod settings;
pub(crate) mod tables;
#[cfg(test)]
mod tests;
pub(crate) mod token;
