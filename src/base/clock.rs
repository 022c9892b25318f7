//! Two clocks: the boot clock that deadlines run on, and the wall clock that people read.
//!
//! A grant's end is a [`BootInstant`], so a stepped wall clock neither lengthens nor shortens it, and
//! time spent in suspend counts (`CLOCK_BOOTTIME`).

#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::ops::{Add, Sub};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::watch;

use super::random_id;

/// A sleeping task looks at the boot clock again at least this often, because the runtime's timers
/// stand still during suspend.
const LONGEST_NAP: Duration = Duration::from_secs(1);

/// Where the boot clock stands when the machine starts: a century in, so that what began before a
/// reboot still has a place on it and does not look younger than it is.
const AT_BOOT: u64 = 100 * 365 * 24 * 60 * 60 * NANOS_PER_SECOND;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

thread_local! {
    static STILL: Still = const { Still::new() };
}

/// What this thread's clocks show while they [stand still](Clock::at_one_moment).
struct Still {
    stands: Cell<bool>,
    boot: Cell<Option<BootInstant>>,
    wall: Cell<Option<Timestamp>>,
}

impl Still {
    const fn new() -> Self {
        Self {
            stands: Cell::new(false),
            boot: Cell::new(None),
            wall: Cell::new(None),
        }
    }

    /// What `place` has, or else what is read now, and for as long as the clocks stand still.
    fn get<T: Copy>(&self, place: &Cell<Option<T>>, read: impl FnOnce() -> T) -> T {
        if let Some(read) = place.get() {
            return read;
        }
        let read = read();
        if self.stands.get() {
            place.set(Some(read));
        }
        read
    }
}

/// Has the clocks move again, also where what was done has panicked.
struct MovesAgain;

impl Drop for MovesAgain {
    fn drop(&mut self) {
        STILL.with(|still| {
            still.stands.set(false);
            still.boot.set(None);
            still.wall.set(None);
        });
    }
}

/// A point on the boot clock, in nanoseconds since a century before the machine started.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BootInstant(u64);

impl BootInstant {
    /// Later than any instant a clock can show.
    pub const FAR_FUTURE: Self = Self(u64::MAX);

    /// Nanoseconds since a century before the machine started.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The instant that [`BootInstant::as_nanos`] says `nanos` of.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// The time from `earlier` to `self`, or zero where `earlier` is later.
    #[must_use]
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for BootInstant {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        let nanos = u64::try_from(rhs.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }
}

impl Sub for BootInstant {
    type Output = Duration;

    fn sub(self, rhs: Self) -> Duration {
        self.saturating_since(rhs)
    }
}

impl fmt::Debug for BootInstant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "clock+{:?}", Duration::from_nanos(self.0))
    }
}

/// Which start of the machine a boot clock counts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootId(Arc<str>);

impl BootId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for BootId {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

/// The only source of time. Cheap to clone; tests hold a [`ManualClock`] that moves it.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    Manual(Arc<ManualState>),
    System,
}

#[derive(Debug)]
struct ManualState {
    boot_nanos: AtomicU64,
    wall_nanos: AtomicI64,
    boots: AtomicU64,
    moved: watch::Sender<()>,
}

impl Clock {
    /// The machine's clocks.
    #[must_use]
    pub const fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands still at `wall` until its [`ManualClock`] moves it.
    #[must_use]
    pub fn manual(wall: Timestamp) -> (Self, ManualClock) {
        let state = Arc::new(ManualState {
            // Not zero, so that a test can look at instants before the start.
            boot_nanos: AtomicU64::new(AT_BOOT + 24 * 60 * 60 * NANOS_PER_SECOND),
            wall_nanos: AtomicI64::new(saturate(wall.as_nanosecond())),
            boots: AtomicU64::new(1),
            moved: watch::Sender::new(()),
        });
        (Self(Source::Manual(Arc::clone(&state))), ManualClock(state))
    }

    /// This moment on the boot clock.
    #[must_use]
    pub fn now(&self) -> BootInstant {
        match &self.0 {
            Source::Manual(state) => BootInstant(state.boot_nanos.load(Ordering::SeqCst)),
            Source::System => STILL.with(|still| still.get(&still.boot, read_boot)),
        }
    }

