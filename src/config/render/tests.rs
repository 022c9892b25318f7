use super::*;
use crate::config::text::Place;

fn about(text: &str, word: &str) -> (Diagnostics, Place) {
    let start = text.find(word).unwrap();
    let place = Place::new(&Text::new("a.toml", text), start..start + word.len());
    (Diagnostics::default(), place)
}

#[test]
fn the_line_is_shown_with_the_hint() {
    let (mut problems, place) = about("[[agent]]\nid = \"a b\"\n", "\"a b\"");
    problems
        .error(&place, "a name has no blanks")
        .hint("write a-b");
    let shown = problems.graphical(false);
    for part in [
        "a name has no blanks",
        "a.toml:2:6",
        "id = \"a b\"",
        "write a-b",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(!shown.contains('\u{1b}'), "{shown}");
    assert!(problems.graphical(true).contains('\u{1b}'));
}

#[test]
fn columns_count_characters_wherever_they_are_told() {
    let text = "# one\n# \u{e4}\u{1f980}\u{e4} wrong";
    let (mut problems, place) = about(text, "wrong");
    problems.error(&place, "this is wrong");
    let (line, column) = problems.iter().next().unwrap().position();
    assert_eq!((line, column), (2, 7));
    let shown = problems.graphical(false);
    assert!(shown.contains("a.toml:2:7]"), "{shown}");
    assert!(
        problems.to_string().starts_with("a.toml:2:7: "),
        "{problems}"
    );
}

#[test]
fn a_secret_is_masked_wherever_its_line_is_shown() {
    let (mut problems, place) = about("id = \"a b\"\nkey = \"hunter2\"\n", "\"hunter2\"");
    problems.error(&place, "this is a secret").withhold();
    let beside = Place::new(place.text(), 0..2);
    problems.error(&beside, "this is beside it");
    let shown = problems.graphical(false);
    assert!(shown.contains("*********"), "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn a_file_can_not_command_the_terminal() {
    let text = "id = \"\u{1b}]0;gone\u{7}\u{202e}x\"";
    let (mut problems, place) = about(text, "x");
    problems.error(&place, "bad \u{1b}[2J name");
    let shown = format!("{problems}{}", problems.graphical(false));
    assert!(
        !shown.contains(['\u{1b}', '\u{7}', '\u{202e}']),
        "{shown:?}"
    );
    assert_eq!(printable(text).len(), text.len());
}

#[test]
fn a_problem_without_a_place_names_its_file() {
    let mut problems = Diagnostics::default();
    problems.about_file("policies", "there are no policy files here");
    let shown = problems.graphical(false);
    assert!(
        shown.contains("policies: there are no policy files here"),
        "{shown}"
    );
}
