//! The policy set that is shipped: it compiles, and it decides what its comments say.

use std::net::IpAddr;
use std::path::PathBuf;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use portcullis::cli::{Enrolment, enroll};
use portcullis::config::{Allowed, Snapshot, Sources, compile};
use portcullis::model::{
    Agreed, Ask, AuthFacts, EntitlementId, GrantFacts, GrantId, History, HttpFacts, InputValue,
    Inputs, OperationId, Proof, Question, RiskFacts, SourceFacts, TaskFacts, TaskId, UsualFacts,
};
use portcullis::pdp::{Decision, Memory};

/// The shipped set, with an agent of each group that its rules are for.
fn shipped() -> Snapshot {
    let directory = tempfile::tempdir().unwrap();
    for (name, group) in [("demo-bot", "support"), ("release-bot", "release")] {
        let enrolment = Enrolment {
            name: name.parse().unwrap(),
            groups: vec![group.parse().unwrap()],
            owner: None,
            directory: directory.path().to_owned(),
            key_file: directory.path().join(format!("{name}.jwk")),
        };
        enroll(&enrolment).unwrap();
    }
    let shipped = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/policies"));
    let sources = Sources {
        directories: vec![shipped, directory.path().to_owned()],
        credentials: Allowed::default(),
        stand_in: None,
    };
    match compile(&sources, &mut Memory::default()) {
        Ok((snapshot, warnings)) => {
            assert!(warnings.iter().next().is_none(), "{warnings}");
            snapshot
        }
        Err(problems) => panic!("{problems}"),
    }
}

/// A call on a Wednesday noon from the same machine, in a task of kind `refund` that the agent
/// opened, under a grant; each test bends one thing.
#[derive(Clone)]
struct Call<'a> {
    agent: &'a str,
    operation: &'a str,
    input: &'a [(&'a str, InputValue)],
    now: &'a str,
    source: &'a str,
    task: Option<(&'a str, &'a str)>,
    granted: bool,
}

impl Default for Call<'_> {
    fn default() -> Self {
        Self {
            agent: "demo-bot",
            operation: "orders.list",
            input: &[],
            now: "2026-11-18T12:00:00Z",
            source: "127.0.0.1",
            task: Some(("refund", "demo-bot")),
            granted: true,
        }
    }
}

/// `allow`, or the code and the rules of a denial.
fn decide(snapshot: &Snapshot, call: &Call<'_>, entitlement: Option<&str>) -> String {
    let agent = call.agent.parse().unwrap();
    let operation: OperationId = call.operation.parse().unwrap();
    let covering = match call.operation {
        "orders.list" => "orders-read",
        operation if operation.starts_with("orders.") => "refunds",
        _ => "deployments",
    };
    let entitlement_id: EntitlementId = entitlement.unwrap_or(covering).parse().unwrap();
    let (task, grant): (TaskId, GrantId) = ("t-1".parse().unwrap(), "g-1".parse().unwrap());
    let input: Inputs = call
        .input
        .iter()
        .map(|(name, value)| ((*name).into(), value.clone()))
        .collect();
    let history = History::new();
    let ask = if entitlement.is_some() {
        Ask::Request {
            entitlement: &entitlement_id,
            approved_by: Agreed::default(),
        }
    } else {
        Ask::Call {
            operation: &operation,
            grant: call.granted.then_some(GrantFacts {
                id: &grant,
                entitlement: &entitlement_id,
                age_seconds: 1,
                calls_left: None,
                bytes_left: None,
                approved_by: Agreed::default(),
            }),
            http: HttpFacts {
                method: "POST",
                host: "localhost",
                path: "/",
                content_length: None,
            },
            input: &input,
            history: &history,
        }
    };
    let question = Question {
        agent: &agent,
        ask,
        now: call.now.parse::<Timestamp>().unwrap(),
        time_zone: &TimeZone::UTC,
        source: SourceFacts {
            ip: call.source.parse::<IpAddr>().unwrap(),
            known: false,
            country: None,
        },
        risk: RiskFacts {
            score: 0,
            age_seconds: 0,
            known: true,
        },
        task: call.task.map(|(kind, opened_by)| TaskFacts {
            id: &task,
            kind,
            age_seconds: 1,
            depth: 0,
            opened_by,
        }),
        auth: AuthFacts {
            methods: &["private_key_jwt"],
            factors: 1,
            proof: Proof::Bearer,
        },
        usual: UsualFacts::default(),
    };
    match snapshot.policies().decide(&question) {
        Decision::Allow(_) => "allow".to_owned(),
        Decision::Deny(denial) => {
            assert!(
                denial.rules.is_empty() || denial.message.is_some(),
                "{denial:?}"
            );
            format!("{} {}", denial.reason, denial.rules.join(" "))
                .trim()
                .to_owned()
        }
    }
}

