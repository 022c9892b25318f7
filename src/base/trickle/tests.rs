use super::*;

#[test]
fn what_is_left_out_is_counted() {
    let trickle = Trickle::new(2, Duration::from_secs(10));
    let at = |seconds| BootInstant::from_nanos(1) + Duration::from_secs(seconds);
    let said = [0, 0, 0, 9, 10, 10, 10, 30].map(|second| trickle.next(at(second)));
    assert_eq!(
        said,
        [
            Some(0),
            Some(0),
            None,
            None,
            Some(2),
            Some(0),
            None,
            Some(1)
        ]
    );
}
