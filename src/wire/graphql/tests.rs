use super::*;

/// What is asked for, as `kind name field`.
fn shown(document: &str, name: Option<&str>) -> Result<String, GraphqlFault> {
    let call = graphql_call(document, name)?;
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
