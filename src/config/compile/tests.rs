use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::base::Clock;
use crate::config::credentials::Pattern;
use crate::config::snapshot::EnrolledAgent;
use crate::model::{EntitlementId, PersonId, Risk, UpstreamProtocol};

fn sources(directories: &[&str]) -> Sources {
    let allowed = ["env:ORDERS_*", "env:PATH"];
    let allowed = allowed.map(|pattern| Pattern::parse(pattern).unwrap());
    Sources {
        directories: directories.iter().map(PathBuf::from).collect(),
        credentials: allowed.into_iter().collect(),
        stand_in: None,
    }
}

#[test]
fn every_mistake_of_a_directory_is_reported_at_once() {
    let broken = sources(&["src/config/compile/tests/broken"]);
    let problems = compile(&broken, &mut Memory::default()).unwrap_err();
    let shown = problems
        .to_string()
        .replace("src/config/compile/tests/", "");
    // The words about conditions are the decision point's own.
    let (conditions, shown): (Vec<&str>, Vec<&str>) =
        shown.lines().partition(|line| line.contains(".cedar"));
    assert!(
        conditions[0].starts_with("broken/rules.cedar:1:"),
        "{conditions:?}"
    );
    let expected: Vec<&str> = include_str!("tests/broken.txt").lines().collect();
    assert_eq!(shown, expected);
}

#[test]
fn secrets_of_a_broken_directory_are_not_shown() {
    let broken = sources(&["src/config/compile/tests/broken"]);
    let problems = compile(&broken, &mut Memory::default()).unwrap_err();
    let shown = format!("{problems}{}{:?}", problems.graphical(false), problems);
    for secret in ["hunter2", "s3cr3t-value"] {
        assert!(!shown.contains(secret), "{secret}");
    }
}

const GOOD: &str = r#"
[[person]]
id = "ana@example.com"
groups = ["support-leads"]

[[agent]]
id = "billing-bot"
groups = ["billing"]
owner = "support-leads"
subject = "0oa1"

[[agent]]
id = "orchestrator"
owner = "ana@example.com"
may_open_for = ["billing-bot"]
spiffe_id = "spiffe://example.org/orchestrator"

[[service]]
name = "orders"
match = { path = "/orders", strip = true }
upstreams = ["http://10.0.0.5:9000", "https://orders.internal"]
timeouts = { connect = "2s", response = 10 }
inject = { header = "X-Api-Key", value_from = "env:PATH" }
time_zone = "Europe/Berlin"

[[operation]]
id = "orders.read"
service = "orders"
route = "GET /{order_id}"
risk = "low"

[[operation]]
id = "orders.refund"
service = "orders"
route = "POST /{order_id}/refunds"
groups = ["write"]
input = { order_id = "path:String", amount = "body:/amount:Long" }

[[entitlement]]
id = "wide"
operations = ["orders.read"]
groups = ["orders:write"]
max_ttl = "1h"

[[entitlement]]
id = "refunds"
groups = ["orders:write"]
max_ttl = "15m"
max_calls = 3
max_bytes = "1MiB"
approval = { group = "operators", mfa = true }
proof = "dpop"
reason_required = true
"#;

/// Compiles one TOML file, and shows what is said about it.
fn compile_text(toml: &str) -> Result<(Snapshot, Diagnostics), Diagnostics> {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("a.toml"), toml).unwrap();
    let sources = sources(&[directory.path().to_str().unwrap()]);
    compile(&sources, &mut Memory::default())
}

#[test]
fn a_good_file_becomes_a_snapshot() {
    let (snapshot, warnings) = compile_text(GOOD).unwrap();
    assert!(warnings.is_empty(), "{warnings}");
    let refund = snapshot.operation("orders.refund").unwrap();
    let covering: Vec<&str> = refund.covering.iter().map(EntitlementId::as_str).collect();
    assert_eq!(covering, ["refunds", "wide"]);
    assert_eq!(refund.operation.risk, Risk::High);
    let entitlement = snapshot.entitlement("refunds").unwrap();
    let approval = entitlement.approval.as_ref().unwrap();
    assert_eq!((approval.quorum, approval.mfa), (1, true));
    assert_eq!(approval.expires, Duration::from_mins(30));
    assert_eq!(entitlement.max_bytes, Some(1 << 20));
    let orders = &snapshot.service("orders").unwrap().service;
    assert_eq!(
        orders.upstreams[1].authority.as_str(),
        "orders.internal:443"
    );
    assert_eq!(orders.time_zone.iana_name(), Some("Europe/Berlin"));
    assert_eq!(orders.timeouts.response, Some(Duration::from_secs(10)));
}

