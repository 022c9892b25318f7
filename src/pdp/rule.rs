//! Rules as the rest of the house sees them: what their annotations say.

#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::Arc;

use crate::model::{GroupName, Proof};

use super::problem::{Finding, did_you_mean};

/// The longest `@id` and `@message`, in bytes: both go into answers and records.
const LONGEST: usize = 500;

const KNOWN: [&str; 4] = ["id", "message", "on_change", "require"];

/// One rule: a Cedar policy with what its annotations say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its `@id`, or the file's stem and its number in the file.
    pub id: Arc<str>,
    /// The file that it stands in.
    pub file: Arc<str>,
    /// The line that it starts on, from 1.
    pub line: usize,
    /// What a refused agent is told.
    pub message: Option<Arc<str>>,
    /// What has to be shown before a permit counts.
    pub requires: Vec<Requirement>,
    /// What becomes of live grants when a forbid turns true.
    pub on_change: Option<OnChange>,
    /// Whether it permits or forbids.
    pub effect: Effect,
}

/// Whether a rule permits or forbids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It forbids: a single one is enough.
    Forbid,
    /// It permits, unless something forbids.
    Permit,
}

/// What becomes of live grants when a forbid turns true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnChange {
    /// They end.
    End,
    /// They rest until it turns false again.
    Suspend,
}

/// A forbid that has turned true against a grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TurnedRule {
    /// What becomes of the grant.
    pub on_change: OnChange,
    /// The rule's id.
    pub id: Arc<str>,
    /// What a refused agent is told.
    pub message: Option<Arc<str>>,
}

/// What has to be shown before a permit counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Requirement {
    /// That people have agreed in the name of a group.
    Approval(GroupName),
    /// That the agent has authenticated with two factors, or that all who have agreed have shown a second one.
    Mfa,
    /// That the token is bound to its holder in this way.
    Proof(Proof),
}

impl Requirement {
    /// The group whose agreement is wanted, where one is.
    pub(super) const fn approval(&self) -> Option<&GroupName> {
        match self {
            Self::Approval(group) => Some(group),
            Self::Mfa | Self::Proof(_) => None,
        }
    }
}

/// What the annotations of one rule say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Annotations {
    pub(super) id: Option<Arc<str>>,
    pub(super) message: Option<Arc<str>>,
    pub(super) requires: Vec<Requirement>,
    pub(super) on_change: Option<OnChange>,
}

impl Annotations {
    /// Reads `(name, value, where)` triples; what can't be read is a finding.
    pub(super) fn read<'a>(
        effect: Effect,
        given: impl IntoIterator<Item = (&'a str, &'a str, Range<usize>)>,
        findings: &mut Vec<Finding>,
    ) -> Self {
        let mut annotations = Self::default();
        for (name, value, span) in given {
            match annotations.take(effect, name, value) {
                Ok(true) => {}
                Ok(false) => findings.push(Finding::warning(
                    span,
                    format!("`@{name}` means nothing here"),
                    did_you_mean(name, KNOWN)
                        .or_else(|| Some(format!("known are @{}", KNOWN.join(", @")))),
                )),
                Err((message, hint)) => findings.push(Finding::error(span, message, hint)),
            }
        }
        annotations
    }

    /// Takes one annotation; `false` where its name means nothing.
    fn take(
        &mut self,
        effect: Effect,
        name: &str,
        value: &str,
    ) -> Result<bool, (String, Option<String>)> {
        match name {
            "id" => self.id = Some(text(name, value)?),
            "message" => self.message = Some(text(name, value)?),
            "on_change" => {
                if effect == Effect::Permit {
                    return misplaced(name, "forbid");
                }
                self.on_change = Some(on_change(value)?);
            }
            "require" => {
                if effect == Effect::Forbid {
                    return misplaced(name, "permit");
                }
                self.requires = requirements(value)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

fn misplaced(name: &str, belongs: &str) -> Result<bool, (String, Option<String>)> {
    let hint = format!("write it on a {belongs}, or leave it out");
    Err((format!("`@{name}` belongs on a {belongs}"), Some(hint)))
}

fn text(name: &str, value: &str) -> Result<Arc<str>, (String, Option<String>)> {
    let hint = || Some(format!("write `@{name}(\"…\")`"));
    if value.trim().is_empty() {
        return Err((format!("`@{name}` is empty"), hint()));
    }
    if value.len() > LONGEST {
        let long = format!("`@{name}` is longer than {LONGEST} bytes");
        return Err((long, None));
    }
    // Both are shown to agents and operators: no line breaks, no escapes of a terminal, nothing that
    // reverses the direction of the text.
    if let Some(odd) = value.chars().find(|c| is_unprintable(*c)) {
        let message = format!("`@{name}` holds the character `{}`", odd.escape_unicode());
        return Err((message, Some("use printable text on one line".to_owned())));
    }
    Ok(Arc::from(value))
}

fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn on_change(value: &str) -> Result<OnChange, (String, Option<String>)> {
    match value {
        "end" => Ok(OnChange::End),
        "suspend" => Ok(OnChange::Suspend),
        _ => Err((
            format!("`@on_change` can't be `{value}`"),
            Some("use \"end\" or \"suspend\"".to_owned()),
        )),
    }
}

fn requirements(value: &str) -> Result<Vec<Requirement>, (String, Option<String>)> {
    let mut requires = Vec::new();
    for word in value.split(',').map(str::trim) {
        let requirement = requirement(word)?;
        if !requires.contains(&requirement) {
            requires.push(requirement);
        }
    }
    Ok(requires)
}

fn requirement(word: &str) -> Result<Requirement, (String, Option<String>)> {
    match word {
        "mfa" => return Ok(Requirement::Mfa),
        "proof:dpop" => return Ok(Requirement::Proof(Proof::Dpop)),
        "proof:mtls" => return Ok(Requirement::Proof(Proof::Mtls)),
        _ => {}
    }
    if let Some(group) = word.strip_prefix("approval:") {
        let group = group.parse::<GroupName>();
        return group.map(Requirement::Approval).map_err(|error| {
            (
                format!("`@require` can't be `{word}`"),
                Some(error.to_string()),
            )
        });
    }
    Err((
        format!("`@require` can't be `{word}`"),
        Some(
            "use \"approval:<group>\", \"mfa\", \"proof:dpop\" or \"proof:mtls\", \
             several with commas between them"
                .to_owned(),
        ),
    ))
}
