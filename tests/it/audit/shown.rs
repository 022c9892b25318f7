//! What people see of the log at the command line.

use std::process::Command;

use jiff::Timestamp;
use portcullis::audit::{Options, Record, RecordKind, open};
use portcullis::base::Clock;
use serde_json::Value;

use crate::harness::{Plan, Process, program, run};
use crate::rehearsal::{portcullis, some_of_everything, text};

#[test]
fn the_audit_log_is_shown_and_exported() {
    run(async {
        let mut gate = Plan::new().start().await;
        some_of_everything(&gate).await;
        let lines = gate.stop().await;
        let shown = portcullis(gate.root(), &["audit", "tail", "-n", "3", "--once"]);
        let shown = text(&shown.stdout);
        assert_eq!(shown.lines().count(), 3, "{shown}");
        assert!(shown.lines().last().unwrap().ends_with(" stop"), "{shown}");
        let export = |more: &[&str]| {
            let mut arguments = vec!["audit", "export"];
            arguments.extend(more);
            let output = portcullis(gate.root(), &arguments);
            assert!(output.status.success(), "{output:?}");
            let lines = text(&output.stdout);
            let lines = lines
                .lines()
                .map(|line| serde_json::from_str(line).unwrap());
            lines.collect::<Vec<Value>>()
        };
        assert_eq!(export(&[]), lines);
        let calls: Vec<_> = lines.iter().filter(|line| line["kind"] == "call").collect();
        let events = export(&["--format", "ocsf", "--kind", "call"]);
        assert_eq!(events.len(), calls.len());
        for (event, call) in events.iter().zip(calls) {
            assert_eq!(event["class_uid"], 6003, "{event}");
            assert_eq!(event["metadata"]["sequence"], call["seq"], "{event}");
            let denied = call["verdict"] == "deny";
            assert_eq!(event["action"], if denied { "Denied" } else { "Allowed" });
        }
        assert!(export(&["--since", "2999-01-01T00:00:00Z"]).is_empty());
        assert_eq!(
            export(&["--until", "2999-01-01T00:00:00Z"]).len(),
            lines.len()
        );
    });
}

/// `portcullis audit tail | head -1` ends: more lines than a pipe holds are left to print, and nobody reads them.
#[test]
fn the_audit_log_is_followed_for_as_long_as_somebody_reads() {
    let directory = tempfile::tempdir().unwrap();
    let (audit, writer) = open(&Options::new(directory.path()), Clock::system()).unwrap();
    for _ in 0..2000 {
        let mut record = Record::new(RecordKind::Admin, Timestamp::UNIX_EPOCH);
        record.detail = Some("x".repeat(100));
        audit.reserve().unwrap().write(record);
    }
    drop(audit);
    writer.run().unwrap();
    for form in ["text", "json"] {
        let mut command = Command::new(program());
        command.args(["audit", "tail", "-n", "2000", "--output", form]);
        command.arg(directory.path());
        let mut tail = Process::start(command);
        tail.line();
        tail.nobody_reads();
        assert!(tail.ends().success(), "{form}: {}", tail.said());
    }
}
