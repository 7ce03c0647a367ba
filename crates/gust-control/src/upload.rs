//! Taking artifacts: streamed to a file, bounded, verified, synced, and only then in place.
//!
//! The file is written on a thread of its own, fed through a short queue. When the upload breaks off, the queue closes
//! without its last word and the file is removed; a crash leaves it to the next start, which empties the folder.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use gust_api::deploy::Stored;
use gust_runtime::artifact::{ArtifactFolder, storage};
use gust_task::{clock, ids};
use gust_types::{Digest, Error, Kind, Result};
use http_body::Body;
use http_body_util::BodyExt as _;
use sha2::Digest as _;
use tokio::sync::mpsc;

use crate::{control::Control, garbage::touch};

/// Pieces that may wait for the disk.
const QUEUE: usize = 16;
/// The longest silence between two pieces.
const SILENCE: Duration = Duration::from_secs(30);
/// How long a refused upload is read on, so that its sender hears the refusal.
const DRAIN: Duration = Duration::from_secs(5);
/// Digests of one question.
pub(crate) const MAX_DIGESTS: usize = 10_000;

/// What the writing thread is told.
enum Piece {
    Bytes(Bytes),
    End,
}

impl Control {
    /// Which of these are not here. Those that are will not be removed for another grace.
    pub(crate) async fn missing(&self, digests: Vec<Digest>) -> Result<Vec<Digest>> {
        if digests.len() > MAX_DIGESTS {
            return Err(Error::invalid(format!(
                "ask for {MAX_DIGESTS} artifacts at most: {}",
                digests.len()
            )));
        }
        let folder = self.0.parts.artifacts.clone();
        let now_us = clock::unix_micros();
        let look = move || {
            digests
                .into_iter()
                .filter(|d| !touch(&folder.file(d), now_us))
                .collect()
        };
        tokio::task::spawn_blocking(look)
            .await
            .map_err(|e| Error::internal("looking for artifacts failed").because(e))
    }

    /// Takes an artifact. `declared` is the length its sender gives.
    pub(crate) async fn upload<B>(
        &self,
        digest: Digest,
        declared: Option<u64>,
        mut body: B,
    ) -> Result<Stored>
    where
        B: Body<Data = Bytes> + Send + Unpin,
        B::Error: std::error::Error + Send + Sync + 'static,
    {
        let taken = self.take(digest, declared, &mut body).await;
        if !matches!(&taken, Err(e) if e.kind == Kind::Unavailable) {
            let _ = tokio::time::timeout(DRAIN, async {
                while let Some(Ok(_)) = body.frame().await {}
            })
            .await;
        }
        taken
    }

    async fn take<B>(&self, digest: Digest, declared: Option<u64>, body: &mut B) -> Result<Stored>
    where
        B: Body<Data = Bytes> + Send + Unpin,
        B::Error: std::error::Error + Send + Sync + 'static,
    {
        let limit = self.0.settings.max_artifact.bytes();
        if declared.is_some_and(|length| length > limit) {
            return Err(too_large(limit));
        }
        let _place = self.0.uploads.try_acquire().map_err(|_| {
            Error::unavailable("too many uploads at once").hint("try again in a moment")
        })?;
        let folder = &self.0.parts.artifacts;
        if let Some(size) = present(folder, &digest).await? {
            return Ok(Stored {
                digest,
                size,
                new: false,
            });
        }
        let (pieces, inbox) = mpsc::channel(QUEUE);
        let incoming = folder.incoming(&format!("{}-{:016x}", digest.short(), ids::random_u64()));
        let folder = folder.clone();
        let writing =
            tokio::task::spawn_blocking(move || store(&folder, &incoming, digest, limit, inbox));
        let sent = send(body, &pieces).await;
        drop(pieces);
        let stored = writing
            .await
            .map_err(|e| Error::internal("storing an upload failed").because(e))?;
        // When the disk refused, the queue closed under the sender: the disk's error is the reason.
        match (sent, stored) {
            (Err(error), Ok(None)) => Err(error),
            (_, Err(error)) => Err(error),
            (_, Ok(Some(size))) => Ok(Stored {
                digest,
                size,
                new: true,
            }),
            (Ok(()), Ok(None)) => Err(Error::internal("an upload ended without its end")),
        }
    }
}

/// Hands the body on, piece by piece.
async fn send<B>(body: &mut B, to: &mpsc::Sender<Piece>) -> Result<()>
where
    B: Body<Data = Bytes> + Send + Unpin,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    loop {
        let frame = tokio::time::timeout(SILENCE, body.frame())
            .await
            .map_err(|_| {
                Error::new(
                    Kind::Timeout,
                    gust_types::Blame::Caller,
                    "the upload fell silent",
                )
            })?;
        let piece = match frame {
            None => Piece::End,
            Some(Ok(frame)) => match frame.into_data() {
                Ok(bytes) => Piece::Bytes(bytes),
                Err(_) => continue,
            },
            Some(Err(e)) => return Err(Error::invalid("the upload broke off").because(e)),
        };
        let ended = matches!(piece, Piece::End);
        if to.send(piece).await.is_err() || ended {
            return Ok(());
        }
    }
}

/// The thread's work. `None` when the upload broke off; the file is gone then, as after any error.
fn store(
    folder: &ArtifactFolder,
    incoming: &Path,
    digest: Digest,
    limit: u64,
    inbox: mpsc::Receiver<Piece>,
) -> Result<Option<u64>> {
    let unfinished = Unfinished(incoming.to_owned());
    let Some((size, found)) = write(incoming, limit, inbox)? else {
        return Ok(None);
    };
    if found != digest {
        return Err(Error::invalid(format!(
            "the bytes have another digest than {digest}: {found}"
        ))
        .hint("was the file changed while it was sent?"));
    }
    folder.adopt(incoming, &digest)?;
    std::mem::forget(unfinished);
    Ok(Some(size))
}

fn write(
    incoming: &Path,
    limit: u64,
    mut inbox: mpsc::Receiver<Piece>,
) -> Result<Option<(u64, Digest)>> {
    let fault = |e| storage(incoming, "store", e);
    let mut file = fs::File::create_new(incoming).map_err(fault)?;
    let (mut size, mut hash) = (0u64, sha2::Sha256::new());
    loop {
        match inbox.blocking_recv() {
            None => return Ok(None),
            Some(Piece::End) => break,
            Some(Piece::Bytes(bytes)) => {
                size += bytes.len() as u64;
                if size > limit {
                    return Err(too_large(limit));
                }
                hash.update(&bytes);
                file.write_all(&bytes).map_err(fault)?;
            }
        }
    }
    file.sync_all().map_err(fault)?;
    Ok(Some((size, Digest::from_bytes(hash.finalize().into()))))
}

async fn present(folder: &ArtifactFolder, digest: &Digest) -> Result<Option<u64>> {
    let (file, now_us) = (folder.file(digest), clock::unix_micros());
    let look = move || {
        let size = fs::metadata(&file).ok()?.len();
        touch(&file, now_us).then_some(size)
    };
    tokio::task::spawn_blocking(look)
        .await
        .map_err(|e| Error::internal("looking for an artifact failed").because(e))
}

fn too_large(limit: u64) -> Error {
    Error::too_large(format!(
        "an artifact has {} at most",
        gust_types::ByteSize(limit)
    ))
    .hint("the operator sets this limit")
}

/// Removes a file that never became an artifact.
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
