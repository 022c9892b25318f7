use super::*;
use crate::pdp::Severity;

/// One annotation on a rule, and what it means or what is said about it.
#[expect(
    clippy::needless_pass_by_value,
    reason = "tables read better without borrows"
)]
fn check(effect: Effect, name: &str, value: &str, expected: Result<Annotations, (Severity, &str)>) {
    let mut findings = Vec::new();
    let read = Annotations::read(effect, [(name, value, 0..1)], &mut findings);
    let got = match findings.first() {
        None => Ok(read),
        Some(finding) => Err((finding.severity, finding.message.as_str())),
    };
    assert_eq!(got, expected, "@{name}({value:?})");
}

fn approval(group: &str) -> Requirement {
    Requirement::Approval(group.parse().unwrap())
}

#[test]
fn requirements_are_read_one_by_one_or_together() {
    let with = |requires: Vec<Requirement>| {
        Ok(Annotations {
            requires,
            ..Annotations::default()
        })
    };
    fn permit(value: &str, expected: Result<Annotations, (Severity, &str)>) {
        check(Effect::Permit, "require", value, expected);
    }
    permit("mfa", with(vec![Requirement::Mfa]));
    permit("proof:dpop", with(vec![Requirement::Proof(Proof::Dpop)]));
    permit("proof:mtls", with(vec![Requirement::Proof(Proof::Mtls)]));
    permit("approval:leads", with(vec![approval("leads")]));
    permit(
        "approval:leads, mfa,approval:security, mfa",
        with(vec![
            approval("leads"),
            Requirement::Mfa,
            approval("security"),
        ]),
    );
    for wrong in [
        "",
        "MFA",
        "approval",
        "approval:",
        "approval:a b",
        "proof:bearer",
        "mfa,",
    ] {
        let word = wrong.rsplit(',').next().unwrap();
        let message = format!("`@require` can't be `{word}`");
        permit(wrong, Err((Severity::Error, &message)));
    }
}

#[test]
fn what_changes_is_said_of_forbids_and_what_is_required_of_permits() {
    let end = Annotations {
        on_change: Some(OnChange::End),
        ..Annotations::default()
    };
    check(Effect::Forbid, "on_change", "end", Ok(end));
    check(
        Effect::Forbid,
        "on_change",
        "stop",
        Err((Severity::Error, "`@on_change` can't be `stop`")),
    );
    check(
        Effect::Permit,
        "on_change",
        "end",
        Err((Severity::Error, "`@on_change` belongs on a forbid")),
    );
    check(
        Effect::Forbid,
        "require",
        "mfa",
        Err((Severity::Error, "`@require` belongs on a permit")),
    );
}

#[test]
fn texts_are_printable_and_bounded() {
    let id = Annotations {
        id: Some(Arc::from("office hours only")),
        ..Annotations::default()
    };
    check(Effect::Permit, "id", "office hours only", Ok(id));
    let error = |message| Err((Severity::Error, message));
    check(Effect::Permit, "id", " ", error("`@id` is empty"));
    check(Effect::Permit, "message", "", error("`@message` is empty"));
    check(
        Effect::Permit,
        "message",
        "a\u{1b}[31m",
        error("`@message` holds the character `\\u{1b}`"),
    );
    check(
        Effect::Permit,
        "message",
        "a\u{202e}b",
        error("`@message` holds the character `\\u{202e}`"),
    );
    check(
        Effect::Permit,
        "message",
        &"x".repeat(LONGEST + 1),
        error("`@message` is longer than 500 bytes"),
    );
}

#[test]
fn an_unknown_name_is_a_warning() {
    check(
        Effect::Permit,
        "requires",
        "mfa",
        Err((Severity::Warning, "`@requires` means nothing here")),
    );
}
