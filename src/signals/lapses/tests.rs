use jiff::Timestamp;

use super::Lapses;
use crate::model::AgentId;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn agent(name: &str) -> AgentId {
    name.parse().unwrap()
}

#[test]
fn each_agent_is_taken_once_and_the_first_first() {
    let mut lapses = Lapses::default();
    lapses.wait_for(&agent("later"), at(20));
    lapses.wait_for(&agent("first"), at(10));
    lapses.wait_for(&agent("first"), at(15));
    assert!(!lapses.are_due(at(10)), "it lapses after that moment");
    assert_eq!(lapses.take(at(11)), Some(agent("first")));
    assert_eq!(lapses.take(at(18)), None);
    lapses.wait_for(&agent("first"), at(30));
    assert_eq!(lapses.take(at(40)), Some(agent("later")));
    assert_eq!(lapses.take(at(40)), Some(agent("first")));
    assert_eq!(lapses.take(at(40)), None);
}