#[test]
fn agents_are_found_by_every_name_they_prove() {
    let (snapshot, _) = compile_text(GOOD).unwrap();
    let id = |agent: Option<&Arc<EnrolledAgent>>| agent.map(|one| one.agent.id.to_string());
    assert_eq!(
        id(snapshot.agent_by_subject("0oa1")).as_deref(),
        Some("billing-bot")
    );
    // Its own subject is the only name by which outside tokens know it.
    assert_eq!(id(snapshot.agent_by_subject("billing-bot")), None);
    assert_eq!(
        id(snapshot.agent_by_subject("orchestrator")).as_deref(),
        Some("orchestrator")
    );
    let spiffe = snapshot.agent_by_spiffe_id("spiffe://example.org/orchestrator");
    assert_eq!(id(spiffe).as_deref(), Some("orchestrator"));
}

#[test]
fn people_answer_for_agents_alone_or_as_a_group() {
    let (snapshot, _) = compile_text(GOOD).unwrap();
    let bot = &snapshot.agent("billing-bot").unwrap().agent;
    assert!(snapshot.owns("ana@example.com", bot));
    assert!(!snapshot.owns("operator", bot));
    let operators: Vec<_> = snapshot
        .members("operators")
        .map(PersonId::as_str)
        .collect();
    assert_eq!(operators, ["operator"]);
}

/// It may come later, and whoever checks may be none that is given it: nobody is stopped.
#[test]
fn a_credential_that_is_not_there_is_a_doubt() {
    let lacking = GOOD.replace("env:PATH", "env:ORDERS_THAT_NOBODY_SETS");
    let (snapshot, warnings) = compile_text(&lacking).unwrap();
    assert!(snapshot.service("orders").is_some());
    let warnings = warnings.to_string();
    assert!(
        warnings.contains(":23:47: warning: `env:ORDERS_THAT_NOBODY_SETS` is not set"),
        "{warnings}"
    );
}

/// Adds `toml` to the good file and looks for one problem; `""` expects none.
fn check(toml: &str, expected: &str) {
    let shown = match compile_text(&format!("{GOOD}\n{toml}")) {
        Ok((_, warnings)) => warnings.to_string(),
        Err(problems) => problems.to_string(),
    };
    if expected.is_empty() {
        assert_eq!(shown, "", "{toml}");
    } else {
        assert!(shown.contains(expected), "{toml}: {shown}");
        assert_eq!(shown.lines().count(), 1, "{toml}: {shown}");
    }
}

#[test]
fn references_and_names_are_checked() {
    check(
        "[[person]]\nid = \"support-leads\"",
        "`support-leads` is both a person and a group",
    );
    for id in ["ana@example.com", "operator"] {
        let expected = format!("error: `{id}` is both an agent and a person");
        check(
            &format!("[[agent]]\nid = \"{id}\"\nsubject = \"x\""),
            &expected,
        );
    }
    check(
        "[[agent]]\nid = \"x\"\nsubject = \"0oa1\"",
        "error: two agents go by `0oa1` in outside tokens",
    );
    check(
        "[[agent]]\nid = \"x\"\nspiffe_id = \"spiffe://example.org/orchestrator\"",
        "error: two agents have the SPIFFE id",
    );
    check(
        "[[agent]]\nid = \"0oa1\"\nspiffe_id = \"spiffe://example.org/x\"",
        "error: two agents go by `0oa1`",
    );
    check(
        "[[agent]]\nid = \"x\"",
        "warning: the agent `x` has no way to prove who it is",
    );
    check(
        "[[agent]]\nid = \"x\"\nkeys = [{ crv = \"P-256\" }]",
        "a.toml:57:9: error: ",
    );
    check(
        "[[agent]]\nid = \"x\"\nsubject = \"s\"\ngroups = [\"a\", \"a\"]",
        "warning: `a` stands here twice",
    );
    check(
        "[agents]\n",
        "error: unknown key `agents` in the file (did you mean `agent`?)",
    );
}

