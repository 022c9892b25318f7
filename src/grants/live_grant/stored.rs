//! What the store knows of a grant's use, and what it is to know.

use super::LiveGrant;
use crate::base::BootInstant;
use crate::grants::calls::Calls;
use crate::grants::unstored::Note;
use crate::store::GrantMark;

impl LiveGrant {
    /// How many calls a restart would find, at most.
    pub(in crate::grants) fn stored_calls(&self) -> u64 {
        self.calls.as_ref().map_or(u64::MAX, |calls| calls.stored())
    }

    /// Whether half of the calls that the store knows of ahead of their use are used, once `left` are left.
    pub(in crate::grants) fn runs_short(&self, left: u64) -> bool {
        self.calls
            .as_ref()
            .is_some_and(|calls| calls.runs_short(left))
    }

    /// Whether the store takes more of its calls for used than of a grant that calls now and then.
    pub(in crate::grants) fn is_far_ahead(&self) -> bool {
        self.limited()
            .is_some_and(|(calls, budget)| calls.are_far_ahead(budget))
    }

    /// Its mark is read from here on: what changes later is noted anew.
    pub(in crate::grants) fn clear_note(&self) {
        self.noted.clear();
    }

    /// The turn to write its mark.
    pub(in crate::grants) fn turn(&self) -> &tokio::sync::Mutex<()> {
        &self.seldom.get_or_init(Box::default).turn
    }

    /// What the store would have to know of this moment; it knows of no more calls than it does already. Write
    /// it in turn, then say so to [`LiveGrant::note_stored`].
    pub(in crate::grants) fn mark(&self) -> GrantMark {
        self.mark_of(self.stored_calls())
    }

    /// What the store has to know before more calls are made than it knows of, where no more than `left` are
    /// left; and how far that lies ahead of use. To be written as a [`LiveGrant::mark`].
    pub(in crate::grants) fn mark_ahead(&self, left: u64, now: BootInstant) -> (GrantMark, u64) {
        let next = self
            .limited()
            .map(|(calls, budget)| calls.next(left, budget, now));
        let (stored, ahead) = next.unwrap_or((left, 0));
        (self.mark_of(stored), ahead)
    }

    /// The store has `mark`, and is `ahead` by so many calls.
    pub(in crate::grants) fn note_ahead(&self, mark: &GrantMark, ahead: u64, now: BootInstant) {
        self.note_stored(mark);
        if let Some(calls) = &self.calls {
            calls.note_ahead(ahead, now);
        }
        if self.is_far_ahead() {
            // What it does not use is given back.
            self.note();
        }
    }

    /// What the store is to know now and then. Where the grant has become slower, that is of more calls than
    /// before. To be written as a [`LiveGrant::mark`].
    pub(in crate::grants) fn mark_relaxed(&self, now: BootInstant) -> GrantMark {
        if let Some((calls, budget)) = self.limited() {
            calls.relax(budget, now);
        }
        self.mark()
    }

    /// The store has `mark`.
    pub(in crate::grants) fn note_stored(&self, mark: &GrantMark) {
        if let (Some(calls), Some(stored)) = (&self.calls, mark.calls_left) {
            calls.note_stored(stored);
        }
    }

    /// At the orderly stop, when no exchange runs: what is left is left, and a late call waits.
    pub(in crate::grants) fn give_back_unused(&self) {
        if self
            .calls
            .as_ref()
            .is_some_and(|calls| calls.give_back_unused())
        {
            self.note();
        }
    }

    /// A mark that tells of no more than `calls`.
    fn mark_of(&self, calls: u64) -> GrantMark {
        GrantMark {
            starts: self.starts,
            deadline: self.deadline(),
            calls_left: self.calls_left().map(|left| left.min(calls)),
            bytes_left: self.bytes_left(),
        }
    }

    /// Its calls and how many its budget has, where they are limited.
    fn limited(&self) -> Option<(&Calls, u64)> {
        let calls = self.calls.as_deref()?;
        Some((calls, self.request.right.budget.calls?))
    }
}

impl Note for LiveGrant {
    fn note(&self) {
        if let Some(changes) = &self.changes {
            changes.note(&self.noted, &self.request.grant);
        }
    }
}
