//! What became of recorded decisions that were put to other policies: counted, and alike things together.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::audit::Record;

/// What passed, as records say it.
pub(super) const ALLOW: &str = "allow";

/// What became of records.
#[derive(Debug, Default)]
pub struct Replayed {
    /// How many decisions there were.
    pub decisions: u64,
    /// How many of them are as they were.
    pub same: u64,
    /// How many were made before any rule was asked, and stay.
    pub untouched: u64,
    /// Those, by what was decided: a code, as recorded.
    pub untouched_by: BTreeMap<&'static str, u64>,
    /// How many could not be put again, because their record does not hold what was asked.
    pub unknown: u64,
    /// Those, by what is missing.
    pub unknown_by: BTreeMap<&'static str, u64>,
    /// What differs, alike things together.
    pub changes: Vec<Change>,
}

/// Decisions that would differ, all in the same way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// The agent.
    pub agent: String,
    /// The operation, or the entitlement that was asked for.
    pub what: String,
    /// `allow`, `pending` or a code, as recorded.
    pub before: &'static str,
    /// The same, as it would be.
    pub after: &'static str,
    /// The rules that decided.
    pub rules_before: Vec<Arc<str>>,
    /// The rules that would decide.
    pub rules_after: Vec<Arc<str>>,
    /// How many decisions.
    pub count: u64,
    /// Where the first of them stands in the log.
    pub first: String,
}

impl Change {
    /// Whether something would pass that did not.
    #[must_use]
    pub fn is_gain(&self) -> bool {
        self.after == ALLOW
    }

    /// Whether something would no longer pass that did.
    #[must_use]
    pub fn is_loss(&self) -> bool {
        self.before == ALLOW
    }
}

/// What one record comes to.
pub(super) enum Judged {
    /// This, by these rules, and whether they say yes, where that is all that is asked.
    Now(&'static str, Vec<Arc<str>>, Option<bool>),
    /// Nobody can tell: this is missing.
    Unknown(&'static str),
    Untouched,
}

/// Counts what records come to.
#[derive(Debug, Default)]
pub(super) struct Tally {
    replayed: Replayed,
    /// By what makes changes alike: their place in the list.
    alike: BTreeMap<Alike, usize>,
}

type Alike = (
    String,
    String,
    &'static str,
    &'static str,
    Vec<Arc<str>>,
    Vec<Arc<str>>,
);

impl Tally {
    /// Counts a decision, which was `before` and stands at `place`.
    pub(super) fn count(
        &mut self,
        record: &Record,
        before: &'static str,
        judged: Judged,
        place: &str,
    ) {
        let replayed = &mut self.replayed;
        replayed.decisions += 1;
        match judged {
            Judged::Unknown(missing) => {
                replayed.unknown += 1;
                *replayed.unknown_by.entry(missing).or_default() += 1;
            }
            Judged::Untouched => {
                replayed.untouched += 1;
                *replayed.untouched_by.entry(before).or_default() += 1;
            }
            Judged::Now(after, ..) if after == before => replayed.same += 1,
            Judged::Now(after, rules, _) => self.differs(record, (before, after), rules, place),
        }
    }

    /// What became of all.
    pub(super) fn finish(mut self) -> Replayed {
        self.replayed.changes.sort();
        self.replayed
    }

    fn differs(
        &mut self,
        record: &Record,
        (before, after): (&'static str, &'static str),
        rules: Vec<Arc<str>>,
        place: &str,
    ) {
        let text = |id: Option<&str>| id.unwrap_or("-").to_owned();
        let operation = record.operation.as_ref().map(|id| id.as_str());
        let entitlement = record.entitlement.as_ref().map(|id| id.as_str());
        let target = record.path.as_deref();
        let change = Change {
            agent: text(record.agent.as_ref().map(|id| id.as_str())),
            what: text(operation.or(entitlement).or(target)),
            before,
            after,
            rules_before: record.rules.clone(),
            rules_after: rules,
            count: 1,
            first: place.to_owned(),
        };
        let alike = (
            change.agent.clone(),
            change.what.clone(),
            before,
            after,
            change.rules_before.clone(),
            change.rules_after.clone(),
        );
        let changes = &mut self.replayed.changes;
        match self.alike.get(&alike).and_then(|at| changes.get_mut(*at)) {
            Some(known) => known.count += 1,
            None => {
                self.alike.insert(alike, changes.len());
                changes.push(change);
            }
        }
    }
}
