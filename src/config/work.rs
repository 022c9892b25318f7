//! One look at the files: read, compile, publish or refuse.

#[cfg(test)]
mod tests;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::compile::compile_files;
use super::diagnostics::Diagnostics;
use super::files;
use super::reload::{Outcome, Shared};
use super::snapshot::Snapshot;
use super::watch::{Bell, Watch};
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
        if look == Look::IfTouched {
            if stamp == self.stamp {
                return Outcome::Unchanged;
            }
            stamp = settled(directories, stamp);
        }
        self.stamp = stamp;
        let (files, problems) = files::gather(directories);
        let generation = problems.is_empty().then(|| files.generation.clone());
        if generation.as_ref() == Some(self.shared.live.peek().generation()) {
            self.refused = None;
            self.shared.accept();
            return Outcome::Unchanged;
        }
        if look != Look::Always && generation.is_some() && generation == self.refused {
            return Outcome::Unchanged;
        }
        match compile_files(files, problems, &self.shared.sources, &mut self.memory) {
            Ok((snapshot, warnings)) => {
                let snapshot = Arc::new(snapshot);
                if let Some(held) = self.shared.hold(&snapshot) {
                    self.refused = generation;
                    return Outcome::Held(held);
                }
                self.refused = None;
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
