use super::*;

fn check(text: &str, offset: usize, expected: &str) {
    let text = Text::new("f", text);
    assert_eq!(Place::new(&text, offset..offset).to_string(), expected);
}

#[test]
fn positions_count_from_one_in_characters() {
    check("", 0, "f:1:1");
    check("ab\ncd", 0, "f:1:1");
    check("ab\ncd", 2, "f:1:3");
    check("ab\ncd", 3, "f:2:1");
    check("ab\r\ncd", 5, "f:2:2");
    check("\u{e9}\u{e9}x", 4, "f:1:3");
    check("ab\n", 3, "f:2:1");
    check("ab", 99, "f:1:3");
}