    /// The start of the machine that the boot clock counts from. Where the system does not tell, an id
    /// that no other call returns: then every start counts as one after a reboot.
    #[must_use]
    pub fn boot_id(&self) -> BootId {
        match &self.0 {
            Source::Manual(state) => {
                let boot = state.boots.load(Ordering::SeqCst);
                BootId(format!("boot-{boot}").into())
            }
            Source::System => {
                let told = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
                BootId(told.map_or_else(|_| random_id("boot").into(), |id| id.trim().into()))
            }
        }
    }

    /// This moment on the wall clock.
    #[must_use]
    pub fn wall(&self) -> Timestamp {
        match &self.0 {
            Source::Manual(state) => {
                let nanos = state.wall_nanos.load(Ordering::SeqCst);
                Timestamp::from_nanosecond(i128::from(nanos)).unwrap_or(Timestamp::UNIX_EPOCH)
            }
            Source::System => STILL.with(|still| still.get(&still.wall, read_wall)),
        }
    }

    /// Does something short at one moment: on this thread the machine's clocks stand still meanwhile, and each is
    /// read once at most. Not for what waits.
    pub fn at_one_moment<T>(act: impl FnOnce() -> T) -> T {
        if STILL.with(|still| still.stands.replace(true)) {
            return act();
        }
        let _again = MovesAgain;
        act()
    }

    /// This moment on both clocks.
    #[must_use]
    pub fn times(&self) -> (BootInstant, Timestamp) {
        (self.now(), self.wall())
    }

    /// Completes when the boot clock has reached `deadline`, but after a suspend as much later as that
    /// took: nothing wakes in between to look. For the patience with a silent peer, of which there may
    /// be thousands. Safe to drop at any point.
    pub fn doze_until(&self, deadline: BootInstant) -> impl Future<Output = ()> + Send + 'static {
        let clock = self.clone();
        async move {
            match &clock.0 {
                Source::Manual(_) => clock.sleep_until(deadline).await,
                Source::System => {
                    tokio::time::sleep(deadline - clock.now()).await;
                }
            }
        }
    }

    /// Completes when the boot clock has reached `deadline`. Safe to drop at any point.
    pub fn sleep_until(&self, deadline: BootInstant) -> impl Future<Output = ()> + Send + 'static {
        let clock = self.clone();
        async move {
            match &clock.0 {
                Source::Manual(state) => {
                    let mut moved = state.moved.subscribe();
                    while clock.now() < deadline {
                        if moved.changed().await.is_err() {
                            std::future::pending::<()>().await;
                        }
                    }
                }
                Source::System => loop {
                    let left = deadline - clock.now();
                    if left.is_zero() {
                        return;
                    }
                    tokio::time::sleep(left.min(LONGEST_NAP)).await;
                },
            }
        }
    }
}

/// Moves a clock made by [`Clock::manual`].
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<ManualState>);

impl ManualClock {
    /// Moves both clocks forward, as time itself does.
    pub fn advance(&self, by: Duration) {
        let nanos = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        // In this order: who reads the boot clock first and the wall after it never sees the first moved alone.
        self.0
            .wall_nanos
            .fetch_add(saturate(i128::from(nanos)), Ordering::SeqCst);
        self.0.boot_nanos.fetch_add(nanos, Ordering::SeqCst);
        self.0.moved.send_replace(());
    }

    /// Starts the machine anew after it was off for `off`: the boot clock begins again.
    pub fn reboot(&self, off: Duration) {
        self.0.boots.fetch_add(1, Ordering::SeqCst);
        self.0.boot_nanos.store(AT_BOOT, Ordering::SeqCst);
        let off = i64::try_from(off.as_nanos()).unwrap_or(i64::MAX);
        self.0.wall_nanos.fetch_add(off, Ordering::SeqCst);
        self.0.moved.send_replace(());
    }

    /// Sets the wall clock alone, as an administrator or NTP may.
    pub fn step_wall(&self, to: Timestamp) {
        self.0
            .wall_nanos
            .store(saturate(to.as_nanosecond()), Ordering::SeqCst);
        self.0.moved.send_replace(());
    }
}

fn read_boot() -> BootInstant {
    let now = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(now.tv_nsec).unwrap_or(0);
    let booted = AT_BOOT.saturating_add(seconds.saturating_mul(NANOS_PER_SECOND));
    BootInstant(booted.saturating_add(nanos))
}

fn read_wall() -> Timestamp {
    let now = clock_gettime(ClockId::Realtime);
    let nanos = i32::try_from(now.tv_nsec).unwrap_or(0);
    Timestamp::new(now.tv_sec, nanos).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn saturate(nanos: i128) -> i64 {
    i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX })
}
