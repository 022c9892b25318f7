//! What one agent does again and again: its networks, its hours of the week, its operations, how large the
//! numbers are that it sends, with counts that explain why each counts as usual or not yet.
//!
//! What is new is not usual. It becomes so once it was seen on as many different days (UTC) as the
//! [rules](HabitRules) say, and only so many of a kind become so in one day: whoever drifts slowly is let in
//! no faster than that. What was not seen for [`FORGOTTEN`] is as if it had never been. What is not usual
//! yet never takes the place of what is.

#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::activity::Pace;
use super::magnitude::{Magnitude, Step};
use crate::model::{OperationId, UsualFacts};

/// How long something is remembered that is not seen any more.
const FORGOTTEN: SignedDuration = SignedDuration::from_hours(90 * 24);

/// Of each kind, how many can be usual at once; over it, the one that was not seen for longest makes room.
const MOST_USUAL: usize = 256;

/// Of each kind, how many that are not usual yet are remembered; over it, the same.
const MOST_NEW: usize = 128;

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// How habits form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HabitRules {
    /// On how many different days something has to be seen until it is usual; two at least.
    pub days: u32,
    /// How many networks, how many hours, how many operations and how many magnitudes can become usual in
    /// one day.
    pub new_per_day: u32,
    /// The risk, 0 to 100, from which on nothing is learnt.
    pub frozen_at: u32,
}

impl Default for HabitRules {
    fn default() -> Self {
        Self {
            days: 3,
            new_per_day: 8,
            frozen_at: 70,
        }
    }
}

/// A network as habits tell them apart: the /24 of an IPv4 address, the /48 of an IPv6 one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Network(pub(super) IpAddr);

impl Network {
    /// The one that an address is in.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(v4) => {
                let [a, b, c, _] = v4.octets();
                Ipv4Addr::new(a, b, c, 0).into()
            }
            IpAddr::V6(v6) => {
                let [a, b, c, ..] = v6.segments();
                Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0).into()
            }
        })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = if self.0.is_ipv4() { 24 } else { 48 };
        write!(f, "{}/{bits}", self.0)
    }
}

/// An hour of the week, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WeekHour(pub(super) u8);

impl WeekHour {
    /// The one that a moment is in.
    #[must_use]
    pub fn of(at: Timestamp) -> Self {
        // The epoch was a Thursday.
        let hour = (at.as_second().div_euclid(HOUR) + 3 * 24).rem_euclid(7 * 24);
        Self(u8::try_from(hour).unwrap_or_default())
    }

    /// The day: 1 is Monday.
    #[must_use]
    pub const fn weekday(self) -> u8 {
        self.0 / 24 + 1
    }

    /// The hour of that day, 0 to 23.
    #[must_use]
    pub const fn hour(self) -> u8 {
        self.0 % 24
    }
}

/// How often and when something was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Habit {
    /// Calls that were allowed and succeeded.
    pub calls: u64,
    /// On how many different days (UTC).
    pub days: u32,
    /// The first.
    pub first: Timestamp,
    /// The last.
    pub last: Timestamp,
    /// Since when it is usual, if it is.
    pub usual_since: Option<Timestamp>,
}

impl Habit {
    const fn new(at: Timestamp) -> Self {
        Self {
            calls: 0,
            days: 0,
            first: at,
            last: at,
            usual_since: None,
        }
    }

    /// Whether it is usual at this moment.
    #[must_use]
    pub fn is_usual(&self, at: Timestamp) -> bool {
        self.usual_since.is_some() && !self.is_forgotten(at)
    }

    fn is_forgotten(&self, at: Timestamp) -> bool {
        at.duration_since(self.last) > FORGOTTEN
    }

    /// The moment after which it is forgotten.
    fn lapse(&self) -> Timestamp {
        let lapse = self.last.checked_add(FORGOTTEN);
        lapse.unwrap_or(Timestamp::MAX)
    }

    /// Counts calls; whether it has been seen on so many days now that it may become usual.
    fn see(&mut self, calls: &Calls, rules: &HabitRules) -> bool {
        self.calls = self.calls.saturating_add(calls.count);
        // A clock that was put back makes no new day.
        if self.days == 0 || day(calls.first) > day(self.last) {
            self.days = self.days.saturating_add(1);
        }
        self.last = self.last.max(calls.last);
        self.usual_since.is_none() && self.days >= rules.days
    }
}

