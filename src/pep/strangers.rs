//! Tokens that turn out to be nobody's, by address. Each costs a verification, which is worth thousands of
//! what a remembered token costs: an address that sends too many is told to wait before the next one is
//! looked at. Tokens that are remembered, and those that hold, cost their address nothing.

#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use foldhash::fast::RandomState;
use moka::sync::Cache;

use crate::base::BootInstant;

/// How many addresses are remembered. One that was forgotten begins anew.
const REMEMBERED: u64 = 100_000;

/// An address that has used none of its allowance may use so many seconds' worth at once.
const BURST: u32 = 5;

/// Counts bad tokens by address: the generic cell rate algorithm (ITU-T I.371, annex A), with one number
/// for each address, the time up to which its allowance is used.
#[derive(Debug)]
pub(super) struct Strangers {
    used: Cache<IpAddr, Arc<AtomicU64>, RandomState>,
    /// What one bad token uses.
    each: Duration,
}

impl Strangers {
    /// Lets each address send `per_second` bad tokens.
    pub(super) fn new(per_second: u32) -> Self {
        let cache = Cache::builder()
            .max_capacity(REMEMBERED)
            .time_to_idle(Duration::from_secs(u64::from(BURST) + 1));
        Self {
            used: cache.build_with_hasher(RandomState::default()),
            each: Duration::from_secs(1) / per_second.max(1),
        }
    }

    /// How long an address has to wait before another unknown token of its is looked at, if it has to.
    pub(super) fn wait(&self, source: IpAddr, now: BootInstant) -> Option<Duration> {
        let used = self.used.get(&network(source))?;
        let used = BootInstant::from_nanos(used.load(Ordering::Relaxed));
        let over = used.saturating_since(now).checked_sub(self.burst())?;
        (!over.is_zero()).then_some(over)
    }

    /// A token of this address was nobody's.
    pub(super) fn count(&self, source: IpAddr, now: BootInstant) {
        let used = self.used.get_with(network(source), Arc::default);
        let more = |used| Some((BootInstant::from_nanos(used).max(now) + self.each).as_nanos());
        // It always gives a number.
        let _ = used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }

    const fn burst(&self) -> Duration {
        Duration::from_secs(BURST as u64)
    }
}

/// Whoever has one IPv6 address has the 2^64 beside it.
fn network(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(six) => {
            let [a, b, c, d, ..] = six.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        four @ IpAddr::V4(_) => four,
    }
}
