use super::*;

fn check(variables: &[(&str, &str)], expected: &[(&str, &str)], warning: &str) {
    let pairs = variables
        .iter()
        .map(|(name, value)| ((*name).into(), (*value).into()));
    let mut problems = Diagnostics::default();
    let found = overrides(pairs, &mut problems);
    let found: Vec<(&str, &str)> = found
        .iter()
        .map(|(path, value)| (path.as_str(), value.value.as_str()))
        .collect();
    assert_eq!(found, expected);
    assert_eq!(problems.to_string(), warning);
}

#[test]
fn variables_set_single_values() {
    check(
        &[
            ("PORTCULLIS_GATEWAY_PUBLIC_URL", "https://a"),
            ("HOME", "/"),
        ],
        &[("gateway.public_url", "https://a")],
        "",
    );
    check(
        &[("PORTCULLIS_CONTROL__TLS__CLIENT_CA", "a")],
        &[("control.tls.client_ca", "a")],
        "",
    );
    check(
        &[("PORTCULLIS_CONTROL_TLS_CLIENT_CA", "a")],
        &[("control.tls.client_ca", "a")],
        "",
    );
    check(
        &[("PORTCULLIS_LIMITS_TASK_MAX_AGE", "1h")],
        &[("limits.task_max_age", "1h")],
        "",
    );
    check(&[("PORTCULLIS_TOKENS_TTL", "")], &[], "");
}

#[test]
fn variables_of_the_command_line_are_left_to_it() {
    for name in COMMAND_LINE {
        check(&[(name, "x")], &[], "");
    }
}

#[test]
fn a_variable_that_sets_nothing_is_doubtful() {
    check(
        &[("PORTCULLIS_TOKENS_TLL", "1m")],
        &[],
        "PORTCULLIS_TOKENS_TLL: warning: this environment variable sets nothing \
         (did you mean `PORTCULLIS_TOKENS_TTL`?)\n",
    );
    // Lists can't be set.
    check(
        &[("PORTCULLIS_CREDENTIALS_ALLOW", "env:*")],
        &[],
        "PORTCULLIS_CREDENTIALS_ALLOW: warning: this environment variable sets nothing\n",
    );
}

/// The system lets variables be any bytes, and others' are none of ours.
#[test]
fn a_variable_that_is_no_text_is_refused_where_it_is_ours() {
    let broken = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let value = broken(b"data/\xff.db");
    check(
        &[("PORTCULLIS_STORE_PATH", &value)],
        &[],
        "PORTCULLIS_STORE_PATH: error: this environment variable is not UTF-8\n",
    );
    check(&[("LS_COLORS", &value)], &[], "");
}
