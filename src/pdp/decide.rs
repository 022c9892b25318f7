//! The decision: what has to hold before any rule is read, then the rules that can apply.

mod lacking;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::sync::Arc;

use cedar_policy::{
    AuthorizationError, Authorizer, Decision as Verdict, EntityUid, PolicyId, Request, Response,
};
use foldhash::quality::FixedState;
use smallvec::SmallVec;

use crate::base::ErrorChain;
use crate::model::{
    AgentId, Agreed, Ask, AuthFacts, DenyReason, GrantFacts, InputKind, InputValue, Inputs,
    OperationId, Question,
};

use super::catalogue::{KnownAgent, KnownOperation, Target};
use super::context::Facts;
use super::index::{Alone, Slice, Way};
use super::prepared::{Kept, Key, Prepared};
use super::program::{Asked, Deciding, Stumbled};
use super::reads::Reads;
use super::seen::{self, Seen};
use super::{
    Decision, Denial, Depends, OnChange, Permit, Policies, Requirement, Rule, Turned, TurnedRule,
    Watched,
};

impl Policies {
    /// Answers a question. Pure: the same question gets the same answer.
    pub fn decide(&self, question: &Question<'_>) -> Decision {
        self.judge(question).into()
    }

    /// Answers a question as [`Policies::decide`] does, but has Cedar's own authorizer judge what the rules
    /// say, whatever is compiled.
    pub fn decide_by_cedar(&self, question: &Question<'_>) -> Decision {
        let judged = self.admit(question).and_then(|(agent, target)| {
            let slice = self.index.slice(agent, target);
            self.authorize(question, agent, target, &slice)
        });
        judged.into()
    }

    /// Answers a question as [`Policies::decide`] does, by the rules that are kept where it was asked before,
    /// and keeps them there where it was not.
    pub fn decide_kept(&self, question: &Question<'_>, kept: &Kept) -> Decision {
        let shelf = kept.shelf();
        let at_hand = shelf.as_ref();
        let judged = match at_hand.and_then(|shelf| shelf.get(self.number, question)) {
            Some(prepared) if prepared.fit(question) => self.judge_prepared(question, prepared),
            Some(_) => self.judge(question),
            None => match self.prepare(question) {
                Ok(Some(prepared)) => {
                    kept.keep(self.number, &prepared);
                    self.judge_prepared(question, &prepared)
                }
                Ok(None) => self.judge(question),
                Err(denial) => Err(denial),
            },
        };
        judged.into()
    }

    /// Answers a question as [`Policies::decide`] does, and tells what the rules that could apply read
    /// for it: the values that they were given, and no others. Nothing was read where no rule was.
    pub fn explain(&self, question: &Question<'_>) -> (Decision, Seen) {
        let seen = self.admit(question).and_then(|(agent, target)| {
            let slice = self.index.slice(agent, target);
            let request = self.request(question, &agent.uid, target, &slice.reads)?;
            Ok(seen::of(&request, &slice.reads))
        });
        // What keeps a question from being put keeps it from being answered, too.
        (self.decide(question), seen.unwrap_or_default())
    }

    /// What the rules that a grant at rest is asked about read of it; the question is about a call, of which they
    /// read nothing.
    #[must_use]
    pub fn turning_reads(&self, question: &Question<'_>) -> Seen {
        let Ask::Call { operation, .. } = &question.ask else {
            return Seen::new();
        };
        let Some((agent, target, slice)) = self.call_slice(question.agent, operation) else {
            return Seen::new();
        };
        let request = self.request(question, &agent.uid, target, slice.turning_reads());
        let seen = request.map(|request| seen::of(&request, slice.turning_reads()));
        seen.unwrap_or_default()
    }

    /// The forbid that has turned against a grant at rest, and what it says becomes of the grant: of
    /// several the hardest. The question is about a call, of which these rules read nothing. A rule that
    /// can't be evaluated has turned.
    #[must_use]
    pub fn turned(&self, question: &Question<'_>) -> Turned<TurnedRule> {
        let mut turned = Turned::default();
        let Ask::Call { operation, .. } = &question.ask else {
            return turned;
        };
        let Some((agent, target, slice)) = self.call_slice(question.agent, operation) else {
            return turned;
        };
        let asked = Asked::new(question, agent, target);
        let holding = slice.turning.iter().filter_map(|one| {
            let (until, holds) = match &one.way {
                Way::Compiled(conditions) => (
                    conditions.until(&asked),
                    conditions.hold(&asked).unwrap_or(true),
                ),
                Way::Interpreted(alone) => {
                    let holds = self.holds(question, (agent, target), alone);
                    (alone.until(question.now), holds)
                }
            };
            turned.until = turned.until.min(until);
            let rule = self.rules.get(one.rule)?;
            let on_change = rule.on_change.filter(|_| holds)?;
            Some(TurnedRule {
                on_change,
                id: Arc::clone(&rule.id),
                message: rule.message.clone(),
            })
        });
        turned.rule = holding.max_by_key(|turned| turned.on_change == OnChange::End);
        turned
    }

