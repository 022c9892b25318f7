use super::*;

const FULL: &str = r#"
[gateway]
public_url = "https://gate.example:8443"
trusted_proxies = ["10.0.0.0/8", "::1"]
workers = 4
[[gateway.listen]]
address = "0.0.0.0:8443"
tls = { certificate = "certs/gateway.pem", key = "certs/gateway.key", client_ca = "certs/agents-ca.pem", client_auth = "optional" }
[[gateway.listen]]
address = "[::1]:8080"
[control]
listen = "0.0.0.0:8444"
tls = { certificate = "/etc/c.pem", key = "/etc/c.key" }
public_url = "https://gate.example:8444"
[admin]
listen = "127.0.0.1:9000"
[policies]
directory = "policies"
[store]
path = "data/portcullis.db"
[audit]
directory = "/var/audit"
[tokens]
issuer = "https://gate.example:8444"
ttl = "2m"
signing_key_directory = "keys"
[credentials]
allow = ["env:ORDERS_*"]
[[trusted_issuer]]
issuer = "https://idp.example"
jwks_url = "https://idp.example/jwks.json"
audience = "https://gate.example:8443"
agent_claim = "azp"
task_claim = "task"
[[trusted_issuer]]
issuer = "kubernetes/serviceaccount"
jwks_file = "k8s.json"
[limits]
header_bytes = "16KiB"
connections = 5
idle_timeout = 90
"#;

const SMALL: &str = r#"
gateway.listen = [{ address = "0.0.0.0:8080" }]
control.listen = "127.0.0.1:8081"
"#;

fn parse(text: &str, variables: &[(&str, &str)]) -> Result<(Settings, Diagnostics), Diagnostics> {
    let variables = variables
        .iter()
        .map(|(name, value)| ((*name).into(), (*value).into()));
    Settings::parse("p.toml", text, Path::new("/etc/portcullis"), variables)
}

#[test]
fn every_key_is_read() {
    let (settings, warnings) = parse(FULL, &[]).unwrap();
    assert!(warnings.is_empty(), "{warnings}");
    let [first, second] = settings.gateway.listeners.as_slice() else {
        panic!("{:?}", settings.gateway.listeners);
    };
    let tls = first.tls.as_ref().unwrap();
    assert_eq!(
        tls.certificate,
        Path::new("/etc/portcullis/certs/gateway.pem")
    );
    let ca = PathBuf::from("/etc/portcullis/certs/agents-ca.pem");
    assert_eq!(tls.client_auth, ClientAuth::Optional(ca));
    assert_eq!(second.tls, None);
    assert_eq!(settings.gateway.trusted_proxies.len(), 2);
    assert_eq!(settings.gateway.workers.map(NonZeroUsize::get), Some(4));
    let control = settings.control.listener.tls.as_ref().unwrap();
    assert_eq!(control.key, Path::new("/etc/c.key"));
    assert_eq!(settings.admin.unwrap().address.port(), 9000);
    assert_eq!(settings.audit, Path::new("/var/audit"));
    assert_eq!(settings.tokens.ttl, Duration::from_mins(2));
    assert_eq!(
        settings.tokens.signing_keys,
        Path::new("/etc/portcullis/keys")
    );
    let [url, file] = settings.trusted_issuers.as_slice() else {
        panic!("{:?}", settings.trusted_issuers);
    };
    assert_eq!(
        (url.agent_claim.as_str(), url.task_claim.as_deref()),
        ("azp", Some("task"))
    );
    assert_eq!(
        file.jwks,
        JwksSource::File("/etc/portcullis/k8s.json".into())
    );
    assert_eq!(
        (file.audience.as_str(), file.agent_claim.as_str()),
        ("https://gate.example:8443", "sub")
    );
    assert_eq!(settings.limits.header_bytes, 16 << 10);
    assert_eq!(settings.limits.connections, 5);
    assert_eq!(settings.limits.idle_timeout, Duration::from_secs(90));
    assert_eq!(settings.limits.header_count, Limits::default().header_count);
}

