//! The walk-through that `dev` prints: lines for a shell, each of which works when pasted.
//!
//! It is made from the facts of the running gateway, and it runs in the project's tests line by
//! line, so it can't rot.

#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// What the lines have to name.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The `portcullis` program itself.
    pub program: PathBuf,
    /// The gateway's URL.
    pub gateway: String,
    /// The control side's URL.
    pub control: String,
    /// The authority that signed their certificates; none where they speak plain HTTP.
    pub ca: Option<PathBuf>,
    /// The demo agent's private key.
    pub agent_key: PathBuf,
    /// The first operator's key.
    pub operator_key: PathBuf,
    /// The policies directory.
    pub policies: PathBuf,
}

/// One line, with what it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What it is for, for people.
    pub comment: &'static str,
    /// The line.
    pub command: String,
    /// A part of what it prints; empty where it prints nothing.
    pub shows: &'static str,
}

/// The walk-through, in order. The lines share one shell; no line leaves a tracked file changed once
/// the last has run.
#[must_use]
pub fn commands(facts: &Facts) -> Vec<Step> {
    let mut steps = prepare(facts);
    steps.extend(refused_until_granted(facts));
    steps.extend(conditions(facts));
    steps.extend(ending(facts));
    steps
}

/// The steps as they are printed: comments, lines, and what to look for.
#[must_use]
pub fn render(steps: &[Step]) -> String {
    let mut text = String::new();
    for step in steps {
        // Writing to a String can't fail.
        if !step.comment.is_empty() {
            let _ = writeln!(text, "\n# {}", step.comment);
        }
        let _ = writeln!(text, "{}", step.command);
        if !step.shows.is_empty() {
            let _ = writeln!(text, "#   → {}", step.shows);
        }
    }
    text
}

fn step(comment: &'static str, command: impl Into<String>, shows: &'static str) -> Step {
    Step {
        comment,
        command: command.into(),
        shows,
    }
}

fn prepare(facts: &Facts) -> Vec<Step> {
    let mut names = format!(
        "export GATE={} PORTCULLIS_CONTROL={}",
        quote(&facts.gateway),
        quote(&facts.control)
    );
    let files = [
        ("PORTCULLIS_CA", facts.ca.as_deref()),
        ("PORTCULLIS_AGENT_KEY", Some(&*facts.agent_key)),
        ("PORTCULLIS_OPERATOR_KEY", Some(&*facts.operator_key)),
    ];
    for (name, file) in files {
        if let Some(file) = file {
            let _ = write!(names, " {name}={}", quote_path(file));
        }
    }
    let program = quote_path(&facts.program);
    vec![
        step("Where the gate stands, and who you are.", names, ""),
        step("", format!("portcullis() {{ {program} \"$@\"; }}"), ""),
    ]
}

fn refused_until_granted(facts: &Facts) -> Vec<Step> {
    let orders = |token| call(facts, token, "", "/orders");
    vec![
        step(
            "Nobody gets in without saying who they are. The answer tells where tokens come from.",
            orders(false),
            "401",
        ),
        step(
            "A token says who you are, for five minutes (then fetch another with the same line). It \
             carries no right: a harmless operation answers …",
            "TOKEN=$(portcullis token)",
            "",
        ),
        step("", call(facts, true, "", "/orders/status"), "200"),
        step(
            "… and everything else needs a grant. The answer names what to ask for, and where.",
            orders(true),
            "grant_required",
        ),
        step(
            "Rights belong to a task. Open one, and get a token that is bound to it.",
            "TASK=$(portcullis task open --kind refund --lease 10m --description 'Order 1003')",
            "",
        ),
        step("", "TOKEN=$(portcullis token --task \"$TASK\")", ""),
        step(
            "Ask for what the refusal named. A rule agrees, so the grant is active at once.",
            "portcullis request orders-read --task \"$TASK\" --for 10m",
            "active",
        ),
        step("The same call as before.", orders(true), "200"),
    ]
}

fn conditions(facts: &Facts) -> Vec<Step> {
    let refund = |amount: u32| {
        let body = format!(
            "-H 'Content-Type: application/json' \
             -d '{{\"amount\": {amount}, \"currency\": \"EUR\", \"reason\": \"scratched\"}}' "
        );
        call(facts, true, &body, "/orders/1003/refunds")
    };
    let rules = quote_path(&facts.policies.join("conditions/refunds.cedar"));
    let draft = quote_path(&facts.policies.join("conditions/refunds.cedar.new"));
    // A new file moved over the old one, which works with every `sed`.
    let edit = |from: u32, to: u32| {
        format!("sed 's/amount > {from}/amount > {to}/' {rules} > {draft} && mv {draft} {rules}")
    };
    let reload = "portcullis policy reload";
    vec![
        step(
            "Money needs another grant, and a reason.",
            "portcullis request refunds --task \"$TASK\" --reason 'Order 1003 came scratched'",
            "active",
        ),
        step("A refund within the limit passes.", refund(40), "201"),
        step(
            "One above it does not, grant or no grant: the rule looks at the amount.",
            refund(600),
            "condition_denied",
        ),
        step(
            "Raise the limit in the file. The gateway notices by itself within a second; the second \
             line only makes sure that it has.",
            edit(500, 1000),
            "",
        ),
        step("", reload, "generation"),
        step("", refund(600), "201"),
        step("And back.", edit(1000, 500), ""),
        step("", reload, "generation"),
        step("", refund(600), "condition_denied"),
    ]
}

fn ending(facts: &Facts) -> Vec<Step> {
    vec![
        step(
            "The task is done. The receipt says which grants are closed.",
            "portcullis task complete \"$TASK\"",
            "closed",
        ),
        step(
            "The gate is down: the same token, the very next call.",
            call(facts, true, "", "/orders"),
            "task_ended",
        ),
        step(
            "What an operator sees.",
            "portcullis grants list --task \"$TASK\"",
            "ended",
        ),
    ]
}

/// A call through the gateway that prints the answer and its status.
fn call(facts: &Facts, token: bool, more: &str, path: &str) -> String {
    let ca = if facts.ca.is_some() {
        "--cacert \"$PORTCULLIS_CA\" "
    } else {
        ""
    };
    let token = if token {
        "-H \"Authorization: Bearer $TOKEN\" "
    } else {
        ""
    };
    format!("curl -sS {ca}{token}{more}-w '\\nstatus %{{http_code}}\\n' \"$GATE{path}\"")
}

fn quote_path(path: &Path) -> String {
    quote(&path.to_string_lossy())
}

/// `text` as one word of a POSIX shell.
fn quote(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-./:@%+=,".contains(&b);
    if !text.is_empty() && text.bytes().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}