fn refund(amount: i64, currency: &str) -> [(&'static str, InputValue); 3] {
    [
        ("order_id", InputValue::String("1003".into())),
        ("amount", InputValue::Long(amount)),
        ("currency", InputValue::String(currency.into())),
    ]
}

fn words(names: &[&'static str]) -> Vec<(&'static str, InputValue)> {
    let word = |name: &&'static str| (*name, InputValue::String("x".into()));
    names.iter().map(word).collect()
}

#[test]
fn who_may_ask_for_what() {
    let snapshot = shipped();
    for (agent, kind, entitlement, expected) in [
        ("demo-bot", "", "orders-read", "allow"),
        ("demo-bot", "refund", "refunds", "allow"),
        ("demo-bot", "complaint", "refunds", "allow"),
        (
            "demo-bot",
            "",
            "refunds",
            "condition_denied refunds-for-a-case",
        ),
        ("demo-bot", "refund", "deployments", "condition_denied"),
        ("release-bot", "", "deployments", "allow"),
        ("release-bot", "", "orders-read", "condition_denied"),
    ] {
        let call = Call {
            agent,
            task: Some((kind, agent)),
            ..Call::default()
        };
        let decided = decide(&snapshot, &call, Some(entitlement));
        assert_eq!(decided, expected, "{agent} {kind} {entitlement}");
    }
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "a table, a line or two for each case"
)]
fn which_calls_pass() {
    let snapshot = shipped();
    let start = words(&["service", "version"]);
    let order = words(&["order_id"]);
    let monday = "2026-11-16T06:00:00Z";
    let early = "2026-11-16T05:59:59Z";
    let saturday = "2026-11-21T12:00:00Z";
    let call = Call::default;
    let refund_of = |input| Call {
        operation: "orders.refund",
        input,
        ..call()
    };
    let start_of = |now, opened_by| Call {
        agent: "release-bot",
        operation: "deployments.start",
        input: &start,
        now,
        task: Some(("release", opened_by)),
        ..call()
    };
    let desk = "release-orchestrator";
    for (case, call, expected) in [
        ("read", call(), "allow"),
        (
            "at night",
            Call {
                now: saturday,
                ..call()
            },
            "allow",
        ),
        (
            "from outside",
            Call {
                source: "203.0.113.7",
                ..call()
            },
            "allow",
        ),
        (
            "baseline",
            Call {
                agent: "release-bot",
                operation: "orders.status",
                task: None,
                granted: false,
                ..call()
            },
            "allow",
        ),
        (
            "foreign service",
            Call {
                agent: "release-bot",
                ..call()
            },
            "condition_denied",
        ),
        ("at the limit", refund_of(&refund(500, "EUR")), "allow"),
        (
            "above it",
            refund_of(&refund(501, "EUR")),
            "condition_denied refund-limit",
        ),
        (
            "in USD",
            refund_of(&refund(1, "USD")),
            "condition_denied refund-currency",
        ),
        (
            "hold from outside",
            Call {
                operation: "orders.hold",
                input: &order,
                source: "203.0.113.7",
                ..call()
            },
            "condition_denied harm-from-inside-only",
        ),
        (
            "hold from inside",
            Call {
                operation: "orders.hold",
                input: &order,
                source: "10.1.2.3",
                ..call()
            },
            "allow",
        ),
        ("start on a Monday at six", start_of(monday, desk), "allow"),
        (
            "start by an operator's wish",
            start_of(monday, "operator"),
            "allow",
        ),
        (
            "start too early",
            start_of(early, desk),
            "condition_denied deployments-while-people-watch",
        ),
        (
            "start on a Saturday",
            start_of(saturday, desk),
            "condition_denied deployments-while-people-watch",
        ),
        (
            "start by its own wish",
            start_of(monday, "release-bot"),
            "condition_denied deployments-by-anothers-wish",
        ),
    ] {
        assert_eq!(decide(&snapshot, &call, None), expected, "{case}");
    }
}