#[test]
fn everything_but_the_listeners_has_a_default() {
    let (settings, warnings) = parse(SMALL, &[]).unwrap();
    assert!(warnings.is_empty(), "{warnings}");
    assert_eq!(
        settings.gateway.public_url.as_str(),
        "http://localhost:8080"
    );
    assert_eq!(
        settings.control.public_url.as_str(),
        "http://127.0.0.1:8081"
    );
    assert_eq!(settings.tokens.issuer, "http://127.0.0.1:8081");
    assert_eq!(settings.tokens.ttl, Duration::from_mins(5));
    assert_eq!(settings.policies, Path::new("/etc/portcullis/policies"));
    assert_eq!(
        settings.store,
        Path::new("/etc/portcullis/data/portcullis.db")
    );
    assert_eq!(settings.limits, Limits::default());
    assert!(settings.admin.is_none());
    let text = parse("", &[]).unwrap_err().to_string();
    assert_eq!(
        text,
        "p.toml:1:1: error: [control] needs `listen`\np.toml:1:1: error: [gateway] needs `listen`\n"
    );
}

#[test]
fn variables_override_the_file() {
    let variables = [
        ("PORTCULLIS_GATEWAY_PUBLIC_URL", "https://other:1"),
        ("PORTCULLIS_CONTROL_LISTEN", "127.0.0.1:1"),
        ("PORTCULLIS_ADMIN_LISTEN", "127.0.0.1:2"),
        ("PORTCULLIS_CONTROL__TLS__CERTIFICATE", "c.pem"),
        ("PORTCULLIS_CONTROL_TLS_KEY", "c.key"),
        ("PORTCULLIS_GATEWAY_WORKERS", "2"),
        ("PORTCULLIS_LIMITS_CONNECTIONS", "7"),
    ];
    let (settings, _) = parse(SMALL, &variables).unwrap();
    assert_eq!(settings.gateway.public_url.as_str(), "https://other:1");
    assert_eq!(settings.control.listener.address.port(), 1);
    assert_eq!(settings.control.public_url.as_str(), "https://127.0.0.1:1");
    assert_eq!(settings.admin.unwrap().address.port(), 2);
    assert_eq!(settings.gateway.workers.map(NonZeroUsize::get), Some(2));
    assert_eq!(settings.limits.connections, 7);
    let control = settings.control.listener.tls.unwrap();
    assert_eq!(control.certificate, Path::new("/etc/portcullis/c.pem"));
    let error = parse(SMALL, &[("PORTCULLIS_TOKENS_TTL", "soon")]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "PORTCULLIS_TOKENS_TTL:1:1: error: `soon` is not a duration: write it like 45s, 15m or 1h30m\n"
    );
}

/// Adds `text` to the small file and looks for one problem.
fn check(text: &str, expected: &str) {
    let shown = match parse(&format!("{SMALL}{text}"), &[]) {
        Ok((_, warnings)) => warnings.to_string(),
        Err(problems) => problems.to_string(),
    };
    assert!(shown.contains(expected), "{text}: {shown}");
    assert_eq!(shown.lines().count(), 1, "{text}: {shown}");
}

#[test]
fn what_ended_is_kept_at_least_as_long_as_tokens_live() {
    let check = |text: &str, expected: (u64, u64)| {
        let (settings, _) = parse(&format!("{SMALL}{text}"), &[]).unwrap();
        let kept = (settings.keep_ended.as_secs(), settings.most_ended);
        assert_eq!(kept, expected, "{text}");
    };
    check("", (86_400, 100_000));
    let small = "[store]\nkeep_ended = \"10s\"\nmost_ended = 5\n[tokens]\nttl = \"10s\"\n";
    check(small, (10, 5));
    check_problem(
        "[store]\nkeep_ended = \"4m\"\n",
        "p.toml:5:14: error: `keep_ended` is shorter than the life of a token (300 s)",
    );
    check_problem(
        "[store]\nkeep_ended = \"0s\"\n",
        "p.toml:5:14: error: what has ended is kept for between a second and a year",
    );
    check_problem(
        "[store]\nmost_ended = 100000000\n",
        "p.toml:5:14: error: `most_ended` is between 1 and 10000000",
    );
}

fn check_problem(text: &str, expected: &str) {
    let problems = parse(&format!("{SMALL}{text}"), &[]).unwrap_err();
    assert!(
        problems.to_string().contains(expected),
        "{text}: {problems}"
    );
}

