use std::path::Path;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};

use tempfile::TempDir;

use super::super::fixture::{Faults, call, flaky, opened, run, story};
use super::super::{Audit, Unavailable, verify};
use super::*;

struct Running {
    directory: TempDir,
    audit: Audit,
    faults: Faults,
    thread: JoinHandle<Result<(), AuditError>>,
}

/// A writer on its thread, on a disk that can break, with segments of `lines` calls.
fn running(lines: u64) -> Running {
    let directory = TempDir::new().unwrap();
    let (audit, mut writer) = opened(directory.path(), lines);
    let faults = flaky(&mut writer, directory.path());
    Running {
        directory,
        audit,
        faults,
        thread: thread::spawn(|| writer.run()),
    }
}

impl Running {
    fn send(&self, calls: std::ops::Range<usize>) {
        // A writer that fails at the first refuses new places, but not those.
        let places = calls.map(|n| (n, self.audit.reserve().unwrap()));
        for (n, place) in places.collect::<Vec<_>>() {
            place.write(call(n));
        }
    }

    async fn healed(&self) {
        self.faults.heal();
        while self.audit.flush().await.is_err() {
            tokio::task::yield_now().await;
        }
    }

    /// Ends the run and expects its start, calls up to `calls`, and its end: once each, in order.
    fn check(self, calls: usize) {
        drop(self.audit);
        self.thread.join().unwrap().unwrap();
        check(self.directory.path(), calls);
    }
}

fn check(directory: &Path, calls: usize) {
    let mut due = vec!["start".to_owned()];
    due.extend((0..calls).map(|n| format!("/orders/{n}")));
    due.push("stop".to_owned());
    assert_eq!(story(directory), due);
    assert_eq!(verify(directory).unwrap().records, calls as u64 + 2);
}

#[test]
fn a_run_is_written_in_order_over_as_many_segments_as_it_takes() {
    for lines in [0, 1, 4, 1000] {
        let directory = TempDir::new().unwrap();
        run(directory.path(), lines, 20);
        check(directory.path(), 20);
    }
}

#[tokio::test]
async fn records_are_synced_in_groups_and_flushed_on_demand() {
    let run = running(1000);
    run.send(0..50);
    run.audit.flush().await.unwrap();
    assert_eq!(run.audit.written(), 50);
    assert_eq!(story(run.directory.path()).len(), 51);
    assert_eq!(run.faults.syncs.load(Ordering::SeqCst), 1);
    run.audit.flush().await.unwrap();
    run.check(50);
}

#[tokio::test]
async fn what_is_not_synced_yet_is_with_the_kernel() {
    let run = running(1000);
    run.send(0..1);
    while story(run.directory.path()).len() < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(run.audit.written(), 0);
    assert_eq!(run.faults.syncs.load(Ordering::SeqCst), 0);
    // What a sync may have lost is written once more.
    run.faults.sync.store(true, Ordering::SeqCst);
    run.send(1..3);
    assert!(run.audit.flush().await.is_err());
    run.healed().await;
    assert_eq!(run.audit.written(), 3);
    run.check(3);
}

#[tokio::test]
async fn a_full_disk_refuses_and_recovers_without_loss() {
    // Every number of bytes that can fit of two lines, in steps.
    for room in (0..450).step_by(49) {
        let run = running(4);
        run.send(0..1);
        run.audit.flush().await.unwrap();
        run.faults.fill(room);
        let place = run.audit.reserve().unwrap();
        run.send(1..3);

        let refused = run.audit.flush().await.unwrap_err();
        assert_eq!(refused, Unavailable::Failing("no storage space".into()));
        assert_eq!(run.audit.reserve().unwrap_err(), refused);
        assert_eq!(run.audit.health(), Err(refused));
        place.write(call(3));

        run.healed().await;
        assert_eq!(run.audit.health(), Ok(()));
        assert_eq!(run.audit.written(), 4);
        run.send(4..6);
        run.check(6);
    }
}

#[tokio::test]
async fn failures_of_sync_truncate_and_rotation_are_survived() {
    let faults: [fn(&Faults); 3] = [
        |faults| faults.sync.store(true, Ordering::SeqCst),
        |faults| {
            faults.fill(30);
            faults.truncate.store(true, Ordering::SeqCst);
        },
        |faults| faults.rotate.store(true, Ordering::SeqCst),
    ];
    for fault in faults {
        let run = running(4);
        run.send(0..1);
        run.audit.flush().await.unwrap();
        fault(&run.faults);
        run.send(1..10);
        assert!(run.audit.flush().await.is_err());
        run.healed().await;
        run.check(10);
    }
}

#[test]
fn what_is_lost_at_the_end_is_said() {
    let run = running(1000);
    run.faults.fill(10);
    run.send(0..3);
    drop(run.audit);
    match run.thread.join().unwrap() {
        Err(AuditError::Unwritten { records: 3, .. }) => {}
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_writer_that_is_gone_refuses() {
    let directory = TempDir::new().unwrap();
    let (audit, writer) = opened(directory.path(), 4);
    drop(writer);
    let stopped = Unavailable::Failing("the writer has stopped".into());
    assert_eq!(audit.reserve().unwrap_err(), stopped);
    assert_eq!(audit.flush().await, Ok(()));
}
