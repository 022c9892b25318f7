use proptest::prelude::*;

use super::*;

fn check_statements(text: &str, expected: &[&str]) {
    let cut: Vec<&str> = statements(text)
        .into_iter()
        .map(|span| text.get(span).unwrap())
        .collect();
    assert_eq!(cut, expected, "{text}");
}

#[test]
fn statements_end_at_semicolons_outside_strings_and_comments() {
    check_statements("", &[]);
    check_statements("  // only; words\n", &[]);
    check_statements("a;b;", &["a;", "b;"]);
    check_statements("// x;\n a // y;\n b ; // z", &["a // y;\n b ;"]);
    check_statements(r#"a "one;two" ; b"#, &[r#"a "one;two" ;"#, "b"]);
    check_statements(r#"a "q\";\\" ; b;"#, &[r#"a "q\";\\" ;"#, "b;"]);
    check_statements("a \"open; b;", &["a \"open; b;"]);
    check_statements("a;;", &["a;", ";"]);
}

fn check_entities(statement: &str, expected: &[(&str, &str)]) {
    let found: Vec<(String, &str)> = entities(statement)
        .into_iter()
        .map(|(name, span)| (name, statement.get(span).unwrap()))
        .collect();
    let found: Vec<(&str, &str)> = found
        .iter()
        .map(|(name, text)| (name.as_str(), *text))
        .collect();
    assert_eq!(found, expected, "{statement}");
}

#[test]
fn entities_are_found_where_they_stand() {
    check_entities(
        r#"permit(principal == Agent::"a", action in [Action::"x", Action::"y"], resource);"#,
        &[
            (r#"Agent::"a""#, r#"Agent::"a""#),
            (r#"Action::"x""#, r#"Action::"x""#),
            (r#"Action::"y""#, r#"Action::"y""#),
        ],
    );
    check_entities(
        "A :: // why\n \"b\"",
        &[("A::\"b\"", "A :: // why\n \"b\"")],
    );
    check_entities("is A::B in A::B::\"c\"", &[("A::B::\"c\"", "A::B::\"c\"")]);
    check_entities(r#"context["A"] == "A::\"b\"""#, &[]);
}

#[test]
fn annotations_are_found_before_the_effect() {
    let text = "@id(\"a\") @bare\n@require ( \"mfa\" )\npermit(principal, action, resource)";
    let found: Vec<(&str, &str)> = annotations(text)
        .into_iter()
        .map(|(name, span)| (name, text.get(span).unwrap()))
        .collect();
    assert_eq!(
        found,
        [
            ("id", "@id(\"a\")"),
            ("bare", "@bare"),
            ("require", "@require ( \"mfa\" )"),
        ]
    );
}

proptest! {
    /// Whatever the text, the tokens stand in order and on character boundaries, and nothing but
    /// blanks and comments lies between them.
    #[test]
    fn every_text_is_cut_whole(text in "[a-z:;\"\\\\/ \n@é(]{0,40}") {
        let mut end = 0;
        for (_, span) in Tokens::of(&text) {
            prop_assert!(span.start >= end && span.start < span.end);
            let between = text.get(end..span.start).unwrap();
            prop_assert!(Tokens::of(between).next().is_none(), "{between:?}");
            end = span.end;
        }
        prop_assert!(Tokens::of(text.get(end..).unwrap()).next().is_none());
        let cut = statements(&text);
        prop_assert!(cut.windows(2).all(|pair| pair[0].end <= pair[1].start));
    }
}
