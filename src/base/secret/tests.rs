use super::*;

#[test]
fn only_the_same_text_is_it() {
    let secret = Secret::new("abc".to_owned());
    assert!(secret.is("abc"));
    for other in ["", "ab", "abd", "abcd", "Abc"] {
        assert!(!secret.is(other), "{other}");
    }
}
