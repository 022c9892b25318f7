use super::*;

#[test]
fn no_more_is_used_than_the_share() {
    let mut purse = Purse {
        left: MOST,
        own: 0,
        all: 0,
    };
    // Looking at a record takes as long as a request; the rest of the process uses a millisecond each.
    let (mut own, mut others) = (0, 0);
    for _ in 0..10_000 {
        others += 1_000_000;
        while purse.settle(own, own + others) {
            own += 1_000_000;
        }
    }
    assert!(own <= others * SHARE / 100 + MOST + 1_000_000, "{own}");
    assert!(own >= others * SHARE / 100, "{own}");
    // An idle hour is no credit beyond what can be saved up.
    purse.settle(own, own + others + 3_600_000_000_000);
    assert_eq!(purse.left, MOST);
}

#[test]
fn time_is_measured_in_this_process() {
    let (own, all) = used();
    assert!(own > 0 && all > 0);
    let (later, all_later) = used();
    assert!(later >= own && all_later >= all);
}
