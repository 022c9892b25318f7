//! The rules as they are entered, file by file: each under an id of its own.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use super::{Placed, Refused, Source};
use crate::pdp::catalogue::Names;
use crate::pdp::check::{Checked, Draft};
use crate::pdp::lint::Written;
use crate::pdp::policies::approvals;
use crate::pdp::problem::{Finding, Problem, Severity};
use crate::pdp::scan;
use crate::pdp::{Catalogue, Rule};

/// A file and a line.
type Place = (Arc<str>, usize);

/// What is entered so far.
pub(super) struct Book {
    names: Names,
    /// Where each id is taken.
    taken: HashMap<Arc<str>, Place>,
    pub(super) rules: Vec<Rule>,
    pub(super) written: Vec<Written>,
    pub(super) problems: Vec<Problem>,
}

impl Book {
    pub(super) fn new(catalogue: &Catalogue<'_>) -> Self {
        Self {
            names: Names::of(catalogue),
            taken: HashMap::new(),
            rules: Vec::new(),
            written: Vec::new(),
            problems: Vec::new(),
        }
    }

    pub(super) fn enter(&mut self, source: &Source, statements: Vec<Placed>) {
        let stem = Path::new(&*source.file).file_stem();
        let stem = stem.map_or_else(
            || source.file.to_string(),
            |one| one.to_string_lossy().into(),
        );
        let (mut line, mut counted) = (1, 0);
        for (number, (span, checked)) in (1..).zip(statements) {
            let before = source.text.get(counted..span.start).unwrap_or_default();
            line += before.matches('\n').count();
            counted = span.start;
            let mut findings = checked.findings.clone();
            let unknown = self.find_unknown_names(&checked, &mut findings);
            if let Some(draft) = &checked.draft {
                let statement = source.text.get(span.clone()).unwrap_or_default();
                let id = draft.annotations.id.clone().unwrap_or_else(|| {
                    let id = format!("{stem}.{number}");
                    findings.extend(unnamed(&id, statement));
                    id.into()
                });
                let place = (Arc::clone(&source.file), line);
                findings.extend(self.take(&id, &place, statement));
                let head = &draft.clauses.head;
                self.written.push(Written {
                    head: head.start + span.start..head.end + span.start,
                    draft: Arc::clone(draft),
                    idle: checked.idle || unknown,
                    limit: checked.limit,
                });
                self.enter_rule(id, place, draft);
            }
            findings.sort_by_key(|one| (one.span.start, one.span.end));
            let findings = findings.iter();
            self.problems
                .extend(findings.map(|one| one.in_file(&source.file, span.start)));
        }
    }

    /// Tells whether there are any.
    fn find_unknown_names(&self, checked: &Checked, findings: &mut Vec<Finding>) -> bool {
        let mut unknown = Vec::new();
        for (uid, span) in &checked.names {
            if let Some((severity, message, hint)) = self.names.unknown(uid) {
                unknown.push(Finding {
                    span: span.clone(),
                    severity,
                    message,
                    hint,
                });
            }
        }
        // That a rule can never apply is then only a consequence.
        let any = !unknown.is_empty();
        if any {
            findings.retain(|one| one.severity == Severity::Error);
        }
        findings.append(&mut unknown);
        any
    }

    /// Takes an id, or says who has it.
    fn take(&mut self, id: &Arc<str>, place: &Place, statement: &str) -> Option<Finding> {
        if let Some((file, line)) = self.taken.get(id) {
            return Some(Finding::error(
                given_id(statement).unwrap_or(0..statement.len()),
                format!("line {line} of {file} has a rule `{id}` already"),
                Some("ids name rules in records and refusals: give each its own".to_owned()),
            ));
        }
        self.taken.insert(Arc::clone(id), place.clone());
        None
    }

    pub(super) fn refused(&self, problems: Vec<Problem>) -> Refused {
        let heads = self.written.iter().map(|one| &one.head);
        let wanted = approvals(self.rules.iter().zip(heads));
        let wanted =
            wanted.map(|(rule, head, group)| (Arc::clone(&rule.file), head, group.clone()));
        Refused {
            problems,
            approvals: wanted.collect(),
        }
    }

    fn enter_rule(&mut self, id: Arc<str>, (file, line): Place, draft: &Draft) {
        self.rules.push(Rule {
            id,
            file,
            line,
            message: draft.annotations.message.clone(),
            requires: draft.annotations.requires.clone(),
            on_change: draft.annotations.on_change,
            effect: draft.effect,
        });
    }
}

/// Says that a rule has no id of its own. Where one is given but can't be read, that is said already.
fn unnamed(id: &str, statement: &str) -> Option<Finding> {
    given_id(statement).is_none().then(|| {
        Finding::warning(
            0..statement.len(),
            format!("this rule has no `@id`: it is called `{id}` until the file changes"),
            Some("write `@id(\"…\")` before it".to_owned()),
        )
    })
}

/// Where a rule's id is given.
fn given_id(statement: &str) -> Option<Range<usize>> {
    let annotations = scan::annotations(statement).into_iter();
    let mut ids = annotations.filter(|(name, _)| *name == "id");
    ids.next().map(|(_, span)| span)
}
