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
