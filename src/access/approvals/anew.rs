//! A request once more, as it would be if it were made now: by the rules, the people and the definitions of this
//! moment.

use std::sync::{Arc, OnceLock};

use super::Approvals;
use super::recorded::change_step;
use crate::access::again::explained;
use crate::access::requests::judge;
use crate::access::{Asker, Refused, risk_of};
use crate::approvals::{Unfit, digest, redefined};
use crate::audit::{Asked, Record};
use crate::config::Snapshot;
use crate::grants::{LiveTask, Verdict};
use crate::model::{Agreed, Generation, GrantRequest};

/// The request as it would be if it were made now.
pub(super) struct Anew {
    pub(super) request: GrantRequest,
    verdict: Result<(), Arc<str>>,
    /// The rules that say so.
    rules: Vec<Arc<str>>,
    /// What the rules were asked.
    pub(super) asked: Option<Box<Asked>>,
}

/// What the rules said at the moment of activation.
#[derive(Clone, Debug)]
pub(super) struct Looked {
    generation: Generation,
    rules: Vec<Arc<str>>,
    asked: Option<Box<Asked>>,
}

impl Looked {
    /// The last word is that of this moment, and of the policies of this moment.
    pub(super) fn describe(self, record: &mut Record) {
        let step = record.asked.take().and_then(|asked| asked.step);
        record.generation = Some(self.generation);
        record.rules = self.rules;
        record.asked = self.asked.map(|mut asked| {
            asked.step = step;
            asked
        });
        change_step(record, |step| step.last = true);
    }
}

impl Approvals {
    /// Who had opened the task of a request, and those above it.
    pub(super) fn openers(&self, request: &GrantRequest) -> Vec<Arc<str>> {
        let mut openers = Vec::new();
        let mut id = Some(request.task.clone());
        while let Some(task) = id.and_then(|id| self.grants.task(&id)) {
            openers.push(task.task().opened_by.as_str().into());
            id = task.task().parent.clone();
        }
        openers
    }

    /// The rules once more, at the moment of activation and by the configuration of that moment.
    pub(super) fn last_look(&self, request: &GrantRequest, rules: &OnceLock<Looked>) -> Verdict {
        let gone = || Arc::from("the agent, its task or the entitlement is gone");
        let snapshot = self.snapshot.current();
        let anew = self.anew(&snapshot, request).ok_or_else(gone)?;
        // Set once: this is called once.
        let _ = rules.set(Looked {
            generation: snapshot.generation().clone(),
            rules: anew.rules,
            asked: anew.asked,
        });
        anew.verdict?;
        let same = digest(&anew.request) == digest(request);
        if !same || anew.request.right.budget != request.right.budget {
            return Err(Unfit::Changed.to_string().into());
        }
        Ok(())
    }

    pub(super) fn anew(&self, snapshot: &Snapshot, request: &GrantRequest) -> Option<Anew> {
        let entitlement = snapshot.entitlement(request.right.entitlement.as_str())?;
        let agent = snapshot.agent(request.agent.as_str())?;
        let task: Arc<LiveTask> = self.grants.task(&request.task)?;
        let methods = request.asked.methods.iter().map(AsRef::as_ref);
        let methods: Vec<&str> = methods.collect();
        let asker = Asker {
            snapshot,
            agent,
            task: Some(&task),
            methods: &methods,
            acr: &[],
            holder: request.asked.holder,
            source: request.asked.source,
            risk: risk_of(snapshot, self.grants.signals(), agent, Some(&task)),
            habits: Some(self.grants.signals()),
            now: self.clock.now(),
            wall: self.clock.wall(),
            supposed: None,
        };
        let judged = judge(&asker, entitlement);
        let ruled = judged.as_ref().err().and_then(Refused::reason);
        let (approval, rules, verdict) = match judged {
            Ok((permit, approval)) => (approval, permit.rules().to_vec(), Ok(())),
            // What the rules say now is for the moment of activation; that they are silent or against
            // it changes nothing of who is asked.
            Err(refused) => {
                let asked = entitlement
                    .approval
                    .as_ref()
                    .or(request.right.approval.as_ref());
                let explained = explained(refused);
                let why = explained.detail.unwrap_or_default();
                (asked.cloned(), explained.rules, Err(why.as_str().into()))
            }
        };
        let agreed = approval
            .as_ref()
            .map_or_else(Agreed::default, |rule| Agreed {
                groups: std::slice::from_ref(&rule.group),
                mfa: rule.mfa,
            });
        let asked = asker
            .asked(&entitlement.id, agreed, ruled)
            .map(|mut asked| {
                asked.source = Some(asker.source);
                asked
            });
        Some(Anew {
            request: redefined(request, entitlement, approval),
            asked,
            rules,
            verdict,
        })
    }
}
