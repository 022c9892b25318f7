use super::*;

#[test]
fn a_public_url_is_an_origin() {
    let check = |text: &str, expected: &str| {
        let shown = PublicUrl::parse(text).map(|url| url.to_string());
        let shown = shown.unwrap_or_else(|error| format!("{error:?}"));
        assert!(shown.starts_with(expected), "{text}: {shown}");
    };
    check("https://gate.example:8443", "https://gate.example:8443");
    check("https://Gate.Example/", "https://gate.example");
    check("http://[::1]:80", "http://[::1]:80");
    check("https://gate.example/api", "Path");
    check("https://gate.example//", "Path");
    check("https://gate.example?x", "Path");
    check("https://gate.example#x", "Path");
    check("https://user@gate.example", "Userinfo");
    check("ftp://gate.example", "Form");
    check("gate.example", "Form");
    check("", "Form");
    check("https://", "Form");
}

#[test]
fn a_listener_is_reached_from_its_own_machine() {
    let check = |address: &str, tls, expected: &str| {
        let url = PublicUrl::of_listener(address.parse().unwrap(), tls);
        assert_eq!(url.as_str(), expected);
        assert_eq!(PublicUrl::parse(expected), Ok(url));
    };
    check("0.0.0.0:8443", true, "https://localhost:8443");
    check("[::]:8443", false, "http://localhost:8443");
    check("10.0.0.1:80", false, "http://10.0.0.1:80");
    check("[::1]:80", true, "https://[::1]:80");
}

#[test]
fn keys_come_over_tls_or_from_this_machine() {
    assert!(jwks("https://idp.example/jwks.json?v=1").is_ok());
    assert!(jwks("http://localhost:9/jwks").is_ok());
    assert!(jwks("http://127.0.0.1:9/jwks").is_ok());
    assert!(jwks("http://[::1]:9/jwks").is_ok());
    let insecure = |text: &str| matches!(jwks(text), Err(UrlError::Insecure(_)));
    assert!(insecure("http://idp.example/jwks.json"));
    assert!(insecure("http://localhost.example/jwks.json"));
    assert!(matches!(jwks("https://a/#x"), Err(UrlError::Query(_))));
}

#[test]
fn an_issuer_is_kept_letter_by_letter() {
    assert_eq!(
        issuer("https://Idp.example/a/").as_deref(),
        Ok("https://Idp.example/a/")
    );
    assert!(matches!(
        issuer("https://idp.example?x"),
        Err(UrlError::Query(_))
    ));
    assert!(matches!(
        issuer("https://idp.example#x"),
        Err(UrlError::Query(_))
    ));
}
