//! The files: `<root>/<project>/<app>/<function>.log`, older ones `.log.1` and so on.
//!
//! A file is never longer than its limit, all together never longer than theirs (the oldest go), and few are open at
//! once. When the disk refuses a write, the file is cut back to its last whole line, the lines are counted as lost, and
//! the next write tries again: a disk that has room again needs no restart.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    time::SystemTime,
};

use gust_types::{AppName, FunctionKey, ProjectName};

use super::Settings;

/// Files open for writing at once.
const MAX_OPEN: usize = 64;

pub(super) struct Files {
    root: PathBuf,
    settings: Settings,
    open: HashMap<FunctionKey, Open>,
    /// Counts writes, to find the handle that was not used for longest.
    clock: u64,
    /// Bytes of all files; `None` until they were counted.
    total: Option<u64>,
}

struct Open {
    file: File,
    size: u64,
    used: u64,
}

/// Where a function's current log is.
pub(super) fn path(root: &Path, key: &FunctionKey) -> PathBuf {
    root.join(key.project.as_str())
        .join(key.app.as_str())
        .join(format!("{}.log", key.function))
}

/// Where the `n`th older one is; 0 is the current one.
pub(super) fn older(current: &Path, n: u32) -> PathBuf {
    match n {
        0 => current.to_owned(),
        n => current.with_extension(format!("log.{n}")),
    }
}

// === impl Files ===

impl Files {
    pub(super) fn new(root: PathBuf, settings: Settings) -> Self {
        Self {
            root,
            settings,
            open: HashMap::new(),
            clock: 0,
            total: None,
        }
    }

    /// Appends whole lines.
    pub(super) fn append(&mut self, key: &FunctionKey, lines: &[u8]) -> io::Result<()> {
        let mut rest = lines;
        while !rest.is_empty() {
            let size = self.opened(key)?.size;
            let room = self.settings.file.bytes().saturating_sub(size) as usize;
            let fits = whole_lines(rest, room);
            if fits == 0 && size > 0 {
                self.rotate(key)?;
                continue;
            }
            // A single line over the limit goes into a file of its own.
            let take = if fits > 0 { fits } else { first_line(rest) };
            self.write(key, &rest[..take])?;
            rest = &rest[take..];
        }
        self.shrink()
    }

    /// Forgets an app's files.
    pub(super) fn remove(&mut self, project: &ProjectName, app: &AppName) -> io::Result<()> {
        self.open
            .retain(|key, _| key.project != *project || key.app != *app);
        self.total = None;
        let folder = self.root.join(project.as_str()).join(app.as_str());
        match fs::remove_dir_all(folder) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }

    fn write(&mut self, key: &FunctionKey, bytes: &[u8]) -> io::Result<()> {
        let open = self.opened(key)?;
        let size = open.size;
        if let Err(error) = open.file.write_all(bytes) {
            // What was written of it would tear the next line.
            let _ = open.file.set_len(size);
            self.open.remove(key);
            return Err(error);
        }
        open.size += bytes.len() as u64;
        if let Some(total) = &mut self.total {
            *total += bytes.len() as u64;
        }
        Ok(())
    }

    fn opened(&mut self, key: &FunctionKey) -> io::Result<&mut Open> {
        self.clock += 1;
        if !self.open.contains_key(key) {
            if self.open.len() >= MAX_OPEN
                && let Some(idle) = self.open.iter().min_by_key(|(_, open)| open.used)
            {
                let idle = idle.0.clone();
                self.open.remove(&idle);
            }
            let opened = open(&path(&self.root, key))?;
            self.open.insert(key.clone(), opened);
        }
        let open = self.open.get_mut(key).ok_or(io::ErrorKind::NotFound)?;
        open.used = self.clock;
        Ok(open)
    }

    fn rotate(&mut self, key: &FunctionKey) -> io::Result<()> {
        self.open.remove(key);
        let current = path(&self.root, key);
        let last = self.settings.files.max(1) - 1;
        let gone = older(&current, last);
        let freed = fs::metadata(&gone).map_or(0, |m| m.len());
        match fs::remove_file(&gone) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => self.total = self.total.map(|total| total.saturating_sub(freed)),
        }
        for n in (0..last).rev() {
            match fs::rename(older(&current, n), older(&current, n + 1)) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
        }
        Ok(())
    }

    /// Keeps all files together under their limit: older files go before current ones, old before new.
    fn shrink(&mut self) -> io::Result<()> {
        let limit = self.settings.total.bytes();
        let total = match self.total {
            Some(total) => total,
            None => list(&self.root).iter().map(|file| file.size).sum(),
        };
        self.total = Some(total);
        if total <= limit {
            return Ok(());
        }
        // Some room below the limit, or every line would list all files.
        let goal = limit - limit / 10;
        let mut files = list(&self.root);
        files.sort_by_key(|file| (file.current, file.modified));
        let mut total: u64 = files.iter().map(|file| file.size).sum();
        self.open.clear();
        for file in files {
            if total <= goal {
                break;
            }
            fs::remove_file(&file.path)?;
            total -= file.size;
        }
        self.total = Some(total);
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<Open> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .read(true)
        .open(path)?;
    let mut size = file.metadata()?.len();
    if size > 0 && !ends_at_a_line(&mut file)? {
        // The process ended in the middle of a line.
        file.write_all(b"\n")?;
        size += 1;
    }
    Ok(Open {
        file,
        size,
        used: 0,
    })
}

fn ends_at_a_line(file: &mut File) -> io::Result<bool> {
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

/// How many bytes of whole lines fit into `room`.
fn whole_lines(lines: &[u8], room: usize) -> usize {
    let within = &lines[..lines.len().min(room)];
    within
        .iter()
        .rposition(|b| *b == b'\n')
        .map_or(0, |at| at + 1)
}

fn first_line(lines: &[u8]) -> usize {
    lines
        .iter()
        .position(|b| *b == b'\n')
        .map_or(lines.len(), |at| at + 1)
}

struct Listed {
    path: PathBuf,
    current: bool,
    modified: SystemTime,
    size: u64,
}

/// Every log file of every function.
fn list(root: &Path) -> Vec<Listed> {
    let below = |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten();
    below(root.to_owned())
        .flat_map(|project| below(project.path()))
        .flat_map(|app| below(app.path()))
        .filter_map(|entry| {
            let meta = entry.metadata().ok().filter(fs::Metadata::is_file)?;
            let path = entry.path();
            Some(Listed {
                current: path.extension().is_some_and(|e| e == "log"),
                modified: meta.modified().unwrap_or(SystemTime::UNIX_EPOCH),
                size: meta.len(),
                path,
            })
        })
        .collect()
}
