//! What a record costs whoever is recorded, and what it costs in all until it is durable.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use criterion::{Criterion, Throughput};
use portcullis::audit::{Asked, Audit, Options, Record, RecordKind, Verdict, open};
use portcullis::base::Clock;
use tempfile::TempDir;
use tokio::runtime::Builder;

use crate::decide::ask;

/// Never more at once than there are places.
const AT_ONCE: u64 = 10_000;

pub(crate) fn record(criterion: &mut Criterion) {
    let directory = TempDir::new().unwrap();
    let options = Options {
        queue: usize::try_from(2 * AT_ONCE).unwrap(),
        ..Options::new(directory.path().join("audit"))
    };
    let (audit, writer) = open(&options, Clock::system()).unwrap();
    let writer = std::thread::spawn(move || writer.run());
    let mut group = criterion.benchmark_group("record");
    group.throughput(Throughput::Elements(1));
    group.sample_size(20);
    group.bench_function("handed_over", |bencher| {
        bencher.iter_custom(|count| write(&audit, count).0);
    });
    group.bench_function("until_durable", |bencher| {
        bencher.iter_custom(|count| write(&audit, count).1);
    });
    group.finish();
    drop(audit);
    writer.join().unwrap().unwrap();
}

/// Writes so many records: how long their senders took, and how long it was until all were durable.
fn write(audit: &Audit, count: u64) -> (Duration, Duration) {
    let runtime = Builder::new_current_thread().build().unwrap();
    let clock = Clock::system();
    let (mut handing, mut all) = (Duration::ZERO, Duration::ZERO);
    let mut left = count;
    while left > 0 {
        let now = left.min(AT_ONCE);
        left -= now;
        let records: Vec<_> = (0..now).map(|_| call()).collect();
        let began = clock.now();
        for record in records {
            audit.reserve().unwrap().write(record);
        }
        handing += clock.now() - began;
        runtime.block_on(audit.flush()).unwrap();
        all += clock.now() - began;
    }
    (handing, all)
}

/// The record of a call that was allowed.
fn call() -> Record {
    let mut record = Record::new(RecordKind::Call, "2026-11-24T08:00:00.25Z".parse().unwrap());
    record.request_id = Some("d389650898dd4e35-3".to_owned());
    record.agent = Some("agent-0".parse().unwrap());
    record.task = Some("tsk_9h6dh8a2s8cd9esv21p5vztwmp".parse().unwrap());
    record.grant = Some("grt_p4e6ay7kr229hmferb8jthw01c".parse().unwrap());
    record.operation = Some("s0.o0".parse().unwrap());
    record.entitlement = Some("everything".parse().unwrap());
    record.service = Some("s0".parse().unwrap());
    record.verdict = Verdict::Allow;
    record.rules = vec!["a1".into()];
    record.source = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
    record.method = Some("POST".to_owned());
    record.host = Some("s0.internal".to_owned());
    record.path = Some("/orders/7/refund".to_owned());
    record.status = Some(200);
    record.bytes_out = 200;
    record.duration = Some(Duration::from_micros(123));
    record.asked = ask(|question| Asked::of(question, None)).map(Box::new);
    record
}
