//! Waiting for a decision, without holding anything but the connection, and that not for long.

use std::time::Duration;

use jiff::SignedDuration;
use serde::Deserialize;
use tokio::sync::SemaphorePermit;

use super::caller::Caller;
use super::error::ApiError;
use super::state::Admin;
use crate::base::BootInstant;
use crate::grants::{Event, Heard, Listener, PendingGrant};
use crate::model::{Grant, GrantState};

/// The longest wait.
const LONGEST: Duration = Duration::from_secs(60);

/// How many may wait for one request at once.
const MOST_PER_REQUEST: usize = 32;

/// How long to wait for a decision.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Waiting {
    /// Such as `30s`; at most a minute.
    wait: Option<String>,
}

impl Waiting {
    /// Waits for the decision about a request that `caller` was shown. What its agent asks is a sign of
    /// life of its task. Says whether there may be something new to tell.
    pub(super) async fn until_decided(
        &self,
        admin: &Admin,
        caller: &Caller,
        grant: &Grant,
    ) -> Result<bool, ApiError> {
        let wait = self.wait.as_deref().map(parse).transpose()?;
        if !matches!(grant.state, GrantState::Pending { .. }) {
            return Ok(false);
        }
        let Some(pending) = admin.grants.pending(&grant.request.id) else {
            return Ok(true);
        };
        let longest = sign_of_life(admin, caller, &pending).await?;
        let Some(wait) = wait.map(|wait| wait.min(longest)) else {
            return Ok(false);
        };
        let Ok(_place) = admin.waiters.try_acquire() else {
            return Ok(false);
        };
        if pending.waiting() >= MOST_PER_REQUEST {
            return Ok(false);
        }
        let mut stopping = admin.stopping.clone();
        tokio::select! {
            () = pending.decided() => Ok(true),
            () = admin.clock.sleep_until(admin.clock.now() + wait) => Ok(true),
            _ = stopping.wait_for(|stopping| *stopping) => Ok(false),
        }
    }
}

/// Waits for something to be on a list that was found empty. Made before the list is looked at first, so that it
/// hears what comes behind that.
pub(super) struct Watching<'a> {
    admin: &'a Admin,
    events: Listener,
    until: BootInstant,
    /// Its place among those who wait; taken when it has to.
    place: Option<SemaphorePermit<'a>>,
}

impl<'a> Watching<'a> {
    /// One that waits for so long; none where nothing is said.
    pub(super) fn begin(admin: &'a Admin, wait: Option<&str>) -> Result<Option<Self>, ApiError> {
        let wait = wait.map(parse).transpose()?;
        Ok(wait.map(|wait| Self {
            admin,
            events: admin.grants.events(),
            until: admin.clock.now() + wait,
            place: None,
        }))
    }

    /// Whether to look again, once there may be something new.
    pub(super) async fn again(&mut self) -> bool {
        if self.place.is_none() {
            self.place = self.admin.waiters.try_acquire().ok();
        }
        if self.place.is_none() {
            return false;
        }
        let mut stopping = self.admin.stopping.clone();
        tokio::select! {
            () = asked(&mut self.events) => true,
            () = self.admin.clock.sleep_until(self.until) => false,
            _ = stopping.wait_for(|stopping| *stopping) => false,
        }
    }
}

/// Resolves when something may have been asked for.
async fn asked(events: &mut Listener) {
    loop {
        match events.next().await {
            Some(Heard::Event(happened)) => match happened.event {
                Event::GrantActive(_) | Event::RequestPending(_) => return,
                _ => {}
            },
            Some(Heard::Gap) => return,
            // The gateway is gone, which others tell.
            None => std::future::pending().await,
        }
    }
}

/// Renews the task's lease where its own agent asks, and says how long it can wait: half a lease, so
/// that it can ask again before that lapses.
async fn sign_of_life(
    admin: &Admin,
    caller: &Caller,
    pending: &PendingGrant,
) -> Result<Duration, ApiError> {
    let Caller::Agent(agent) = caller else {
        return Ok(LONGEST);
    };
    let now = admin.clock.now();
    let Some(task) = admin.grants.task(&pending.request().task) else {
        return Ok(Duration::ZERO);
    };
    if now < pending.until() && agent.reaches(admin, task.task()).await? {
        task.renew(now);
    }
    Ok(LONGEST.min(task.task().lease / 2))
}

fn parse(text: &str) -> Result<Duration, ApiError> {
    let whole = text.parse::<u64>().map(Duration::from_secs).ok();
    let wait = whole.or_else(|| {
        let duration: SignedDuration = text.parse().ok()?;
        Duration::try_from(duration).ok()
    });
    let malformed = || ApiError::malformed(format!("`wait` is a time such as 30s, not `{text}`"));
    Ok(wait.ok_or_else(malformed)?.min(LONGEST))
}