fn service(name: &str, rest: &str) -> String {
    format!("[[service]]\nname = \"{name}\"\nupstreams = [\"http://a\"]\n{rest}")
}

#[test]
fn services_are_checked() {
    check(&service("a", "match = { host = \"a.internal\" }"), "");
    check(&service("a", "match = { path = \"/\" }"), "");
    check(
        &service("a:b", "match = { host = \"a\" }"),
        "error: the service name `a:b` has a colon",
    );
    check(
        &service("a", "match = { host = \"a:80\" }"),
        "error: `a:80` is not a host name",
    );
    check(
        &service("a", "match = { host = \"a\", strip = true }"),
        "error: `strip` removes a path prefix",
    );
    check(
        &service("a", "match = { path = \"a\" }"),
        "error: a path starts with `/`, unlike `a`",
    );
    check(
        &service("a", "match = { path = \"/{x}\" }"),
        "is not a parameter",
    );
    check(
        &service("a", "match = {}"),
        "error: `match` needs `host` or `path`",
    );
    check(&service("a", ""), "error: [[service]] needs `match`");
    check(
        &service(
            "a",
            "match = { path = \"/.well-known/oauth-protected-resource\" }",
        ),
        "error: the gateway itself answers below",
    );
    check(
        &service("call", "match = { path = \"/call\" }"),
        "error: a service can't be called `call`",
    );
    let tls = "match = { host = \"a\" }\ntls = { ca = \"ca.pem\" }";
    check(
        &service("a", tls),
        "warning: none of the upstreams is https",
    );
    let inject =
        "match = { host = \"a\" }\ninject = { header = \"host\", value_from = \"env:ORDERS_A\" }";
    check(
        &service("a", inject),
        "error: `host` is not a header that can carry a credential",
    );
    let climb =
        "match = { host = \"a\" }\ninject = { header = \"x\", value_from = \"file:/a/../b\" }";
    check(
        &service("a", climb),
        "error: `/a/../b` is not an absolute path",
    );
    let slow = "match = { host = \"a\" }\ntimeouts = { idle = \"0s\" }";
    check(
        &service("a", slow),
        "error: a duration of nothing can't be meant",
    );
}

