//! What is known of askers, in memory once for all that one asks for in the same way.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use crate::model::{Circumstances, GrantRequest, Shared};

/// So many are remembered. More are not shared with what was asked before, and nothing else is lost.
const MOST: usize = 1024;

/// The circumstances that were seen lately.
#[derive(Debug, Default)]
pub(super) struct KnownCircumstances(Mutex<HashSet<Shared<Circumstances>>>);

impl KnownCircumstances {
    /// The request, with those that are known already in the place of its own where they are alike.
    pub(super) fn share(&self, mut request: GrantRequest) -> Arc<GrantRequest> {
        // Each change is one operation of the set, so a poisoned one is still whole.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(same) = known.get(&request.asked) {
            request.asked = same.clone();
        } else {
            if known.len() >= MOST {
                known.clear();
            }
            known.insert(request.asked.clone());
        }
        drop(known);
        Arc::new(request)
    }
}
