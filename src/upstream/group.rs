//! The addresses of one service, as one worker knows them: names are looked up beside the requests,
//! never by them, and what a name led to is used for as long as nothing better is known.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::spawn_local;
use tracing::warn;

use super::checks::check;
use super::connect::within;
use super::endpoint::Endpoint;
use super::lane::Lane;
use super::resolve::resolve;
use super::target::{Address, Target};
use super::{Common, ConnectError, Phase, PoolLimits, SendError};
use crate::base::{BootInstant, Clock, Digest, ErrorChain};
use crate::telemetry::UpstreamMetrics;

/// A name that leads nowhere, or to an address that fails, is looked up again this soon.
const IMPATIENCE: Duration = Duration::from_secs(2);

/// No name leads to more addresses than this; the first count.
const MOST_ADDRESSES: usize = 64;

/// One service's addresses and the connections to them.
#[derive(Debug)]
pub(super) struct Group {
    /// As the newest generation has it.
    target: RefCell<Arc<Target>>,
    /// What TLS the connections were made with.
    files: Cell<Digest>,
    clock: Clock,
    limits: PoolLimits,
    common: Arc<Common>,
    metrics: Rc<UpstreamMetrics>,
    names: Box<[Name]>,
    /// The lanes of all names.
    all: RefCell<Rc<[Rc<Lane>]>>,
    /// Told when a look-up has ended.
    looked_up: Notify,
    retired: Cell<bool>,
}

/// One address as it is configured, and where it leads.
#[derive(Debug)]
struct Name {
    address: Arc<Address>,
    lanes: RefCell<Vec<Rc<Lane>>>,
    /// When the last look-up began.
    asked: Cell<Option<BootInstant>>,
    /// Whether one runs: never two, so a resolver that hangs holds one thread a name.
    asking: Cell<bool>,
    failure: RefCell<Option<ConnectError>>,
}

impl Group {
    pub(super) fn open(
        target: &Arc<Target>,
        clock: &Clock,
        limits: PoolLimits,
        common: &Arc<Common>,
    ) -> Rc<Self> {
        let names = target.addresses.iter().map(|address| Name {
            address: Arc::clone(address),
            lanes: RefCell::default(),
            asked: Cell::new(None),
            asking: Cell::new(false),
            failure: RefCell::new(None),
        });
        let group = Rc::new(Self {
            metrics: Rc::new(common.metrics.upstream(target.service().as_str())),
            names: names.collect(),
            target: RefCell::new(Arc::clone(target)),
            files: Cell::new(target.files()),
            clock: clock.clone(),
            limits,
            common: Arc::clone(common),
            all: RefCell::new(Rc::new([])),
            looked_up: Notify::new(),
            retired: Cell::new(false),
        });
        for name in &group.names {
            if let Some(endpoint) = &name.address.fixed {
                group.lead(name, vec![endpoint.clone()]);
            }
        }
        group
    }

    pub(super) fn target(&self) -> Arc<Target> {
        Arc::clone(&self.target.borrow())
    }

    /// Goes on as `target`, which has the same key.
    pub(super) fn follow(&self, target: &Arc<Target>) {
        let mut known = self.target.borrow_mut();
        if !Arc::ptr_eq(&known, target) {
            *known = Arc::clone(target);
        }
    }

    /// The lanes there are, and at least one. Waits only where no name has ever led anywhere.
    pub(super) async fn lanes(
        self: &Rc<Self>,
        deadline: BootInstant,
    ) -> Result<Rc<[Rc<Lane>]>, SendError> {
        if let Some(lanes) = self.known() {
            return Ok(lanes);
        }
        loop {
            let looked_up = self.looked_up.notified();
            if let Some(lanes) = self.known() {
                return Ok(lanes);
            }
            self.look_up();
            if !self.names.iter().any(|name| name.asking.get()) {
                return Err(self.nowhere());
            }
            if within(&self.clock, deadline, looked_up).await.is_err() {
                return Err(SendError::Timeout {
                    place: self.target().home().clone(),
                    phase: Phase::Connect,
                });
            }
        }
    }

    pub(super) fn known(&self) -> Option<Rc<[Rc<Lane>]>> {
        let all = self.all.borrow();
        (!all.is_empty()).then(|| Rc::clone(&all))
    }