#[test]
fn a_password_in_an_address_is_not_shown() {
    let toml =
        "[[service]]\nname = \"a\"\nmatch = { host = \"a\" }\nupstreams = [\"http://u:hunter2@a\"]";
    let problems = compile_text(toml).unwrap_err();
    let shown = format!("{problems}{}", problems.graphical(false));
    assert!(shown.contains("no user name or password"), "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn tls_files_are_read_when_a_generation_is_compiled() {
    let toml = "[[service]]\nname = \"a\"\nmatch = { host = \"a\" }\nupstreams = [\"https://a\"]\n\
                tls = { ca = \"missing.pem\" }";
    check(toml, "missing.pem");
}

fn operation(id: &str, rest: &str) -> String {
    format!("[[operation]]\nid = \"{id}\"\nservice = \"orders\"\nbaseline = true\n{rest}")
}

#[test]
fn operations_are_checked() {
    check(&operation("a", "route = \"ANY /{id}/{*rest}\""), "");
    check(
        &operation("a", "route = \"GET /{other}\""),
        "error: `GET /{other}` matches the same requests",
    );
    check(
        &operation("a", "route = \"GET /orders/{id}\""),
        "warning: the prefix `/orders` is removed before routing",
    );
    check(
        &operation("a", "route = \"PUT /a\"\nrisk = \"high\""),
        "warning: an operation of high risk that needs no grant",
    );
    check(&operation("a", "route = \"PUT /a\"\nrisk = \"medium\""), "");
    check(
        &operation("a", "route = \"GET\""),
        "error: `GET` is not a route",
    );
    check(
        &operation("orders", "route = \"PUT /a\""),
        "error: `orders` is an operation here and a service elsewhere",
    );
    check(
        &operation("baseline", "route = \"PUT /a\""),
        "error: an operation can't be called `baseline`",
    );
    check(
        &operation("a", "route = \"PUT /a\"\ngroups = [\"orders.read\"]"),
        "error: `orders.read` is a group here and an operation elsewhere",
    );
    check(
        &operation("a", "route = \"PUT /a\"\ngroups = [\"x:y\"]"),
        "error: the group `x:y` has a colon",
    );
    check(
        &operation("a", "route = \"PUT /a\"\nprotocol = \"websocket\""),
        "error: a WebSocket is asked for with GET, not PUT",
    );
    check(
        &operation(
            "a",
            "route = \"POST /a\"\nprotocol = \"grpc\"\ninput = { x = \"body:/x:Long\" }",
        ),
        "error: such a request has no JSON body",
    );
    check(
        "[[operation]]\nid = \"a\"\nservice = \"orders\"\nroute = \"PUT /a\"",
        "warning: no agent can call `a`: no entitlement covers it",
    );
}

#[test]
fn routes_that_nothing_can_reach_are_found() {
    let two = |first: &str, second: &str, route: &str| {
        let first = service("one", &format!("match = {first}"));
        let second = service("two", &format!("match = {second}"));
        format!(
            "{first}\n{second}\n[[operation]]\nid = \"a\"\nservice = \"one\"\nbaseline = true\nroute = \"{route}\""
        )
    };
    let deep = "{ path = \"/api/v2\" }";
    check(
        &two("{ path = \"/api\" }", deep, "GET /api/v2/x"),
        "warning: no request can match: `/api/v2` is",
    );
    check(&two("{ path = \"/api\" }", deep, "GET /api/v3/x"), "");
    check(&two("{ path = \"/api\" }", deep, "GET /{any}/x"), "");
    check(
        &two("{ path = \"/api\", strip = true }", deep, "GET /v2"),
        "warning: no request can match",
    );
    check(
        &two("{ path = \"/\" }", deep, "GET /api/v2"),
        "warning: no request can match",
    );
    check(&two("{ host = \"one\" }", deep, "GET /api/v2/x"), "");
    check(
        &two(
            "{ host = \"one\" }",
            deep,
            "GET /.well-known/oauth-protected-resource/x",
        ),
        "error: the gateway itself answers",
    );
    check(
        &two("{ path = \"/api\" }", deep, "GET /other"),
        "error: no request can match: those of `one` start with `/api`",
    );
    check(
        &two("{ path = \"/api\" }", deep, "GET /"),
        "error: no request can match",
    );
}

fn entitlement(rest: &str) -> String {
    format!("[[entitlement]]\nid = \"a\"\nmax_ttl = \"5m\"\n{rest}")
}

#[test]
fn entitlements_are_checked() {
    check(&entitlement("operations = [\"orders.read\"]"), "");
    check(
        &entitlement("groups = [\"write\"]"),
        "error: no operation is in the group `write`",
    );
    check(
        &entitlement("groups = [\"orders:wriet\"]"),
        "did you mean `orders:write`?",
    );
    check(
        &entitlement(
            "operations = [\"orders.read\"]\napproval = { group = \"operators\", quorum = 2 }",
        ),
        "error: 2 people can't agree: `operators` has 1",
    );
    check(
        &entitlement("operations = [\"orders.read\"]\napproval = { quorum = 1 }"),
        "error: `approval` needs `group`",
    );
    check(
        &entitlement("operations = [\"orders.read\"]\nmax_concurrent = 5_000_000_000"),
        "error: `5000000000` is too large",
    );
    check(
        &entitlement("operations = [\"orders.read\"]\nmax_bytes = \"0\""),
        "error: a size of nothing can't be meant",
    );
    let harmless = operation("ping", "route = \"GET /ping/pong\"");
    check(
        &format!("{harmless}\n{}", entitlement("operations = [\"ping\"]")),
        "warning: `a` covers only what agents may call without it",
    );
}

#[test]
fn a_set_of_ten_thousand_entries_is_no_trouble() {
    let directory = tempfile::tempdir().unwrap();
    let mut text = GOOD.to_owned();
    for n in 0..5_000 {
        text.push_str(&format!(
            "[[operation]]\nid = \"op{n}\"\nservice = \"orders\"\nroute = \"GET /items/{n}\"\n\
             [[entitlement]]\nid = \"e{n}\"\noperations = [\"op{n}\"]\nmax_ttl = \"5m\"\n"
        ));
    }
    std::fs::write(directory.path().join("a.toml"), &text).unwrap();
    let sources = sources(&[directory.path().to_str().unwrap()]);
    let clock = Clock::system();
    let start = clock.now();
    let (files, problems) = files::gather(&sources.directories);
    let (raw, _) = read(&files.toml, &mut Diagnostics::default());
    assert!(problems.is_empty());
    let mut found = Diagnostics::default();
    let services = services::compile(&raw.services, &sources.credentials, &mut found);
    let operations = operations::compile(&raw, &services, &mut found);
    let people = people::compile(&raw.people, &mut found);
    let entitlements = entitlements::compile(&raw, &operations, &people, &mut found);
    assert!(found.is_empty(), "{found}");
    assert_eq!(entitlements.len(), 5_002);
    // Anything quadratic would take minutes.
    assert!(clock.now() - start < Duration::from_secs(20));
}

#[test]
fn many_unknown_names_do_not_take_for_ever() {
    let mut text = GOOD.to_owned();
    for n in 0..3_000 {
        text.push_str(&format!(
            "[[entitlement]]\nid = \"e{n}\"\noperations = [\"missing{n}\"]\nmax_ttl = \"5m\"\n"
        ));
    }
    let clock = Clock::system();
    let start = clock.now();
    assert_eq!(compile_text(&text).unwrap_err().len(), 3_000);
    assert!(clock.now() - start < Duration::from_secs(20));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn any_slip_of_the_hand_is_survived(
        cut in 0..GOOD.len(),
        length in 0_usize..40,
        typed in "[a-z\\[\\]{}\"'=\\n#.*:/\u{e9}]{0,6}",
    ) {
        let mut text: Vec<char> = GOOD.chars().collect();
        text.splice(cut..(cut + length).min(GOOD.len()), typed.chars());
        let text: String = text.into_iter().collect();
        match compile_text(&text) {
            Ok((_, warnings)) => prop_assert!(!warnings.has_errors()),
            Err(problems) => {
                prop_assert!(problems.has_errors());
                for problem in problems.iter() {
                    let (line, column) = problem.position();
                    prop_assert!((1..=text.lines().count() + 1).contains(&line) && column >= 1);
                }
                prop_assert!(!problems.graphical(false).is_empty());
            }
        }
    }
}

#[test]
fn what_no_rule_lets_anybody_ask_for_is_doubtful() {
    let warned = |rules: &str| {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("a.toml"), GOOD).unwrap();
        std::fs::write(directory.path().join("a.cedar"), rules).unwrap();
        let sources = sources(&[directory.path().to_str().unwrap()]);
        let (_, warnings) = compile(&sources, &mut Memory::default()).unwrap();
        let warnings = warnings.to_string();
        let lost = warnings
            .lines()
            .filter_map(|line| line.split_once("ask for `"));
        let lost = lost.filter_map(|(_, rest)| Some(rest.split_once('`')?.0.to_owned()));
        lost.collect::<Vec<_>>()
    };
    let call = "@id(\"call\") permit (principal, action in Action::\"call\", resource);";
    let ask = |scope: &str| {
        format!("{call} @id(\"ask\") permit ({scope}, action == Action::\"request\", resource")
    };
    let one = " == Entitlement::\"refunds\");";
    assert_eq!(warned(call).len(), snapshot_entitlements());
    assert_eq!(
        warned(&format!("{});", ask("principal"))),
        Vec::<String>::new()
    );
    assert!(!warned(&format!("{}{one}", ask("principal"))).contains(&"refunds".to_owned()));
    assert!(warned(&format!("{}{one}", ask("principal"))).contains(&"wide".to_owned()));
    let billing = ask("principal in AgentGroup::\"billing\"");
    assert_eq!(warned(&format!("{billing});")), Vec::<String>::new());
}

