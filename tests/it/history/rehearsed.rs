//! The same offline: replay, decision tables, `check` and `policy diff`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::{OPERATIONS, RULES, passes, plan, refused, sends};
use crate::harness::{run, within};
use crate::rehearsal::told;

/// Replaying gives what was recorded, also where Cedar was asked beside; with others in the group it gives what that
/// would have changed.
#[test]
fn replay_counts_groups_as_they_were_and_as_they_would_be() {
    run(async {
        let mut gate = plan().policies("shadow = \"cedar\"").start().await;
        let work = gate.agent("bot").works("books").await;
        for (path, amount) in [("/shop/refund", 300), ("/shop/credit", 200)] {
            passes(&gate, &work, path, amount).await;
        }
        refused(&gate, &work, "/shop/refund", 1).await;
        sends(&gate, &work, "DELETE", "/shop/everything")
            .await
            .refusal(403, "condition_denied");
        sends(&gate, &work, "POST", "/shop/backup")
            .await
            .expect_bytes(200);
        sends(&gate, &work, "DELETE", "/shop/everything")
            .await
            .expect_bytes(200);
        let checks = within("Cedar is asked", async {
            loop {
                let call = gate.control("GET", "/v1/policies").bearer(&gate.operator());
                let checks = call.send().await.expect(200).json()["cedar"].clone();
                if checks["checked"] == 7 {
                    return checks;
                }
            }
        });
        let none = json!({ "verdicts": 0, "rules": 0 });
        assert_eq!(checks.await["differences"], none);
        let lines = gate.stop().await;
        let asked = lines
            .iter()
            .filter_map(|line| line["asked"]["history"].as_object());
        let asked: Vec<&str> = asked.flat_map(|of| of.keys()).map(String::as_str).collect();
        assert!(
            asked.contains(&"shop.credit") && !asked.contains(&"money"),
            "{asked:?}"
        );

        let replay = ["replay", "--audit", "data/audit", "--policies", "policies"];
        let (code, report) = told(gate.root(), &replay);
        assert_eq!((code, &report["unknown"]), (0, &json!(0)), "{report:#}");
        let operations = fs::read_to_string(gate.policies().join("books.toml")).unwrap();
        let moved = operations.replacen("groups = [\"copies\"]", "groups = [\"others\"]", 1);
        let (credit, alone) = (
            "shop/credit\"\ngroups = [\"money\"]",
            "shop/credit\"\ngroups = [\"gifts\"]",
        );
        assert!(moved.contains(credit), "{moved}");
        fs::write(
            gate.policies().join("books.toml"),
            moved.replace(credit, alone),
        )
        .unwrap();
        let (code, report) = told(gate.root(), &replay);
        assert_eq!(code, 3, "{report:#}");
        let what = |list: &str| -> BTreeMap<String, u64> {
            let list = report[list].as_array().unwrap().iter();
            let one = |one: &Value| {
                (
                    one["what"].as_str().unwrap().to_owned(),
                    one["count"].as_u64().unwrap(),
                )
            };
            list.map(one).collect()
        };
        assert_eq!(
            what("gains"),
            [("shop.refund".to_owned(), 1)].into(),
            "{report:#}"
        );
        assert_eq!(
            what("losses"),
            [("shop.wipe".to_owned(), 1)].into(),
            "{report:#}"
        );
    });
}

