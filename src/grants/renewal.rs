//! Renewal: a grant's end is moved, within what was promised at its start.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use super::service::later;
use super::{Grants, GrantsError, LiveGrant};
use crate::base::BootInstant;
use crate::model::{Approval, Grant, GrantRequest, Transition};
use crate::store::Change;

/// Less than this is no renewal. A grant's first end is fixed before it is stored and its start after, so
/// that there is always a moment left that is worth nothing.
const LEAST: Duration = Duration::from_secs(1);

impl Grants {
    /// Moves the end of a grant to `duration` from now, but neither past `longest` from its first
    /// activation, nor past its task, nor past the grant that it was carved from; durable when this
    /// returns. An end is only ever moved further away. The rules have been asked.
    ///
    /// # Errors
    ///
    /// When the grant is over, its end can't be moved any further, or the store can't keep it.
    pub async fn renew(
        &self,
        grant: &Arc<LiveGrant>,
        duration: Duration,
        longest: Duration,
    ) -> Result<Grant, GrantsError> {
        let (grants, grant) = (self.clone(), Arc::clone(grant));
        self.see_through(async move { grants.renew_in_turn(&grant, duration, longest).await })
            .await
    }

    async fn renew_in_turn(
        &self,
        grant: &Arc<LiveGrant>,
        duration: Duration,
        longest: Duration,
    ) -> Result<Grant, GrantsError> {
        let inner = &self.0;
        // The mark holds the end too: one writes both at a time.
        let _turn = grant.turn().lock().await;
        let id = &grant.request().grant;
        let (now, at) = inner.clock.times();
        let over = || GrantsError::GrantUnknown(id.clone());
        if grant.ended(now).is_some() {
            return Err(over());
        }
        let last = self.last_end(grant, longest).ok_or_else(over)?;
        let end = (now + duration).min(last);
        if end <= grant.deadline() + LEAST {
            return if grant.deadline() + LEAST >= last {
                Err(GrantsError::NoLonger(id.clone()))
            } else {
                Ok(grant.record())
            };
        }
        let mut renewed = grant.record();
        let expires_at = later(at, end - now);
        renewed.apply(Transition::Renew { expires_at }, at)?;
        let mut mark = grant.mark(grant.stored_calls());
        mark.deadline = end;
        let changes = vec![
            Change::PutGrant(renewed.clone()),
            Change::MarkGrant(id.clone(), mark),
        ];
        inner.store.commit(changes).await?;
        let _order = inner.family();
        // It may have ended while the store was writing. Its end stands, there and here.
        if grant.ended(inner.clock.now()).is_some() {
            return Err(over());
        }
        grant.move_end(end, &renewed.state);
        grant.note_stored(&mark);
        inner.timers.add_grant(grant);
        if let Some(task) = inner.tasks.get(&grant.request().task) {
            // The list is in the order of the ends.
            task.set_grants(task.grants().to_vec());
        }
        Ok(renewed)
    }

    /// The latest end that a grant can have; nothing where what it hangs on is gone.
    fn last_end(&self, grant: &LiveGrant, longest: Duration) -> Option<BootInstant> {
        let request = grant.request();
        let task = self.task(&request.task)?;
        let last = (grant.starts() + longest).min(task.oldest());
        match &request.parent {
            None => Some(last),
            Some(parent) => Some(last.min(self.grant(parent)?.deadline())),
        }
    }
}

/// The longest life that people have agreed to, where they were asked: renewal does not go past it, or
/// what they were shown would not be what they agreed to.
#[must_use]
pub fn agreed_life(request: &GrantRequest, approvals: &[Approval]) -> Option<Duration> {
    let shortest = approvals.iter().filter_map(|one| one.at_most).min();
    (!approvals.is_empty()).then(|| shortest.map_or(request.duration, |s| s.min(request.duration)))
}
