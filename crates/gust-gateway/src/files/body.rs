//! The bytes of a file, read in pieces as the caller takes them.

use std::{
    fs::File,
    io::{self, Seek as _, SeekFrom},
    path::PathBuf,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use gust_types::{Error, Result};
use tokio::task::{JoinError, JoinHandle, spawn_blocking};

/// Read at once; a slow caller holds no more than this.
const PIECE: u64 = 128 * 1024;

/// A part of a file on its way out. Between two pieces nothing is read ahead.
pub(crate) struct FileBody {
    state: State,
    left: u64,
}

enum State {
    Resting(File),
    Reading(JoinHandle<io::Result<(File, Bytes)>>),
    Over,
}

/// Opens a file for reading `length` bytes from `start`.
pub(super) async fn open(path: PathBuf, start: u64, length: u64) -> Result<FileBody> {
    let opened = spawn_blocking(move || {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(start))?;
        Ok(file)
    });
    let file = settled(opened.await)?;
    Ok(FileBody {
        state: State::Resting(file),
        left: length,
    })
}

// === impl FileBody ===

impl FileBody {
    /// Bytes to come.
    pub(crate) fn left(&self) -> u64 {
        self.left
    }

    pub(super) async fn read_all(self) -> Result<Bytes> {
        let State::Resting(file) = self.state else {
            return Ok(Bytes::new());
        };
        let reading = spawn_blocking(move || read(file, self.left));
        settled(reading.await).map(|(_, bytes)| bytes)
    }

    /// The next piece.
    pub(crate) fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        loop {
            match std::mem::replace(&mut self.state, State::Over) {
                State::Over => return Poll::Ready(None),
                State::Resting(_) if self.left == 0 => return Poll::Ready(None),
                State::Resting(file) => {
                    let size = self.left.min(PIECE);
                    self.state = State::Reading(spawn_blocking(move || read(file, size)));
                }
                State::Reading(mut reading) => {
                    let Poll::Ready(read) = Pin::new(&mut reading).poll(cx) else {
                        self.state = State::Reading(reading);
                        return Poll::Pending;
                    };
                    return Poll::Ready(Some(settled(read).map(|(file, bytes)| {
                        self.left -= bytes.len() as u64;
                        self.state = State::Resting(file);
                        bytes
                    })));
                }
            }
        }
    }
}

/// Reads exactly `size` bytes: artifacts never shrink.
fn read(mut file: File, size: u64) -> io::Result<(File, Bytes)> {
    let mut piece = BytesMut::zeroed(size as usize);
    io::Read::read_exact(&mut file, &mut piece)?;
    Ok((file, piece.freeze()))
}

fn settled<T>(done: Result<io::Result<T>, JoinError>) -> Result<T> {
    let fault = || Error::internal("cannot read a file of a static route");
    done.map_err(|e| fault().because(e))?
        .map_err(|e| fault().because(e))
}
