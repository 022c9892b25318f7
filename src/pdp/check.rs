//! One statement: parsed, its annotations read, strictly validated.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use cedar_policy::{
    ActionConstraint, Effect as CedarEffect, EntityUid, Policy, PolicyId, PolicySet,
    PrincipalConstraint, ResourceConstraint, Schema, ValidationError, ValidationMode,
    ValidationResult, ValidationWarning, Validator,
};
use miette::Diagnostic;

use crate::base::{Digest, ErrorChain};

use super::Catalogue;
use super::bounds;
use super::catalogue::action;
use super::clauses::Clauses;
use super::doubts;
use super::history::Groups;
use super::limit::Limit;
use super::memory::Validators;
use super::problem::{Finding, Problem, Severity};
use super::program::{Conditions, Uncovered};
use super::reads::{Parts, Reads};
use super::rule::{Annotations, Effect};
use super::scan;
use super::schema::{self, District, REQUEST};

/// What all statements are called while they are looked at one by one.
const ALONE: &str = "rule";

/// What a statement reads: from its text, or where that does not tell, from its tree.
fn reads(statement: &str, policy: &Policy) -> Reads {
    let reads = Reads::of(statement);
    if reads.are_told() {
        return reads;
    }
    Reads::of_tree(policy).unwrap_or(reads)
}

/// What is known of one statement from its text and the schema alone.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) draft: Option<Arc<Draft>>,
    /// The entities that it names, and where.
    pub(super) names: Vec<(EntityUid, Range<usize>)>,
    pub(super) findings: Vec<Finding>,
    /// Whether its scope or its clauses exclude that it ever applies.
    pub(super) idle: bool,
    /// The number that it limits, where that is all that could tell it from another.
    pub(super) limit: Option<Limit>,
}

/// A statement that could be parsed. All policies that have it share it, and with it what is made of it when it
/// is first needed.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) policy: Policy,
    pub(super) scope: Scope,
    pub(super) effect: Effect,
    pub(super) annotations: Annotations,
    pub(super) reads: Reads,
    pub(super) clauses: Clauses,
    /// The groups whose history it reads, by the schema that it was checked under.
    groups: Groups,
    /// Compiled when a slice first needs it: most of ten thousand rules are never asked.
    conditions: OnceLock<Result<Arc<Conditions>, Uncovered>>,
    /// Of the statement; made for rules with `@on_change` alone.
    digest: OnceLock<Digest>,
}

/// What a statement's scope says: Cedar gives it only as a copy, each time.
#[derive(Debug)]
pub(super) struct Scope {
    pub(super) principal: PrincipalConstraint,
    pub(super) action: ActionConstraint,
    pub(super) resource: ResourceConstraint,
}

impl Draft {
    /// The groups whose history it reads, by name, in which no operation is: nothing is ever called of those.
    pub(super) fn empty_groups(&self) -> impl Iterator<Item = &str> {
        // Whoever reads the history as a whole may mean any of it.
        let named = matches!(self.reads.history(), Some(Parts::Of(_)));
        let groups = named.then(|| self.groups.iter()).into_iter().flatten();
        let empty = groups.filter(|(_, group)| group.members().is_empty());
        empty.map(|(name, _)| name)
    }

    pub(super) fn conditions(&self) -> Result<&Arc<Conditions>, &Uncovered> {
        let compile = || Conditions::of(&self.policy, &self.groups).map(Arc::new);
        self.conditions.get_or_init(compile).as_ref()
    }

    /// The digest of the statement.
    pub(super) fn digest(&self) -> &Digest {
        self.digest
            .get_or_init(|| Digest::of(self.policy.to_string().as_bytes()))
    }
}

impl Scope {
    fn of(policy: &Policy) -> Self {
        Self {
            principal: policy.principal_constraint(),
            action: policy.action_constraint(),
            resource: policy.resource_constraint(),
        }
    }

