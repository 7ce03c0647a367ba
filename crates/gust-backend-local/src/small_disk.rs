//! A file system that can be filled, for tests.

use std::path::Path;

/// A small file system of its own; `None`, said aloud, where this user may not mount one.
pub(crate) struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    pub(crate) fn mount(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(folder.path())
            .output();
        if mounted.is_ok_and(|out| out.status.success()) {
            return Some(Self(folder));
        }
        eprintln!("skipped: mounting a small file system needs root");
        None
    }

    pub(crate) fn fill(&self) {
        let filler = std::fs::File::create(self.path().join("filler")).unwrap();
        let mut size = 64 << 20;
        // As much as there is, down to the last page.
        let mut at = 0;
        while size >= 4096 {
            match rustix::fs::fallocate(&filler, rustix::fs::FallocateFlags::empty(), at, size) {
                Ok(()) => at += size,
                Err(_) => size /= 2,
            }
        }
    }

    pub(crate) fn free(&self) {
        std::fs::remove_file(self.path().join("filler")).unwrap();
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount")
            .arg("-l")
            .arg(self.path())
            .output();
    }
}
