//! Notices when somebody writes to a prepared file that is mapped.
//!
//! A mapping shows what is written to its file, and is cut where the file is cut, so code that is mapped may change or
//! go away under a running guest. Nobody but us has business in that folder, and we replace files by renaming, which
//! mappings survive; but should it happen, whatever is mapped from that file is not entered again: it is mapped anew
//! from a file that was checked, and the old mapping is left alone, since even unmapping may read it.

use std::{
    collections::HashMap,
    mem::MaybeUninit,
    os::fd::OwnedFd,
    path::Path,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use parking_lot::Mutex;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};

/// The watch over one folder. It ends when this is dropped.
pub(crate) struct Watch {
    /// `None` when the kernel has no watch to give.
    watching: Option<(Arc<OwnedFd>, i32)>,
    files: Arc<Files>,
}

/// Set when the file was written to.
pub(crate) type Stale = Arc<AtomicBool>;

#[derive(Default)]
struct Files(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// Who has mapped which file, by name.
    mapped: HashMap<Vec<u8>, Vec<Weak<AtomicBool>>>,
    sweep_at: usize,
}

// === impl Watch ===

impl Watch {
    pub(crate) fn over(folder: &Path) -> Self {
        let files = Arc::<Files>::default();
        let watching = match watch(folder, files.clone()) {
            Ok(watching) => Some(watching),
            Err(error) => {
                // The check at load stands in any case.
                tracing::warn!(%error, "no watch over the folder of prepared files");
                None
            }
        };
        Self { watching, files }
    }

    /// A flag that is set when this file is written to.
    pub(crate) fn file(&self, path: &Path) -> Stale {
        let stale = Stale::default();
        if self.watching.is_some()
            && let Some(name) = path.file_name()
        {
            let mut known = self.files.0.lock();
            known.sweep();
            let mapped = known.mapped.entry(name.as_encoded_bytes().to_vec());
            mapped.or_default().push(Arc::downgrade(&stale));
        }
        stale
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some((watch, folder)) = &self.watching {
            // Wakes the thread for good. It cannot fail while the watch exists.
            let _ = inotify::remove_watch(watch, *folder);
        }
    }
}

fn watch(folder: &Path, files: Arc<Files>) -> std::io::Result<(Arc<OwnedFd>, i32)> {
    let watch = Arc::new(inotify::init(CreateFlags::CLOEXEC)?);
    let id = inotify::add_watch(&watch, folder, WatchFlags::MODIFY)?;
    let ours = watch.clone();
    thread::Builder::new()
        .name("gust-watch".to_owned())
        .spawn(move || listen(&ours, &files))?;
    Ok((watch, id))
}

fn listen(watch: &OwnedFd, files: &Files) {
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut events = inotify::Reader::new(watch, &mut buffer);
    loop {
        match events.next() {
            Ok(event) if event.events().contains(ReadFlags::IGNORED) => return,
            Ok(event) if event.events().contains(ReadFlags::QUEUE_OVERFLOW) => files.all_stale(),
            Ok(event) => {
                if let Some(name) = event.file_name() {
                    files.stale(name.to_bytes());
                }
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => {
                tracing::warn!(%error, "the watch over prepared files has ended");
                return;
            }
        }
    }
}

// === impl Files ===

impl Files {
    fn stale(&self, name: &[u8]) {
        let Some(mapped) = self.0.lock().mapped.remove(name) else {
            return;
        };
        tracing::warn!(
            file = %String::from_utf8_lossy(name),
            "somebody wrote to a prepared file while it was mapped; it is mapped anew"
        );
        for stale in mapped.iter().filter_map(Weak::upgrade) {
            stale.store(true, Ordering::Release);
        }
    }

    fn all_stale(&self) {
        let all = std::mem::take(&mut self.0.lock().mapped);
        for stale in all.values().flatten().filter_map(Weak::upgrade) {
            stale.store(true, Ordering::Release);
        }
    }
}

impl Known {
    fn sweep(&mut self) {
        if self.mapped.len() >= self.sweep_at.max(1024) {
            self.mapped.retain(|_, mapped| {
                mapped.retain(|stale| stale.strong_count() > 0);
                !mapped.is_empty()
            });
            self.sweep_at = self.mapped.len() * 2;
        }
    }
}
