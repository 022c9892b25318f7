use std::collections::BTreeSet;

use super::*;

#[test]
fn no_id_is_given_twice() {
    let (one, other) = (RequestIds::new(), RequestIds::new());
    let ids: BTreeSet<String> = (0..300)
        .flat_map(|_| [one.next().to_string(), other.next().to_string()])
        .collect();
    assert_eq!(ids.len(), 600);
    let digit = |c: char| c.is_ascii_hexdigit() && !c.is_ascii_uppercase();
    for id in ids {
        let (prefix, number) = id.split_once('-').unwrap();
        assert!(prefix.len() == 16 && prefix.chars().all(digit), "{id}");
        assert!(!number.is_empty() && number.chars().all(digit), "{id}");
    }
}
