use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use jiff::tz::TimeZone;

use super::written::{MOST_HISTORY, MOST_TEXT};
use super::*;
use crate::audit::{
    AskedAgreement, AskedCode, AskedExtent, AskedPart, AskedRenewal, Record, RecordKind, line,
};
use crate::base::Digest;
use crate::model::{
    Agreed, ApprovalRule, Ask, AuthFacts, GrantFacts, HttpFacts, InputValue, OperationHistory,
    SourceFacts, TaskFacts,
};

/// What is kept of a call with these inputs after this history.
fn kept(input: &Inputs, history: &History) -> Option<Asked> {
    let groups = ["leads".parse().unwrap()];
    let question = Question {
        agent: &"bot".parse().unwrap(),
        ask: Ask::Call {
            operation: &"orders.refund".parse().unwrap(),
            grant: Some(GrantFacts {
                id: &"grt_1".parse().unwrap(),
                entitlement: &"refunds".parse().unwrap(),
                age_seconds: 5,
                calls_left: Some(19),
                bytes_left: None,
                approved_by: Agreed {
                    groups: &groups,
                    mfa: true,
                },
            }),
            http: HttpFacts {
                method: "POST",
                host: "gate.example",
                path: "/orders/1/refunds",
                content_length: Some(-1),
            },
            input,
            history,
        },
        now: "2026-11-24T08:00:00.000007Z".parse().unwrap(),
        time_zone: &TimeZone::UTC,
        source: SourceFacts {
            ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            known: true,
            country: Some("CH".into()),
        },
        risk: RiskFacts {
            score: 40,
            age_seconds: 3,
            known: true,
        },
        task: Some(TaskFacts {
            id: &"tsk_1".parse().unwrap(),
            kind: "a \"kind\"\n",
            age_seconds: 60,
            depth: 1,
            opened_by: "ana@example.com",
        }),
        auth: AuthFacts {
            methods: &["private_key_jwt", "mtls"],
            factors: 2,
            proof: Proof::Mtls,
        },
        usual: UsualFacts {
            network: true,
            hour: false,
            operation: true,
        },
    };
    let ruled = Some(DenyReason::ConditionDenied);
    let asked = Asked::of(&question, ruled);
    let written = Written::of(&question, ruled);
    assert_eq!(written, asked.as_ref().map(Written::from));
    let read = written.map(|written| written.read().unwrap());
    assert_eq!(read, asked, "what is written at once is what is kept");
    asked
}

fn inputs(text: &str) -> Inputs {
    [
        ("amount".into(), InputValue::Long(-50)),
        ("currency".into(), InputValue::String(text.into())),
        ("gift".into(), InputValue::Bool(true)),
    ]
    .into()
}

fn history(operations: usize) -> History {
    let entry = OperationHistory {
        calls: 3,
        succeeded: 2,
        last_age_seconds: Some(9),
        sum: [("amount".into(), 150)].into(),
    };
    let operations = (0..operations).map(|n| format!("op.{n}").parse().unwrap());
    operations.map(|id| (id, entry.clone())).collect()
}

#[test]
fn a_question_reads_back_whole() {
    let asked = kept(&inputs("E\u{1b}UR"), &history(2)).unwrap();
    let empty = Asked {
        source: Some("2001:db8::1".parse().unwrap()),
        ruled: None,
        country: None,
        risk: RiskFacts::UNKNOWN,
        usual: UsualFacts::default(),
        task: None,
        grant: None,
        content_length: None,
        approved_by: vec!["leads".parse().unwrap()],
        approved_mfa: true,
        input: Inputs::new(),
        history: History::new(),
        ..asked.clone()
    };
    let with = |step| Asked {
        step: Some(Box::new(step)),
        ..empty.clone()
    };
    let steps = steps().map(with);
    for asked in steps.into_iter().chain([asked, empty]) {
        let mut record = Record::new(RecordKind::Call, asked.at);
        record.asked = Some(Box::new(asked));
        let mut line = b"{\"seq\":1".to_vec();
        line::write(&mut line, &record);
        line.push(b'}');
        assert!(line.iter().all(|byte| (b' '..0x7f).contains(byte)));
        assert_eq!(line::read(&line).unwrap(), record);
    }
}

fn steps() -> [AskedStep; 6] {
    let agreement = AskedAgreement {
        declines: false,
        definition: Digest::of(b"what was asked for"),
        duration: Duration::from_nanos(600_000_000_001),
        max_concurrent: Some(2),
        rule: ApprovalRule {
            group: "leads".parse().unwrap(),
            quorum: 2,
            mfa: true,
            expires: Duration::from_mins(30),
        },
        hands: vec!["ben".parse().unwrap(), "cem".parse().unwrap()],
        openers: vec!["bot".into(), "ana@example.com".into()],
        again: true,
        shown: true,
        at_most: Some(Duration::from_mins(5)),
        code: AskedCode::Refused(DenyReason::RateLimited),
        last: true,
        taken: false,
    };
    let least = AskedAgreement {
        declines: true,
        max_concurrent: None,
        hands: Vec::new(),
        openers: Vec::new(),
        at_most: None,
        code: AskedCode::Unseen,
        taken: true,
        ..agreement.clone()
    };
    let renewal = AskedRenewal {
        held: true,
        duration: Duration::from_mins(5),
        agreed: Some(Duration::from_mins(10)),
        extent: Some(AskedExtent {
            age: Duration::from_nanos(1),
            left: Duration::ZERO,
            at_most: Duration::from_hours(24 * 365),
        }),
        no_longer: true,
    };
    let bare = AskedRenewal {
        held: false,
        agreed: None,
        extent: None,
        ..renewal
    };
    let part = AskedPart {
        own: true,
        held: false,
    };
    [
        AskedStep::Agreement(agreement),
        AskedStep::Agreement(least),
        AskedStep::Part(part),
        AskedStep::Part(AskedPart { held: true, ..part }),
        AskedStep::Renewal(renewal),
        AskedStep::Renewal(bare),
    ]
}

#[test]
fn what_would_be_too_much_for_a_line_is_not_kept() {
    assert!(kept(&inputs(&"x".repeat(MOST_TEXT)), &history(MOST_HISTORY)).is_some());
    assert!(kept(&inputs(&"x".repeat(MOST_TEXT + 1)), &history(0)).is_none());
    assert!(kept(&inputs(""), &history(MOST_HISTORY + 1)).is_none());
}
