//! Which files are being written: they were changed, and whoever did it has not closed them yet.
//!
//! Files are known by what the file system knows them by, so that a rename, a link that is swapped or
//! another mount of the same directory neither hides a writer nor invents one.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{Event, EventKind};
use tokio::time::Instant;

/// How long a writer is waited for in silence. After that the files count as refused until it closes.
pub(in crate::config) const PATIENCE: Duration = Duration::from_secs(10);
/// The most files that are kept in mind. One of a set is enough to keep all of it from being read.
const MOST: usize = 10_000;

/// Device and inode.
pub(in crate::config) type FileId = (u64, u64);

/// The files that are open, changed.
#[derive(Debug, Default)]
pub(super) struct Writing(HashMap<FileId, Change>);

#[derive(Debug)]
struct Change {
    path: PathBuf,
    since: Instant,
    /// Notices were lost since: it may have been closed.
    doubtful: bool,
}

impl Writing {
    /// Takes note of a change, and of the end of one.
    pub(super) fn hear(&mut self, event: &Event, now: Instant) {
        let changed = match event.kind {
            EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Any) => true,
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => false,
            _ => return,
        };
        for path in &event.paths {
            let id = id(path);
            if !changed {
                // It may have been renamed since it was closed, so that the name leads nowhere or elsewhere.
                self.0
                    .retain(|known, change| id != Some(*known) && change.path != *path);
                continue;
            }
            // What is gone, or a directory, is nobody's half-written file.
            let Some(id) = id else { continue };
            if self.0.len() < MOST || self.0.contains_key(&id) {
                let change = self.0.entry(id).or_insert_with(|| Change {
                    path: path.clone(),
                    since: now,
                    doubtful: false,
                });
                change.path.clone_from(path);
                change.doubtful = false;
            }
        }
    }

    /// Notices were lost: what is open may be closed by now, and is open no longer than [`PATIENCE`] from
    /// here unless it changes again.
    pub(super) fn doubt(&mut self, now: Instant) {
        for change in self.0.values_mut().filter(|change| !change.doubtful) {
            change.doubtful = true;
            change.since = now;
        }
    }

    /// What is open is to be read all the same.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }

    /// Those of `files` that are open, sorted, and since when.
    pub(super) fn among(
        &mut self,
        files: impl FnOnce() -> HashSet<FileId>,
        now: Instant,
    ) -> Vec<(PathBuf, Instant)> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let files = files();
        // An old one of no set is a draft that was thrown away, or is renamed no more.
        self.0.retain(|id, change| {
            let old = now.saturating_duration_since(change.since) >= PATIENCE;
            !old || (!change.doubtful && files.contains(id))
        });
        let open = self.0.iter().filter(|(id, _)| files.contains(*id));
        let mut open: Vec<_> = open
            .map(|(_, change)| (change.path.clone(), change.since))
            .collect();
        open.sort();
        open
    }
}

fn id(path: &Path) -> Option<FileId> {
    let metadata = fs::metadata(path).ok()?;
    metadata.is_file().then(|| (metadata.dev(), metadata.ino()))
}
