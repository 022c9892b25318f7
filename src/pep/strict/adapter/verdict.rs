//! What the stream tells whoever serves its requests.

use std::cell::Cell;
use std::rc::Rc;

use crate::pep::refusal::Refusal;
use crate::pep::strict::fault::Fault;
use crate::pep::strict::head::HeadLimits;

/// What the stream knows of the request that hyper has parsed.
#[derive(Clone, Debug)]
pub(in crate::pep) struct Verdict {
    pub(super) said: Rc<Said>,
    pub(super) limits: HeadLimits,
}

#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) fault: Cell<Option<Fault>>,
    /// Whether a part of its body is still to come.
    pub(super) incomplete: Cell<bool>,
    /// Whether nothing has come since the last answer, for a while.
    pub(super) quiet: Cell<bool>,
}

impl Verdict {
    /// The refusal of the request that hyper has just parsed, if that was not the client's.
    pub(in crate::pep) fn take(&self) -> Option<Refusal> {
        let fault = self.said.fault.take()?;
        Some(fault.refusal(&self.limits))
    }

    /// Whether a part of the request's body has not come yet. Who answers now ends the connection.
    pub(in crate::pep) fn is_incomplete(&self) -> bool {
        self.said.incomplete.get()
    }

    /// Whether the connection is between two requests, with everything written, and has been for a while:
    /// whoever reads it can give it up, and take it up again once it is [woken](super::Strict::poll_woken).
    pub(in crate::pep) fn is_quiet(&self) -> bool {
        self.said.quiet.get()
    }
}
