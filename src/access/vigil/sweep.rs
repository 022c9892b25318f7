//! A walk over things that lie in parts, a few at a time: what changes meanwhile is not kept waiting, however
//! many they are, and a walk that is begun anew before it is over misses none.

#[cfg(test)]
mod tests;

/// So many are looked at in one step.
const TOGETHER: usize = 1024;

/// Those that are still to be looked at.
#[derive(Debug)]
pub(super) struct Sweep<T> {
    parts: usize,
    /// Of the part that is being walked over.
    waiting: Vec<T>,
    /// The part that comes next.
    next: usize,
    /// How many parts are left.
    left: usize,
}

impl<T> Sweep<T> {
    /// All of so many parts are to be looked at.
    pub(super) const fn of_parts(parts: usize) -> Self {
        Self {
            parts,
            waiting: Vec::new(),
            next: 0,
            left: parts,
        }
    }

    /// All are to be looked at from here on; those that were, once more. It goes on where it is: one that is begun
    /// again and again comes round all the same.
    pub(super) const fn begin(&mut self) {
        self.left = self.parts;
    }

    /// Whether there is more to do.
    pub(super) const fn goes_on(&self) -> bool {
        self.left > 0 || !self.waiting.is_empty()
    }

    /// The next few; `part` gives what is in a part now.
    pub(super) fn take(&mut self, part: impl Fn(usize) -> Vec<T>) -> Vec<T> {
        while self.waiting.is_empty() && self.left > 0 {
            self.waiting = part(self.next);
            self.next = (self.next + 1) % self.parts;
            self.left -= 1;
        }
        let rest = self.waiting.len().saturating_sub(TOGETHER);
        self.waiting.split_off(rest)
    }
}
