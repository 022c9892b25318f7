use super::*;

/// Advances the time to where the second is waited for, and returns whether a minute began.
async fn second(seconds: &mut Seconds, time: &crate::base::ManualClock, by: Duration) -> bool {
    let mut next = Box::pin(seconds.next());
    tokio::select! {
        biased;
        _ = &mut next => panic!("the second has not begun"),
        () = std::future::ready(()) => {}
    }
    time.advance(by);
    next.await
}

#[tokio::test]
async fn seconds_begin_with_the_wall_clock_and_minutes_with_some() {
    let (clock, time) = Clock::manual("2026-11-18T14:59:58.750Z".parse().unwrap());
    let mut seconds = Seconds::new(clock);
    assert!(!second(&mut seconds, &time, Duration::from_millis(250)).await);
    assert!(second(&mut seconds, &time, Duration::from_secs(1)).await);
    assert!(!second(&mut seconds, &time, Duration::from_secs(1)).await);
}

#[tokio::test]
async fn a_clock_that_is_set_shows_another_minute() {
    let (clock, time) = Clock::manual("2026-11-18T14:30:00Z".parse().unwrap());
    let mut seconds = Seconds::new(clock);
    assert!(!second(&mut seconds, &time, Duration::from_secs(1)).await);
    time.step_wall("2026-11-18T13:30:30Z".parse().unwrap());
    assert!(seconds.next().await, "another minute, at once");
    assert!(!second(&mut seconds, &time, Duration::from_secs(1)).await);
}

#[tokio::test]
async fn a_second_that_began_while_nobody_waited_is_told() {
    let (clock, time) = Clock::manual("2026-11-18T14:59:58Z".parse().unwrap());
    let mut seconds = Seconds::new(clock);
    time.advance(Duration::from_secs(1));
    assert!(!seconds.next().await);
    time.advance(Duration::from_secs(1));
    assert!(seconds.next().await, "15:00");
}
