use super::*;

#[tokio::test]
async fn a_stepped_wall_clock_does_not_move_deadlines() {
    let (clock, hand) = Clock::manual(Timestamp::UNIX_EPOCH);
    let before = clock.now();
    hand.step_wall(Timestamp::MAX);
    assert_eq!(clock.now(), before);
}

#[tokio::test]
async fn a_sleeper_wakes_when_the_clock_is_moved_past_its_deadline() {
    let (clock, hand) = Clock::manual(Timestamp::UNIX_EPOCH);
    let sleeper = tokio::spawn(clock.sleep_until(clock.now() + Duration::from_secs(60)));
    hand.advance(Duration::from_secs(59));
    assert!(!sleeper.is_finished());
    hand.advance(Duration::from_secs(1));
    sleeper.await.unwrap();
}

#[test]
fn the_system_clock_runs() {
    let clock = Clock::system();
    let first = clock.now();
    assert!(clock.now() >= first);
    assert!(clock.wall() > Timestamp::UNIX_EPOCH);
}

#[test]
fn instants_saturate() {
    let end = BootInstant::FAR_FUTURE;
    assert_eq!(end + Duration::from_secs(1), end);
    assert_eq!(BootInstant::from_nanos(1) - end, Duration::ZERO);
}

#[test]
fn a_reboot_starts_the_boot_clock_anew_under_another_id() {
    let (clock, hand) = Clock::manual(Timestamp::UNIX_EPOCH);
    let (before, id) = (clock.now(), clock.boot_id());
    hand.advance(Duration::from_secs(1));
    assert_eq!(clock.boot_id(), id);
    hand.reboot(Duration::from_secs(10));
    assert!(clock.now() < before);
    assert_ne!(clock.boot_id(), id);
    assert_eq!(
        clock.wall(),
        Timestamp::UNIX_EPOCH + Duration::from_secs(11)
    );
}

#[test]
fn the_system_tells_which_boot_it_is() {
    let clock = Clock::system();
    assert_eq!(clock.boot_id(), clock.boot_id());
}

#[test]
fn at_one_moment_the_clocks_of_a_thread_stand_still() {
    let clock = Clock::system();
    let moved = |from: BootInstant| (0..).map(|_| clock.now()).find(|now| *now > from);
    let times = Clock::at_one_moment(|| {
        let times = clock.times();
        // Another thread's clocks move on.
        let other = std::thread::spawn(|| {
            let clock = Clock::system();
            let from = clock.now();
            (0..).map(|_| clock.now()).find(|now| *now > from)
        });
        assert!(other.join().unwrap() > Some(times.0));
        // One moment within another is the same.
        assert_eq!(Clock::at_one_moment(|| clock.times()), times);
        assert_eq!(clock.times(), times);
        times
    });
    assert!(moved(times.0).is_some());
    let panicked = std::panic::catch_unwind(|| {
        Clock::at_one_moment(|| {
            let _now = Clock::system().now();
            panic!("on purpose");
        })
    });
    assert!(panicked.is_err());
    assert!(moved(clock.now()).is_some());
}
