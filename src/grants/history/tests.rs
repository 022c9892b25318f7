use std::time::Duration;

use super::*;

#[test]
fn sums_count_while_a_call_runs_and_stay_only_when_it_succeeds() {
    let operation: OperationId = "orders.refund".parse().unwrap();
    let start = BootInstant::from_nanos(0);
    let amount = |value| Inputs::from([("amount".into(), InputValue::Long(value))]);
    let mut ledger = Ledger::default();
    ledger.reserve(&operation, &amount(40), start);
    ledger.reserve(&operation, &amount(2), start);
    let seen = ledger.history(start + Duration::from_secs(9))[&operation].clone();
    assert_eq!((seen.calls, seen.succeeded), (2, 0));
    assert_eq!(seen.sum["amount"], 42);
    assert_eq!(seen.last_age_seconds, Some(9));

    ledger.succeed(&operation);
    ledger.fail(&operation, &amount(2));
    let seen = ledger.history(start)[&operation].clone();
    assert_eq!((seen.calls, seen.succeeded, seen.sum["amount"]), (2, 1, 40));
}

#[test]
fn a_running_call_is_left_out_as_if_it_had_not_been_made() {
    let operation: OperationId = "orders.refund".parse().unwrap();
    let at = |seconds| BootInstant::from_nanos(0) + Duration::from_secs(seconds);
    let amount = |value| Inputs::from([("amount".into(), InputValue::Long(value))]);
    let mut ledger = Ledger::default();
    let first = ledger.reserve(&operation, &amount(40), at(10));
    let check = |ledger: &mut Ledger, input, reserved, calls, sum, last| {
        let seen = ledger.history_without(&operation, &amount(input), reserved, at(100));
        let seen = &seen[&operation];
        assert_eq!((seen.calls, seen.sum["amount"]), (calls, sum));
        assert_eq!(seen.last_age_seconds, last);
    };
    check(&mut ledger, 40, first, 0, 0, None);
    let second = ledger.reserve(&operation, &amount(2), at(30));
    // To the one the other came later, to the other the one was before.
    check(&mut ledger, 40, first, 1, 2, Some(70));
    check(&mut ledger, 2, second, 1, 40, Some(90));
    let whole = ledger.history(at(100))[&operation].clone();
    assert_eq!((whole.calls, whole.last_age_seconds), (2, Some(70)));
}

#[test]
fn a_call_that_was_never_made_leaves_no_trace() {
    let operation: OperationId = "orders.refund".parse().unwrap();
    let at = |seconds| BootInstant::from_nanos(0) + Duration::from_secs(seconds);
    let (mut ledger, none) = (Ledger::default(), Inputs::new());
    let seen = |ledger: &mut Ledger| {
        let seen = ledger.history(at(100))[&operation].clone();
        (seen.calls, seen.last_age_seconds)
    };
    let first = ledger.reserve(&operation, &none, at(10));
    let second = ledger.reserve(&operation, &none, at(30));
    ledger.withdraw(&operation, &none, second);
    assert_eq!(seen(&mut ledger), (1, Some(90)));
    let third = ledger.reserve(&operation, &none, at(50));
    ledger.withdraw(&operation, &none, first);
    assert_eq!(seen(&mut ledger), (1, Some(50)));
    ledger.withdraw(&operation, &none, third);
    assert_eq!(seen(&mut ledger), (0, None));
    assert!(ledger.counted().is_empty(), "nor in the store");
}
