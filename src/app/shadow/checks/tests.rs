use std::fs;

use super::*;
use crate::audit::{Asked, RecordKind, Verdict};
use crate::config::{Allowed, Sources, compile};
use crate::model::{DenyReason, History, InputValue, Inputs, Proof, RiskFacts, UsualFacts};
use crate::pdp::Memory;

const POLICIES: &str = r#"
[[agent]]
id = "bot"

[[service]]
name = "shop"
match = { path = "/shop" }
upstreams = ["http://127.0.0.1:1"]

[[operation]]
id = "shop.find"
service = "shop"
route = "GET /shop/find"
baseline = true
input = { most = "query:most:Long" }
"#;

const RULES: &str = r#"
@id("open")
permit (principal, action == Action::"shop.find", resource);

@id("few")
forbid (principal, action == Action::"shop.find", resource) when { context.input.most > 10 };
"#;

struct World {
    checks: Checks,
    snapshot: Arc<Snapshot>,
    metrics: Arc<Metrics>,
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("all.toml"), POLICIES).unwrap();
        fs::write(directory.path().join("all.cedar"), RULES).unwrap();
        let sources = Sources {
            directories: vec![directory.path().to_owned()],
            credentials: Allowed::default(),
            stand_in: None,
        };
        let (snapshot, _) = compile(&sources, &mut Memory::default()).unwrap();
        let live = Arc::new(Live::new(snapshot));
        let codes = DenyReason::ALL.iter().map(|one| one.as_str());
        let metrics = Arc::new(Metrics::new(codes, std::iter::empty()));
        let snapshot = live.current();
        Self {
            checks: Checks::new(live, Timestamp::UNIX_EPOCH, &metrics),
            snapshot,
            metrics,
        }
    }

    /// The record of a call for at most so many, as somebody has decided it.
    fn record(&self, most: i64, verdict: Verdict, rules: &[&str]) -> Record {
        let mut record = Record::new(RecordKind::Call, Timestamp::UNIX_EPOCH);
        record.request_id = Some("r".to_owned());
        record.agent = Some("bot".parse().unwrap());
        record.operation = Some("shop.find".parse().unwrap());
        record.method = Some("GET".to_owned());
        record.host = Some("localhost".to_owned());
        record.path = Some("/shop/find".to_owned());
        record.generation = Some(self.snapshot.generation().clone());
        record.rules = rules.iter().map(|one| Arc::from(*one)).collect();
        record.verdict = verdict;
        record.asked = Some(Box::new(Asked {
            at: Timestamp::UNIX_EPOCH,
            ruled: match verdict {
                Verdict::Deny(reason) => Some(reason),
                Verdict::Allow | Verdict::Neither => None,
            },
            source: None,
            known: true,
            country: None,
            risk: RiskFacts::UNKNOWN,
            usual: UsualFacts::default(),
            methods: Vec::new(),
            factors: 1,
            proof: Proof::Bearer,
            task: None,
            grant: None,
            approved_by: Vec::new(),
            approved_mfa: false,
            step: None,
            content_length: None,
            input: Inputs::from([("most".into(), InputValue::Long(most))]),
            history: History::new(),
        }));
        record
    }

    fn look(&self, record: &Record) {
        let by_cedar = Replay::by_cedar(&self.snapshot);
        self.checks.look(&self.snapshot, &by_cedar, record);
    }

    /// Checked, other verdicts, the same by other rules, missed.
    fn counts(&self) -> [u64; 4] {
        let exposed = self.metrics.expose();
        [
            "policy_cedar_checks_total",
            "policy_cedar_differences_total{kind=\"verdict\"}",
            "policy_cedar_differences_total{kind=\"rules\"}",
            "shadow_missed_total",
        ]
        .map(|name| {
            let name = format!("portcullis_{name} ");
            let mut lines = exposed.lines();
            let value = lines.find_map(|line| line.strip_prefix(&name));
            value.unwrap().parse().unwrap()
        })
    }
}

const DENIED: Verdict = Verdict::Deny(DenyReason::ConditionDenied);

#[test]
fn what_was_decided_as_cedar_has_it_differs_in_nothing() {
    let world = World::new();
    world.look(&world.record(10, Verdict::Allow, &["open"]));
    world.look(&world.record(11, DENIED, &["few"]));
    assert_eq!(world.counts(), [2, 0, 0, 0]);
    let view = world.checks.view();
    assert_eq!(view["checked"], 2);
    assert_eq!(view["samples"], json!([]));
}

/// Each as a program would decide that was compiled wrong.
#[test]
fn a_judge_that_is_wrong_is_found() {
    let world = World::new();
    world.look(&world.record(11, Verdict::Allow, &["open"]));
    world.look(&world.record(10, DENIED, &["few"]));
    world.look(&world.record(11, DENIED, &["open"]));
    assert_eq!(world.counts(), [3, 2, 1, 0]);
    let view = world.checks.view();
    assert_eq!(view["differences"], json!({ "verdicts": 2, "rules": 1 }));
    let allow = json!({ "verdict": "allow", "rules": ["open"] });
    let deny = json!({ "verdict": "condition_denied", "rules": ["few"] });
    let sample = |at: usize| {
        let sample = &view["samples"][at];
        ["live", "cedar", "again"].map(|judge| sample[judge].clone())
    };
    // The newest first; what is compiled is right here, and says so.
    assert_eq!(sample(1), [deny.clone(), allow.clone(), allow.clone()]);
    assert_eq!(sample(2), [allow, deny.clone(), deny]);
}

/// The rules said yes, and then the upstream was not there: that is no matter of rules, and what they said is.
#[test]
fn what_came_after_the_rules_is_no_difference() {
    let world = World::new();
    let unreachable = Verdict::Deny(DenyReason::UpstreamUnreachable);
    let record = |most: i64| {
        let mut record = world.record(most, unreachable, &[]);
        record.asked.as_mut().unwrap().ruled = None;
        record
    };
    world.look(&record(10));
    assert_eq!(world.counts(), [1, 0, 0, 0]);
    world.look(&record(11));
    assert_eq!(world.counts(), [2, 1, 0, 0]);
}

#[test]
fn what_another_generation_decided_is_not_checked_by_this_one() {
    let world = World::new();
    let mut record = world.record(11, Verdict::Allow, &["open"]);
    record.generation = None;
    world.look(&record);
    assert_eq!(world.counts(), [0, 0, 0, 1]);
    // No rule was asked.
    record.asked = None;
    world.look(&record);
    assert_eq!(world.counts(), [0, 0, 0, 1]);
}
