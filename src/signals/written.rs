//! A baseline as text, for the store.

use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::activity::Pace;
use super::habits::{Baseline, Habit, Habits, Network, WeekHour};
use super::magnitude::{Magnitude, Step};

/// A baseline, as it is written.
#[derive(Serialize, Deserialize)]
struct Written {
    pinned: bool,
    networks: Kind<IpAddr>,
    hours: Kind<u8>,
    operations: Kind<String>,
    /// Operation, input and step. Absent where an older version wrote.
    #[serde(default)]
    inputs: Kind<(String, String, i16)>,
    /// Absent where an older version wrote.
    #[serde(default)]
    pace: WrittenPace,
}

#[derive(Default, Serialize, Deserialize)]
struct WrittenPace {
    milli: u64,
    minutes: u32,
    day: i64,
    most: u64,
}

#[derive(Serialize, Deserialize)]
struct Kind<K> {
    day: i64,
    admitted: u32,
    seen: Vec<Line<K>>,
}

#[derive(Serialize, Deserialize)]
struct Line<K> {
    what: K,
    calls: u64,
    days: u32,
    /// In milliseconds since the epoch, as the others.
    first: i64,
    last: i64,
    usual_since: Option<i64>,
}

/// The text of a baseline.
pub(super) fn write(baseline: &Baseline) -> Option<String> {
    let written = Written {
        pinned: baseline.pinned,
        networks: Kind::of(&baseline.networks, |one| one.0),
        hours: Kind::of(&baseline.hours, |one| one.0),
        operations: Kind::of(&baseline.operations, ToString::to_string),
        inputs: Kind::of(&baseline.inputs, |one| {
            let input = one.input.as_ref().to_owned();
            (one.operation.to_string(), input, one.step.number())
        }),
        pace: WrittenPace {
            milli: baseline.pace.milli,
            minutes: baseline.pace.minutes,
            day: baseline.pace.day,
            most: baseline.pace.most,
        },
    };
    // Plain structures of texts, numbers and times always serialise.
    serde_json::to_string(&written).ok()
}

/// The baseline that a text is of, if it is of one.
pub(super) fn read(text: &str) -> Option<Baseline> {
    let written: Written = serde_json::from_str(text).ok()?;
    Some(Baseline {
        pinned: written.pinned,
        networks: written.networks.read(|one| Some(Network::of(*one)))?,
        hours: written
            .hours
            .read(|one| (*one < 7 * 24).then_some(WeekHour(*one)))?,
        operations: written.operations.read(|one| one.parse().ok())?,
        inputs: written.inputs.read(|(operation, input, step)| {
            Some(Magnitude {
                operation: operation.parse().ok()?,
                input: input.as_str().into(),
                step: Step::from_number(*step)?,
            })
        })?,
        pace: Pace {
            milli: written.pace.milli,
            minutes: written.pace.minutes,
            day: written.pace.day,
            most: written.pace.most,
        },
    })
}

impl<W> Default for Kind<W> {
    fn default() -> Self {
        let (day, admitted) = Habits::<u8>::default().admitted;
        Self {
            day,
            admitted,
            seen: Vec::new(),
        }
    }
}

impl<W> Kind<W> {
    fn of<K: Ord + Clone>(habits: &Habits<K>, written: impl Fn(&K) -> W) -> Self {
        let line = |(what, habit): (&K, &Habit)| Line {
            what: written(what),
            calls: habit.calls,
            days: habit.days,
            first: habit.first.as_millisecond(),
            last: habit.last.as_millisecond(),
            usual_since: habit.usual_since.map(Timestamp::as_millisecond),
        };
        let (day, admitted) = habits.admitted;
        Self {
            day,
            admitted,
            seen: habits.iter().map(line).collect(),
        }
    }

    fn read<K: Ord>(&self, read: impl Fn(&W) -> Option<K>) -> Option<Habits<K>> {
        let one = |line: &Line<W>| {
            let habit = Habit {
                calls: line.calls,
                days: line.days,
                first: moment(line.first)?,
                last: moment(line.last)?,
                usual_since: match line.usual_since {
                    Some(since) => Some(moment(since)?),
                    None => None,
                },
            };
            Some((read(&line.what)?, habit))
        };
        Some(Habits {
            seen: self.seen.iter().map(one).collect::<Option<_>>()?,
            admitted: (self.day, self.admitted),
        })
    }
}

fn moment(milliseconds: i64) -> Option<Timestamp> {
    Timestamp::from_millisecond(milliseconds).ok()
}
