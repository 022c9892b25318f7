//! What putting recorded decisions to other policies comes to.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::audit::Record;

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
    /// How many of those that are the same were decided otherwise when they were recorded: what is live
    /// has changed since.
    pub drifted: u64,
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
    /// `allow`, `pending` or a code: as recorded, or as it is by what is live where that was asked.
    pub before: &'static str,
    /// The same, as it would be.
    pub after: &'static str,
    /// The same, as recorded.
    pub recorded: &'static str,
    /// The rules that decided, before.
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

/// As a decision is called that lets something pass.
pub(super) const ALLOW: &str = "allow";

/// What one record comes to.
pub(super) enum Judged {
    /// This, by these rules, and whether they say yes, where that is all that is asked.
    Now(&'static str, Vec<Arc<str>>, Option<bool>),
    /// Nobody can tell: this is missing.
    Unknown(&'static str),
    Untouched,
}

/// What is counted while records are put.
#[derive(Debug, Default)]
pub(super) struct Tally {
    replayed: Replayed,
    /// By what makes changes alike: their place in the list.
    alike: BTreeMap<Alike, usize>,
}

type Alike = (
    String,
    String,
    [&'static str; 3],
    Vec<Arc<str>>,
    Vec<Arc<str>>,
);

impl Tally {
    /// Counts a record, which says that so much was decided: what it comes to by what is live, where that was
    /// asked, and by the candidate.
    pub(super) fn count(
        &mut self,
        (record, recorded): (&Record, &'static str),
        by_live: Option<Judged>,
        judged: Judged,
        place: &str,
    ) {
        let replayed = &mut self.replayed;
        replayed.decisions += 1;
        let untouched = matches!(judged, Judged::Untouched)
            && matches!(by_live, None | Some(Judged::Untouched));
        if untouched {
            replayed.untouched += 1;
            *replayed.untouched_by.entry(recorded).or_default() += 1;
            return;
        }
        let decided = |judged| match judged {
            Judged::Now(verdict, rules, _) => Ok((verdict, rules)),
            Judged::Untouched => Ok((recorded, record.rules.clone())),
            Judged::Unknown(missing) => Err(missing),
        };
        match (
            decided(by_live.unwrap_or(Judged::Untouched)),
            decided(judged),
        ) {
            (Err(missing), _) | (_, Err(missing)) => {
                replayed.unknown += 1;
                *replayed.unknown_by.entry(missing).or_default() += 1;
            }
            (Ok((before, _)), Ok((after, _))) if before == after => {
                replayed.same += 1;
                replayed.drifted += u64::from(after != recorded);
            }
            (Ok((before, rules_before)), Ok((after, rules_after))) => {
                let verdicts = [before, after, recorded];
                self.differs(record, verdicts, [rules_before, rules_after], place);
            }
        }
    }

    fn differs(
        &mut self,
        record: &Record,
        [before, after, recorded]: [&'static str; 3],
        [rules_before, rules_after]: [Vec<Arc<str>>; 2],
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
            recorded,
            rules_before,
            rules_after,
            count: 1,
            first: place.to_owned(),
        };
        let alike = (
            change.agent.clone(),
            change.what.clone(),
            [before, after, recorded],
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

    /// All of it.
    pub(super) fn finish(mut self) -> Replayed {
        self.replayed.changes.sort();
        self.replayed
    }
}
