//! Each limit on a head has an answer of its own.

use super::case::{Case, refused, run, served};
use super::harness::Gateway;

fn small() -> Gateway {
    Gateway::with_limits("header_bytes = \"4KiB\"\nheader_count = 12\nuri_bytes = \"256B\"")
}

/// The token makes heads differ in length, so they stay clear of the limit on both sides.
fn cases() -> Vec<Case> {
    let get = |target: &str, lines: &str| format!("GET {target} HTTP/1.1\r\n$H$A{lines}\r\n");
    let target = |length: usize| format!("$P/{}", "a".repeat(length));
    let seen = format!("GET {}", target(200));
    let many = |count: usize| "X-A: b\r\n".repeat(count);
    let long = |length: usize| format!("X-A: {}\r\n", "b".repeat(length));
    vec![
        served("a long target", get(&target(200), ""), &[&seen]),
        refused("a target over the limit", get(&target(300), ""), 414),
        refused(
            "a long query",
            get(&format!("$P/a?{}", "b".repeat(300)), ""),
            414,
        ),
        refused(
            "a long URL",
            get(&format!("http://$N{}", target(300)), ""),
            414,
        ),
        refused("a target without end", format!("GET {}", target(300)), 414),
        refused(
            "a target far over the limit",
            get(&target(100_000), ""),
            414,
        ),
        served("many lines", get("$P/a", &many(10)), &["GET $P/a"]),
        refused("a line too many", get("$P/a", &many(11)), 431),
        refused("a thousand lines", get("$P/a", &many(1000)), 431),
        served("a long line", get("$P/a", &long(3000)), &["GET $P/a"]),
        refused("a line over the limit", get("$P/a", &long(4096)), 431),
        refused(
            "a line far over the limit",
            get("$P/a", &long(1 << 20)),
            431,
        ),
        refused("a name without end", get("$P/a", &"n".repeat(5000)), 431),
        refused("a method without end", "G".repeat(5000), 431),
    ]
}

#[test]
fn each_limit() {
    run(small(), &cases());
}

#[test]
fn the_limits_by_default() {
    let get = |lines: &str| format!("GET $P/a HTTP/1.1\r\n$H$A{lines}\r\n");
    let cases = [
        served(
            "60 KiB",
            get(&format!("X-A: {}\r\n", "b".repeat(60 << 10))),
            &["GET $P/a"],
        ),
        refused(
            "64 KiB",
            get(&format!("X-A: {}\r\n", "b".repeat(64 << 10))),
            431,
        ),
        served("98 lines", get(&"X-A: b\r\n".repeat(98)), &["GET $P/a"]),
        refused("101 lines", get(&"X-A: b\r\n".repeat(99)), 431),
    ];
    run(Gateway::start(), &cases);
}
