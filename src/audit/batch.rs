//! Records on their way to the writer, as the members of their lines: one behind the other in one piece of
//! memory, so that none of it is made or given back for each.

#[cfg(test)]
mod tests;

/// Memory that a burst has left is kept up to this.
const KEPT: usize = 1 << 20;

/// Records in their order.
#[derive(Debug, Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Batch {
    /// Adds the members of a record, each with a comma before it.
    pub(super) fn push(&mut self, members: &[u8]) {
        self.bytes.extend_from_slice(members);
        self.ends.push(self.bytes.len());
    }

    /// How many records there are.
    pub(super) const fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The members of each.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(&0).chain(&self.ends);
        let spans = starts.zip(&self.ends);
        spans.map(|(start, end)| self.bytes.get(*start..*end).unwrap_or_default())
    }

    /// Makes room for others.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.bytes.shrink_to(KEPT);
        self.ends.shrink_to(KEPT / size_of::<usize>());
    }
}
