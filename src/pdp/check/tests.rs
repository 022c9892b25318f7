use proptest::prelude::*;

use super::*;
use crate::pdp::testing::{House, random};

fn policy(statement: &str) -> Policy {
    Policy::parse(None, statement).unwrap()
}

fn checker(house: &House) -> Checker<'_> {
    let catalogue = house.catalogue();
    Checker::new(catalogue, Groups::of(&catalogue), Validators::default())
}

fn check(action: &str, expected: &District) {
    let house = House::new();
    let checker = checker(&house);
    let policy = policy(&format!("permit(principal, {action}, resource);"));
    assert_eq!(checker.district(&policy), *expected, "{action}");
}

#[test]
fn a_rule_is_validated_where_its_scope_lies() {
    let orders = District::Service("orders".parse().unwrap());
    check("action", &District::Whole);
    check("action == Action::\"request\"", &District::Requests);
    check("action == Action::\"orders.refund\"", &orders);
    check("action in Action::\"orders\"", &orders);
    check(
        "action in [Action::\"orders.refund\", Action::\"orders.list\"]",
        &orders,
    );
    check("action in Action::\"risk:high\"", &orders);
    check("action in Action::\"read\"", &District::Whole);
    check("action in Action::\"call\"", &District::Whole);
    check(
        "action in [Action::\"orders.refund\", Action::\"request\"]",
        &District::Whole,
    );
    check("action == Action::\"nothing\"", &District::Requests);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Validation in a district finds what validation against the whole schema finds.
    #[test]
    fn districts_find_what_the_whole_schema_finds(statement in random::doubtful_statement()) {
        let house = House::new();
        let (district, mut everywhere) = (checker(&house), checker(&house));
        everywhere.actions.clear();
        let whole = everywhere.districts.remove(&District::Whole).unwrap();
        whole.get_or_init(|| district.validator(&District::Whole).cloned().map(Arc::new));
        everywhere.districts.insert(District::Requests, whole.clone());
        everywhere.districts.insert(District::Whole, whole);
        let found = district.check(&statement, true).findings;
        prop_assert_eq!(found, everywhere.check(&statement, true).findings, "{}", statement);
    }
}
