//! Renewal: a grant's end is moved, within what was promised at its start.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use super::activation::later;
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
        self.renew_seen(grant, duration, longest).await.0
    }

    /// The same, and where the grant's life stood when it was decided.
    ///
    /// # Errors
    ///
    /// As above.
    pub async fn renew_seen(
        &self,
        grant: &Arc<LiveGrant>,
        duration: Duration,
        longest: Duration,
    ) -> (Result<Grant, GrantsError>, Option<Extent>) {
        let (grants, grant) = (self.clone(), Arc::clone(grant));
        let renewed = async move {
            let mut seen = None;
            let renewed = grants.renew_in_turn(&grant, (duration, longest), &mut seen);
            Ok((renewed.await, seen))
        };
        match self.see_through(renewed).await {
            Ok(done) => done,
            Err(error) => (Err(error), None),
        }
    }

    async fn renew_in_turn(
        &self,
        grant: &Arc<LiveGrant>,
        (duration, longest): (Duration, Duration),
        seen: &mut Option<Extent>,
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
        let extent = self.extent_at(grant, now).ok_or_else(over)?;
        *seen = Some(extent);
        let end = match extent.renewed(duration, longest) {
            Renewed::Moved(left) => now + left,
            Renewed::NoLonger => return Err(GrantsError::NoLonger(id.clone())),
            Renewed::Same => return Ok(grant.record()),
        };
        let mut renewed = grant.record();
        let expires_at = later(at, end - now);
        renewed.apply(Transition::Renew { expires_at }, at)?;
        let mut mark = grant.mark();
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

    /// Where the life of a grant stands; nothing where it, or what it hangs on, is over.
    #[must_use]
    pub fn extent(&self, grant: &LiveGrant) -> Option<Extent> {
        let now = self.0.clock.now();
        let live = grant.ended(now).is_none();
        live.then(|| self.extent_at(grant, now)).flatten()
    }

    fn extent_at(&self, grant: &LiveGrant, now: BootInstant) -> Option<Extent> {
        let request = grant.request();
        let mut last = self.task(&request.task)?.oldest();
        if let Some(parent) = &request.parent {
            last = last.min(self.grant(parent)?.deadline());
        }
        Some(Extent {
            age: now - grant.starts(),
            left: grant.deadline() - now,
            at_most: last - now,
        })
    }
}

/// Where the life of a grant stands at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The time since its first activation.
    pub age: Duration,
    /// What is left of it.
    pub left: Duration,
    /// How long its task and the grant that it was carved from could let it go on.
    pub at_most: Duration,
}

/// What a renewal comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewed {
    /// It ends after this much more.
    Moved(Duration),
    /// Its end can't be moved any further.
    NoLonger,
    /// It ends no sooner already.
    Same,
}

impl Extent {
    /// What becomes of a renewal for `duration`, within `longest` from the first activation.
    #[must_use]
    pub fn renewed(&self, duration: Duration, longest: Duration) -> Renewed {
        let last = longest.saturating_sub(self.age).min(self.at_most);
        let end = duration.min(last);
        if end > self.left + LEAST {
            Renewed::Moved(end)
        } else if self.left + LEAST >= last {
            Renewed::NoLonger
        } else {
            Renewed::Same
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
