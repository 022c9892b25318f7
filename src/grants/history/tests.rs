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
