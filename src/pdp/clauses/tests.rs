use cedar_policy::PolicyId;

use super::*;

fn read(statement: &str) -> Clauses {
    let policy = Policy::parse(Some(PolicyId::new("x")), statement).unwrap();
    Clauses::of(&policy, statement)
}

#[test]
fn the_head_is_found_behind_annotations() {
    let statement = "// permit (no)\n@id(\"permit (a)\")\npermit (principal, action in [Action::\"a\"], resource)\nwhen { true };";
    let head = read(statement).head;
    assert_eq!(
        statement.get(head).unwrap(),
        "permit (principal, action in [Action::\"a\"], resource)"
    );
}

#[test]
fn statements_agree_where_their_clauses_do() {
    let with = |clauses: &str| {
        read(&format!(
            "permit (principal, action, resource) {clauses}\n;"
        ))
    };
    assert_eq!(with("").conditions, None);
    assert_eq!(with("when { true } // yes").conditions, None);
    let one = with("when { context.auth.factors >= 2 }").conditions;
    assert!(one.is_some());
    assert_eq!(with("when {context.auth.factors>=2} // so").conditions, one);
    for other in [
        "unless { context.auth.factors >= 2 }",
        "when { context.auth.factors >= 3 }",
        "when { context.auth.factors > 2 }",
        "when { context.auth.factors >= 2 } when { true }",
    ] {
        assert_ne!(with(other).conditions, one, "{other}");
    }
    let text = |text: &str| with(&format!("when {{ context.auth.proof == {text} }}")).conditions;
    assert_ne!(text("\"a b\""), text("\"ab\""));
    assert_ne!(text("\"a\\0b\""), text("\"a b\""));
}

#[test]
fn what_can_fail_is_known() {
    let with = |clause: &str| {
        let text = format!("permit (principal, action, resource) when {{ {clause} }};");
        read(&text).can_fail
    };
    assert!(with("context.risk.score + 1 > 2"));
    assert!(with("context.now.offset(duration(\"1h\")) > context.now"));
    assert!(!with(
        "context.risk.score > 2 && context.auth.proof == \"a-b\""
    ));
}

#[test]
fn the_entitlements_that_have_to_be_are_told() {
    let check = |clauses: &str, expected: Option<&[&str]>| {
        let found = read(&format!("permit (principal, action, resource) {clauses};")).of;
        let expected = expected.map(|names| names.iter().map(|one| (*one).to_owned()).collect());
        assert_eq!(found, expected, "{clauses}");
    };
    check("when { context.grant.entitlement == \"a\" }", Some(&["a"]));
    check("when { \"a\" == context.grant.entitlement }", Some(&["a"]));
    check(
        "when { context[\"grant\"][\"entitlement\"] == \"a\" }",
        Some(&["a"]),
    );
    check(
        "when { context has grant && (context.risk.known && context.grant.entitlement == \"a\") }",
        Some(&["a"]),
    );
    check(
        "when { [\"a\", \"b\"].contains(context.grant.entitlement) } when { context.grant.entitlement == \"b\" }",
        Some(&["b"]),
    );
    check(
        "when { context.grant.entitlement == \"a\" && context.grant.entitlement == \"b\" }",
        Some(&[]),
    );
    for clauses in [
        "unless { context.grant.entitlement == \"a\" }",
        "when { !(context.grant.entitlement == \"a\") }",
        "when { context.grant.entitlement == \"a\" || context.risk.known }",
        "when { context.grant.entitlement != \"a\" }",
        "when { context.task.entitlement == \"a\" }",
        "when { if context.risk.known then context.grant.entitlement == \"a\" else true }",
        "when { context.grant.entitlement like \"a*\" }",
    ] {
        check(clauses, None);
    }
}
