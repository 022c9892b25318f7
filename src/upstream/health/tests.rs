use super::*;

const ZERO: BootInstant = BootInstant::from_nanos(1);

fn at(seconds: u64) -> BootInstant {
    ZERO + Duration::from_secs(seconds)
}

#[test]
fn failures_in_a_row_put_an_address_out_and_scattered_ones_do_not() {
    let health = Health::default();
    for _ in 0..10 {
        assert!(!health.connected(false, at(0)));
        assert!(!health.connected(false, at(0)));
        assert!(!health.connected(true, at(0)));
        for _ in 1..BAD_ANSWERS {
            assert!(!health.answered(false, || at(0)));
        }
        assert!(!health.answered(true, || at(0)));
    }
    assert_eq!(health.standing(at(0)), Standing::In);
    assert!(!health.connected(false, at(0)) && !health.connected(false, at(0)));
    assert!(health.connected(false, at(0)));
    assert_eq!(health.standing(at(4)), Standing::Out);
    assert_eq!(health.standing(at(5)), Standing::Probation);
}

#[test]
fn a_burst_of_bad_answers_puts_an_address_out() {
    let health = Health::default();
    let burst: Vec<_> = (0..BAD_ANSWERS)
        .map(|_| health.answered(false, || at(0)))
        .collect();
    assert_eq!(burst, [false, false, false, false, true]);
}

#[test]
fn each_failed_probe_doubles_the_time_up_to_a_bound() {
    let health = Health::default();
    let mut now = 0;
    for _ in 0..CONNECT_FAILURES {
        health.connected(false, at(now));
    }
    for seconds in [5, 10, 20, 40, 80, 160, 300, 300, 300] {
        assert_eq!(health.standing(at(now + seconds - 1)), Standing::Out);
        now += seconds;
        assert_eq!(health.standing(at(now)), Standing::Probation);
        // That a connection opens is not yet an answer.
        assert!(!health.connected(true, at(now)));
        assert_eq!(health.standing(at(now)), Standing::Probation);
        assert!(health.answered(false, || at(now)));
    }
}

#[test]
fn a_good_probe_brings_it_back_and_a_calm_time_is_forgiven() {
    let again = |calm: u64| {
        let health = Health::default();
        for _ in 0..CONNECT_FAILURES {
            health.connected(false, at(0));
        }
        assert!(health.is_failing());
        assert!(!health.answered(true, || at(6)));
        assert_eq!(health.standing(at(6)), Standing::In);
        assert!(!health.is_failing());
        for _ in 0..CONNECT_FAILURES {
            health.connected(false, at(6 + calm));
        }
        [5, 10].map(|seconds| health.standing(at(6 + calm + seconds)))
    };
    assert_eq!(again(3), [Standing::Out, Standing::Probation]);
    assert_eq!(again(60), [Standing::Probation, Standing::Probation]);
}

#[test]
fn failures_of_one_that_is_out_change_nothing() {
    let health = Health::default();
    for _ in 0..CONNECT_FAILURES {
        health.connected(false, at(0));
    }
    for _ in 0..20 {
        assert!(!health.connected(false, at(1)) && !health.answered(false, || at(1)));
    }
    assert_eq!(health.standing(at(5)), Standing::Probation);
}