    /// Whether a forbid that is not compiled holds. One that can't be evaluated does; but where it can't be
    /// told what it reads, it may be the call that it lacks, and the next call is asked about anyway.
    fn holds(
        &self,
        question: &Question<'_>,
        (agent, target): (&KnownAgent, &Target),
        alone: &Alone,
    ) -> bool {
        let on_error = alone.reads.are_told();
        let Ok(request) = self.request(question, &agent.uid, target, &alone.reads) else {
            return on_error;
        };
        self.put_to_cedar.inc();
        let entities = &self.directory.entities;
        let response = Authorizer::new().is_authorized(&request, &alone.policies, entities);
        let diagnostics = response.diagnostics();
        match diagnostics.errors().next() {
            Some(_) => on_error,
            None => diagnostics.reason().next().is_some(),
        }
    }

    /// What there is to watch for a grant of this agent's: the rules that say what becomes of it when they
    /// turn against a call of this operation (`@on_change`); none where there is no such rule.
    #[must_use]
    pub fn watched(&self, agent: &AgentId, operation: &OperationId) -> Option<Watched> {
        let (agent, target, slice) = self.call_slice(agent, operation)?;
        let (depends, rules) = slice.watched()?;
        // All that such a rule can tell besides what it reads: the parties, and the groups that they are in.
        let parties = (
            &agent.lineage,
            &target.action,
            &target.anchors,
            &target.resource,
        );
        let hasher = FixedState::with_seed(0);
        let signature = hasher.hash_one((rules.as_bytes(), parties));
        Some(Watched { depends, signature })
    }

    fn call_slice(
        &self,
        agent: &AgentId,
        operation: &OperationId,
    ) -> Option<(&KnownAgent, &Target, Arc<Slice>)> {
        let target = &self.directory.operation(operation)?.target;
        let agent = self.directory.agent(agent)?;
        Some((agent, target, self.index.slice(agent, target)))
    }

    fn judge(&self, question: &Question<'_>) -> Result<Permit, Denial> {
        let (agent, target) = self.admit(question)?;
        let slice = self.index.slice(agent, target);
        let asked = Asked::new(question, agent, target);
        match slice.program.as_ref().map(|program| program.run(&asked)) {
            Some(Ok(deciding)) => self.weigh(&deciding, question, slice.depends),
            Some(Err(Stumbled)) | None => self.ask_cedar(question, agent, target, &slice),
        }
    }

    /// The rules for a question about a call, as far as they are told by what such questions have in common.
    fn prepare(&self, question: &Question<'_>) -> Result<Option<Arc<Prepared>>, Denial> {
        let (_, target) = self.admit(question)?;
        let Ask::Call { operation, .. } = &question.ask else {
            return Ok(None);
        };
        let agent = self.directory.agent(question.agent);
        let Some(parties) = agent.zip(self.directory.operation(operation)) else {
            return Ok(None);
        };
        let slice = self.index.slice(parties.0, target);
        let key = Key::of(question, &slice.reads);
        Ok(key.map(|key| {
            self.shared.get(key, |key| {
                let asked = Asked::new(question, parties.0, target);
                Prepared::new(key, parties, &slice, &asked)
            })
        }))
    }

    fn judge_prepared(
        &self,
        question: &Question<'_>,
        prepared: &Prepared,
    ) -> Result<Permit, Denial> {
        let (agent, target) = (&prepared.agent, &prepared.operation.target);
        let asked = Asked::new(question, agent, target);
        let residual = prepared.residual.as_ref();
        match residual.map(|residual| residual.run(&asked)) {
            Some(Ok(deciding)) => self.weigh(&deciding, question, prepared.depends),
            Some(Err(Stumbled)) | None => {
                let slice = self.index.slice(agent, target);
                self.ask_cedar(question, agent, target, &slice)
            }
        }
    }