#[test]
fn an_agreement_that_no_grant_brings_is_doubtful() {
    let said = |entitlement: &str, rules: &str| {
        let text =
            format!("{GOOD}\n[[person]]\nid = \"sam\"\ngroups = [\"security\"]\n{entitlement}");
        let rules = format!(
            "@id(\"ask\") permit (principal, action == Action::\"request\", resource);\n{rules}"
        );
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("a.toml"), text).unwrap();
        std::fs::write(directory.path().join("a.cedar"), rules).unwrap();
        let sources = sources(&[directory.path().to_str().unwrap()]);
        let (_, warnings) = compile(&sources, &mut Memory::default()).unwrap();
        let warnings = warnings.to_string();
        let lines = warnings
            .lines()
            .filter(|line| line.contains("no grant can meet this"));
        lines.count()
    };
    let call = "@id(\"secured\") @require(\"approval:security\") \
                permit (principal, action == Action::\"orders.read\", resource);";
    let asks = |id: &str| {
        format!(
            "[[entitlement]]\nid = \"{id}\"\noperations = [\"orders.read\"]\nmax_ttl = \"5m\"\n\
             approval = {{ group = \"security\" }}\n"
        )
    };
    assert_eq!(said("", call), 1);
    assert_eq!(said(&asks("secure"), call), 0);
    let request = "@id(\"asked\") @require(\"approval:security\") \
                   permit (principal, action == Action::\"request\", resource);";
    assert_eq!(
        said("", &format!("{call}\n{request}")),
        0,
        "a rule asks them"
    );
    assert_eq!(
        said("", request),
        0,
        "people are asked for the request itself"
    );
}