    /// The entity that is named for the principal; none where any will do. It may be one that takes in nobody
    /// who asks.
    pub(super) const fn principal_named(&self) -> Option<&EntityUid> {
        match &self.principal {
            PrincipalConstraint::Any | PrincipalConstraint::Is(_) => None,
            PrincipalConstraint::Eq(uid)
            | PrincipalConstraint::In(uid)
            | PrincipalConstraint::IsIn(_, uid) => Some(uid),
        }
    }

    /// The entity that is named for the resource; none where any will do.
    pub(super) const fn resource_named(&self) -> Option<&EntityUid> {
        match &self.resource {
            ResourceConstraint::Any | ResourceConstraint::Is(_) => None,
            ResourceConstraint::Eq(uid)
            | ResourceConstraint::In(uid)
            | ResourceConstraint::IsIn(_, uid) => Some(uid),
        }
    }
}

/// Checks statements against one catalogue.
#[derive(Debug)]
pub(super) struct Checker<'a> {
    catalogue: Catalogue<'a>,
    groups: Groups,
    /// Each is built when it is first needed: most reloads need one, if any.
    districts: HashMap<District, OnceLock<Result<Arc<Validator>, String>>>,
    /// Those of compilations before.
    validators: Validators,
    /// The districts of each action that a scope can name.
    actions: HashMap<EntityUid, BTreeSet<District>>,
}

impl<'a> Checker<'a> {
    pub(super) fn new(catalogue: Catalogue<'a>, groups: Groups, validators: Validators) -> Self {
        let mut districts = HashMap::new();
        districts.insert(District::Requests, OnceLock::new());
        districts.insert(District::Whole, OnceLock::new());
        let mut actions: HashMap<EntityUid, BTreeSet<District>> = HashMap::new();
        actions.insert(action(REQUEST), BTreeSet::from([District::Requests]));
        for operation in catalogue.operations {
            let district = District::Service(operation.service.clone());
            let names = schema::parents(operation).into_iter();
            for name in names.chain([operation.id.to_string()]) {
                let districts = actions.entry(action(&name)).or_default();
                districts.insert(district.clone());
            }
            districts.entry(district).or_default();
        }
        Self {
            catalogue,
            groups,
            districts,
            validators,
            actions,
        }
    }

    /// Whether the names make a schema at all.
    pub(super) fn prove(&self) -> Result<(), Problem> {
        self.validator(&District::Whole)
            .map(drop)
            .map_err(|error| Problem::of_names(error, None))
    }

    /// Parses and validates one statement. Without a sound schema only its form is looked at.
    pub(super) fn check(&self, statement: &str, sound: bool) -> Checked {
        if let Some(exceeded) = bounds::exceeded(statement) {
            return Checked {
                draft: None,
                names: Vec::new(),
                findings: vec![exceeded],
                idle: false,
                limit: None,
            };
        }
        let mut findings = Vec::new();
        let policy =
            match Policy::parse(Some(PolicyId::new(ALONE)), statement) {
                Ok(policy) => policy,
                Err(errors) => {
                    findings.extend(errors.iter().map(|error| {
                        finding(error, &error.to_string(), statement, Severity::Error)
                    }));
                    return Checked {
                        draft: None,
                        names: names(None, statement),
                        findings,
                        idle: false,
                        limit: None,
                    };
                }
            };
        let effect = match policy.effect() {
            CedarEffect::Forbid => Effect::Forbid,
            CedarEffect::Permit => Effect::Permit,
        };
        let annotations = annotations(&policy, effect, statement, &mut findings);
        let mut idle = sound && self.validate(&policy, statement, &mut findings);
        let reads = reads(statement, &policy);
        let draft = Draft {
            scope: Scope::of(&policy),
            effect,
            annotations,
            groups: self.groups.read(reads.history()),
            reads,
            clauses: Clauses::of(&policy, statement),
            policy,
            conditions: OnceLock::new(),
            digest: OnceLock::new(),
        };
        let mut limit = None;
        if !idle {
            let doubts;
            (doubts, idle, limit) = doubts::doubts(&draft, statement);
            findings.extend(doubts);
        }
        Checked {
            names: names(Some(&draft.policy), statement),
            draft: Some(Arc::new(draft)),
            findings,
            idle,
            limit,
        }
    }

