//! One look at the files: read, compile, publish or refuse.

#[cfg(test)]
mod tests;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::compile::compile_files;
use super::diagnostics::Diagnostics;
use super::files;
use super::reload::{Outcome, Shared};
use super::snapshot::Snapshot;
use super::watch::{Bell, PATIENCE, Watch};
use crate::base::Digest;
use crate::model::Generation;
use crate::pdp::Memory;

/// How closely they are looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// They are compiled even if the very same were refused: what they refer to may have changed.
    Always,
    /// They are read, and compiled if they are others than before.
    IfChanged,
    /// They are read if the file system says that they were touched.
    IfTouched,
}

/// What one compilation hands to the next.
pub(super) struct Work {
    watch: Watch,
    shared: Arc<Shared>,
    memory: Memory,
    /// What the file system said when the files were last read.
    stamp: Digest,
    /// The content that was refused, or had to wait, last.
    refused: Option<Generation>,
    /// Those that were live: freed here, once nobody else has them, and not in the middle of somebody's request.
    retired: Vec<Arc<Snapshot>>,
    /// The files that were waited for so long that this was told.
    overdue: Vec<PathBuf>,
}

impl Work {
    /// Goes on after a first compilation with `memory`, of files that the file system described as
    /// `stamp`.
    pub(super) fn new(
        shared: Arc<Shared>,
        memory: Memory,
        stamp: Digest,
        bell: &Arc<Bell>,
    ) -> Self {
        Self {
            watch: Watch::new(&shared.sources.directories, bell),
            shared,
            memory,
            stamp,
            refused: None,
            retired: Vec::new(),
            overdue: Vec::new(),
        }
    }

    /// [`Self::look`], where a defect of a compiler refuses the files instead of ending the watch.
    pub(super) fn look_unharmed(&mut self, look: Look) -> Outcome {
        let looked = catch_unwind(AssertUnwindSafe(|| self.look(look)));
        // Nobody can come by one any more that was live, except from who has it.
        self.retired.retain(|one| Arc::strong_count(one) > 1);
        looked.unwrap_or_else(|_| {
            self.memory.forget();
            let mut problems = Diagnostics::default();
            problems.about_file("", "compiling these files broke off, which is a defect");
            self.shared.refuse(problems)
        })
    }

    fn look(&mut self, look: Look) -> Outcome {
        self.watch.renew();
        let directories = &self.shared.sources.directories;
        let mut stamp = files::stamp(directories);
        if look == Look::IfTouched && stamp == self.stamp {
            return Outcome::Unchanged;
        }
        if look == Look::Always {
            // Whoever orders it means the files as they are.
            self.watch.forget_writers();
        }
        if let Some(outcome) = self.wait_for_writers(Instant::now()) {
            return outcome;
        }
        let directories = &self.shared.sources.directories;
        if look == Look::IfTouched {
            stamp = settled(directories, stamp);
        }
        let (files, problems) = files::gather(directories);
        // One who began meanwhile; its closing rings.
        if look != Look::Always && !self.watch.being_written(Instant::now()).is_empty() {
            return Outcome::Unchanged;
        }
        self.stamp = stamp;
        let generation = problems.is_empty().then(|| files.generation.clone());
        if generation.as_ref() == Some(self.shared.live.peek().generation()) {
            self.refused = None;
            self.shared.accept();
            return Outcome::Unchanged;
        }
        if look != Look::Always && generation.is_some() && generation == self.refused {
            return Outcome::Unchanged;
        }
        let copy = self.shared.kept.as_ref().map(|_| files.clone());
        match compile_files(files, problems, &self.shared.sources, &mut self.memory) {
            Ok((snapshot, warnings)) => {
                let snapshot = Arc::new(snapshot);
                if let Some(held) = self.shared.hold(&snapshot) {
                    self.refused = generation;
                    return Outcome::Held(held);
                }
                self.refused = None;
                if let (Some(kept), Some(files)) = (&self.shared.kept, &copy)
                    && let Err(error) = kept.save(files)
                {
                    // The next start would let an older one go live again.
                    return self.shared.refuse(kept.unwritten(&error));
                }
                self.retired.push(self.shared.live.current());
                self.shared.publish(&snapshot, warnings)
            }
            Err(problems) => {
                self.refused = generation;
                self.shared.refuse(problems)
            }
        }
    }
}

impl Work {
    /// Nothing is read while a file is being written: what it says so far may be half of what is meant.
    /// After a while that is a reason to refuse the files, until it is closed.
    fn wait_for_writers(&mut self, now: Instant) -> Option<Outcome> {
        let writing = self.watch.being_written(now);
        let names = writing.iter().map(|(path, _)| path.display().to_string());
        self.shared.tell_being_written(names.collect());
        let overdue = writing
            .iter()
            .filter(|(_, since)| now.saturating_duration_since(*since) >= PATIENCE);
        let overdue: Vec<_> = overdue.map(|(path, _)| path.clone()).collect();
        let told = overdue == self.overdue;
        self.overdue = overdue;
        if writing.is_empty() {
            return None;
        }
        if told || self.overdue.is_empty() {
            return Some(Outcome::Unchanged);
        }
        self.refused = None;
        let mut problems = Diagnostics::default();
        for path in &self.overdue {
            let problem = problems.about_file(
                &path.display().to_string(),
                "this file was changed and is still open for writing; it is read when it is closed",
            );
            problem.hint(
                "write another file and rename it over this one; `portcullis policy reload` reads it as it is",
            );
        }
        Some(self.shared.refuse(problems))
    }
}

/// Waits until files that nobody announces are no longer being written, or for half a second.
pub(super) fn settled(directories: &[PathBuf], mut stamp: Digest) -> Digest {
    for _ in 0..5 {
        std::thread::sleep(Duration::from_millis(100));
        let again = files::stamp(directories);
        if again == stamp {
            break;
        }
        stamp = again;
    }
    stamp
}
