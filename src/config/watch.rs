//! Notices that policy files may have changed.
//!
//! The kernel's notices come first: on everything below the directories, and on the directories
//! above them, so that a directory that is replaced, linked elsewhere, deleted or made anew is
//! noticed too. They can get lost (network file systems, links deep inside), which is why the file
//! system is also asked every few seconds.
//!
//! A file that was changed and that its writer has not closed is [being written](Watch::being_written).

#[cfg(test)]
mod tests;
mod writing;

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf, absolute};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::files;
use writing::Writing;

pub(super) use writing::{FileId, PATIENCE};

/// Nothing may have happened for this long before files are read: editors and copies write in steps.
const QUIET: Duration = Duration::from_millis(100);
/// A change waits no longer than this for quiet.
const LONGEST_WAIT: Duration = Duration::from_millis(500);

/// Watches directories for as long as it lives.
pub(super) struct Watch {
    directories: Vec<PathBuf>,
    bell: Arc<Bell>,
    identities: Vec<Option<Identity>>,
    kernel: Option<RecommendedWatcher>,
}

/// A directory as the kernel knows it: a watch follows this, not the name.
type Identity = (PathBuf, u64, u64);

/// Rung by the kernel's notices.
#[derive(Default)]
pub(super) struct Bell {
    rung: Notify,
    /// Whether one of the directories itself went or came: then what is watched may be gone.
    moved: AtomicBool,
    writing: Mutex<Writing>,
}

impl Watch {
    /// Watches nothing before the first [`renew`](Self::renew).
    pub(super) fn new(directories: &[PathBuf], bell: &Arc<Bell>) -> Self {
        bell.moved.store(true, Ordering::Release);
        Self {
            directories: directories.to_vec(),
            bell: Arc::clone(bell),
            identities: Vec::new(),
            kernel: None,
        }
    }

    /// Watches the directories that are there now, if they are not those that were there before.
    /// Where the kernel can't help, polling has to do.
    /// To be called before files are read, so that whatever changes afterwards is noticed.
    pub(super) fn renew(&mut self) {
        let moved = self.bell.moved.swap(false, Ordering::AcqRel);
        let identities: Vec<_> = self.directories.iter().map(|d| identity(d).ok()).collect();
        if !moved && self.identities == identities {
            return;
        }
        self.identities = identities;
        // Between two watches nobody listens.
        self.bell.writing().doubt(Instant::now());
        self.kernel = self
            .listen()
            .inspect_err(
                |error| tracing::warn!(%error, "can't watch the policy files, polling them"),
            )
            .ok();
    }

    /// The policy files that were changed and not closed since, as far as the kernel tells, and since when.
    pub(super) fn being_written(&self, now: Instant) -> Vec<(PathBuf, Instant)> {
        let mut writing = self.bell.writing();
        writing.among(|| files::ids(&self.directories), now)
    }

    /// What is being written is to be read as it is.
    pub(super) fn forget_writers(&self) {
        self.bell.writing().forget();
    }

    fn listen(&self) -> notify::Result<RecommendedWatcher> {
        let mut roots = Vec::new();
        for directory in &self.directories {
            roots.extend(absolute(directory));
            roots.extend(fs::canonicalize(directory));
        }
        let bell = Arc::clone(&self.bell);
        let above: Vec<PathBuf> = roots
            .iter()
            .filter_map(|root| root.parent())
            .map(Path::to_owned)
            .collect();
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            bell.hear(event, &roots);
        })?;
        for directory in above {
            // Where this fails, a directory that is replaced is left to the polling.
            if let Err(error) = watcher.watch(&directory, RecursiveMode::NonRecursive) {
                tracing::debug!(%error, directory = %directory.display(), "can't watch");
            }
        }
        for directory in self
            .directories
            .iter()
            .filter(|directory| directory.is_dir())
        {
            watcher.watch(directory, RecursiveMode::Recursive)?;
        }
        Ok(watcher)
    }
}

impl Bell {
    /// Completes when something happened since the last time. Safe to drop at any point.
    pub(super) async fn rung(&self) {
        self.rung.notified().await;
    }

    /// Completes when nothing has happened for a moment, or when that takes too long. Safe to drop at
    /// any point.
    pub(super) async fn quiet(&self) {
        let last = Instant::now() + LONGEST_WAIT;
        while timeout_at(last.min(Instant::now() + QUIET), self.rung.notified())
            .await
            .is_ok()
        {}
    }

    pub(super) fn hear(&self, event: notify::Result<Event>, roots: &[PathBuf]) {
        // A notice that failed, or one without a path because the queue ran over, may be about
        // anything.
        let Ok(event) = event else {
            self.writing().doubt(Instant::now());
            self.moved.store(true, Ordering::Release);
            self.rung.notify_one();
            return;
        };
        if event.need_rescan() {
            self.writing().doubt(Instant::now());
        }
        self.writing().hear(&event, Instant::now());
        match event.kind {
            // Our own reading is a notice, too.
            EventKind::Access(kind) if kind != AccessKind::Close(AccessMode::Write) => return,
            _ => {}
        }
        let about_root = event.paths.iter().any(|path| roots.contains(path));
        let below_root = |path: &PathBuf| roots.iter().any(|root| path.starts_with(root));
        if !event.paths.is_empty() && !event.paths.iter().any(below_root) {
            return;
        }
        let appeared = matches!(
            event.kind,
            EventKind::Create(_) | EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_))
        );
        if event.paths.is_empty() || (about_root && appeared) {
            self.moved.store(true, Ordering::Release);
        }
        self.rung.notify_one();
    }

    fn writing(&self) -> MutexGuard<'_, Writing> {
        // Each entry is whole by itself.
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn identity(directory: &Path) -> io::Result<Identity> {
    let metadata = fs::metadata(directory)?;
    Ok((fs::canonicalize(directory)?, metadata.dev(), metadata.ino()))
}