#[test]
fn mistakes_are_told_with_their_place() {
    check(
        "[polices]\n",
        "p.toml:4:2: error: unknown key `polices` in the file (did you mean `policies`?)",
    );
    check(
        "[tokens]\ntll = 1",
        "p.toml:5:1: error: unknown key `tll` in [tokens] (did you mean `ttl`?)",
    );
    check(
        "[tokens]\nttl = \"2d\"",
        "p.toml:5:7: error: a token lives between a second and an hour",
    );
    check(
        "[tokens]\nalgorithm = \"RS256\"",
        "p.toml:5:13: error: tokens are signed with ES256 or EdDSA, not `RS256`",
    );
    check(
        "[tokens]\nrotate_after = \"1h\"",
        "error: a signing key is replaced after two hours at the soonest",
    );
    check("[store]\npath = \"\"", "error: `path` can't be empty");
    check(
        "[tokens]\nsigning_key_directory = \"\"",
        "error: `signing_key_directory` can't be empty",
    );
    check(
        "[store]\npath = 1",
        "error: `path` must be a text in quotes, not a number",
    );
    check(
        "[limits]\nconnections = 0",
        "error: `connections` can't be nothing",
    );
    check(
        "[limits]\nheader_timeout = 1.5",
        "error: `header_timeout` must be",
    );
    check(
        "[limits]\nlease = \"2h\"",
        "error: `lease` is longer than `lease_max`",
    );
    check(
        "[limits]\nusual_days = 1",
        "error: `usual_days` is a number from 2 to 30",
    );
    check(
        "[limits]\nusual_frozen_at = 101",
        "error: `usual_frozen_at` is a number from 1 to 100",
    );
    check(
        "[admin]\nlisten = \"localhost:1\"",
        "error: `localhost:1` is not an address to listen on",
    );
    check(
        "[admin]\nlisten = \"0.0.0.0:8080\"",
        "error: `0.0.0.0:8080` is taken by another listener (that is at p.toml:2:31)",
    );
    // One of them would have what connects to the other.
    for (address, place) in [("127.0.0.1:8080", "2:31"), ("0.0.0.0:8081", "3:18")] {
        check(
            &format!("[admin]\nlisten = \"{address}\""),
            &format!("error: `{address}` is taken by another listener (that is at p.toml:{place})"),
        );
    }
    for address in ["127.0.0.2:8081", "[::]:8080", "0.0.0.0:0"] {
        let text = format!("{SMALL}[admin]\nlisten = \"{address}\"");
        assert!(parse(&text, &[]).is_ok(), "{address}");
    }
    check("[admin]\n", "error: [admin] needs `listen`");
    check(
        "[credentials]\nallow = [\"ORDERS_*\"]",
        "error: `ORDERS_*` is not a credential source",
    );
    check(
        "[trusted_issuer]\nissuer = \"a\"",
        "(write [[trusted_issuer]], with two brackets)",
    );
}

#[test]
fn client_certificates_need_someone_who_vouches_for_them() {
    let tls = |rest: &str| {
        format!(
            "[admin]\nlisten = \"127.0.0.1:1\"\ntls = {{ certificate = \"a\", key = \"b\"{rest} }}"
        )
    };
    check(
        &tls(", client_auth = \"required\""),
        "error: client certificates need `client_ca`",
    );
    check(
        &tls(", client_auth = \"always\", client_ca = \"c\""),
        "error: `client_auth` is none, optional, required or any",
    );
    check(
        "[admin]\nlisten = \"127.0.0.1:1\"\ntls = { key = \"b\" }",
        "error: `tls` needs `certificate`",
    );
    let auth = |rest: &str| {
        let (settings, _) = parse(&format!("{SMALL}{}", tls(rest)), &[]).unwrap();
        settings.admin.unwrap().tls.unwrap().client_auth
    };
    let ca = || PathBuf::from("/etc/portcullis/c");
    assert_eq!(auth(""), ClientAuth::None);
    assert_eq!(auth(", client_ca = \"c\""), ClientAuth::Optional(ca()));
    assert_eq!(
        auth(", client_ca = \"c\", client_auth = \"required\""),
        ClientAuth::Required(ca())
    );
    assert_eq!(
        auth(", client_ca = \"c\", client_auth = \"none\""),
        ClientAuth::None
    );
    assert_eq!(auth(", client_auth = \"any\""), ClientAuth::Any(None));
    let both = auth(", client_ca = \"c\", client_auth = \"any\"");
    assert_eq!(both, ClientAuth::Any(Some(ca())));
}

