use super::*;

const GOOD: &str = r#"{"iss":"i","sub":"s","aud":"a","exp":2,"iat":1}"#;

/// The outcome for a good token's claims with `changes` laid over them; a `null` takes a claim away.
fn parsed(changes: &Value) -> Result<Claims, Invalid> {
    let mut claims: Map<String, Value> = serde_json::from_str(GOOD).unwrap();
    for (name, value) in changes.as_object().unwrap() {
        if value == "gone" {
            claims.remove(name);
        } else {
            claims.insert(name.clone(), value.clone());
        }
    }
    Claims::parse(claims)
}

#[test]
fn what_is_required_has_to_be_there() {
    for name in ["iss", "sub", "aud", "exp", "iat"] {
        let outcome = parsed(&json!({ name: "gone" })).map(|_| ());
        assert_eq!(outcome, Err(Invalid::ClaimMissing(name)));
    }
}

#[test]
fn a_wrong_type_is_never_an_absent_claim() {
    let texts = ["iss", "sub", "jti", "client_id", "scope", "task", "acr"];
    let not_texts = [
        json!(1),
        json!(null),
        json!(["a"]),
        json!({}),
        json!(""),
        json!(true),
    ];
    let integers = ["exp", "nbf", "iat", "auth_time"];
    let not_integers = [
        json!("1"),
        json!(1.0),
        json!(1.5),
        json!(null),
        json!([1]),
        json!(true),
        json!(u64::MAX),
    ];
    let not_lists = [
        json!(1),
        json!({}),
        json!(null),
        json!([1]),
        json!([""]),
        json!([["a"]]),
    ];
    let table = [
        (&texts[..], &not_texts[..]),
        (&integers, &not_integers),
        (&["aud", "amr"], &not_lists),
        (&["aud"], &[json!(""), json!([])]),
        (&["amr"], &[json!("pwd")]),
        (
            &["authorization_details"],
            &[json!({}), json!("a"), json!(null)],
        ),
        (&["cnf"], &[json!([]), json!("a"), json!(null)]),
    ];
    for (names, values) in table {
        for name in names {
            for value in values {
                let outcome = parsed(&json!({ *name: value })).map(|_| ());
                let expected = Err(Invalid::ClaimType((*name).to_owned()));
                assert_eq!(outcome, expected, "{name}: {value}");
            }
        }
    }
}

#[test]
fn an_audience_is_one_or_several() {
    assert_eq!(parsed(&json!({})).unwrap().aud, ["a"]);
    assert_eq!(
        parsed(&json!({ "aud": ["a", "b"] })).unwrap().aud,
        ["a", "b"]
    );
}

#[test]
fn a_confirmation_that_nobody_can_check_is_refused() {
    let digest = Digest::of(b"key");
    for confirmation in [Confirmation::Jkt(digest), Confirmation::X5tS256(digest)] {
        let claims = parsed(&json!({ "cnf": confirmation.to_json() })).unwrap();
        assert_eq!(claims.cnf, Some(confirmation));
    }
    let thumbprint = encode(digest.as_bytes());
    for cnf in [
        json!({}),
        json!({ "jwk": {} }),
        json!({ "kid": "a" }),
        json!({ "jkt": "short" }),
        json!({ "jkt": 1 }),
        json!({ "jkt": format!("{thumbprint}=") }),
        json!({ "jkt": thumbprint, "x5t#S256": thumbprint }),
    ] {
        let outcome = parsed(&json!({ "cnf": cnf })).map(|_| ());
        assert_eq!(outcome, Err(Invalid::Confirmation), "{cnf}");
    }
}

#[test]
fn a_configured_claim_is_a_text_or_absent() {
    let claims = parsed(&json!({ "agent": "bot", "number": 1, "empty": "" })).unwrap();
    assert_eq!(claims.text("agent"), Ok(Some("bot")));
    assert_eq!(claims.text("none"), Ok(None));
    for name in ["number", "empty"] {
        assert_eq!(claims.text(name), Err(Invalid::ClaimType(name.to_owned())));
    }
}
