use proptest::prelude::*;

use super::*;

#[test]
fn two_steps_are_a_doubling() {
    let step = |number| Step::of(number).number();
    assert_eq!([0, 1, 2, 3, 4].map(step), [0, 1, 3, 4, 5]);
    assert_eq!([-1, -2, -4].map(step), [-1, -3, -5]);
    assert_eq!(step(1 << 40), 81);
    assert_eq!((step(i64::MAX), step(i64::MIN)), (126, -127));
    assert_eq!(Step::of(100).bounds(), (91, 127));
    assert_eq!(Step::of(-100).bounds(), (-127, -91));
    assert_eq!(Step::of(0).bounds(), (0, 0));
    assert_eq!(Step::of(1).bounds(), (1, 1));
}

#[test]
fn what_is_written_is_a_step() {
    assert_eq!(Step::from_number(5), Some(Step::of(4)));
    assert_eq!(Step::from_number(129), None);
    assert_eq!(Step::from_number(-129), None);
}

proptest! {
    #[test]
    fn a_number_lies_within_its_step(number: i64) {
        let (low, high) = Step::of(number).bounds();
        prop_assert!(low <= number && number <= high);
        prop_assert_eq!(Step::of(low), Step::of(number));
        prop_assert_eq!(Step::of(high), Step::of(number));
    }

    #[test]
    fn larger_numbers_have_no_lower_step(one: i64, other: i64) {
        let (small, large) = (one.min(other), one.max(other));
        prop_assert!(Step::of(small) <= Step::of(large));
    }
}
