//! The entries of the book.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use portcullis::base::BootInstant;

/// What is known of something. What was asked for and never answered may have happened or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Ended,
    Lives,
    Unknown,
}

/// What is known of a request that people are asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Approved,
    Denied,
    Unknown,
    Waits,
}

#[derive(Debug)]
pub(crate) struct Grant {
    pub(crate) task: String,
    pub(crate) fate: Fate,
    /// The end that was acknowledged last.
    pub(crate) expires_at: String,
    /// A later end was asked for, and not yet answered.
    pub(crate) renewing: bool,
    /// It is over by now for certain.
    pub(crate) over: BootInstant,
    /// The grant that it was carved from.
    pub(crate) parent: Option<String>,
}

#[derive(Debug, Default)]
pub(crate) struct Pages {
    pub(crate) tasks: BTreeMap<String, Fate>,
    /// The spans of tasks, those that are known to be.
    pub(crate) spans: BTreeMap<String, Vec<String>>,
    pub(crate) grants: BTreeMap<String, Grant>,
    /// Requests that people are asked about, with their tasks.
    pub(crate) asked: BTreeMap<String, (String, Asked)>,
    /// Calls that were answered, by the grant that they were made under.
    pub(crate) calls: BTreeMap<String, u32>,
    pub(crate) unanswered: usize,
    pub(crate) decisions: usize,
    pub(crate) renewals: usize,
    pub(crate) delegations: usize,
    /// Tasks that were seen as ended after a restart.
    pub(crate) seen: BTreeSet<String>,
    /// Tasks that were open at the last restart, with nobody working on them.
    left: Vec<String>,
}

impl Grant {
    /// Holds what a gateway that began to start at `start` says of it against what is known.
    pub(super) fn compare(&mut self, id: &str, shown: &Value, start: BootInstant) {
        let state = &shown["state"];
        let expires_at = shown["expires_at"].as_str().unwrap();
        if self.renewing {
            let [known, told] = [&*self.expires_at, expires_at].map(instant);
            assert!(
                told >= known,
                "{id} ends earlier than was promised: {self:?}"
            );
            self.expires_at = expires_at.to_owned();
            self.renewing = false;
        }
        assert_eq!(expires_at, self.expires_at, "{id}");
        assert_eq!(shown["parent"].as_str(), self.parent.as_deref(), "{id}");
        if self.fate == Fate::Ended || self.over <= start {
            assert_eq!(state, "ended", "{id} came back: {self:?}");
            self.fate = Fate::Ended;
        } else if self.fate == Fate::Lives && state != "active" {
            assert_eq!(shown["end_reason"], "expired", "{id} ended: {self:?}");
            self.fate = Fate::Ended;
        }
    }
}

fn instant(text: &str) -> jiff::Timestamp {
    text.parse().unwrap()
}

impl Pages {
    /// An end of a task was asked for, and not yet answered.
    pub(crate) fn task_may_end(&mut self, task: &str) {
        self.unanswered += 1;
        self.settle(task, Fate::Unknown);
    }

    pub(crate) fn task_has_ended(&mut self, task: &str) {
        self.unanswered -= 1;
        self.settle(task, Fate::Ended);
    }

    /// Settles what becomes of a grant, and of what was carved from it.
    pub(crate) fn settle_grant(&mut self, id: &str, fate: Fate) {
        let grants = self.grants.iter_mut();
        let own = grants.filter(|(one, grant)| *one == id || grant.parent.as_deref() == Some(id));
        for (_, grant) in own.filter(|(_, grant)| grant.fate != Fate::Ended) {
            grant.fate = fate;
        }
    }

    /// A task that was left open before the last restart, to be ended: nobody else gets it.
    pub(crate) fn take_left(&mut self) -> Option<String> {
        while let Some(task) = self.left.pop() {
            if self.tasks[&task] == Fate::Lives {
                return Some(task);
            }
        }
        None
    }

    /// After a restart, when all that there is has been compared.
    pub(super) fn turn(&mut self) {
        self.seen = self.ended_tasks().map(str::to_owned).collect();
        let spent_on = self.calls.keys().filter_map(|id| self.grants.get(id));
        let spent_on: BTreeSet<_> = spent_on.map(|grant| grant.task.clone()).collect();
        let spans: BTreeSet<_> = self.spans.values().flatten().cloned().collect();
        let tasks = self.tasks.iter();
        let left = tasks.filter(|(id, fate)| {
            **fate == Fate::Lives && !spent_on.contains(*id) && !spans.contains(*id)
        });
        self.left = left.map(|(id, _)| id.clone()).collect();
    }

    pub(super) fn ended_tasks(&self) -> impl Iterator<Item = &str> {
        let ended = self.tasks.iter().filter(|(_, fate)| **fate == Fate::Ended);
        ended.map(|(id, _)| id.as_str())
    }

    fn settle(&mut self, task: &str, fate: Fate) {
        let spans = self.spans.get(task).cloned().unwrap_or_default();
        for task in spans.iter().map(String::as_str).chain([task]) {
            // What a span has of its own ends with it, if it had not ended before.
            let known = self.tasks.entry(task.to_owned()).or_insert(fate);
            if *known != Fate::Ended {
                *known = fate;
            }
            let of_task = self.grants.values_mut().filter(|grant| grant.task == task);
            for grant in of_task.filter(|grant| grant.fate != Fate::Ended) {
                grant.fate = fate;
            }
        }
    }
}