/// Calls that habits don't tell apart, one after the other in one hour.
#[derive(Clone, Copy, Debug)]
pub(super) struct Calls {
    pub(super) count: u64,
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
}

impl Calls {
    pub(super) const fn one(at: Timestamp) -> Self {
        Self {
            count: 1,
            first: at,
            last: at,
        }
    }
}

/// The habits of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Habits<K> {
    pub(super) seen: BTreeMap<K, Habit>,
    /// The last day, counted from the epoch, on which some became usual, and how many did on it.
    pub(super) admitted: (i64, u32),
}

impl<K> Default for Habits<K> {
    fn default() -> Self {
        Self {
            seen: BTreeMap::new(),
            admitted: (i64::MIN, 0),
        }
    }
}

impl<K: Ord + Clone> Habits<K> {
    /// What was seen, usual or not.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &Habit)> {
        self.seen.iter()
    }

    /// The next moment after which one that is usual is so no more, if it is not seen again.
    fn lapse(&self, at: Timestamp) -> Option<Timestamp> {
        let usual = self.seen.values().filter(|habit| habit.is_usual(at));
        usual.map(Habit::lapse).min()
    }

    fn is_usual(&self, one: &K, at: Timestamp) -> bool {
        self.seen.get(one).is_some_and(|habit| habit.is_usual(at))
    }

    /// Whether one is usual; none where nothing of its kind is, so that there is nothing to compare it with.
    fn judge(&self, one: &K, at: Timestamp) -> Option<bool> {
        let usual = self.is_usual(one, at);
        (usual || self.seen.values().any(|habit| habit.is_usual(at))).then_some(usual)
    }

    /// Learns from calls; whether one more is usual now.
    fn see(&mut self, one: &K, calls: &Calls, rules: &HabitRules) -> bool {
        let at = calls.first;
        let may_become_usual = match self.seen.get_mut(one) {
            Some(habit) => {
                if habit.is_forgotten(at) {
                    *habit = Habit::new(at);
                }
                habit.see(calls, rules)
            }
            None => {
                self.seen.retain(|_, habit| !habit.is_forgotten(at));
                self.make_room(false, MOST_NEW);
                let habit = self.seen.entry(one.clone()).or_insert(Habit::new(at));
                habit.see(calls, rules)
            }
        };
        let becomes_usual = may_become_usual && self.admit(at, rules);
        if becomes_usual {
            self.make_room(true, MOST_USUAL);
            if let Some(habit) = self.seen.get_mut(one) {
                habit.usual_since = Some(at);
            }
        }
        becomes_usual
    }

    /// Whether one more may become usual on this day; if so, it is counted.
    fn admit(&mut self, at: Timestamp, rules: &HabitRules) -> bool {
        let today = day(at);
        match today.cmp(&self.admitted.0) {
            // A clock that was put back makes no new day.
            Ordering::Less => return false,
            Ordering::Equal => {}
            Ordering::Greater => self.admitted = (today, 0),
        }
        let room = self.admitted.1 < rules.new_per_day;
        if room {
            self.admitted.1 += 1;
        }
        room
    }

    /// Of those that are usual, or of the others, leaves one less than `most`.
    fn make_room(&mut self, usual: bool, most: usize) {
        let of_them = |habit: &Habit| habit.usual_since.is_some() == usual;
        if self.seen.values().filter(|habit| of_them(habit)).count() < most {
            return;
        }
        let them = self.seen.iter().filter(|(_, habit)| of_them(habit));
        let oldest = them.min_by_key(|(_, habit)| habit.last);
        if let Some(oldest) = oldest.map(|(one, _)| one.clone()) {
            self.seen.remove(&oldest);
        }
    }
}

/// What one agent does again and again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Baseline {
    /// Whether an operator has pinned it: it learns nothing, and forgets what it would forget.
    pub pinned: bool,
    /// Where it comes from.
    pub networks: Habits<Network>,
    /// When.
    pub hours: Habits<WeekHour>,
    /// What it calls.
    pub operations: Habits<OperationId>,
    /// How large the numbers are that it sends.
    pub inputs: Habits<Magnitude>,
    /// How fast it calls.
    pub pace: Pace,
}