    /// Asks Cedar's own authorizer, for what is not compiled and for what went wrong.
    fn ask_cedar(
        &self,
        question: &Question<'_>,
        agent: &KnownAgent,
        target: &Target,
        slice: &Slice,
    ) -> Result<Permit, Denial> {
        self.put_to_cedar.inc();
        self.authorize(question, agent, target, slice)
    }

    fn authorize(
        &self,
        question: &Question<'_>,
        agent: &KnownAgent,
        target: &Target,
        slice: &Slice,
    ) -> Result<Permit, Denial> {
        let request = self.request(question, &agent.uid, target, &slice.reads)?;
        let entities = &self.directory.entities;
        let response = Authorizer::new().is_authorized(&request, slice.policies(), entities);
        self.weigh_response(&response, question, slice.depends)
    }

    /// What compiled rules answer, what those that are kept do, and what Cedar does.
    #[cfg(test)]
    pub(super) fn all_ways(&self, question: &Question<'_>, kept: &Kept) -> [String; 3] {
        let decisions = [
            self.decide(question),
            self.decide_kept(question, kept),
            self.decide_by_cedar(question),
        ];
        decisions.map(|decision| format!("{decision:?}"))
    }

    /// What has to hold whatever the rules say. Zero standing privilege is here: no rule is read
    /// for a call that no grant covers, unless its operation is `baseline`.
    fn admit(&self, question: &Question<'_>) -> Result<(&KnownAgent, &Target), Denial> {
        let target = match &question.ask {
            Ask::Call {
                operation: id,
                grant,
                input,
                ..
            } => {
                let operation = self.directory.operation(id);
                let operation = operation.ok_or(Denial::because(DenyReason::OperationUnknown))?;
                if !operation.baseline
                    && !grant
                        .as_ref()
                        .is_some_and(|one| operation.is_covered_by(one))
                {
                    return Err(Denial::because(DenyReason::GrantRequired));
                }
                operation.accept(input)?;
                &operation.target
            }
            Ask::Request {
                entitlement: id, ..
            } => self
                .directory
                .entitlement(id)
                .ok_or_else(|| inner(format!("the policies know no entitlement `{id}`")))?,
        };
        let agent = self.directory.agent(question.agent);
        let agent = agent
            .ok_or_else(|| inner(format!("the policies know no agent `{}`", question.agent)))?;
        Ok((agent, target))
    }

    fn request(
        &self,
        question: &Question<'_>,
        principal: &EntityUid,
        target: &Target,
        reads: &Reads,
    ) -> Result<Request, Denial> {
        let facts = Facts {
            question,
            directory: &self.directory,
            addresses: &self.addresses,
        };
        let context = facts
            .context(reads)
            .map_err(|error| inner(ErrorChain(&error).to_string()))?;
        let (principal, action) = (principal.clone(), target.action.clone());
        // Not checked against the schema: our own code builds the context, and the tests check it.
        Request::new(principal, action, target.resource.clone(), context, None)
            .map_err(|error| inner(ErrorChain(&error).to_string()))
    }

    /// From Cedar's answer to ours.
    fn weigh_response(
        &self,
        response: &Response,
        question: &Question<'_>,
        depends: Depends,
    ) -> Result<Permit, Denial> {
        let diagnostics = response.diagnostics();
        let errors: BTreeMap<usize, String> = diagnostics.errors().map(failure).collect();
        if !errors.is_empty() {
            return Err(self.failed(&errors));
        }
        let mut deciding = Deciding {
            forbidden: response.decision() == Verdict::Deny,
            rules: diagnostics.reason().filter_map(number).collect(),
        };
        deciding.rules.sort_unstable();
        self.weigh(&deciding, question, depends)
    }

    /// Forbids deny, and a permit counts only if all that it requires is there.
    fn weigh(
        &self,
        deciding: &Deciding,
        question: &Question<'_>,
        depends: Depends,
    ) -> Result<Permit, Denial> {
        let rules = || deciding.rules.iter().filter_map(|one| self.rules.get(*one));
        if deciding.forbidden || deciding.rules.is_empty() {
            return Err(Denial {
                message: rules().next().and_then(|rule| rule.message.clone()),
                rules: ids(rules()),
                ..Denial::because(DenyReason::ConditionDenied)
            });
        }
        let shown = Shown::of(question);
        let unmet = |rule: &Rule| rule.requires.iter().filter(|one| !shown.meets(one)).count();
        let mut met = SmallVec::new();
        for rule in rules().filter(|rule| unmet(rule) == 0) {
            met.push(Arc::clone(&rule.id));
        }
        if !met.is_empty() {
            return Ok(Permit::new(met, depends));
        }
        // The least that is missing; among equals the first in the order of the files.
        let nearest = rules().min_by_key(|rule| unmet(rule));
        Err(nearest.map_or_else(
            || Denial::because(DenyReason::ConditionDenied),
            |rule| shown.missing(rule),
        ))
    }

