use super::*;

#[test]
fn ids_carry_their_prefix_and_differ() {
    let (one, two) = (random_id("tsk"), random_id("tsk"));
    assert!(one.starts_with("tsk_") && one.len() == 30);
    assert_ne!(one, two);
}
