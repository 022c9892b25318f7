use std::process::Command;

use super::*;

fn facts(root: &str) -> Facts {
    let root = Path::new(root);
    Facts {
        program: root.join("portcullis"),
        gateway: "https://localhost:8443".into(),
        control: "https://localhost:8444".into(),
        ca: Some(root.join("certs/ca.pem")),
        agent_key: root.join("demo-bot.jwk"),
        operator_key: root.join("operator.key"),
        policies: root.join("policies"),
    }
}

#[test]
fn a_shell_reads_back_what_was_quoted() {
    for text in [
        "plain/path.pem",
        "with blanks/and  more",
        "it's",
        "''",
        "$HOME `id` $(id) \"x\" \\ ! * ? ~ # & ; | < > ( )",
        "-n",
        "",
        "zwei\nZeilen\tund ümlaut",
    ] {
        let line = format!("printf %s {}", quote(text));
        let output = Command::new("sh").arg("-c").arg(line).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), text, "{text:?}");
    }
}

#[test]
fn each_step_is_one_line_that_a_shell_understands() {
    for root in ["/opt/portcullis", "/home/ana/it's a test"] {
        for step in commands(&facts(root)) {
            assert!(!step.command.contains('\n'), "{}", step.command);
            let parsed = Command::new("bash")
                .args(["-n", "-c", &step.command])
                .status()
                .unwrap();
            assert!(parsed.success(), "{}", step.command);
        }
    }
}

#[test]
fn the_lines_find_files_whose_paths_have_blanks() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path().join("a b'c");
    std::fs::create_dir_all(root.join("policies/conditions")).unwrap();
    let shipped = include_str!("../../../../policies/conditions/refunds.cedar");
    let rules = root.join("policies/conditions/refunds.cedar");
    std::fs::write(&rules, shipped).unwrap();

    let facts = facts(root.to_str().unwrap());
    let steps = commands(&facts);
    let edits: Vec<_> = steps
        .iter()
        .filter(|s| s.command.starts_with("sed "))
        .collect();
    let run = |line: &str| {
        let status = Command::new("bash").args(["-c", line]).status().unwrap();
        assert!(status.success(), "{line}");
        std::fs::read_to_string(&rules).unwrap()
    };
    let raised = run(&edits[0].command);
    assert!(raised.contains("amount > 1000") && !raised.contains("amount > 500"));
    assert_eq!(run(&edits[1].command), shipped);

    let names = format!("{}; printf %s \"$PORTCULLIS_CA\"", steps[0].command);
    let output = Command::new("bash").args(["-c", &names]).output().unwrap();
    let ca = facts.ca.unwrap();
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        ca.to_str().unwrap()
    );
}

#[test]
fn without_tls_no_authority_is_named() {
    let plain = Facts {
        ca: None,
        ..facts("/opt/portcullis")
    };
    let text = render(&commands(&plain));
    assert!(
        !text.contains("--cacert") && !text.contains("PORTCULLIS_CA"),
        "{text}"
    );
    assert!(render(&commands(&facts("/opt"))).contains("--cacert"));
}

#[test]
fn what_is_printed_is_a_script() {
    let steps = commands(&facts("/opt/portcullis"));
    let text = render(&steps);
    let lines = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let commands: Vec<_> = steps.iter().map(|step| step.command.as_str()).collect();
    assert_eq!(lines.collect::<Vec<_>>(), commands);
}
