//! What has changed and is written with the clocks: the names of the grants and tasks that the store is to hear
//! of, so that nobody has to look for them among all that rest.
//!
//! Each stands in its list once at most, so a list is no longer than what lives. Whoever writes takes the name
//! out, clears the thing's note and only then reads the thing: what changes after that is noted anew.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::model::{GrantId, TaskId};

/// Both lists. A clone is another handle to the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Unstored {
    pub(super) grants: Arc<Names<GrantId>>,
    pub(super) tasks: Arc<Names<TaskId>>,
}

/// Names of what has changed, the first to change first.
#[derive(Debug)]
pub(super) struct Names<K>(Mutex<VecDeque<K>>);

/// Whether a thing stands in its list. Kept by the thing.
#[derive(Debug, Default)]
pub(super) struct Noted(AtomicBool);

/// Something that can stand in a list.
pub(super) trait Note {
    /// Enters it, where it does not stand in its list already. To be called behind the change.
    fn note(&self);
}

/// Things that were taken out of their list. Those that are dropped in it stand there again: what was not
/// written, or whose writing was broken off, is written with the next.
#[derive(Debug)]
pub(super) struct Taken<T: Note>(pub(super) Vec<Arc<T>>);

impl Noted {
    /// It stands in no list, and enters it with its next change. To be called before it is read.
    pub(super) fn clear(&self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

impl<K: Clone> Names<K> {
    pub(super) fn note(&self, noted: &Noted, name: &K) {
        // Sequentially consistent, as the change before it and as what is read behind `clear`: either the one
        // who writes sees the change, or this sees that the note is cleared.
        if !noted.0.load(Ordering::SeqCst) && !noted.0.swap(true, Ordering::SeqCst) {
            self.names().push_back(name.clone());
        }
    }

    pub(super) fn len(&self) -> usize {
        self.names().len()
    }

    /// The first names, so many at most.
    pub(super) fn take(&self, most: usize) -> Vec<K> {
        let mut names = self.names();
        let most = most.min(names.len());
        names.drain(..most).collect()
    }

    fn names(&self) -> MutexGuard<'_, VecDeque<K>> {
        // Each change is one operation of the list, so a poisoned one is still whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K> Default for Names<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Note> Drop for Taken<T> {
    fn drop(&mut self) {
        for thing in &self.0 {
            thing.note();
        }
    }
}
