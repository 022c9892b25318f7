use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

#[test]
fn a_revoked_token_is_known_until_after_its_end() {
    let revoked = Revoked::new();
    let before = revoked.version();
    assert_eq!(revoked.revoke("bot", "a", at(100), at(10)), Ok(()));
    assert_ne!(revoked.version(), before);
    assert!(revoked.contains("bot", "a"));
    assert!(!revoked.contains("bot", "b"));
    assert!(!revoked.contains("rival", "a"));
    let before = revoked.version();
    assert_eq!(revoked.revoke("bot", "a", at(100), at(20)), Ok(()));
    let long_ago = at(20 - 7200);
    assert_eq!(revoked.revoke("bot", "old", long_ago, at(20)), Ok(()));
    assert_eq!(revoked.version(), before);
    // Room is made for others once nobody could believe it any more.
    let late = at(100 + 7200);
    assert_eq!(revoked.revoke("bot", "c", late, late), Ok(()));
    assert!(!revoked.contains("bot", "a"));
}

#[test]
fn one_owner_cannot_take_all_the_room() {
    let revoked = Revoked::new();
    let refused = (0..5000)
        .filter(|n| {
            revoked
                .revoke("bot", &n.to_string(), at(100), at(10))
                .is_err()
        })
        .count();
    assert_eq!(refused, 5000 - 4096);
    assert_eq!(revoked.revoke("rival", "a", at(100), at(10)), Ok(()));
}

#[test]
fn ended_sessions_take_what_was_made_before_with_them() {
    let revoked = Revoked::new();
    let now: Timestamp = "2026-11-28T12:00:00Z".parse().unwrap();
    let second = now.as_second();
    let before = revoked.version();
    revoked.end_sessions(Sessions::Own("bot").key(), second, now);
    assert_ne!(revoked.version(), before);
    assert!(revoked.has_ended(Sessions::Own("bot"), second - 5));
    assert!(revoked.has_ended(Sessions::Own("bot"), second));
    assert!(!revoked.has_ended(Sessions::Own("bot"), second + 1));
    assert!(!revoked.has_ended(Sessions::Own("rival"), second - 5));
    assert!(!revoked.has_ended(Sessions::Outside("bot"), second - 5));
    // An older end takes nothing back.
    revoked.end_sessions(Sessions::Own("bot").key(), second - 100, now);
    assert!(revoked.has_ended(Sessions::Own("bot"), second));
    let later = now + SESSIONS_ENDED + Duration::from_secs(1);
    revoked.end_sessions(Sessions::Own("rival").key(), later.as_second(), later);
    assert!(!revoked.has_ended(Sessions::Own("bot"), second));
}
