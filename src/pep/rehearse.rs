//! A call that is only supposed: the steps of the pipeline up to the decision, and nothing of what
//! follows it.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST};
use http::{HeaderValue, Request, StatusCode, Uri};
use serde_json::json;

use super::canonical::{Canonical, check_lines};
use super::describe;
use super::enforce::{Call, Deciding, weigh};
use super::gate::{Facts, Gate};
use super::judging::route;
use super::refusal::Refusal;
use super::right::Right;
use crate::access::{Asker, Explains, Explanation, SupposedCall, Suspension, suspension_reads};
use crate::audit::Written;
use crate::config::Matched;
use crate::grants::{Closed, LiveGrant};
use crate::model::{DenyReason, Question};
use crate::pdp::{Decision, Kept, Seen};

impl Explains for Gate {
    fn explain(&self, asker: &Asker<'_>, call: SupposedCall) -> Explanation {
        self.facts.rehearse(asker, call)
    }
}

impl Facts {
    /// Tells what would become of a call. The steps are those of a real one, so the first refusal is
    /// the one that it would get; no budget, lease, history or record is touched.
    #[must_use]
    pub fn rehearse(&self, asker: &Asker<'_>, call: SupposedCall) -> Explanation {
        let mut explanation = Explanation::default();
        match self.walk(asker, call, &mut explanation) {
            Ok(rules) => explanation.rules = rules,
            Err(refusal) => {
                explanation.code = Some(refusal.reason());
                explanation.detail = Some(refusal.detail().to_owned());
                explanation.rules = refusal.rules().to_vec();
                explanation.next = refusal.least_step();
                explanation.internal = refusal.internal().map(str::to_owned);
            }
        }
        explanation
    }

    fn walk(
        &self,
        asker: &Asker<'_>,
        call: SupposedCall,
        explanation: &mut Explanation,
    ) -> Result<Vec<Arc<str>>, Refusal> {
        let (disbelieved, given) = (call.disbelieved, call.inputs.clone());
        let (parts, body) = self.head(call)?;
        check_lines(&parts.headers, self.limits.header_count)?;
        let canonical = Canonical::read(parts, self.limits.uri_bytes)?;
        if let Some((reason, detail)) = disbelieved {
            return Err(Refusal::new(reason, detail));
        }
        let Matched {
            endpoint,
            parameters,
            ..
        } = route(asker.snapshot, &canonical)?;
        explanation.operation = Some(endpoint.operation.id.clone());
        let right = self.right(asker, endpoint)?;
        let limit = self.limits.body_peek_bytes;
        let held = describe::wants_body(&endpoint.operation).then_some(&body);
        if held.is_some_and(|body| body.len() > limit) {
            let detail = format!("this operation's body is read, up to {limit} bytes");
            return Err(Refusal::too_large(StatusCode::PAYLOAD_TOO_LARGE, detail));
        }
        let inputs = match given {
            None => describe::inputs(&endpoint.operation, &canonical, &parameters, held)?,
            Some(mut given) => {
                given.retain(|name, _| endpoint.operation.inputs.contains_key(name));
                given
            }
        };
        let call = Call {
            endpoint,
            canonical: &canonical,
            inputs,
        };
        let mut supposing = Supposing::default();
        let weighed = {
            let mut ledger = asker.task.map(|task| task.ledger());
            weigh(&mut supposing, asker, &right, &call, ledger.as_deref_mut())
        };
        let closed = supposing.first.is_some();
        let grant = match (&weighed, &right) {
            (Ok((grant, _)), _) => grant.clone(),
            (Err(_), Right::Grants(covering)) => {
                let covering = || covering.iter(endpoint, asker.now).next().cloned();
                supposing.first.or_else(covering)
            }
            (Err(_), Right::Baseline) => None,
        };
        explanation.signals = supposing.seen;
        explanation.needs = supposing.needs;
        if let Some(grant) = grant {
            if grant.is_out_of_force() && asker.supposed.is_none() {
                tell_suspension(explanation, asker, &grant, weighed.is_err() && !closed);
            }
            explanation.grant = Some(grant.request().grant.clone());
            explanation.entitlement = Some(grant.request().right.entitlement.clone());
        }
        if let Err(refusal) = &weighed
            && matches!(
                refusal.reason(),
                DenyReason::MfaRequired | DenyReason::ProofRequired
            )
        {
            let auth = json!({
                "methods": asker.methods,
                "factors": asker.factors(),
                "proof": asker.proof().as_str(),
            });
            explanation.signals.insert("auth".to_owned(), auth);
        }
        let (_, permit) = weighed.map_err(|refusal| self.advise(refusal, asker, endpoint))?;
        Ok(permit.rules().to_vec())
    }

