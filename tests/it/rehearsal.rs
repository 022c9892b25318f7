//! What would be decided, offline: decision tables, and recorded decisions under other policies.

mod steps;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::harness::{Gateway, Plan, program, run};

/// Runs a command of the program.
pub(crate) fn portcullis(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(program());
    command.current_dir(directory).args(arguments);
    command.env_remove("PORTCULLIS_OUTPUT");
    command.output().unwrap()
}

/// What a command prints as JSON, and how it ends.
pub(crate) fn told(directory: &Path, arguments: &[&str]) -> (i32, Value) {
    let mut all = arguments.to_vec();
    all.extend(["--output", "json"]);
    let output = portcullis(directory, &all);
    let printed = serde_json::from_slice(&output.stdout);
    let printed = printed.unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (output.status.code().unwrap(), printed)
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn the_shipped_tables_pass_and_exercise_every_rule() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (code, report) = told(root, &["test", "policies", "--all-rules"]);
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(report["ok"], true, "{report:#}");
    assert_eq!(report["coverage"]["unexercised"], json!([]), "{report:#}");
    let cases = report["cases"].as_array().unwrap();
    assert!(cases.len() >= 20, "{report:#}");
    let shown = portcullis(root, &["test", "policies"]);
    assert!(shown.status.success(), "{shown:?}");
    assert!(
        text(&shown.stdout).contains("rules decided a case"),
        "{shown:?}"
    );
}