/// How one call compares with what is usual; each is none where there is nothing to compare it with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Compared {
    pub(super) network: Option<bool>,
    pub(super) hour: Option<bool>,
    pub(super) operation: Option<bool>,
    /// The first number that lies outside its usual range, and that range.
    pub(super) outside: Option<(Arc<str>, i64, (i64, i64))>,
}

impl Baseline {
    /// Learns from one call that was allowed and succeeded.
    pub fn see(
        &mut self,
        address: IpAddr,
        call: (&OperationId, &[(Arc<str>, i64)]),
        at: Timestamp,
        rules: &HabitRules,
    ) {
        self.see_all(address, call, &Calls::one(at), rules);
    }

    /// Learns from `calls` like this one; whether something of what [`usual`](Self::usual) tells has become so.
    pub(super) fn see_all(
        &mut self,
        address: IpAddr,
        (operation, numbers): (&OperationId, &[(Arc<str>, i64)]),
        calls: &Calls,
        rules: &HabitRules,
    ) -> bool {
        if self.pinned {
            return false;
        }
        let changed = [
            self.networks.see(&Network::of(address), calls, rules),
            self.hours.see(&WeekHour::of(calls.first), calls, rules),
            self.operations.see(operation, calls, rules),
        ];
        for (input, number) in numbers {
            let magnitude = magnitude(operation, input, Step::of(*number));
            self.inputs.see(&magnitude, calls, rules);
        }
        changed.contains(&true)
    }

    /// The next moment after which something of what [`usual`](Self::usual) tells is so no more, if it is not seen
    /// again.
    pub(super) fn lapse(&self, at: Timestamp) -> Option<Timestamp> {
        let lapses = [
            self.networks.lapse(at),
            self.hours.lapse(at),
            self.operations.lapse(at),
        ];
        lapses.into_iter().flatten().min()
    }

    /// Compares a call with what is usual.
    pub(super) fn compare(
        &self,
        address: IpAddr,
        (operation, numbers): (Option<&OperationId>, &[(Arc<str>, i64)]),
        at: Timestamp,
    ) -> Compared {
        let outside = operation.and_then(|operation| {
            numbers.iter().find_map(|(input, number)| {
                let range = self.range(operation, input, at)?;
                let step = Step::of(*number);
                let inside = range.0 <= step && step <= range.1;
                let shown = (range.0.bounds().0, range.1.bounds().1);
                (!inside).then(|| (Arc::clone(input), *number, shown))
            })
        });
        Compared {
            network: self.networks.judge(&Network::of(address), at),
            hour: self.hours.judge(&WeekHour::of(at), at),
            operation: operation.and_then(|one| self.operations.judge(one, at)),
            outside,
        }
    }

    /// The smallest and the largest magnitude that are usual of a number; what lies between is, too.
    #[must_use]
    pub fn range(
        &self,
        operation: &OperationId,
        input: &Arc<str>,
        at: Timestamp,
    ) -> Option<(Step, Step)> {
        let all =
            magnitude(operation, input, Step::LOWEST)..=magnitude(operation, input, Step::HIGHEST);
        let usual = self.inputs.seen.range(all);
        let mut usual = usual.filter(|(_, habit)| habit.is_usual(at));
        let lowest = usual.next()?.0.step;
        Some((
            lowest,
            usual.next_back().map_or(lowest, |(one, _)| one.step),
        ))
    }

    /// What is usual of this. Of several operations, all have to be; of none, nothing is.
    pub fn usual<'o>(
        &self,
        address: IpAddr,
        operations: impl IntoIterator<Item = &'o OperationId>,
        at: Timestamp,
    ) -> UsualFacts {
        let mut operations = operations.into_iter().peekable();
        UsualFacts {
            network: self.networks.is_usual(&Network::of(address), at),
            hour: self.hours.is_usual(&WeekHour::of(at), at),
            operation: operations.peek().is_some()
                && operations.all(|one| self.operations.is_usual(one, at)),
        }
    }
}

fn magnitude(operation: &OperationId, input: &Arc<str>, step: Step) -> Magnitude {
    Magnitude {
        operation: operation.clone(),
        input: Arc::clone(input),
        step,
    }
}

/// The day of a moment, counted from the epoch.
pub(super) fn day(at: Timestamp) -> i64 {
    at.as_second().div_euclid(DAY)
}
