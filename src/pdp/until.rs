//! When an answer may change though nobody asks and nothing but the time passes.

use std::time::Duration;

use jiff::Timestamp;

/// How long an answer stands at least, while nothing but the time changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Until {
    /// Until the wall clock shows this; for ever where that is not read.
    pub wall: Option<Timestamp>,
    /// For so long on the boot clock, by which ages are told; for ever where none is read.
    pub aged: Option<Duration>,
}

impl Until {
    /// For ever.
    pub(super) const EVER: Self = Self {
        wall: None,
        aged: None,
    };

    /// No longer than a moment.
    pub(super) const NOW: Self = Self {
        wall: None,
        aged: Some(Duration::ZERO),
    };

    /// Until this many milliseconds since the epoch; for ever where that has no date.
    pub(super) fn at(milliseconds: i64) -> Self {
        Self {
            wall: Timestamp::from_millisecond(milliseconds).ok(),
            aged: None,
        }
    }

    /// Until an age is told that is so many seconds more. What is left of the second that has begun is not
    /// told: it may be as good as over.
    pub(super) fn aged(seconds: i64) -> Self {
        let whole = u64::try_from(seconds.saturating_sub(1)).unwrap_or(0);
        Self {
            wall: None,
            aged: Some(Duration::from_secs(whole)),
        }
    }

    /// The shorter in either.
    pub(super) fn min(self, other: Self) -> Self {
        fn first<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
            match (one, other) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            }
        }
        Self {
            wall: first(self.wall, other.wall),
            aged: first(self.aged, other.aged),
        }
    }
}

/// Which rule has turned against a grant at rest, and how long that is so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turned<R> {
    /// The rule that has turned against it, and what that says; none where none has.
    pub rule: Option<R>,
    /// How long that is so.
    pub until: Until,
}

impl<R> Turned<R> {
    /// The two together, of which the harder rule counts; the first where neither is harder.
    #[must_use]
    pub fn and(self, other: Self, is_hard: impl Fn(&R) -> bool) -> Self {
        let rule = match (self.rule, other.rule) {
            (Some(rule), Some(other)) if is_hard(&other) && !is_hard(&rule) => Some(other),
            (rule, other) => rule.or(other),
        };
        let until = self.until.min(other.until);
        Self { rule, until }
    }
}

impl<R> Default for Turned<R> {
    /// None has, for ever.
    fn default() -> Self {
        Self {
            rule: None,
            until: Until::EVER,
        }
    }
}
