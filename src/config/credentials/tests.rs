use super::*;

fn check(patterns: &[&str], source: &str, permitted: bool) {
    let allowed: Allowed = patterns
        .iter()
        .map(|p| Pattern::parse(p).unwrap())
        .collect();
    let source = parse_source(source).unwrap();
    assert_eq!(
        allowed.permits(&source),
        permitted,
        "{patterns:?} {source:?}"
    );
}

#[test]
fn only_allowed_names_are_permitted() {
    let patterns = ["env:ORDERS_*", "file:/etc/portcullis/secrets/*"];
    check(&patterns, "env:ORDERS_TOKEN", true);
    check(&patterns, "env:ORDERS_", true);
    check(&patterns, "env:MY_ORDERS_TOKEN", false);
    check(&patterns, "env:orders_token", false);
    check(&patterns, "file:/etc/portcullis/secrets/orders", true);
    check(&patterns, "file:/etc/portcullis/secrets/deep/orders", false);
    check(&patterns, "file:/etc/portcullis/secrets", false);
    check(&patterns, "file:/etc/shadow", false);
    check(&[], "env:ORDERS_TOKEN", false);
    check(&["env:A*B*C"], "env:AxxByyC", true);
    check(&["env:A*B*C"], "env:AxxCyyB", false);
    check(&["file:/run/*/token"], "file:/run/orders/token", true);
    check(&["file:/run/*/token"], "file:/run/a/b/token", false);
}

#[test]
fn a_source_has_one_spelling() {
    for odd in [
        "file:/etc/portcullis/secrets/../shadow",
        "file:/etc/./portcullis",
        "file:/etc//portcullis",
        "file:/etc/portcullis/",
        "file:secrets/orders",
        "file:",
    ] {
        let error = parse_source(odd).unwrap_err();
        assert!(matches!(error, CredentialError::Path(_)), "{odd}: {error}");
    }
    for odd in ["env:", "env:A B", "env:A-B", "env:A=B"] {
        let error = parse_source(odd).unwrap_err();
        assert!(
            matches!(error, CredentialError::Variable(_)),
            "{odd}: {error}"
        );
    }
    for odd in ["", "ORDERS_TOKEN", "vault:orders", "ENV:A"] {
        let error = parse_source(odd).unwrap_err();
        assert!(matches!(error, CredentialError::Form(_)), "{odd}: {error}");
    }
}

#[test]
fn a_pattern_that_can_match_nothing_is_refused() {
    for odd in ["*", "env:", "secrets/*", "file:secrets/*", "file:/a/../*"] {
        assert!(Pattern::parse(odd).is_err(), "{odd}");
    }
}
