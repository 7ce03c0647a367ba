//! Values at rest: AES-256-GCM under a key that lies beside the database, readable by its owner only.
//!
//! A sealed value is a random nonce of 96 bits, then the ciphertext with its tag. The name of what is sealed is
//! authenticated too, so that a value cannot be moved to another name inside the file.

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
};

use aes_gcm::{
    Aes256Gcm, KeyInit as _, Nonce,
    aead::{Aead as _, Payload},
};
use gust_types::{Error, Result};

const NONCE: usize = 12;

/// Seals and opens.
#[derive(Clone)]
pub(crate) struct Seal(Aes256Gcm);

// === impl Seal ===

impl Seal {
    /// The key of a data folder, made at its first start.
    pub(crate) fn open(file: &Path) -> Result<Self> {
        let hex = read_or_make(file)?;
        let mut key = [0u8; 32];
        hex::decode_to_slice(hex.trim(), &mut key).map_err(|_| {
            Error::internal(format!("not a key: {}", file.display()))
                .hint("restore the file from a backup of the data folder; without it the values of variables are lost")
        })?;
        Ok(Self(Aes256Gcm::new(&key.into())))
    }

    /// A key that ends with the process.
    pub(crate) fn ephemeral() -> Result<Self> {
        let mut key = [0u8; 32];
        hex::decode_to_slice(gust_task::ids::secret(), &mut key)
            .map_err(|e| Error::internal("cannot make a key").because(e))?;
        Ok(Self(Aes256Gcm::new(&key.into())))
    }

    pub(crate) fn seal(&self, name: &str, value: &[u8]) -> Result<Vec<u8>> {
        let mut nonce = [0u8; NONCE];
        for piece in nonce.chunks_mut(8) {
            piece.copy_from_slice(&gust_task::ids::random_u64().to_le_bytes()[..piece.len()]);
        }
        let payload = Payload {
            msg: value,
            aad: name.as_bytes(),
        };
        let sealed = self
            .0
            .encrypt(Nonce::from_slice(&nonce), payload)
            .map_err(|_| Error::internal(format!("cannot seal the value of: {name}")))?;
        Ok([&nonce[..], &sealed].concat())
    }

    pub(crate) fn open_value(&self, name: &str, sealed: &[u8]) -> Result<Vec<u8>> {
        let fault = || {
            Error::internal(format!("cannot open the value of: {name}"))
                .hint("does the data folder's key belong to its database?")
        };
        let (nonce, msg) = sealed.split_at_checked(NONCE).ok_or_else(fault)?;
        let payload = Payload {
            msg,
            aad: name.as_bytes(),
        };
        self.0
            .decrypt(Nonce::from_slice(nonce), payload)
            .map_err(|_| fault())
    }

    /// A value that was text.
    pub(crate) fn open_text(&self, name: &str, sealed: &[u8]) -> Result<String> {
        String::from_utf8(self.open_value(name, sealed)?)
            .map_err(|_| Error::internal(format!("the value is not text: {name}")))
    }
}

fn read_or_make(file: &Path) -> Result<String> {
    match fs::read_to_string(file) {
        Ok(text) => Ok(text),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let made = gust_task::ids::secret();
            write_private(file, &made)?;
            Ok(made)
        }
        Err(e) => Err(gust_runtime::artifact::storage(file, "read", e)),
    }
}

/// Writes a small file that only its owner may read; it appears whole or not at all.
pub(crate) fn write_private(file: &Path, text: &str) -> Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let folder = file.parent().unwrap_or_else(|| Path::new("."));
    let unfinished = file.with_extension("new");
    let write = || -> io::Result<()> {
        match fs::remove_file(&unfinished) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let mut out = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&unfinished)?;
        out.write_all(text.as_bytes())?;
        out.write_all(b"\n")?;
        out.sync_all()?;
        fs::rename(&unfinished, file)?;
        fs::File::open(folder)?.sync_all()
    };
    write().map_err(|e| gust_runtime::artifact::storage(file, "write", e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_again_under_its_own_name_only() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        let seal = Seal::open(&file).unwrap();
        let sealed = seal.seal("a/b", b"hush").unwrap();
        assert!(!sealed.windows(4).any(|w| w == b"hush"));
        let again = Seal::open(&file).unwrap();
        assert_eq!(again.open_text("a/b", &sealed).unwrap(), "hush");
        assert!(again.open_value("a/c", &sealed).is_err());
        assert!(again.open_value("a/b", &sealed[..5]).is_err());
        assert!(
            Seal::ephemeral()
                .unwrap()
                .open_value("a/b", &sealed)
                .is_err()
        );
        assert_ne!(
            sealed,
            seal.seal("a/b", b"hush").unwrap(),
            "nonces are never used twice"
        );
    }

    #[test]
    fn the_key_is_for_its_owner_only() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        Seal::open(&file).unwrap();
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
