//! From the clocks of the last run to those of this one.
//!
//! Deadlines are instants of the boot clock. In the same boot they are as they were, whatever the wall
//! clock says. After a reboot the boot clock has begun anew: the wall clock tells how long the machine was
//! off, and since it may be wrong by what happened after the last mark, what is left is shortened by the
//! time between two marks. A wall clock behind the last mark tells nothing, and neither does a boot clock
//! behind it in the same boot: then nothing can be shown to have time left.

use std::time::Duration;

use jiff::Timestamp;

use crate::base::BootInstant;
use crate::grants::securing::EVERY;
use crate::store::ClockMark;

/// How what the last run noted reads now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Passage {
    now: BootInstant,
    wall: Timestamp,
    way: Way,
}

#[derive(Clone, Copy, Debug)]
enum Way {
    /// The machine was off between; so many nanoseconds have to be added to an instant of the last run.
    Rebooted(i128),
    /// Both runs are in one boot.
    Same { wall_runs_on: bool },
    /// No clock can tell how much time has passed.
    Unknown,
}

impl Passage {
    /// From `last` to `now`.
    pub(super) fn new(last: Option<&ClockMark>, now: &ClockMark) -> Self {
        let way = match last {
            Some(last) if last.boot == now.boot && last.now <= now.now => Way::Same {
                wall_runs_on: last.wall <= now.wall,
            },
            Some(last) if last.boot != now.boot && last.wall <= now.wall => {
                let off = now.wall.as_nanosecond() - last.wall.as_nanosecond();
                let (then, now) = (last.now.as_nanos(), now.now.as_nanos());
                Way::Rebooted(i128::from(now) - i128::from(then) - off)
            }
            Some(_) | None => Way::Unknown,
        };
        Self {
            now: now.now,
            wall: now.wall,
            way,
        }
    }

    /// Whether instants of the last run read as they did.
    pub(super) const fn is_in_one_boot(self) -> bool {
        matches!(self.way, Way::Same { .. })
    }

    /// When something began that began then.
    pub(super) fn begin(self, then: BootInstant) -> BootInstant {
        match self.way {
            Way::Rebooted(shift) => moved(then, shift),
            Way::Same { .. } | Way::Unknown => then,
        }
    }

    /// When something ends that was to end then; none where it is over.
    pub(super) fn end(self, then: BootInstant) -> Option<BootInstant> {
        let end = match self.way {
            Way::Rebooted(shift) => less(moved(then, shift), EVERY),
            Way::Same { .. } => then,
            Way::Unknown => return None,
        };
        (self.now < end).then_some(end)
    }

    /// The same for what was to end at `then` by the wall clock too: after a reboot the earlier counts.
    pub(super) fn end_by_both(self, then: BootInstant, wall: Timestamp) -> Option<BootInstant> {
        let end = self.end(then)?;
        match self.way {
            Way::Rebooted(_) => self.end_by_wall(wall).map(|by_wall| by_wall.min(end)),
            Way::Same { .. } | Way::Unknown => Some(end),
        }
    }

    /// The same for what the store has no instant of: only the wall clock tells.
    pub(super) fn end_by_wall(self, then: Timestamp) -> Option<BootInstant> {
        match self.way {
            Way::Rebooted(_) | Way::Same { wall_runs_on: true } => {}
            Way::Same {
                wall_runs_on: false,
            }
            | Way::Unknown => return None,
        }
        let end = less(self.now + since(self.wall, then), EVERY);
        (self.now < end).then_some(end)
    }

    /// When something began that began then by the wall clock.
    pub(super) fn begin_by_wall(self, then: Timestamp) -> BootInstant {
        less(self.now, since(then, self.wall))
    }
}

/// The time from one to the other, or none where they are the other way round.
fn since(earlier: Timestamp, later: Timestamp) -> Duration {
    Duration::try_from(later.duration_since(earlier)).unwrap_or(Duration::ZERO)
}

fn moved(then: BootInstant, shift: i128) -> BootInstant {
    let nanos = i128::from(then.as_nanos()).saturating_add(shift);
    BootInstant::from_nanos(u64::try_from(nanos.max(0)).unwrap_or(u64::MAX))
}

fn less(instant: BootInstant, by: Duration) -> BootInstant {
    let by = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
    BootInstant::from_nanos(instant.as_nanos().saturating_sub(by))
}
