//! How long an answer stands while nothing but the time changes: until the first of the facts that were read
//! for it can be another. Facts that were not read, because what stood before them decided, do not matter
//! before that.

#[cfg(test)]
mod tests;

use super::Conditions;
use super::facts::{Asked, Slot};
use super::fold::taken;
use super::node::Node;
use crate::pdp::Until;

const SECOND: i64 = 1000;
const HOUR: i64 = 60 * 60 * SECOND;

impl Conditions {
    /// How long [`Conditions::hold`] answers as it does now, at least.
    pub(in crate::pdp) fn until(&self, asked: &Asked<'_>) -> Until {
        let mut until = Until::EVER;
        for clause in &self.clauses {
            until = until.min(clause.until(asked));
            if clause.truth(asked) != Ok(true) {
                break;
            }
        }
        until
    }
}

impl Node {
    fn until(&self, asked: &Asked<'_>) -> Until {
        if let Some((slot, least, most)) = taken(self) {
            return asked.until_between(slot, least, most);
        }
        match self {
            Self::And(pair) | Self::Or(pair) => {
                let [left, right] = &**pair;
                let decides = matches!(self, Self::Or(_));
                match left.truth(asked) {
                    Ok(truth) if truth != decides => left.until(asked).min(right.until(asked)),
                    Ok(_) | Err(_) => left.until(asked),
                }
            }
            Self::If(three) => {
                let [condition, then, otherwise] = &**three;
                let branch = match condition.truth(asked) {
                    Ok(true) => then.until(asked),
                    Ok(false) => otherwise.until(asked),
                    Err(_) => Until::EVER,
                };
                condition.until(asked).min(branch)
            }
            Self::Between(slot, least, most) => asked.until_between(slot, *least, *most),
            Self::NowBetween(least, most) => asked.until_between(&Slot::Now, *least, *most),
            Self::Fact(slot) | Self::TextIs(slot, _) => asked.until_other(slot),
            other => {
                let parts = other.parts().iter().map(|part| part.until(asked));
                parts.fold(Until::EVER, Until::min)
            }
        }
    }
}

/// A part of the local time, which goes round.
struct Round {
    first: i64,
    count: i64,
    /// How long each lasts, in milliseconds.
    each: i64,
}

impl Slot {
    const fn round(&self) -> Option<Round> {
        let (first, count, each) = match self {
            Self::LocalHour => (0, 24, HOUR),
            Self::LocalMinute => (0, 60, 60 * SECOND),
            Self::LocalWeekday => (1, 7, 24 * HOUR),
            _ => return None,
        };
        Some(Round { first, count, each })
    }
}

impl Asked<'_> {
    /// How long a number, or the moment, stays within, or without, `least..=most`.
    fn until_between(&self, slot: &Slot, least: i64, most: i64) -> Until {
        if matches!(slot, Slot::Now) {
            return match self.now() {
                now if now < least => Until::at(least),
                now if now <= most => most.checked_add(1).map_or(Until::EVER, Until::at),
                _ => Until::EVER,
            };
        }
        let Ok(value) = self.long(slot) else {
            return self.until_other(slot);
        };
        if let Some(round) = slot.round() {
            let within = |value: i64| (least..=most).contains(&value);
            let turns = (1..round.count).find(|steps| {
                let next = round.first + (value - round.first + steps) % round.count;
                within(next) != within(value)
            });
            return turns.map_or(Until::EVER, |steps| self.local_step(round.each, steps));
        }
        match slot {
            Slot::GrantAge | Slot::TaskAge if value < least => Until::aged(least - value),
            Slot::GrantAge | Slot::RiskAge | Slot::TaskAge if value <= most && least <= value => {
                // A score may be given anew and be younger, without being another.
                if matches!(slot, Slot::RiskAge) && least > 0 {
                    return Until::NOW;
                }
                most.checked_add(1)
                    .map_or(Until::EVER, |over| Until::aged(over - value))
            }
            Slot::GrantAge | Slot::TaskAge => Until::EVER,
            slot => self.until_other(slot),
        }
    }

    /// How long a fact stays what it is.
    fn until_other(&self, slot: &Slot) -> Until {
        if let Some(round) = slot.round() {
            return self.local_step(round.each, 1);
        }
        match slot {
            Slot::GrantAge | Slot::RiskAge | Slot::TaskAge | Slot::Now => Until::NOW,
            Slot::LocalDate => self.local_step(24 * HOUR, 1),
            // What is usual differs by the hour of the week, in UTC, and what is not seen again is
            // forgotten in the end: that may be noticed as late.
            Slot::SourceKnown | Slot::UsualHour | Slot::UsualNetwork | Slot::UsualOperation => {
                Until::at((self.now().div_euclid(HOUR) + 1) * HOUR)
            }
            _ => Until::EVER,
        }
    }

    /// When so many parts of the local time of this length will have begun, or the clocks are put forward or
    /// back before that.
    fn local_step(&self, each: i64, steps: i64) -> Until {
        let (zone, now) = self.zone_and_now();
        let local = self.now() + i64::from(zone.to_offset(now).seconds()) * SECOND;
        let begins = self.now() - local.rem_euclid(each) + each * steps;
        let put = zone.following(now).next();
        let put = put.map(|transition| transition.timestamp().as_millisecond());
        Until::at(put.map_or(begins, |put| put.min(begins)))
    }
}
