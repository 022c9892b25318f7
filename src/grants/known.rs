//! What requests have alike, in memory once: what is known of askers, and the rights that they ask for.

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use crate::model::{Circumstances, GrantRequest, Right, Shared};

/// So many of each are remembered. More are not shared with what was asked before, and nothing else is lost.
const MOST: usize = 1024;

/// What was seen lately.
#[derive(Debug, Default)]
pub(super) struct Known {
    asked: Seen<Circumstances>,
    rights: Seen<Right>,
}

type Seen<T> = Mutex<HashSet<Shared<T>>>;

impl Known {
    /// The request, with what is known already in the place of its own where that is alike.
    pub(super) fn share(&self, mut request: GrantRequest) -> Arc<GrantRequest> {
        share(&self.asked, &mut request.asked);
        share(&self.rights, &mut request.right);
        Arc::new(request)
    }
}

fn share<T: Eq + Hash>(seen: &Seen<T>, one: &mut Shared<T>) {
    // Each change is one operation of the set, so a poisoned one is still whole.
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(same) = seen.get(one) {
        *one = same.clone();
        return;
    }
    if seen.len() >= MOST {
        seen.clear();
    }
    seen.insert(one.clone());
}
