use super::*;

/// What is asked for, as `kind name field`.
fn shown(document: &str, name: Option<&str>) -> Result<String, GraphqlFault> {
    let call = graphql_call(document, name, &Map::new())?;
    let word = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let (name, field) = (word(call.name), word(call.field));
    Ok(format!("{} {name} {field}", call.kind.as_str()))
}

fn check(document: &str, name: Option<&str>, expected: &str) {
    let found = shown(document, name);
    assert_eq!(found.as_deref(), Ok(expected), "{document}");
}

fn check_refused(document: &str, name: Option<&str>, expected: GraphqlFault) {
    assert_eq!(shown(document, name), Err(expected), "{document}");
}

#[test]
fn the_selected_operation_is_told() {
    check("{ orders { id } }", None, "query - orders");
    check(
        "query Orders { orders { id } }",
        None,
        "query Orders orders",
    );
    check(
        "mutation Pay($a: Int!) { pay(amount: $a) { id } }",
        Some("Pay"),
        "mutation Pay pay",
    );
    check("subscription S { ticks }", None, "subscription S ticks");
    // The alias is the client's word.
    check(
        "mutation M { orders: deleteAll }",
        None,
        "mutation M deleteAll",
    );
    check("mutation M { a b }", None, "mutation M -");
    check(
        "mutation M { ...F } fragment F on Mutation { deleteAll }",
        None,
        "mutation M -",
    );
    check(
        "mutation M { ... on Mutation { deleteAll } }",
        None,
        "mutation M -",
    );
    let both = "query A { a } mutation B { b }";
    check(both, Some("A"), "query A a");
    check(both, Some("B"), "mutation B b");
    // Comments and texts are no operations.
    check(
        "query A { a(t: \"} mutation B { b\") } # mutation B { b }",
        None,
        "query A a",
    );
    check(
        "query A { a(t: \"\"\"} mutation B { b }\"\"\") }",
        None,
        "query A a",
    );
    check(
        "query A { a } # x\r mutation B { b }",
        Some("B"),
        "mutation B b",
    );
}

#[test]
fn a_document_that_does_not_tell_is_refused() {
    use GraphqlFault::{Ambiguous, Character, Definition, Duplicate, Limit, Missing, Syntax};
    check_refused("query A { a } mutation B { b }", None, Ambiguous);
    check_refused("query A { a } mutation A { b }", Some("A"), Duplicate);
    check_refused("query A { a } { b }", Some("A"), Duplicate);
    check_refused("query A { a }", Some("B"), Missing);
    check_refused("query A { a }", Some("a"), Missing);
    check_refused("{ a }", Some("A"), Missing);
    check_refused("fragment F on Query { a }", None, Missing);
    check_refused("query A { a } type T { a: Int }", None, Definition);
    for odd in [
        "",
        " ",
        "query",
        "query A",
        "query A {",
        "query A { a } }",
        "Query A { a }",
        "query A { a } b",
        "query A { a",
        "[]",
    ] {
        check_refused(odd, None, Syntax);
    }
    for odd in ['\0', '\u{b}', '\u{2028}', '\u{feff}', '\u{85}'] {
        check_refused(
            &format!("query A {{ a }} #{odd}mutation B {{ b }}"),
            None,
            Character(odd),
        );
    }
    let deep = format!("query A {}a{}", "{ a ".repeat(100), "}".repeat(100));
    check_refused(&deep, None, Limit);
    let long = format!("query A {{ {} }}", "a ".repeat(MOST_TOKENS));
    check_refused(&long, None, Limit);
}

#[test]
fn arguments_are_what_the_field_takes_whoever_says_it() {
    let variables = serde_json::json!({ "amount": 5, "b": 600, "to": { "name": "x" } });
    let variables = variables.as_object().unwrap();
    let read = |document: &str| {
        let call = graphql_call(document, None, variables).unwrap();
        call.arguments.map(|arguments| arguments.to_string())
    };
    for (document, expected) in [
        (
            "mutation($amount: Int!) { refund(amount: $amount) }",
            r#"{"amount":5}"#,
        ),
        ("mutation { refund(amount: 600) }", r#"{"amount":600}"#),
        (
            "mutation($amount: Int, $b: Int) { refund(amount: $b, note: $amount) }",
            r#"{"amount":600,"note":5}"#,
        ),
        (
            "mutation { other: refund(amount: -7, why: LATE, ok: true, no: null) }",
            r#"{"amount":-7,"why":"LATE","ok":true,"no":null}"#,
        ),
        (
            "mutation($to: To) { refund(order: { to: $to, ids: [1, \"a\"] }) }",
            r#"{"order":{"to":{"name":"x"},"ids":[1,"a"]}}"#,
        ),
        (
            "mutation($c: Int = 40) { refund(amount: $c) }",
            r#"{"amount":40}"#,
        ),
        // Nothing is given: it is left out.
        ("mutation($c: Int) { refund(amount: $c) }", "{}"),
        ("{ orders }", "{}"),
    ] {
        assert_eq!(read(document).as_deref(), Ok(expected), "{document}");
    }
    for (document, fault) in [
        (
            "mutation { refund(amount: $amount) }",
            ArgumentFault::Undeclared,
        ),
        (
            "mutation { refund(amount: 5, amount: 600) }",
            ArgumentFault::Twice,
        ),
        (
            "mutation { refund(order: { amount: 5, amount: 600 }) }",
            ArgumentFault::Twice,
        ),
        (
            "mutation($a: Int = 5, $a: Int = 600) { refund(amount: $a) }",
            ArgumentFault::Twice,
        ),
        (
            "mutation { refund(amount: 9223372036854775808) }",
            ArgumentFault::Number,
        ),
        (
            "mutation { refund(to: \"a\\u0062\") }",
            ArgumentFault::Escaped,
        ),
        (
            "mutation { refund(to: \"\"\"a\"\"\") }",
            ArgumentFault::Escaped,
        ),
        (
            "mutation { refund(amount: 5) pay(amount: 600) }",
            ArgumentFault::Fields,
        ),
    ] {
        assert_eq!(read(document), Err(fault), "{document}");
    }
}