#[test]
fn protocols_are_for_listeners_without_tls() {
    let listener = |rest: &str| {
        format!(
            "[gateway]\n[[gateway.listen]]\naddress = \"127.0.0.1:8080\"\n{rest}\n\
             [control]\nlisten = \"127.0.0.1:8444\"\n"
        )
    };
    let spoken = |rest: &str| {
        let (settings, _) = parse(&listener(rest), &[]).unwrap();
        settings.gateway.listeners[0].protocols
    };
    assert_eq!(spoken(""), Protocols::Http1);
    assert_eq!(spoken("protocols = []"), Protocols::Http1);
    assert_eq!(spoken("protocols = [\"http/1.1\"]"), Protocols::Http1);
    assert_eq!(spoken("protocols = [\"h2\"]"), Protocols::Http2);
    assert_eq!(
        spoken("protocols = [\"http/1.1\", \"h2\"]"),
        Protocols::Both
    );
    let told = |rest: &str| parse(&listener(rest), &[]).unwrap_err().to_string();
    let unknown = told("protocols = [\"h2c\"]");
    assert!(
        unknown.contains("`protocols` are `http/1.1` and `h2`, not `h2c`"),
        "{unknown}"
    );
    let tls = "tls = { certificate = \"a\", key = \"b\" }\nprotocols = [\"h2\"]";
    let beside = told(tls);
    assert!(
        beside.contains("`protocols` is for listeners without `tls`"),
        "{beside}"
    );
    let control = "[gateway]\n[[gateway.listen]]\naddress = \"127.0.0.1:8080\"\n\
                   [control]\nlisten = \"127.0.0.1:8444\"\nprotocols = [\"h2\"]\n";
    let elsewhere = parse(control, &[]).unwrap_err().to_string();
    assert!(elsewhere.contains("protocols"), "{elsewhere}");
}

#[test]
fn issuers_are_trusted_once_and_with_keys() {
    let issuer = |rest: &str| format!("[[trusted_issuer]]\nissuer = \"https://i\"\n{rest}\n");
    let keys = "jwks_file = \"a\"";
    check(
        &issuer(""),
        "error: a trusted issuer needs `jwks_url` or `jwks_file`",
    );
    check(
        &issuer("jwks_file = \"a\"\njwks_url = \"https://i\""),
        "not in both",
    );
    check(
        &issuer("jwks_url = \"http://i\""),
        "must start with https://",
    );
    check(
        &format!("{}{}", issuer(keys), issuer(keys)),
        "error: the issuer `https://i` is trusted twice",
    );
    check(
        "[[trusted_issuer]]\nissuer = \"http://127.0.0.1:8081\"\njwks_file = \"a\"",
        "error: this is the gateway's own issuer",
    );
    check(
        &format!("[[trusted_issuer]]\nissuer = \"\"\n{keys}"),
        "error: this can't be empty",
    );
}

#[test]
fn broken_syntax_is_told_with_its_place() {
    let problems = parse("[gateway\npublic_url = \"x", &[]).unwrap_err();
    assert!(problems.has_errors());
    assert!(problems.to_string().starts_with("p.toml:1:"), "{problems}");
}

#[test]
fn a_file_is_read_from_its_directory() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("portcullis.toml");
    let missing = Settings::load(&file, []).unwrap_err().to_string();
    assert!(
        missing.contains("portcullis.toml: error: this can't be read"),
        "{missing}"
    );
    fs::write(&file, SMALL).unwrap();
    let (settings, _) = Settings::load(&file, []).unwrap();
    assert_eq!(settings.policies, directory.path().join("policies"));
    assert_eq!(
        settings.sources().directories,
        [directory.path().join("policies")]
    );
}