    fn failed(&self, errors: &BTreeMap<usize, String>) -> Denial {
        let failed = errors
            .iter()
            .map(|(number, error)| (self.rules.get(*number), error));
        let texts: Vec<String> = failed
            .clone()
            .map(|(rule, error)| {
                let id = rule.map_or("?", |rule| &*rule.id);
                format!("rule `{id}` can't be evaluated: {error}")
            })
            .collect();
        Denial {
            rules: ids(failed.filter_map(|(rule, _)| rule)),
            ..inner(texts.join("; "))
        }
    }
}

impl KnownOperation {
    /// Whether the inputs are exactly those that the operation declares.
    pub(super) fn accepts(&self, inputs: &Inputs) -> bool {
        let mut pairs = self.inputs.iter().zip(inputs);
        self.inputs.len() == inputs.len()
            && pairs.all(|(ours, theirs)| ours == (theirs.0, &kind_of(theirs.1)))
    }

    fn is_covered_by(&self, grant: &GrantFacts<'_>) -> bool {
        self.covered_by.contains(grant.entitlement)
    }

    /// Says what is wrong with inputs that are not those declared.
    fn accept(&self, inputs: &Inputs) -> Result<(), Denial> {
        if self.accepts(inputs) {
            return Ok(());
        }
        let declared: Vec<_> = self.inputs.keys().map(|name| &**name).collect();
        let error = format!("the inputs are not those declared: {}", declared.join(", "));
        Err(Denial::failed(DenyReason::InputInvalid, error))
    }
}

const fn kind_of(value: &InputValue) -> InputKind {
    match value {
        InputValue::Bool(_) => InputKind::Bool,
        InputValue::Long(_) => InputKind::Long,
        InputValue::String(_) => InputKind::String,
    }
}

/// What has been shown of what permits may require.
struct Shown<'a> {
    auth: &'a AuthFacts<'a>,
    approved_by: Agreed<'a>,
}

impl<'a> Shown<'a> {
    fn of(question: &'a Question<'_>) -> Self {
        let approved_by = match &question.ask {
            Ask::Call { grant, .. } => grant.map(|one| one.approved_by).unwrap_or_default(),
            Ask::Request { approved_by, .. } => *approved_by,
        };
        Self {
            auth: &question.auth,
            approved_by,
        }
    }

    fn meets(&self, requirement: &Requirement) -> bool {
        match requirement {
            Requirement::Approval(group) => self.approved_by.groups.contains(group),
            Requirement::Mfa => self.auth.factors >= 2 || self.approved_by.mfa,
            Requirement::Proof(proof) => self.auth.proof == *proof,
        }
    }

    /// The refusal that names what a permit still requires: the first in the order written.
    fn missing(&self, rule: &Rule) -> Denial {
        let requires = rule.requires.iter().find(|one| !self.meets(one)).cloned();
        let reason = match requires {
            Some(Requirement::Approval(_)) => DenyReason::ApprovalRequired,
            Some(Requirement::Mfa) => DenyReason::MfaRequired,
            Some(Requirement::Proof(_)) => DenyReason::ProofRequired,
            None => DenyReason::ConditionDenied,
        };
        Denial {
            rules: vec![Arc::clone(&rule.id)],
            message: rule.message.clone(),
            requires,
            demands: rule.requires.clone(),
            ..Denial::because(reason)
        }
    }
}

/// A no for a reason that lies on our side.
fn inner(error: String) -> Denial {
    Denial::failed(DenyReason::ConditionDenied, error)
}

fn ids<'r>(rules: impl IntoIterator<Item = &'r Rule>) -> Vec<Arc<str>> {
    rules.into_iter().map(|rule| Arc::clone(&rule.id)).collect()
}

/// Policies are called by the number of their rule.
fn number(id: &PolicyId) -> Option<usize> {
    AsRef::<str>::as_ref(id).parse().ok()
}

fn failure(error: &AuthorizationError) -> (usize, String) {
    let AuthorizationError::PolicyEvaluationError(error) = error;
    let number = number(error.policy_id()).unwrap_or(usize::MAX);
    (number, error.inner().to_string())
}
