use std::os::unix::fs::symlink;
use std::time::Duration;

use super::*;
use crate::model::{DenyReason, Proof};

fn read(text: &str) -> (Tables, Vec<String>) {
    let directory = tempfile::tempdir().unwrap();
    let tests = directory.path().join("tests/deep");
    fs::create_dir_all(&tests).unwrap();
    fs::write(tests.join("one.toml"), text).unwrap();
    fs::write(tests.join("notes.md"), "not a table").unwrap();
    let (tables, problems) = read_tables(&[directory.path().to_owned()]);
    let prefix = format!("{}/", tests.display());
    let problems = problems
        .iter()
        .map(|one| one.to_string().replace(&prefix, ""));
    (tables, problems.collect())
}

#[test]
fn a_case_says_only_what_matters() {
    let (tables, problems) = read(
        r#"
[[agent]]
id = "bot"
groups = ["bots"]

[[case]]
name = "plain"
agent = "bot"
call = "GET /orders"
expect = "grant_required"

[[case]]
name = "everything"
agent = "bot"
at = 2026-11-27T22:30:00Z
source = "10.0.0.1"
known = true
country = "CH"
risk = { score = 40, age = "10s" }
usual = ["hour"]
proof = "dpop"
methods = ["private_key_jwt", "mtls"]
task = { kind = "refund", age = "5m", depth = 1, opened_by = "ana@example.com" }
grant = { entitlement = "refunds", calls_left = 3, input = { order_id = "7" } }
history = { "orders.refund" = { calls = 2, sum = { amount = 90 } } }
call = "POST /orders/7/refunds"
headers = { X-One = "1" }
body = { amount = 50 }
expect = "allow"
rule = "refunds-by-day"

[[case]]
name = "asked for"
agent = "bot"
task = false
risk = 7
request = "refunds"
approved_by = ["leads"]
expect = "pending"
"#,
    );
    assert_eq!(problems, Vec::<String>::new());
    assert_eq!(tables.agents.len(), 1);
    let [plain, all, asked] = &tables.cases[..] else {
        panic!("{tables:?}");
    };
    assert_eq!(plain.expect, Expected::Deny(DenyReason::GrantRequired));
    assert!(plain.task.is_some() && plain.grants.is_empty());
    assert_eq!(all.at.to_string(), "2026-11-27T22:30:00Z");
    assert_eq!(
        all.risk,
        Some(CaseRisk::Known {
            score: 40,
            age: Duration::from_secs(10)
        })
    );
    assert_eq!(all.proof, Proof::Dpop);
    assert_eq!(all.task.as_ref().unwrap().age, Duration::from_mins(5));
    assert_eq!(all.grants[0].calls_left, Some(3));
    assert_eq!(all.history["orders.refund"].sum["amount"], 90);
    let CaseAsk::Call { body, .. } = &all.ask else {
        panic!("{all:?}");
    };
    assert_eq!(*body, Some((r#"{"amount":50}"#.to_owned(), true)));
    assert!(asked.task.is_none());
    assert_eq!(
        asked.risk,
        Some(CaseRisk::Known {
            score: 7,
            age: Duration::ZERO
        })
    );
    assert_eq!(asked.expect, Expected::Pending);
}

#[test]
fn every_mistake_has_its_place() {
    let (tables, problems) = read(
        r#"
[[case]]
name = "odd"
agent = "bot"
call = "GET"
expect = "no"
at = "noon"
source = "home"
proof = "none"
task = { knd = "x" }
what = 1

[[case]]
agent = "bot"
call = "GET /"
request = "refunds"
expect = "allow"
"#,
    );
    assert!(tables.cases.is_empty());
    let expected = [
        "`GET` is not a call",
        "`no` can't stand here",
        "`noon` can't stand here",
        "`home` can't stand here",
        "`none` can't stand here",
        "`task`: ",
        "unknown key `what`",
        "needs `name`",
        "either a `call` or a `request`",
    ];
    for part in expected {
        let found = problems.iter().find(|one| one.contains(part));
        let found = found.unwrap_or_else(|| panic!("{part}: {problems:#?}"));
        assert!(found.starts_with("one.toml:"), "{found}");
    }
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
    let (_, problems) = read("[[case");
    assert_eq!(problems.len(), 1, "{problems:?}");
}

/// Whatever a gateway leaves out as tables, and nothing else.
#[test]
fn tables_are_found_wherever_policies_leave_them_out() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let case = |name: &str| {
        format!(
            "[[case]]\nname = \"{name}\"\nagent = \"bot\"\ncall = \"GET /\"\nexpect = \"allow\"\n"
        )
    };
    for name in [
        "agents.toml",
        "tests/a.toml",
        "tests/deep/b.toml",
        "teams/orders/tests/c.toml",
        "tests/.#a.toml",
        "tests/a.toml~",
        "tests/..2026_01/d.toml",
    ] {
        fs::create_dir_all(at(name).parent().unwrap()).unwrap();
        fs::write(at(name), case(name)).unwrap();
    }
    symlink("..2026_01", at("tests/..data")).unwrap();
    symlink("..data/d.toml", at("tests/d.toml")).unwrap();
    let (tables, problems) = read_tables(&[directory.path().to_owned()]);
    let names: Vec<_> = tables.cases.iter().map(|case| case.name.as_str()).collect();
    let expected = [
        "teams/orders/tests/c.toml",
        "tests/a.toml",
        "tests/..2026_01/d.toml",
        "tests/deep/b.toml",
    ];
    assert_eq!(names, expected);
    assert!(problems.is_empty(), "{problems}");
}

/// Cases that can't be found would all pass.
#[test]
fn what_is_among_tables_and_none_of_them_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let said = || {
        let (_, problems) = read_tables(&[directory.path().to_owned()]);
        let prefix = format!("{}/", directory.path().display());
        problems.to_string().replace(&prefix, "")
    };
    assert_eq!(said(), "");
    let tests = directory.path().join("teams/tests");
    fs::create_dir_all(&tests).unwrap();
    fs::write(
        tests.join("rules.cedar"),
        "forbid (principal, action, resource);",
    )
    .unwrap();
    assert_eq!(
        said(),
        "teams/tests/rules.cedar: warning: no gateway reads rules that lie below `tests` \
         (move the file, or remove it)\n"
    );
    fs::remove_file(tests.join("rules.cedar")).unwrap();
    symlink("nowhere", tests.join("more")).unwrap();
    assert!(said().starts_with("teams/tests/more: error: this can't be read: "));
    fs::remove_file(tests.join("more")).unwrap();
    symlink("..", tests.join("more")).unwrap();
    assert!(said().contains(": error: directories are nested more than 16 deep"));
}
