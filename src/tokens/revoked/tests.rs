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