    /// The head as a connection would have handed it over.
    fn head(&self, call: SupposedCall) -> Result<(http::request::Parts, Bytes), Refusal> {
        let malformed = |detail: &str| Refusal::new(DenyReason::RequestMalformed, detail);
        let uri: Uri = call
            .url
            .parse()
            .map_err(|_| malformed("the URL is not one that a request can have"))?;
        let own: Uri = self
            .public_url
            .parse()
            .map_err(|_| malformed("the gateway's own URL is not one"))?;
        let authority = uri.authority().or_else(|| own.authority());
        let host = authority.and_then(|host| HeaderValue::from_str(host.as_str()).ok());
        let body = call.body.unwrap_or_default();
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        let request = Request::builder().method(call.method).uri(target).body(());
        let request = request.map_err(|_| malformed("the request can't be written"))?;
        let (mut parts, ()) = request.into_parts();
        parts.headers = call.headers;
        if let (Some(host), false) = (host, parts.headers.contains_key(HOST)) {
            parts.headers.insert(HOST, host);
        }
        if !body.is_empty() && !parts.headers.contains_key(CONTENT_LENGTH) {
            parts.headers.insert(CONTENT_LENGTH, body.len().into());
        }
        Ok((parts, body))
    }
}

/// Tells that the grant rests, by which rule, and what that lacks to let it go. Where rules have refused the call
/// itself, what they were given to read stays.
fn tell_suspension(
    explanation: &mut Explanation,
    asker: &Asker<'_>,
    grant: &LiveGrant,
    refused: bool,
) {
    let (seen, needs) = suspension_reads(asker, grant);
    for (name, value) in seen {
        if refused {
            explanation.signals.entry(name).or_insert(value);
        } else {
            explanation.signals.insert(name, value);
        }
    }
    for need in &needs {
        if !explanation.needs.contains(need) {
            explanation.needs.push(need.clone());
        }
    }
    let rule = grant.suspender();
    explanation.suspended = Some(Suspension {
        rule: rule.as_ref().map(|rule| Arc::clone(&rule.id)),
        message: rule.and_then(|rule| rule.message.clone()),
        needs,
    });
}

/// Decides on calls that nobody makes.
#[derive(Debug, Default)]
struct Supposing {
    /// The first grant that the rules permit and that can't take the call.
    first: Option<Arc<LiveGrant>>,
    /// What was read for the question that counts: the one that was answered last, unless an earlier
    /// grant's refusal is the one that is told.
    seen: Seen,
    /// What of it would have to be otherwise; not told where much is supposed.
    needs: Vec<String>,
}

impl Deciding for Supposing {
    type Place = Arc<LiveGrant>;

    fn ask(&mut self, asker: &Asker<'_>, question: &Question<'_>, _: &Kept) -> Decision {
        let policies = asker.snapshot.policies();
        if asker.is_judged_by_cedar() {
            return policies.decide_by_cedar(question);
        }
        let (decision, seen) = policies.explain(question);
        if self.seen.is_empty() || matches!(decision, Decision::Allow(_)) {
            self.needs = match &decision {
                Decision::Deny(denial)
                    if denial.reason == DenyReason::ConditionDenied
                        && denial.error.is_none()
                        && asker.supposed.is_none() =>
                {
                    policies.needs(question, &denial.rules, &seen)
                }
                Decision::Allow(_) | Decision::Deny(_) => Vec::new(),
            };
            self.seen = seen;
        }
        decision
    }

    fn enter(&mut self, asker: &Asker<'_>, grant: &Arc<LiveGrant>) -> Result<Self::Place, Closed> {
        match grant.refuses(asker.now) {
            None => Ok(Arc::clone(grant)),
            Some(closed) => {
                self.first.get_or_insert_with(|| Arc::clone(grant));
                Err(closed)
            }
        }
    }

    fn asked(&mut self) -> Option<Written> {
        None
    }
}