#[test]
fn a_case_that_comes_otherwise_is_told_with_its_place() {
    let gate_files = Files::new();
    gate_files.write(
        "tests/pay.toml",
        r#"
[[agent]]
id = "payer"
groups = ["bots"]

[[case]]
name = "too much"
agent = "payer"
grant = "work"
call = "POST /shop/pay"
body = { amount = 101 }
expect = "allow"

[[case]]
name = "enough"
agent = "payer"
grant = "work"
call = "POST /shop/pay"
body = { amount = 100 }
expect = "allow"
rule = "small"

[[case]]
name = "again and again"
agent = "payer"
grant = "work"
history = { "shop.pay" = { calls = 3, sum = { amount = 300 } } }
call = "POST /shop/pay"
body = { amount = 1 }
expect = "condition_denied"
rule = "three-times"

[[case]]
name = "risky"
agent = "payer"
risk = 90
request = "work"
expect = "condition_denied"

[[case]]
name = "not known"
agent = "nobody"
request = "work"
expect = "allow"
"#,
    );
    let (code, report) = told(gate_files.path(), &["test", "."]);
    assert_eq!(code, 1, "{report:#}");
    let cases = report["cases"].as_array().unwrap();
    let passed: Vec<_> = cases
        .iter()
        .map(|case| case["passed"].as_bool().unwrap())
        .collect();
    assert_eq!(passed, [false, false, true, true, false], "{report:#}");
    assert_eq!(cases[0]["got"], "condition_denied");
    assert_eq!(cases[0]["rules"], json!(["small"]));
    assert_eq!(cases[0]["line"], 6);
    assert_eq!(
        cases[1]["rules"],
        json!(["open"]),
        "not by the rule that was named"
    );
    let unexercised = report["coverage"]["unexercised"].as_array().unwrap();
    let ids: Vec<_> = unexercised
        .iter()
        .map(|rule| rule["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["ask", "never"], "{report:#}");
    let shown = portcullis(gate_files.path(), &["test", "."]);
    assert_eq!(shown.status.code(), Some(1));
    let shown = text(&shown.stdout);
    for part in [
        "tests/pay.toml:6:1: `too much`",
        "expected allow",
        "got      condition_denied: decided by small",
        "there is no agent `nobody`",
        "2 of 5 cases came as expected",
        "no case for `never`",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
}

#[test]
fn tables_that_cant_be_read_fail_and_a_gateway_never_reads_them() {
    let files = Files::new();
    let none = portcullis(files.path(), &["test", "."]);
    assert_eq!(none.status.code(), Some(1), "{none:?}");
    assert!(text(&none.stderr).contains("no [[case]]"), "{none:?}");
    files.write(
        "tests/odd.toml",
        "[[case]]\nname = 1\n[[operation]]\nid = \"x\"\n",
    );
    let odd = portcullis(files.path(), &["test", "."]);
    assert_eq!(odd.status.code(), Some(1), "{odd:?}");
    assert!(text(&odd.stderr).contains("odd.toml"), "{odd:?}");
    let (code, report) = told(files.path(), &["check", "."]);
    assert_eq!(code, 1, "{report:#}");
    let diagnostics = report["diagnostics"].as_array().unwrap();
    let about = |one: &Value| one["file"].as_str().unwrap().ends_with("tests/odd.toml");
    assert!(diagnostics.iter().all(about), "{report:#}");
    // What is compiled for a gateway is compiled without them.
    let compared = portcullis(files.path(), &["policy", "diff", ".", "."]);
    assert!(compared.status.success(), "{compared:?}");
}

#[test]
fn check_doubts_rules_that_make_no_difference() {
    let files = Files::new();
    files.write(
        "more.toml",
        r#"
[[operation]]
id = "shop.other"
service = "shop"
route = "POST /shop/other"

[[person]]
id = "ana"
groups = ["leads"]

[[agent]]
id = "bot"
owner = "ana"
subject = "bot"

[[entitlement]]
id = "alone"
operations = ["shop.pay"]
max_ttl = "1h"
approval = { group = "leads" }

[[entitlement]]
id = "shut"
operations = ["shop.pay"]
max_ttl = "1h"
"#,
    );
    files.write(
        "more.cedar",
        r#"
@id("again") permit (principal == Agent::"bot", action in Action::"call", resource == Service::"shop")
when { context has grant && context.grant.entitlement == "shut" };
@id("paid") @require("approval:nobody") permit (
  principal, action == Action::"shop.pay", resource
);
@id("other") permit (principal, action == Action::"shop.other", resource);
@id("shutter") forbid (principal, action == Action::"request", resource == Entitlement::"shut");
@id("asks") permit (principal, action == Action::"request", resource == Entitlement::"shut");
"#,
    );
    let (code, report) = told(files.path(), &["check", "."]);
    assert_eq!((code, &report["ok"]), (0, &json!(true)), "{report:#}");
    let diagnostics = report["diagnostics"].as_array().unwrap();
    let told: Vec<_> = diagnostics
        .iter()
        .map(|one| {
            let text = |name: &str| one[name].as_str().unwrap().to_owned();
            let number = |name: &str| one[name].as_u64().unwrap();
            let file = text("file");
            let file = file.rsplit('/').next().unwrap();
            format!(
                "{file}:{}:{}: {}",
                number("line"),
                number("column"),
                text("message")
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            "more.cedar:4:41: nobody can agree to this: no person is in the group `nobody`",
            "more.cedar:4:41: this rule changes nothing: `open` (./rules.cedar:2) permits all that it does",
            "more.cedar:7:14: this rule permits nothing: no entitlement covers what it is for",
            "more.cedar:9:13: this rule permits nothing: `shutter` in line 8 forbids all that it is for",
            "more.toml:3:6: no agent can call `shop.other`: no entitlement covers it",
            "more.toml:17:6: nobody can approve `alone`: 1 of `leads` have to agree, and too few of them don't own \
             the agent that asks, such as `bot`",
            "more.toml:23:6: nobody can ask for `shut`: the rule `shutter` forbids it to all",
        ],
        "{report:#}"
    );
}

#[test]
fn check_tells_all_at_once_whatever_else_is_wrong() {
    let files = Files::new();
    let write = |name: &str, text: &str| {
        let file = files.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    };
    let lines = |arguments: &[&str]| {
        let (code, report) = told(files.path(), arguments);
        let found = report["diagnostics"].as_array().unwrap().iter();
        let line = |one: &Value| {
            let of = |key: &str| one[key].as_str().unwrap().to_owned();
            format!("{}: {}", of("file"), of("message"))
        };
        (code, found.map(line).collect::<Vec<_>>())
    };
    // The decision tables are read by `check`, too, though no gateway reads them.
    write("q/shop.toml", "[[person]]\nid = \"ana@example.com\"\n");
    write("q/tests/broken.toml", "[[case]\n");
    let (code, found) = lines(&["check", "q"]);
    assert_eq!(code, 1, "{found:?}");
    assert!(found[0].starts_with("q/tests/broken.toml: "), "{found:?}");
    fs::remove_dir_all(files.path().join("q/tests")).unwrap();

    // One wrong type does not hide what is doubtful elsewhere.
    write(
        "doubts.cedar",
        r#"
@id("wrong") forbid (principal, action == Action::"shop.pay", resource)
when { context.input.amount == "much" };
@id("paid") @require("approval:nobody") permit (principal, action == Action::"shop.pay", resource)
when { context.input.amount == 7 };
@id("again") permit (principal, action == Action::"shop.pay", resource)
when { context.input.amount == 8 };
"#,
    );
    let (code, found) = lines(&["check", "."]);
    assert_eq!(code, 1, "{found:?}");
    for part in ["nobody can agree to this", "this rule changes nothing"] {
        assert!(
            found.iter().any(|one| one.contains(part)),
            "{part}: {found:#?}"
        );
    }
    fs::remove_file(files.path().join("doubts.cedar")).unwrap();

    // A settings file that can't be used still says where the policies are.
    let settings = "[gateway]\npublic_url = 7\n[policies]\ndirectory = \"q\"\n";
    write("portcullis.toml", settings);
    write("q/bad.toml", "[[person]]\nid = \"a b\"\n");
    let (code, found) = lines(&["check", "--config", "portcullis.toml"]);
    assert_eq!(code, 1, "{found:?}");
    assert!(
        found.iter().any(|one| one.starts_with("portcullis.toml: ")),
        "{found:?}"
    );
    assert!(
        found.iter().any(|one| one.starts_with("q/bad.toml: ")),
        "{found:?}"
    );
    assert!(
        !found.iter().any(|one| one.contains("can't be read")),
        "{found:?}"
    );
}

/// A policy set of its own.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        files.write(
            "shop.toml",
            r#"
[[service]]
name = "shop"
match = { path = "/shop" }
upstreams = ["http://127.0.0.1:9000"]

[[operation]]
id = "shop.pay"
service = "shop"
route = "POST /shop/pay"
input = { amount = "body:/amount:Long" }

[[entitlement]]
id = "work"
operations = ["shop.pay"]
max_ttl = "1h"
"#,
        );
        files.write(
            "rules.cedar",
            r#"
@id("open") permit (principal, action == Action::"shop.pay", resource);
@id("ask") permit (principal, action == Action::"request", resource)
when { context.risk.score < 50 };
@id("small") forbid (principal, action == Action::"shop.pay", resource)
when { context.input.amount > 100 };
@id("three-times") forbid (principal, action == Action::"shop.pay", resource)
when { context.history["shop.pay"].calls >= 3 };
@id("never") forbid (principal, action == Action::"shop.pay", resource)
when { context.input.amount < 0 };
"#,
        );
        files
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, text: &str) {
        let file = self.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
}

/// Everything that a gateway can answer, once each.
pub(crate) async fn some_of_everything(gate: &Gateway) {
    let work = gate.agent("bot").works("work").await;
    for (method, path, body) in [
        ("GET", "/shop/items/7", None),
        ("GET", "/shop/items", None),
        ("GET", "/shop/status", None),
        ("GET", "/shop/%2e%2e", None),
        ("GET", "/nowhere", None),
        ("GET", "/shop/dpop", None),
        ("GET", "/shop/reviewed", None),
        ("GET", "/shop/find", None),
        ("GET", "/shop/find?most=3", None),
        ("GET", "/shop/silent", None),
        ("GET", "/shop/sealed", None),
        ("GET", "/shop/second", None),
        ("POST", "/shop/pay", Some(50)),
        ("POST", "/shop/pay", Some(101)),
    ] {
        let mut call = gate.call(method, path).bearer(&work.token);
        if let Some(amount) = body {
            call = call.json(&json!({ "amount": amount }));
        }
        let _ = call.send().await;
    }
    let identity = gate.agent("bot").token().await;
    let call = gate.call("GET", "/shop/items").bearer(&identity);
    call.send().await.refusal(403, "grant_required");
    let stranger = gate.agent("outsider").opens().await;
    let call = gate.call("GET", "/shop/items").bearer(&stranger.token);
    call.send().await.refusal(403, "not_entitled");
    let waiting = gate.agent("bot").opens().await;
    for (token, task, entitlement) in [
        (&waiting.token, &waiting.task, "reviewed"),
        (&stranger.token, &stranger.task, "items"),
    ] {
        let body = json!({ "task": task, "entitlement": entitlement });
        let call = gate.control("POST", "/v1/requests").bearer(token);
        let _ = call.json(&body).send().await;
    }
}

#[test]
fn agreements_renewals_and_what_is_handed_down_are_put_again() {
    run(async {
        let mut gate = Plan::new().start().await;
        let mut work = gate.agent("bot").opens().await;
        let post = |token: &str, path: &str, body: Value| {
            let call = gate.control("POST", path).bearer(token);
            call.json(&body).send()
        };
        let body = json!({ "task": work.task, "entitlement": "work", "duration_seconds": 600 });
        let active = post(&work.token, "/v1/requests", body)
            .await
            .expect(201)
            .json();
        work.grant = active["grant"].as_str().unwrap().to_owned();
        let waiting = gate.agent("bot").opens().await;
        let body = json!({ "task": waiting.task, "entitlement": "reviewed" });
        let request = post(&waiting.token, "/v1/requests", body)
            .await
            .expect(202)
            .json();
        let keys = "/v1/people/ana@example.com/keys";
        let key = post(&gate.operator(), keys, json!({}))
            .await
            .expect(201)
            .json();
        let path = format!("/v1/requests/{}/approve", request["id"].as_str().unwrap());
        let agreement = json!({ "digest": request["digest"] });
        let key = key["key"].as_str().unwrap();
        post(key, &path, agreement).await.expect(200);
        let grant = format!("/v1/grants/{}", work.grant);
        let body = json!({ "duration_seconds": 1800 });
        post(&work.token, &format!("{grant}/renew"), body)
            .await
            .expect(200);
        let body = json!({ "parent": work.task });
        let span = post(&work.token, "/v1/tasks", body)
            .await
            .expect(201)
            .json();
        let body =
            json!({ "task": span["id"], "operations": ["shop.list"], "duration_seconds": 60 });
        post(&work.token, &format!("{grant}/delegate"), body)
            .await
            .expect(201);
        let lines = gate.stop().await;

        let replay = ["replay", "--audit", "data/audit", "--policies", "policies"];
        let (code, report) = told(gate.root(), &replay);
        assert_eq!(code, 0, "{report:#} {lines:#?}");
        assert_eq!(report["unknown"], 0, "{report:#} {lines:#?}");
        gate.edit_policy(
            "rules.cedar",
            "permit (principal in AgentGroup::\"bots\", action == Action::\"request\", resource);",
            "permit (principal in AgentGroup::\"bots\", action == Action::\"request\", resource == Entitlement::\"items\");",
        );
        let (code, report) = told(gate.root(), &replay);
        assert_eq!(code, 3, "{report:#}");
        let losses = report["losses"].as_array().unwrap();
        let lost = |what: &str| {
            let of = losses.iter().filter(|one| one["what"] == what);
            of.map(|one| one["count"].as_u64().unwrap()).sum::<u64>()
        };
        // Asked for, renewed and handed down; agreed to.
        assert_eq!((lost("work"), lost("reviewed")), (3, 1), "{report:#}");
    });
}

#[test]
fn the_same_policies_give_the_recorded_decisions_all_of_them() {
    run(async {
        let mut gate = Plan::new().start().await;
        some_of_everything(&gate).await;
        let lines = gate.stop().await;
        let (code, report) = told(
            gate.root(),
            &["replay", "--audit", "data/audit", "--policies", "policies"],
        );
        assert_eq!(code, 0, "{report:#} {lines:#?}");
        assert_eq!(report["unknown"], 0, "{report:#}");
        let decisions = report["decisions"].as_u64().unwrap();
        assert!(decisions >= 18, "{report:#}");
        let same = report["same"].as_u64().unwrap();
        let untouched = report["untouched"].as_u64().unwrap();
        assert_eq!(same + untouched, decisions, "{report:#}");
        let calls = lines.iter().filter(|line| line["kind"] == "call");
        for line in calls.filter(|line| line["verdict"] == "allow") {
            assert_eq!(line["asked"]["ruled"], "allow", "{line}");
        }
    });
}

#[test]
fn what_other_policies_would_change_is_told() {
    run(async {
        let mut gate = Plan::new().start().await;
        some_of_everything(&gate).await;
        gate.stop().await;
        let rules = fs::read_to_string(gate.policies().join("rules.cedar")).unwrap();
        let rules = rules.replace("context.input.amount > 100", "context.input.amount < 100");
        let rules = format!(
            "{rules}\n@id(\"no-lists\") forbid (principal, action == Action::\"shop.list\", resource);"
        );
        fs::write(gate.policies().join("rules.cedar"), rules).unwrap();
        let arguments = ["replay", "--audit", "data/audit", "--policies", "policies"];
        let (code, report) = told(gate.root(), &arguments);
        assert_eq!(code, 3, "{report:#}");
        let gains = report["gains"].as_array().unwrap();
        assert_eq!(gains.len(), 1, "{report:#}");
        assert_eq!(gains[0]["what"], "shop.pay");
        assert_eq!(gains[0]["before"], "condition_denied");
        assert_eq!(gains[0]["rules_before"], json!(["small-payments"]));
        let losses = report["losses"].as_array().unwrap();
        let lost: Vec<_> = losses
            .iter()
            .map(|one| one["what"].as_str().unwrap())
            .collect();
        assert_eq!(lost, ["shop.list", "shop.pay"], "{report:#}");
        assert_eq!(losses[0]["rules_after"], json!(["no-lists"]));
        let first = losses[0]["first"].as_str().unwrap();
        assert!(first.starts_with("audit-00000001.jsonl:"), "{first}");

        let shown = portcullis(gate.root(), &arguments);
        assert_eq!(shown.status.code(), Some(3));
        assert!(
            text(&shown.stdout).contains("would no longer pass:"),
            "{shown:?}"
        );
        let mut html = arguments.to_vec();
        html.push("--html");
        html[2] = "data/audit/audit-00000001.jsonl";
        let page = text(&portcullis(gate.root(), &html).stdout);
        assert!(page.starts_with("<!doctype html>"), "{page}");
        assert!(page.contains("<td>open &gt; no-lists</td>"), "{page}");
    });
}

#[test]
fn what_an_entitlement_could_do_without_is_told() {
    run(async {
        let mut gate = Plan::new().start().await;
        some_of_everything(&gate).await;
        gate.stop().await;
        let arguments = ["suggest", "--audit", "data/audit", "--policies", "policies"];
        let (code, report) = told(gate.root(), &arguments);
        assert_eq!(code, 0, "{report:#}");
        let [item] = &report["items"].as_array().unwrap()[..] else {
            panic!("{report:#}");
        };
        assert_eq!(item["entitlement"], "work");
        assert_eq!(item["tasks"], 1);
        let used = json!({ "shop.find": 1, "shop.list": 1, "shop.pay": 1, "shop.read": 1 });
        assert_eq!(item["operations"], used);
        assert_eq!(
            item["unused"],
            json!([
                "shop.data",
                "shop.sealed",
                "shop.second",
                "shop.silent",
                "shop.stream"
            ])
        );
        let shown = text(&portcullis(gate.root(), &arguments).stdout);
        assert!(shown.contains("unused  shop.stream"), "{shown}");
        assert!(shown.contains("max_calls = 4"), "{shown}");
        assert!(shown.contains("shop.pay (1 call)"), "{shown}");
        let other = [&arguments[..], &["--kind", "no such kind"]].concat();
        assert_eq!(told(gate.root(), &other).1["items"], json!([]));
        let kind = item["kind"].as_str().unwrap();
        let same = [&arguments[..], &["--kind", kind]].concat();
        assert_eq!(told(gate.root(), &same).1, report);
    });
}

#[test]
fn what_is_suggested_can_be_pasted_and_keeps_what_keeps_safe() {
    run(async {
        let safe = r#"
[[entitlement]]
id = "safe"
operations = ["shop.list", "shop.read"]
max_ttl = "1h30m"
max_calls = 100
max_bytes = "10MiB"
max_concurrent = 2
approval = { group = "leads", quorum = 1, mfa = false, expires = "45s" }
proof = "dpop"
reason_required = true
"#;
        let mut gate = Plan::new().file("safe.toml", safe).start().await;
        some_of_everything(&gate).await;
        gate.stop().await;
        // As if the tasks had worked under the other one.
        let log: String = gate.audit_text();
        let log = log.replace("\"entitlement\":\"work\"", "\"entitlement\":\"safe\"");
        fs::write(gate.root().join("log.jsonl"), log).unwrap();
        let arguments = ["suggest", "--audit", "log.jsonl", "--policies", "policies"];
        let (_, report) = told(gate.root(), &arguments);
        let item = &report["items"][0];
        let toml = item["toml"].as_str().unwrap();
        for line in [
            "operations = [\"shop.find\", \"shop.list\", \"shop.pay\", \"shop.read\"]",
            "max_ttl = \"90m\"",
            "max_calls = 4",
            "max_bytes = \"10485760\"",
            "max_concurrent = 2",
            "approval = { group = \"leads\", quorum = 1, mfa = false, expires = \"45s\" }",
            "proof = \"dpop\"",
            "reason_required = true",
        ] {
            assert!(toml.lines().any(|one| one == line), "{line}\n{toml}");
        }
        fs::write(gate.policies().join("pasted.toml"), toml).unwrap();
        let (code, report) = told(gate.root(), &["check", "policies"]);
        assert_eq!(code, 0, "{report:#}");
    });
}

#[test]
fn two_sets_of_policies_are_compared() {
    let (old, new) = (Files::new(), Files::new());
    let agents = "[[agent]]\nid = \"bot\"\nsubject = \"bot\"\n";
    old.write("agents.toml", agents);
    new.write("agents.toml", agents);
    let paths = [old.path(), new.path()].map(|path| path.to_str().unwrap().to_owned());
    let arguments = ["policy", "diff", &paths[0], &paths[1]];
    let (code, report) = told(old.path(), &arguments);
    assert_eq!(
        (
            code,
            &report["access"]["gains"],
            &report["access"]["losses"]
        ),
        (0, &json!([]), &json!([]))
    );

    let shop = fs::read_to_string(new.path().join("shop.toml")).unwrap();
    let people = "[[person]]\nid = \"ana\"\ngroups = [\"leads\"]\n";
    new.write("people.toml", people);
    new.write(
        "shop.toml",
        &format!("{shop}approval = {{ group = \"leads\" }}\n"),
    );
    let (code, report) = told(old.path(), &arguments);
    assert_eq!(code, 3, "{report:#}");
    let loss = &report["access"]["losses"][0];
    assert_eq!(loss["operation"], "shop.pay", "{report:#}");
    assert_eq!(loss["before"], "work");
    assert_eq!(loss["after"], "work, asking leads");
    let back = ["policy", "diff", &paths[1], &paths[0]];
    let (code, report) = told(old.path(), &back);
    assert_eq!(
        (code, &report["access"]["losses"]),
        (3, &json!([])),
        "{report:#}"
    );
    assert_eq!(report["access"]["gains"][0]["after"], "work");
    let mut html = back.to_vec();
    html.push("--html");
    let page = text(&portcullis(old.path(), &html).stdout);
    assert!(page.contains("<td>work, asking leads</td>"), "{page}");

    new.write(
        "rules.cedar",
        "@id(\"shut\") forbid (principal, action, resource);",
    );
    let (_, report) = told(old.path(), &arguments);
    assert_eq!(
        report["access"]["losses"][0]["after"], "work, unless shut",
        "{report:#}"
    );
}

/// What is printed says what the exit code does.
#[test]
fn rules_that_no_case_exercises_fail_where_that_is_asked() {
    let files = Files::new();
    files.write(
        "tests/ask.toml",
        "[[agent]]\nid = \"payer\"\n[[case]]\nname = \"asks\"\nagent = \"payer\"\nrisk = 0\n\
         request = \"work\"\nexpect = \"allow\"\n",
    );
    for (more, code) in [(&[][..], 0), (&["--all-rules"], 1)] {
        let arguments = [&["test", "."], more].concat();
        let (exit, report) = told(files.path(), &arguments);
        assert_eq!(
            (exit, &report["ok"]),
            (code, &json!(code == 0)),
            "{report:#}"
        );
    }
}

/// A grant is of no use where no rule lets its calls pass.
#[test]
fn ways_that_rules_on_calls_open_or_shut_are_compared() {
    let (old, new) = (Files::new(), Files::new());
    for files in [&old, &new] {
        files.write(
            "agents.toml",
            "[[agent]]\nid = \"bot\"\nsubject = \"bot\"\n",
        );
    }
    let asks = "@id(\"asks\") permit (principal, action == Action::\"request\", resource);\n";
    let pays = "@id(\"pays\") permit (principal, action == Action::\"shop.pay\", resource);\n";
    let shut = "@id(\"shut\") forbid (principal, action == Action::\"shop.pay\", resource);\n";
    let paths = [old.path(), new.path()].map(|path| path.to_str().unwrap().to_owned());
    let ways = |before: &str, after: &str| {
        old.write("rules.cedar", before);
        new.write("rules.cedar", after);
        let (_, report) = told(old.path(), &["policy", "diff", &paths[0], &paths[1]]);
        let (gains, losses) = (&report["access"]["gains"], &report["access"]["losses"]);
        let all = [gains.as_array().unwrap(), losses.as_array().unwrap()];
        let way = |cell: &Value, end: &str| cell[end].as_str().unwrap().to_owned();
        all.map(|cells| {
            let told = cells
                .iter()
                .map(|one| format!("{} > {}", way(one, "before"), way(one, "after")));
            told.collect::<Vec<_>>()
        })
    };
    let none: Vec<String> = Vec::new();
    let both = format!("{asks}{pays}");
    assert_eq!(
        ways(asks, &both),
        [vec!["never > work".to_owned()], none.clone()]
    );
    assert_eq!(
        ways(&format!("{both}{shut}"), &both),
        [vec!["work, unless shut > work".to_owned()], none.clone()]
    );
    assert_eq!(ways(&both, asks), [none, vec!["work > never".to_owned()]]);
}
