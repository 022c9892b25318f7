//! The one thread that writes.

#[cfg(test)]
mod tests;

use std::fmt;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::batch::Batch;
use super::chain::Head;
use super::queue::Shared;
use super::segments::Disk;
use super::{AuditError, Record, RecordKind, Tap, line};
use crate::base::{BootInstant, Clock};

/// Between two attempts to write what could not be written.
pub(super) const RETRY: Duration = Duration::from_millis(200);
/// How often to try when nobody is left who could wait for better times: five seconds.
const LAST_ATTEMPTS: u32 = 25;

/// Owns the files and the end of the chain. Give [`Writer::run`] a thread of its own.
pub struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) clock: Clock,
    pub(super) disk: Box<dyn Disk>,
    pub(super) head: Head,
    pub(super) pending: Pending,
    /// The bytes of the segment that are known to be durable.
    pub(super) length: u64,
    pub(super) segment_bytes: u64,
    pub(super) sync_within: Duration,
    pub(super) retry: Duration,
    /// Held for as long as the log may be written.
    pub(super) _lock: Option<File>,
}

/// Lines that are not durable yet.
#[derive(Default)]
pub(super) struct Pending {
    bytes: Vec<u8>,
    /// How many of the bytes the kernel has.
    appended: usize,
    /// How many of the lines came through the queue.
    records: usize,
    /// An attempt to write them failed, so the segment may end in a part of them.
    failed: bool,
}

impl Writer {
    /// From now on hands the records on to `tap` as well.
    #[must_use]
    pub fn with_tap(self, tap: Tap) -> Self {
        self.shared.set_tap(tap);
        self
    }

    /// Writes until all handles are gone, then says so in a last record.
    ///
    /// # Errors
    ///
    /// When what is left at the end can't be written after some seconds of trying.
    pub fn run(mut self) -> Result<(), AuditError> {
        let mut batch = Batch::default();
        // Since when the oldest record of a group may have been waiting to be durable.
        let mut group: Option<BootInstant> = None;
        loop {
            let left = group.map(|since| self.left(since));
            let collected = self.shared.collect(&mut batch, left);
            group.get_or_insert_with(|| self.clock.now());
            for members in batch.iter() {
                self.push(members)?;
                self.pending.records += 1;
            }
            batch.clear();
            if !collected.due && self.pending.records < self.shared.half() {
                self.persist(|writer| writer.try_append(writer.pending.bytes.len()))?;
                continue;
            }
            let began = self.clock.now();
            self.commit(self.pending.bytes.len())?;
            // Records that came meanwhile may be as old as that.
            group = self.shared.holds_records().then_some(began);
            if !collected.more {
                break;
            }
        }
        let mut members = Vec::new();
        let stop = Record::new(RecordKind::Stop, self.clock.wall());
        line::write(&mut members, &stop);
        self.push(&members)?;
        self.commit(self.pending.bytes.len())
    }

    /// How long a group that has waited `since` then may still grow.
    fn left(&self, since: BootInstant) -> Duration {
        self.sync_within.saturating_sub(self.clock.now() - since)
    }

    /// Appends one line to what is pending, in a new segment where this one is full.
    fn push(&mut self, members: &[u8]) -> Result<(), AuditError> {
        let start = self.chain(members);
        let used = self.length.saturating_add(start as u64);
        let length = self.length.saturating_add(self.pending.bytes.len() as u64);
        if length > self.segment_bytes && used > 0 {
            self.commit(start)?;
            self.persist(|writer| {
                writer.disk.next_segment()?;
                writer.length = 0;
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Makes the next line of a record's members, and says where it starts.
    fn chain(&mut self, members: &[u8]) -> usize {
        let out = &mut self.pending.bytes;
        let start = out.len();
        self.head.start(out);
        out.extend_from_slice(members);
        self.head.seal(out, start);
        start
    }

    /// Makes the first `count` pending bytes durable, however long it takes.
    fn commit(&mut self, count: usize) -> Result<(), AuditError> {
        if count > 0 {
            self.persist(|writer| writer.try_commit(count))?;
            self.pending.bytes.drain(..count);
            self.pending.appended = 0;
        }
        self.shared
            .settle(std::mem::take(&mut self.pending.records));
        Ok(())
    }

    fn persist(
        &mut self,
        mut attempt: impl FnMut(&mut Self) -> io::Result<()>,
    ) -> Result<(), AuditError> {
        let mut last_attempts = LAST_ATTEMPTS;
        while let Err(source) = attempt(self) {
            if !std::mem::replace(&mut self.pending.failed, true) {
                tracing::error!(%source, "the audit log can't be written; refusing until it can");
            }
            self.shared.fail(&source.to_string());
            if !self.shared.pause(self.retry) {
                last_attempts = last_attempts.saturating_sub(1);
                if last_attempts == 0 {
                    let records = self.shared.unwritten();
                    return Err(AuditError::Unwritten { records, source });
                }
            }
        }
        if std::mem::take(&mut self.pending.failed) {
            tracing::warn!("the audit log can be written again");
        }
        Ok(())
    }

    /// Tries once to make the first `count` pending bytes durable.
    pub(super) fn try_commit(&mut self, count: usize) -> io::Result<()> {
        self.try_append(count)?;
        self.disk.sync()?;
        self.length = self.length.saturating_add(count as u64);
        Ok(())
    }

    /// Tries once to give the first `count` pending bytes to the kernel. After a failure it starts over from
    /// the last durable byte: a part may have been written, and the kernel may have dropped pages that it
    /// failed to write back.
    fn try_append(&mut self, count: usize) -> io::Result<()> {
        let pending = &mut self.pending;
        if pending.failed {
            self.disk.truncate(self.length)?;
            pending.appended = 0;
        }
        let bytes = pending.bytes.get(pending.appended..count);
        self.disk.append(bytes.unwrap_or_default())?;
        pending.appended = count;
        Ok(())
    }

    /// Writes the first record of a run. There is nobody yet who could be refused, so it fails at once.
    pub(super) fn start(&mut self, record: &Record) -> io::Result<()> {
        let mut members = Vec::new();
        line::write(&mut members, record);
        self.chain(&members);
        self.try_commit(self.pending.bytes.len())?;
        self.pending.bytes.clear();
        self.pending.appended = 0;
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.stop();
        let records = self.shared.unwritten();
        if records > 0 {
            tracing::error!(
                records,
                "the audit writer stops with records that are not written"
            );
        }
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("head", &self.head)
            .finish_non_exhaustive()
    }
}
