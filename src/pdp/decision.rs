//! The two answers. An [`Allow`](Decision::Allow) carries the proof that it was given.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::model::DenyReason;

use super::Requirement;

/// The answer to one question.
#[derive(Debug)]
#[must_use]
pub enum Decision {
    /// Yes, and the proof of it.
    Allow(Permit),
    /// No, and why.
    Deny(Denial),
}

impl From<Result<Permit, Denial>> for Decision {
    fn from(judged: Result<Permit, Denial>) -> Self {
        match judged {
            Ok(permit) => Self::Allow(permit),
            Err(denial) => Self::Deny(denial),
        }
    }
}

/// What of an answer can change while nobody asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depends {
    /// The country of the source.
    pub country: bool,
    /// What is usual for the agent.
    pub habits: bool,
    /// The agent's risk.
    pub risk: bool,
    /// The time, read as finely as this.
    pub pace: Option<Pace>,
}

impl Depends {
    /// What two answers together depend on.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            country: self.country || other.country,
            habits: self.habits || other.habits,
            risk: self.risk || other.risk,
            pace: self.pace.max(other.pace),
        }
    }
}

/// What there is to watch of the rules that may turn against a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watched {
    /// What their answers depend on.
    pub depends: Depends,
    /// The same in two generations where both give the same answer to the same question: a hash over the
    /// digests of their statements, and the parties.
    pub signature: u64,
}

impl Watched {
    /// What there is to watch of two together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            depends: self.depends.and(other.depends),
            signature: self.signature.rotate_left(1) ^ other.signature,
        }
    }
}

/// How finely the time is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pace {
    /// Hours and minutes of a service's local time, days of the week, dates.
    Minute,
    /// Moments and ages.
    Second,
}

/// The proof of an allow. Only this room makes one, and it is not `Clone`: one answer, one use.
#[derive(Debug)]
pub struct Permit {
    rules: SmallVec<[Arc<str>; 2]>,
    depends: Depends,
}

impl Permit {
    pub(super) const fn new(rules: SmallVec<[Arc<str>; 2]>, depends: Depends) -> Self {
        Self { rules, depends }
    }

    /// What it depends on that can change while nobody asks, of all rules that were read for it.
    #[must_use]
    pub const fn depends(&self) -> Depends {
        self.depends
    }

    /// The rules that said yes, in the order of the files.
    #[must_use]
    pub fn rules(&self) -> &[Arc<str>] {
        &self.rules
    }
}

/// A no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The kind of refusal.
    pub reason: DenyReason,
    /// The rules that said no, or that would say yes if `requires` were met.
    pub rules: Vec<Arc<str>>,
    /// What the first of them tells a refused agent.
    pub message: Option<Arc<str>>,
    /// What would turn this into a yes.
    pub requires: Option<Requirement>,
    /// All that the same rule demands, also what is met: another grant has to meet all of it.
    pub demands: Vec<Requirement>,
    /// What went wrong on our side. For logs only: it may quote what a rule compares.
    pub error: Option<String>,
}

impl Denial {
    pub(super) const fn because(reason: DenyReason) -> Self {
        Self {
            reason,
            rules: Vec::new(),
            message: None,
            requires: None,
            demands: Vec::new(),
            error: None,
        }
    }

    pub(super) fn failed(reason: DenyReason, error: String) -> Self {
        Self {
            error: Some(error),
            ..Self::because(reason)
        }
    }
}
