//! Health checks: a request of the gateway's own to each address, whoever else calls it or not.
//!
//! A check of one address serves all workers: they share what it found, and whoever comes first when
//! it is due makes it. So there is one check of an address at a time, however many workers there are.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use http::header::USER_AGENT;
use http::{HeaderValue, Method};
use tracing::{debug, info};

use super::connect::{connect, within};
use super::endpoint::Endpoint;
use super::lane::Lane;
use super::outgoing::Outgoing;
use super::target::Target;
use crate::base::{BootInstant, Clock, Digest};
use crate::model::HealthCheck;
use crate::wire::{Body, Fields, Outbound};

/// So many checks in a row without a good answer put an address out; one good answer brings it back.
const FAILURES: u32 = 2;

/// What the gateway calls itself.
const AGENT: HeaderValue = HeaderValue::from_static("portcullis-health-check");

/// The addresses that are checked, for all workers.
#[derive(Debug, Default)]
pub(super) struct Board(Mutex<HashMap<(Digest, Endpoint), Weak<Checked>>>);

/// What checks have found out about one address.
#[derive(Debug, Default)]
pub(super) struct Checked {
    down: AtomicBool,
    failures: AtomicU32,
    /// When the next check is due, on the boot clock.
    due: AtomicU64,
}

impl Board {
    /// The place of an address of a target.
    pub(super) fn place(&self, target: &Digest, endpoint: &Endpoint) -> Arc<Checked> {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Addresses come and go; what no worker knows any more is forgotten here.
        places.retain(|_, place| place.strong_count() > 0);
        let place = places.entry((*target, endpoint.clone())).or_default();
        place.upgrade().unwrap_or_else(|| {
            let fresh = Arc::default();
            *place = Arc::downgrade(&fresh);
            fresh
        })
    }
}

impl Checked {
    /// Whether checks say that nobody serves there.
    pub(super) fn is_down(&self) -> bool {
        self.down.load(Ordering::Relaxed)
    }

    /// Whether a check is due, and whoever asks is the one to make it.
    fn claim(&self, now: BootInstant, interval: Duration) -> bool {
        let due = self.due.load(Ordering::Relaxed);
        let next = (now + interval).as_nanos();
        let swap = |due| {
            let (success, failure) = (Ordering::AcqRel, Ordering::Relaxed);
            self.due.compare_exchange(due, next, success, failure)
        };
        due <= now.as_nanos() && swap(due).is_ok()
    }

    /// Notes what a check found; returns whether that changes anything.
    fn note(&self, up: bool) -> bool {
        if up {
            self.failures.store(0, Ordering::Relaxed);
            return self.down.swap(false, Ordering::Relaxed);
        }
        let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
        failures >= FAILURES && !self.down.swap(true, Ordering::Relaxed)
    }
}

/// Checks an address if that is due.
pub(super) async fn check(clock: Clock, target: Arc<Target>, lane: Rc<Lane>) {
    let (Some(check), Some(checked)) = (&target.health, &lane.checked) else {
        return;
    };
    let now = clock.now();
    if !checked.claim(now, check.interval) {
        return;
    }
    let deadline = now + check.timeout;
    let asked = ask(&clock, &target, &lane, check, deadline);
    let up = within(&clock, deadline, asked).await.unwrap_or(false);
    if !up {
        lane.metrics.checks_failed.inc();
    }
    if checked.note(up) {
        let (service, address) = (target.service(), &lane.endpoint);
        if up {
            info!(%service, %address, "an upstream is healthy again");
        } else {
            info!(%service, %address, "an upstream fails its health checks");
        }
    }
}

/// Whether the address answers well: 2xx or 3xx. The connection is the check's own.
async fn ask(
    clock: &Clock,
    target: &Target,
    lane: &Lane,
    check: &HealthCheck,
    deadline: BootInstant,
) -> bool {
    let mut link = match connect(clock, target, lane, deadline).await {
        Ok(link) => link,
        Err(error) => {
            debug!(%error, "a health check found nobody");
            return false;
        }
    };
    let mut fields = Fields::default();
    fields.push(&USER_AGENT, &AGENT);
    let request = Outbound {
        method: Method::GET,
        target: check.path.clone(),
        fields,
        body: Outgoing::new(Body::empty(), clock),
    };
    match link.send(Box::new(request), &lane.address, None).await {
        Ok(answer) => answer.head.status.is_success() || answer.head.status.is_redirection(),
        Err(_) => false,
    }
}
