use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::pdp::{Depends, Pace};

/// What a full scan looks at: all that was entered, in no index.
#[derive(Debug, Default)]
struct Scan {
    entered: BTreeMap<u8, (u8, Depends, Option<i64>, Option<u64>)>,
    looked: Option<i64>,
}

#[derive(Clone, Debug)]
enum Step {
    Enter(u8, u8, [bool; 4]),
    StandsUntil(u8, Option<i64>, Option<u64>),
    Leave(u8),
    Due(u64, i64),
}

fn step() -> impl Strategy<Value = Step> {
    let grant = 0..12_u8;
    prop_oneof![
        (grant.clone(), 0..3_u8, any::<[bool; 4]>())
            .prop_map(|(grant, agent, reads)| Step::Enter(grant, agent, reads)),
        (
            grant.clone(),
            prop::option::of(0..20_i64),
            prop::option::of(0..20_u64)
        )
            .prop_map(|(grant, wall, age)| Step::StandsUntil(grant, wall, age)),
        grant.prop_map(Step::Leave),
        (0..20_u64, 0..20_i64).prop_map(|(now, wall)| Step::Due(now, wall)),
    ]
}

fn grant(number: u8) -> GrantId {
    format!("g-{number}").parse().unwrap()
}

fn agent(number: u8) -> AgentId {
    format!("a-{number}").parse().unwrap()
}

fn moment(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

impl Scan {
    fn which(&self, wanted: impl Fn(&(u8, Depends, Option<i64>, Option<u64>)) -> bool) -> Vec<u8> {
        let entered = self.entered.iter().filter(|(_, entry)| wanted(entry));
        entered.map(|(grant, _)| *grant).collect()
    }

    fn due(&mut self, now: u64, wall: i64) -> Vec<u8> {
        let back = self.looked.replace(wall).is_some_and(|last| wall < last);
        let due = self.which(|(_, depends, until, age)| {
            let over = until.is_some_and(|until| until <= wall);
            over || age.is_some_and(|age| age <= now) || (back && depends.pace.is_some())
        });
        for grant in &due {
            let entry = self.entered.get_mut(grant).unwrap();
            (entry.2, entry.3) = (None, None);
        }
        due
    }
}

fn sorted(found: impl IntoIterator<Item = u8>) -> Vec<u8> {
    let found: Vec<u8> = found.into_iter().collect();
    let distinct: BTreeSet<u8> = found.iter().copied().collect();
    assert_eq!(distinct.len(), found.len(), "one is found twice");
    distinct.into_iter().collect()
}

proptest! {
    /// The index finds exactly those that a look at all of them finds.
    #[test]
    fn it_finds_what_a_full_scan_finds(steps in prop::collection::vec(step(), 0..60)) {
        let mut roster = Roster::default();
        let mut scan = Scan::default();
        for step in steps {
            match step {
                Step::Enter(one, of, [country, habits, risk, time]) => {
                    let pace = time.then_some(Pace::Minute);
                    let depends = Depends { country, habits, risk, pace };
                    let watched = Watched { depends, signature: 0 };
                    roster.enter(&grant(one), &agent(of), watched, one);
                    scan.entered.insert(one, (of, depends, None, None));
                }
                Step::StandsUntil(one, wall, age) => {
                    roster.stands_until(&grant(one), wall.map(moment), age.map(BootInstant::from_nanos));
                    if let Some(entry) = scan.entered.get_mut(&one) {
                        (entry.2, entry.3) = (wall, age);
                    }
                }
                Step::Leave(one) => {
                    roster.leave(&grant(one));
                    scan.entered.remove(&one);
                }
                Step::Due(now, wall) => {
                    let found = roster.due(BootInstant::from_nanos(now), moment(wall));
                    prop_assert_eq!(sorted(found), scan.due(now, wall));
                }
            }
            prop_assert_eq!(
                sorted(roster.reading_signals()),
                scan.which(|one| one.1.country || one.1.habits || one.1.risk)
            );
            prop_assert_eq!(sorted(roster.reading_country()), scan.which(|one| one.1.country));
            for of in 0..3 {
                let (habits, risk) = (roster.reading_habits(&agent(of)), roster.reading_risk(&agent(of)));
                prop_assert_eq!(sorted(habits), scan.which(|one| one.0 == of && one.1.habits));
                prop_assert_eq!(sorted(risk), scan.which(|one| one.0 == of && one.1.risk));
            }
        }
        // What has left has left nothing behind.
        for one in 0..12 {
            roster.leave(&grant(one));
        }
        prop_assert!(roster.entries.is_empty() && roster.country.is_empty());
        prop_assert!(roster.habits.is_empty() && roster.risk.is_empty());
        prop_assert!(roster.time.is_empty());
        prop_assert!(roster.by_wall.is_empty() && roster.by_age.is_empty());
    }
}

#[test]
fn those_that_are_over_are_taken_out_whole() {
    let mut roster = Roster::default();
    let reads = Watched {
        depends: Depends {
            risk: true,
            ..Depends::default()
        },
        signature: 7,
    };
    for number in 0..6 {
        roster.enter(&grant(number), &agent(0), reads, number);
        roster.stands_until(&grant(number), Some(moment(9)), None);
    }
    assert_eq!(roster.signature(&grant(3)), Some(7));
    roster.drop_over(|number| number % 2 == 1);
    assert_eq!(roster.signature(&grant(3)), None);
    let sorted = |mut found: Vec<u8>| {
        found.sort_unstable();
        found
    };
    assert_eq!(sorted(roster.reading_risk(&agent(0))), [0, 2, 4]);
    let due = roster.due(BootInstant::from_nanos(0), moment(9));
    assert_eq!(sorted(due), [0, 2, 4]);
    assert!(!roster.is_empty());
    roster.drop_over(|_| true);
    assert!(roster.is_empty());
}
