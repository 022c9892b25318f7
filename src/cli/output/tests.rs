use serde_json::json;

use super::*;

#[test]
fn nothing_reaches_a_terminal_that_it_would_obey() {
    for (dirty, expected) in [
        ("plain", "plain"),
        ("\u{1b}[2J\u{1b}]0;title\u{7}x", "[2J]0;titlex"),
        ("two\r\nlines\tand", "two  lines and"),
        ("\u{9b}31mred", "31mred"),
        ("invoice\u{202e}fdp.exe", "invoicefdp.exe"),
        ("a\u{200b}b\u{feff}c\u{2066}d", "abcd"),
        ("Grüße, 注文", "Grüße, 注文"),
        ("\u{7f}\u{0}", ""),
    ] {
        assert_eq!(clean(dirty), expected, "{dirty:?}");
    }
}

#[test]
fn columns_are_aligned_and_cells_are_clean() {
    let mut table = Table::new(["ID", "STATE", "WHY"]);
    table.row(["grt_1".into(), "active".into(), "-".into()]);
    table.row([
        "grt_1234".into(),
        "ended".into(),
        "\u{1b}[31mrevoked".into(),
    ]);
    let expected = "\
ID        STATE   WHY
grt_1     active  -
grt_1234  ended   [31mrevoked
";
    assert_eq!(table.render(), expected);
}

#[test]
fn fields_name_what_is_there_and_skip_what_is_not() {
    let document = json!({
        "id": "grt_1", "operations": ["a", "b"], "end_reason": null, "calls_left": 3,
    });
    let text = fields(
        &document,
        &["id", "end_reason", "operations", "calls_left", "parent"],
    );
    assert_eq!(text, "id          grt_1\noperations  a, b\ncalls left  3\n");
    assert_eq!(field(&document, "end_reason"), "-");
}