    /// Tells whether it is a statement that can never apply.
    fn validate(&self, policy: &Policy, statement: &str, findings: &mut Vec<Finding>) -> bool {
        let alone = PolicySet::from_policies([policy.clone()]).map_err(|error| error.to_string());
        let validator = self.validator(&self.district(policy));
        let (alone, validator) = match (alone, validator) {
            (Ok(alone), Ok(validator)) => (alone, validator),
            // What can't be validated can't go live.
            (Err(error), _) | (_, Err(error)) => {
                findings.push(Finding::error(0..statement.len(), error, None));
                return false;
            }
        };
        let result = validator.validate(&alone, ValidationMode::Strict);
        let mut found = Vec::new();
        for error in result.validation_errors() {
            // Unknown actions are found with all other unknown names, so that they read alike.
            if !matches!(error, ValidationError::UnrecognizedActionId(_)) {
                found.push(refused(error, policy, statement));
            }
        }
        // A rule that is wrong is often impossible too, which then says nothing new.
        if found.is_empty() {
            found.extend(warned(&result, statement));
        }
        merge(found, findings);
        result.validation_warnings().any(|warning| {
            matches!(
                warning,
                ValidationWarning::ImpossiblePolicy(_)
                    | ValidationWarning::InvalidActionApplication(_)
            )
        })
    }

    fn validator(&self, district: &District) -> Result<&Validator, String> {
        let built = self.districts.get(district);
        let built = built.ok_or_else(|| "there is no schema for this scope".to_owned())?;
        let built = built.get_or_init(|| {
            let text = schema::schema(&self.catalogue, district);
            let weight = schema::weight(&self.catalogue, district);
            self.validators.get(&text, weight, || {
                let (schema, _) = Schema::from_cedarschema_str(&text).map_err(|error| {
                    format!("these names make no schema: {}", ErrorChain(&error))
                })?;
                Ok(Validator::new(schema))
            })
        });
        built.as_ref().map(|one| &**one).map_err(Clone::clone)
    }

    /// Where the rule's scope lies.
    pub(super) fn district(&self, policy: &Policy) -> District {
        let named = match policy.action_constraint() {
            ActionConstraint::Any => return District::Whole,
            ActionConstraint::Eq(uid) => vec![uid],
            ActionConstraint::In(uids) => uids,
        };
        let mut districts = named
            .iter()
            .filter_map(|uid| self.actions.get(uid))
            .flatten();
        match districts.next() {
            // It names only what does not exist, which any schema shows.
            None => District::Requests,
            Some(first) if districts.all(|one| one == first) => first.clone(),
            Some(_) => District::Whole,
        }
    }
}

fn annotations(
    policy: &Policy,
    effect: Effect,
    statement: &str,
    findings: &mut Vec<Finding>,
) -> Annotations {
    let spans: BTreeMap<&str, Range<usize>> = scan::annotations(statement).into_iter().collect();
    let mut given: Vec<_> = policy
        .annotations()
        .map(|(name, value)| {
            let span = spans.get(name).cloned();
            (name, value, span.unwrap_or(0..statement.len()))
        })
        .collect();
    given.sort_by_key(|(_, _, span)| span.start);
    Annotations::read(effect, given, findings)
}