/// How many entitlements the good file has.
fn snapshot_entitlements() -> usize {
    GOOD.matches("[[entitlement]]").count()
}

/// The service of `entry`, or what is said about it.
fn reports(entry: &str) -> Result<Service, String> {
    let text = format!(
        "[[service]]\nname = \"reports\"\nmatch = {{ host = \"reports.internal\" }}\n{entry}\n"
    );
    let (snapshot, _) = compile_text(&text).map_err(|problems| problems.to_string())?;
    Ok(snapshot.service("reports").unwrap().service.clone())
}

#[test]
fn a_service_says_how_its_upstreams_are_reached_and_checked() {
    let plain = reports("upstreams = [\"http://a\"]").unwrap();
    assert_eq!(plain.protocol, UpstreamProtocol::Http1);
    assert_eq!(plain.health, None);
    let full = "upstreams = [\"unix:/run/reports.sock\", \"http://b\"]\nprotocol = \"http2\"\n\
                health = { path = \"/healthz?x=1\", interval = \"5s\" }";
    let full = reports(full).unwrap();
    assert_eq!(full.protocol, UpstreamProtocol::Http2);
    let socket = full.upstreams[0].socket.as_deref();
    assert_eq!(socket, Some(Path::new("/run/reports.sock")));
    let health = full.health.unwrap();
    assert_eq!(health.path.as_str(), "/healthz?x=1");
    assert_eq!(
        (health.interval, health.timeout),
        (Duration::from_secs(5), Duration::from_secs(2))
    );
}

#[test]
fn what_is_odd_about_a_services_upstreams_is_said() {
    for (entry, expected) in [
        (
            "protocol = \"http3\"",
            "`http3` is not a protocol of upstreams: auto, http1, http2",
        ),
        (
            "health = { path = \"healthz\" }",
            "`healthz` is not a path that can be asked for",
        ),
        (
            "health = { path = \"/\", interval = \"10ms\" }",
            "health checks come a second apart or more",
        ),
        (
            "health = { path = \"/\", interval = \"2s\", timeout = \"3s\" }",
            "`timeout` is longer than `interval`: checks would overtake each other",
        ),
        ("health = {}", "path"),
    ] {
        let said = reports(&format!("upstreams = [\"http://a\"]\n{entry}")).unwrap_err();
        assert!(said.contains(expected), "{said}");
    }
    let said = reports("upstreams = [\"unix:reports.sock\"]").unwrap_err();
    assert!(said.contains("is not the path of a socket"), "{said}");
}
