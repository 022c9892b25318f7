//! Logs for tests, and a disk that breaks on command.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;

use super::segments::{Disk, Files, name};
use super::{Audit, Lines, Options, Record, RecordKind, Writer, open};
use crate::base::Clock;

pub(super) const NEVER: Duration = Duration::from_secs(3600);

pub(super) fn clock() -> Clock {
    Clock::manual("2026-11-24T08:00:00.25Z".parse().unwrap()).0
}

/// The record of the `n`th call.
pub(super) fn call(n: usize) -> Record {
    let mut record = Record::new(RecordKind::Call, clock().wall());
    record.path = Some(format!("/orders/{n}"));
    record
}

/// Opens the log in `directory`; segments have room for `lines` calls.
pub(super) fn opened(directory: &Path, lines: u64) -> (Audit, Writer) {
    let options = Options {
        segment_bytes: lines * 265,
        sync_within: NEVER,
        ..Options::new(directory)
    };
    open(&options, clock()).unwrap()
}

/// One run of a gateway that makes `calls` calls: two more lines, for its start and its end.
pub(super) fn run(directory: &Path, lines: u64, calls: usize) {
    let (audit, writer) = opened(directory, lines);
    for n in 0..calls {
        audit.reserve().unwrap().write(call(n));
    }
    drop(audit);
    writer.run().unwrap();
}

/// A log of `calls` calls in segments of four.
pub(super) fn log(calls: usize) -> TempDir {
    let directory = TempDir::new().unwrap();
    run(directory.path(), 4, calls);
    directory
}

pub(super) fn read(directory: &Path, segment: u64) -> Vec<u8> {
    fs::read(directory.join(name(segment))).unwrap()
}

pub(super) fn write(directory: &Path, segment: u64, bytes: &[u8]) {
    fs::write(directory.join(name(segment)), bytes).unwrap();
}

/// The lines of one segment, each with its line break.
pub(super) fn lines(directory: &Path, segment: u64) -> Vec<Vec<u8>> {
    let bytes = read(directory, segment);
    bytes
        .split_inclusive(|byte| *byte == b'\n')
        .map(<[u8]>::to_vec)
        .collect()
}

/// The kinds and paths of all records.
pub(super) fn story(directory: &Path) -> Vec<String> {
    Lines::all(directory)
        .unwrap()
        .map(|entry| entry.unwrap().record().unwrap())
        .map(|record| record.path.unwrap_or_else(|| record.kind.to_string()))
        .collect()
}

/// What a [`Flaky`] disk does, set from outside.
#[derive(Clone, Default)]
pub(super) struct Faults {
    /// Bytes that fit behind what is synced, while the disk is full.
    pub(super) room: Arc<Mutex<Option<usize>>>,
    pub(super) sync: Arc<AtomicBool>,
    pub(super) truncate: Arc<AtomicBool>,
    pub(super) rotate: Arc<AtomicBool>,
    pub(super) syncs: Arc<AtomicU64>,
}

impl Faults {
    pub(super) fn fill(&self, room: usize) {
        *self.room.lock().unwrap() = Some(room);
    }

    pub(super) fn heal(&self) {
        *self.room.lock().unwrap() = None;
        for fault in [&self.sync, &self.truncate, &self.rotate] {
            fault.store(false, Ordering::SeqCst);
        }
    }
}

/// Real files, with faults before them.
pub(super) struct Flaky {
    files: Files,
    faults: Faults,
    /// How many bytes were written since the last sync.
    unsynced: usize,
}

/// Puts a flaky disk under `writer`, whose log must still be in its first segment.
pub(super) fn flaky(writer: &mut Writer, directory: &Path) -> Faults {
    let faults = Faults::default();
    writer.retry = Duration::from_millis(1);
    writer.disk = Box::new(Flaky {
        files: Files::open(directory, 1).unwrap(),
        faults: faults.clone(),
        unsynced: 0,
    });
    faults
}

fn broken(fault: &AtomicBool) -> io::Result<()> {
    match fault.load(Ordering::SeqCst) {
        true => Err(io::Error::other("the disk is on fire")),
        false => Ok(()),
    }
}

impl Disk for Flaky {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let room = *self.faults.room.lock().unwrap();
        let left = room.map_or(usize::MAX, |room| room.saturating_sub(self.unsynced));
        let fits = bytes.len().min(left);
        self.files.append(&bytes[..fits])?;
        self.unsynced += fits;
        match fits < bytes.len() {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        self.faults.syncs.fetch_add(1, Ordering::SeqCst);
        broken(&self.faults.sync)?;
        self.files.sync()?;
        self.unsynced = 0;
        Ok(())
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        broken(&self.faults.truncate)?;
        self.files.truncate(length)?;
        self.unsynced = 0;
        Ok(())
    }

    fn next_segment(&mut self) -> io::Result<()> {
        broken(&self.faults.rotate)?;
        self.files.next_segment()
    }
}
