use super::*;

#[test]
fn an_issuers_path_stands_behind_the_well_known_one() {
    let check = |issuer, expected: &str| assert_eq!(path(issuer), expected, "{issuer}");
    check("https://gate.example:8444", WELL_KNOWN);
    check("https://gate.example:8444/", WELL_KNOWN);
    let below = "/.well-known/oauth-authorization-server/tenants/one";
    check("https://gate.example/tenants/one", below);
    check("https://gate.example/tenants/one/", below);
}

#[test]
fn certificates_authenticate_only_where_they_are_asked_for() {
    let names = |client_auth| -> Vec<_> {
        let methods = methods(&client_auth).iter();
        methods.map(|method| method.name()).collect()
    };
    let ca = || "ca.pem".into();
    let jwt = "private_key_jwt";
    let (tls, own) = ("tls_client_auth", "self_signed_tls_client_auth");
    assert_eq!(names(ClientAuth::None), [jwt]);
    assert_eq!(names(ClientAuth::Optional(ca())), [jwt, tls]);
    assert_eq!(names(ClientAuth::Required(ca())), [jwt, tls]);
    assert_eq!(names(ClientAuth::Any(None)), [jwt, own]);
    assert_eq!(names(ClientAuth::Any(Some(ca()))), [jwt, tls, own]);
}
