use proptest::prelude::*;

use super::*;

fn full() -> Record {
    Record {
        kind: RecordKind::Call,
        at: "2026-11-24T08:00:00.000007Z".parse().unwrap(),
        request_id: Some("req-1".into()),
        agent: Some("billing-bot".parse().unwrap()),
        person: Some("ana@example.com".parse().unwrap()),
        task: Some("tsk_1".parse().unwrap()),
        grant: Some("grt_1".parse().unwrap()),
        request: Some("req_1".parse().unwrap()),
        operation: Some("orders.refund".parse().unwrap()),
        entitlement: Some("refunds".parse().unwrap()),
        service: Some("orders".parse().unwrap()),
        verdict: Verdict::Deny(DenyReason::ConditionDenied),
        rules: vec!["office-hours".into(), "small \"amounts\"".into()],
        generation: Generation::from_hex("0123456789abcdef"),
        source: Some("2001:db8::1".parse().unwrap()),
        method: Some("POST".into()),
        host: Some("orders.internal".into()),
        path: Some("/orders/7/refunds".into()),
        status: Some(403),
        bytes_in: 12,
        bytes_out: u64::MAX,
        duration: Some(Duration::from_micros(345)),
        trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736".into()),
        end: Some(EndReason::Revoked),
        detail: Some("so it is".into()),
        asked: None,
        written: None,
    }
}

fn written(record: &Record) -> String {
    let mut out = b"{\"seq\":1".to_vec();
    write(&mut out, record);
    out.push(b'}');
    String::from_utf8(out).unwrap()
}

fn check(change: impl Fn(&mut Record)) {
    let mut record = full();
    change(&mut record);
    let line = written(&record);
    assert_eq!(read(line.as_bytes()).unwrap(), record, "{line}");
}

#[test]
fn every_member_reads_back() {
    check(|_| {});
    check(|record| *record = Record::new(RecordKind::Start, record.at));
    check(|record| record.source = Some("192.0.2.7".parse().unwrap()));
    check(|record| record.verdict = Verdict::Allow);
    for kind in RecordKind::ALL {
        check(|record| record.kind = *kind);
    }
    for reason in DenyReason::ALL {
        check(|record| record.verdict = Verdict::Deny(*reason));
    }
    for reason in EndReason::ALL {
        check(|record| record.end = Some(*reason));
    }
}

#[test]
fn a_line_as_programs_see_it() {
    assert_eq!(
        written(&full()),
        concat!(
            r#"{"seq":1,"time":"2026-11-24T08:00:00.000007Z","kind":"call","request_id":"req-1","#,
            r#""agent":"billing-bot","person":"ana@example.com","task":"tsk_1","grant":"grt_1","#,
            r#""request":"req_1","operation":"orders.refund","entitlement":"refunds","#,
            r#""service":"orders","verdict":"deny","code":"condition_denied","#,
            r#""rules":["office-hours","small \"amounts\""],"generation":"0123456789abcdef","#,
            r#""source":"2001:db8::1","method":"POST","host":"orders.internal","#,
            r#""path":"/orders/7/refunds","status":403,"bytes_in":12,"#,
            r#""bytes_out":18446744073709551615,"duration_micros":345,"#,
            r#""trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","end":"revoked","detail":"so it is"}"#,
        )
    );
    assert_eq!(
        written(&Record::new(RecordKind::Start, full().at)),
        r#"{"seq":1,"time":"2026-11-24T08:00:00.000007Z","kind":"start"}"#
    );
}

#[test]
fn nothing_odd_reaches_a_terminal() {
    let mut record = Record::new(RecordKind::Call, full().at);
    record.path = Some("a\r\n{\"seq\":9}\u{1b}[2J\u{7f}\u{9b}\u{202e}é\u{1f600}\\".into());
    let line = written(&record);
    assert!(
        line.ends_with(
            r#""path":"a\u000d\u000a{\"seq\":9}\u001b[2J\u007f\u009b\u202e\u00e9\ud83d\ude00\\"}"#
        ),
        "{line}"
    );
    assert_eq!(read(line.as_bytes()).unwrap(), record);
}

#[test]
fn lines_of_no_record_are_refused() {
    let good = written(&full());
    for (from, to) in [
        ("\"call\"", "\"guess\""),
        ("\"deny\"", "\"allow\""),
        ("\"deny\"", "\"maybe\""),
        ("condition_denied", "whim"),
        ("\"code\":\"condition_denied\",", ""),
        ("billing-bot", "billing bot"),
        ("\"revoked\"", "\"closed\""),
        ("0123456789abcdef", "0123"),
        ("2001:db8::1", "here"),
        ("2026-11-24T", "yesterday"),
        ("403", "\"403\""),
    ] {
        let bad = good.replace(from, to);
        assert_ne!(bad, good, "{from}");
        assert!(read(bad.as_bytes()).is_err(), "{bad}");
    }
    assert!(read(good.replace("\"detail\"", "\"later\"").as_bytes()).is_ok());
}

proptest! {
    #[test]
    fn any_text_is_printable_and_reads_back(text in ".{0,80}|[\\x00-\\xff]{0,80}", rule in ".{0,20}") {
        let mut record = full();
        record.detail = Some(text.clone());
        record.host = Some(text);
        record.rules = vec![rule.into()];
        let line = written(&record);
        prop_assert!(line.bytes().all(|byte| (b' '..0x7f).contains(&byte)));
        prop_assert_eq!(read(line.as_bytes()).unwrap(), record);
    }
}

proptest! {
    #[test]
    fn moments_and_numbers_are_written_as_their_types_show_them(
        seconds in prop_oneof![-62_000_000_000_i64..250_000_000_000, 0_i64..3],
        nanos in 0_i32..1_000_000_000,
        number in any::<i64>(),
        source in any::<IpAddr>(),
    ) {
        let at = Timestamp::new(seconds, nanos).unwrap();
        // The second time from what is remembered of the first.
        for at in [at, at, Timestamp::new(seconds, 999_999_999).unwrap()] {
            let mut out = Vec::new();
            moment(&mut out, key!("at"), at);
            let shown = format!(",\"at\":\"{}\"", TIME.timestamp_to_string(&at));
            prop_assert_eq!(String::from_utf8(out).unwrap(), shown);
        }
        let mut out = Vec::new();
        signed(&mut out, first_key!("n"), Some(number));
        address(&mut out, key!("source"), Some(source));
        digits(&mut out, number.unsigned_abs());
        let shown = format!("\"n\":{number},\"source\":\"{source}\"{}", number.unsigned_abs());
        prop_assert_eq!(String::from_utf8(out).unwrap(), shown);
    }
}