/// A policy set by itself.
fn files(more: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let service = "[[service]]\nname = \"shop\"\nmatch = { path = \"/shop\" }\n\
                   upstreams = [\"http://127.0.0.1:9000\"]\n";
    let asking = "@id(\"ask\") permit (principal, action == Action::\"request\", resource);";
    let own = [
        ("services.toml", service),
        ("books.toml", OPERATIONS),
        ("books.cedar", RULES),
        ("asking.cedar", asking),
    ];
    for (name, text) in own.iter().chain(more) {
        let file = directory.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
    directory
}

#[test]
fn tables_say_what_was_called_of_operations_and_groups_follow() {
    let case = |name: &str, history: &str, expect: &str| {
        format!(
            "[[case]]\nname = {name:?}\nagent = \"clerk\"\ngrant = \"books\"\nhistory = {{ {history} }}\n\
             call = \"POST /shop/refund\"\nbody = {{ amount = 100 }}\nexpect = {expect:?}\n"
        )
    };
    let two = |credits: i64, sum: i64| {
        format!(
            "\"shop.refund\" = {{ calls = 1, sum = {{ amount = 100 }} }}, \
             \"shop.credit\" = {{ calls = {credits}, sum = {{ amount = {sum} }} }}"
        )
    };
    let cases = [
        case("within", &two(1, 300), "allow"),
        case("too much", &two(1, 301), "condition_denied"),
        case("too often", &two(2, 0), "condition_denied"),
        case("of a group", "money = { calls = 3 }", "condition_denied"),
        case("of nothing", "shops = { calls = 3 }", "condition_denied"),
    ];
    let agent = "[[agent]]\nid = \"clerk\"\nsubject = \"clerk\"\n";
    let directory = files(&[("tests/books.toml", &format!("{agent}{}", cases.concat()))]);
    let (code, report) = told(directory.path(), &["test", "."]);
    assert_eq!(code, 1, "{report:#}");
    let cases = report["cases"].as_array().unwrap();
    let passed: Vec<_> = cases.iter().map(|case| case["passed"] == true).collect();
    assert_eq!(passed, [true, true, true, false, false], "{report:#}");
    assert_eq!(
        cases[3]["detail"],
        "`money` is a group: its history is that of its operations, so say what was called of those",
        "{report:#}"
    );
    assert_eq!(
        cases[4]["detail"], "there is no operation `shops`",
        "{report:#}"
    );
}

#[test]
fn check_names_a_group_that_is_not_there_and_one_that_is_like_it() {
    let check = |directory: &Path| {
        let (code, report) = told(directory, &["check", "."]);
        let found = report["diagnostics"].as_array().unwrap().iter();
        let errors = found.filter(|one| one["severity"] == "error");
        let told = |one: &Value| {
            let of = |key: &str| one[key].as_str().unwrap_or("-").to_owned();
            format!(
                "{}:{} {} [{}]",
                of("file"),
                one["line"],
                of("message"),
                of("hint")
            )
        };
        (code, errors.map(told).collect::<Vec<_>>())
    };
    let sound = files(&[]);
    assert_eq!(check(sound.path()), (0, Vec::new()));
    let odd = r#"
@id("odd") forbid (principal, action == Action::"shop.wipe", resource)
when { context.history["mony"].calls > 3 };
@id("sums") forbid (principal, action == Action::"shop.wipe", resource)
when { context.history["copies"].sum.amount > 3 };
"#;
    let odd = files(&[("odd.cedar", odd)]);
    assert_eq!(
        check(odd.path()),
        (
            1,
            vec![
                "./odd.cedar:3 attribute `history.mony` in context for Action::\"shop.wipe\" not found \
                 [did you mean `money`?]"
                    .to_owned(),
                "./odd.cedar:5 attribute `history.copies.sum.amount` in context for Action::\"shop.wipe\" not found \
                 [only inputs that the operation, or one of the group's, declares as `Long` are summed]"
                    .to_owned(),
            ]
        )
    );
}

/// What may be asked for, and called in a task that has called nothing, is the same whoever is counted together.
#[test]
fn another_membership_of_a_group_gives_and_takes_no_access_by_itself() {
    let agent = "[[agent]]\nid = \"clerk\"\nsubject = \"clerk\"\n";
    let moved = OPERATIONS.replacen("groups = [\"copies\"]", "groups = [\"others\"]", 1);
    let old = files(&[("agent.toml", agent)]);
    let new = files(&[("agent.toml", agent), ("books.toml", &moved)]);
    let paths = [old.path(), new.path()].map(|path| path.to_str().unwrap());
    let (code, report) = told(old.path(), &["policy", "diff", paths[0], paths[1]]);
    assert_eq!(code, 0, "{report:#}");
}