/// The entities that a statement names. Cedar knows which; the scanner knows where.
fn names(policy: Option<&Policy>, statement: &str) -> Vec<(EntityUid, Range<usize>)> {
    let mut names: Vec<(EntityUid, Range<usize>)> = scan::entities(statement)
        .into_iter()
        .filter_map(|(text, span)| Some((text.parse().ok()?, span)))
        .collect();
    for uid in policy.into_iter().flat_map(Policy::entity_literals) {
        if !names.iter().any(|(known, _)| *known == uid) {
            names.push((uid, 0..statement.len()));
        }
    }
    names
}

fn refused(error: &ValidationError, policy: &Policy, statement: &str) -> Finding {
    let mut finding = finding(error, &error.to_string(), statement, Severity::Error);
    if !matches!(error, ValidationError::UnsafeAttributeAccess(_)) {
        return finding;
    }
    let one_action = matches!(policy.action_constraint(), ActionConstraint::Eq(_));
    let meant = statement.get(finding.span.clone()).unwrap_or_default();
    if let Some(input) = meant.strip_prefix("context.input.").filter(|_| !one_action) {
        finding.hint = Some(format!(
            "not every operation in the scope has it: narrow the scope, or test for it first \
             with `context.input has {input} && …`"
        ));
    }
    if meant.starts_with("context.history") && meant.contains(".sum.") {
        let hint =
            "only inputs that the operation, or one of the group's, declares as `Long` are summed";
        finding.hint.get_or_insert_with(|| hint.to_owned());
    }
    finding
}

/// The warnings of a statement. One whose scope fits no action is impossible too: said once.
fn warned(result: &ValidationResult, statement: &str) -> Vec<Finding> {
    let mut impossible = None;
    let mut scope = None;
    let mut found = Vec::new();
    for warning in result.validation_warnings() {
        let mut finding = finding(warning, &warning.to_string(), statement, Severity::Warning);
        match warning {
            ValidationWarning::ImpossiblePolicy(_) => {
                finding.message = "this rule can never apply".to_owned();
                finding.hint = Some("its scope and its conditions exclude each other".to_owned());
                impossible = Some(finding);
            }
            ValidationWarning::InvalidActionApplication(_) => {
                finding.message = "this rule can never apply: no action fits its scope".to_owned();
                scope = Some(finding);
            }
            _ => found.push(finding),
        }
    }
    found.extend(scope.or(impossible));
    found
}

/// What Cedar says of a statement, in the form that all problems have.
fn finding(said: &dyn Diagnostic, text: &str, statement: &str, severity: Severity) -> Finding {
    let label = said.labels().and_then(|mut labels| labels.next());
    let span = label.as_ref().map_or(0..statement.len(), |label| {
        let start = label.offset().min(statement.len());
        start..(start + label.len()).min(statement.len())
    });
    let mut message = unnamed(text).to_owned();
    if let Some(expected) = label.as_ref().and_then(|label| label.label()) {
        message = format!("{message}, {expected}");
    }
    let hint = said
        .help()
        .map(|help| unnamed(&help.to_string()).to_owned());
    Finding {
        span,
        severity,
        message,
        hint,
    }
}

/// Without the words by which Cedar tells which policy it means: the position tells.
fn unnamed(text: &str) -> &str {
    let named = "for policy `rule`, ";
    text.strip_prefix(named).unwrap_or(text)
}

/// Adds what validation found, in order, one finding per place: a scope over many operations gives
/// the same error for each of them.
fn merge(found: Vec<Finding>, findings: &mut Vec<Finding>) {
    let mut places: BTreeMap<(usize, usize), Vec<Finding>> = BTreeMap::new();
    for one in found {
        places
            .entry((one.span.start, one.span.end))
            .or_default()
            .push(one);
    }
    for mut same in places.into_values() {
        same.sort_by(|a, b| (&a.message, &a.hint).cmp(&(&b.message, &b.hint)));
        same.dedup();
        let others = same.len() - 1;
        if let Some(mut first) = same.into_iter().next() {
            if others > 0 {
                let more = format!(" (and {others} more like it in this place)");
                first.message.push_str(&more);
            }
            findings.push(first);
        }
    }
}
