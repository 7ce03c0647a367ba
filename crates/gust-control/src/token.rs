//! The bearer token: made at the first start, written once for the local command line, kept as a hash.
//!
//! The file may be removed once the token is somewhere safe; a later start does not write it again. A token that is
//! 256 random bits needs no slow hash.

use std::path::Path;

use gust_types::{Error, Result};
use sha2::Digest as _;
use subtle::{Choice, ConstantTimeEq as _};

use crate::{
    seal::write_private,
    store::{Store, tokens},
};

/// The tokens that are let in.
pub(crate) struct Tokens {
    hashes: Vec<[u8; 32]>,
}

// === impl Tokens ===

impl Tokens {
    /// Those of the database. At the first start one is made and written to `file`.
    pub(crate) async fn open(store: &Store, file: &Path, now_us: u64) -> Result<Self> {
        let mut hashes = store.read(tokens::list).await?;
        if hashes.is_empty() {
            let token = left_behind(file).map_or_else(|| make(file), Ok)?;
            let hash = hash(&token);
            store.write(move |db| tokens::add(db, hash, now_us)).await?;
            hashes.push(hash);
        }
        Ok(Self { hashes })
    }

    /// No token is good: nothing is served.
    pub(crate) fn none() -> Self {
        Self { hashes: Vec::new() }
    }

    /// Whether to let in whoever shows this. Takes the same time for every wrong token.
    pub(crate) fn allow(&self, shown: &str) -> bool {
        let shown = hash(shown);
        self.hashes
            .iter()
            .fold(Choice::from(0), |found, good| found | good.ct_eq(&shown))
            .into()
    }
}

fn hash(token: &str) -> [u8; 32] {
    sha2::Sha256::digest(token.as_bytes()).into()
}

/// A first start that was cut off after writing the file left a token that nobody has been told of yet.
fn left_behind(file: &Path) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    let token = text.trim();
    let whole = token.len() == 64 && token.bytes().all(|b| b.is_ascii_hexdigit());
    whole.then(|| token.to_owned())
}

fn make(file: &Path) -> Result<String> {
    let token = gust_task::ids::secret();
    write_private(file, &token)?;
    Ok(token)
}

/// The token that a data folder's first start wrote, for a command line on the same machine.
pub fn read_token(file: &Path) -> Result<String> {
    std::fs::read_to_string(file)
        .map(|text| text.trim().to_owned())
        .map_err(|e| {
            Error::not_found(format!("no token at: {}", file.display()))
                .because(e)
                .hint("is the node running here, as the same user?")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_token_is_made_once_and_kept_as_a_hash() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let (db, file) = (
            folder.path().join("control.db"),
            folder.path().join("token"),
        );
        let first = {
            let store = Store::open(Some(&db)).unwrap();
            let tokens = Tokens::open(&store, &file, 1).await.unwrap();
            let token = read_token(&file).unwrap();
            assert!(tokens.allow(&token));
            assert!(
                !tokens.allow("") && !tokens.allow(&token[1..]) && !Tokens::none().allow(&token)
            );
            token
        };
        assert_eq!(
            std::fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o600
        );
        std::fs::remove_file(&file).unwrap();
        let store = Store::open(Some(&db)).unwrap();
        assert!(Tokens::open(&store, &file, 2).await.unwrap().allow(&first));
        assert!(!file.exists(), "a removed file stays removed");
        let raw = std::fs::read(&db).unwrap();
        assert!(!raw.windows(64).any(|w| w == first.as_bytes()));
    }
}
