use super::*;

fn at(seconds: u64) -> BootInstant {
    BootInstant::from_nanos(seconds * 1_000_000_000)
}

#[test]
fn who_polls_too_soon_is_slowed_down() {
    let pace = Pace::default();
    let request = RequestId::random();
    let poll = |second| {
        let paced = pace.poll(&request, at(1000), at(second));
        paced.map(|i| i.as_secs()).map_err(|i| i.as_secs())
    };
    assert_eq!(poll(100), Ok(5));
    assert_eq!(poll(105), Ok(5));
    assert_eq!(poll(109), Err(10));
    assert_eq!(poll(118), Err(15));
    assert_eq!(poll(133), Ok(15));
    for _ in 0..20 {
        assert!(poll(134).is_err());
    }
    assert_eq!(poll(194), Ok(60));
    // Another request has a pace of its own.
    assert_eq!(
        pace.poll(&RequestId::random(), at(1000), at(194)),
        Ok(Pace::INTERVAL)
    );
}

#[test]
fn what_no_longer_waits_makes_room() {
    let pace = Pace::default();
    for _ in 0..MOST {
        let first = pace.poll(&RequestId::random(), at(10), at(1));
        assert_eq!(first, Ok(Pace::INTERVAL));
    }
    let request = RequestId::random();
    assert!(pace.poll(&request, at(100), at(2)).is_ok());
    assert!(
        pace.poll(&request, at(100), at(2)).is_ok(),
        "not remembered"
    );
    assert!(pace.poll(&request, at(100), at(10)).is_ok());
    assert!(pace.poll(&request, at(100), at(10)).is_err(), "remembered");
    assert_eq!(pace.0.lock().unwrap().len(), 1);
}