    fn nowhere(&self) -> SendError {
        let target = self.target();
        let failed = self.names.iter().find_map(|name| {
            let source = name.failure.borrow().as_ref().map(ConnectError::again)?;
            Some(SendError::Connect {
                place: target.place(&name.address),
                source,
            })
        });
        failed.unwrap_or_else(|| SendError::Connect {
            place: target.home().clone(),
            source: ConnectError::NoAddress,
        })
    }

    /// Looks up the names for which that is due, closes old connections, checks addresses.
    pub(super) fn sweep(self: &Rc<Self>) {
        self.look_up();
        let files = self.target.borrow().files();
        let renewed = self.files.replace(files) != files;
        for lane in self.all.borrow().iter() {
            if renewed {
                lane.renew();
            }
            lane.sweep();
            if lane.checked.is_some() {
                let (clock, target) = (self.clock.clone(), self.target());
                spawn_local(check(clock, target, Rc::clone(lane)));
            }
        }
    }

    /// Closes what is idle, and every other connection when its exchange ends.
    pub(super) fn retire(&self) {
        self.retired.set(true);
        self.all.borrow().iter().for_each(|lane| lane.retire());
    }

    fn look_up(self: &Rc<Self>) {
        let now = self.clock.now();
        for (index, name) in self.names.iter().enumerate() {
            if name.is_due(now, self.limits.resolve_interval) {
                name.asking.set(true);
                name.asked.set(Some(now));
                spawn_local(Rc::clone(self).ask(index));
            }
        }
    }

    async fn ask(self: Rc<Self>, index: usize) {
        let Some(name) = self.names.get(index) else {
            return;
        };
        let (host, port) = (&name.address.host, name.address.port);
        let found = resolve(&self.common.resolver, host, port).await;
        name.asking.set(false);
        match found {
            Ok(found) if !self.retired.get() => {
                *name.failure.borrow_mut() = None;
                self.lead(name, found.into_iter().map(Endpoint::Tcp).collect());
            }
            Ok(_) => {}
            Err(error) => {
                self.metrics.lookups_failed.inc();
                if name.failure.borrow().is_none() {
                    let (target, error) = (self.target(), ErrorChain(&error));
                    warn!(service = %target.service(), name = %host, %error, "a name can't be looked up; known addresses stay in use");
                }
                *name.failure.borrow_mut() = Some(error);
            }
        }
        self.looked_up.notify_waiters();
    }

    /// Has a name lead to these addresses. Connections to others are closed once nothing runs on them.
    fn lead(&self, name: &Name, endpoints: Vec<Endpoint>) {
        let mut before = name.lanes.take();
        let mut seen = HashSet::new();
        let mut lanes = Vec::with_capacity(endpoints.len().min(MOST_ADDRESSES));
        for endpoint in endpoints {
            if lanes.len() == MOST_ADDRESSES {
                break;
            }
            if !seen.insert(endpoint.clone()) {
                continue;
            }
            let known = before.iter().position(|lane| lane.endpoint == endpoint);
            lanes.push(match known {
                Some(index) => before.swap_remove(index),
                None => self.open_lane(name, endpoint),
            });
        }
        before.iter().for_each(|gone| gone.retire());
        *name.lanes.borrow_mut() = lanes;
        let lanes = self.names.iter().map(|name| name.lanes.borrow());
        let all: Vec<_> = lanes.flat_map(|lanes| lanes.clone()).collect();
        *self.all.borrow_mut() = all.into();
    }

    fn open_lane(&self, name: &Name, endpoint: Endpoint) -> Rc<Lane> {
        let target = self.target.borrow();
        let place = || self.common.board.place(target.key(), &endpoint);
        let checked = target.has_checks().then(place);
        Rc::new(Lane::new(
            &self.clock,
            self.limits,
            Arc::clone(&name.address),
            endpoint,
            checked,
            Rc::clone(&self.metrics),
        ))
    }
}

impl Name {
    fn is_due(&self, now: BootInstant, interval: Duration) -> bool {
        if self.address.fixed.is_some() || self.asking.get() {
            return false;
        }
        let lanes = self.lanes.borrow();
        let uneasy = lanes.is_empty() || lanes.iter().any(|lane| lane.is_failing());
        let interval = if uneasy {
            interval.min(IMPATIENCE)
        } else {
            interval
        };
        let old = |asked| now.saturating_since(asked) >= interval;
        self.asked.get().is_none_or(old)
    }
}
