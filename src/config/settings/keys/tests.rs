use std::collections::HashSet;
use std::path::Path;

use super::*;
use crate::config::settings::Settings;
use crate::config::settings::limits::Limits;
use crate::config::units;

#[test]
fn every_key_and_variable_is_there_once() {
    let mut paths = HashSet::new();
    let mut variables = HashSet::new();
    for key in keys() {
        assert!(paths.insert(key.path), "{}", key.path);
        if let Some(variable) = key.variable() {
            assert!(!key.path.contains("[]"), "{}", key.path);
            assert!(variables.insert(variable), "{}", key.path);
        }
    }
    assert!(variables.contains("PORTCULLIS_GATEWAY_PUBLIC_URL"));
}

#[test]
fn the_defaults_in_the_table_are_those_in_force() {
    let limits = Limits::default();
    let check = |name: &str, duration| {
        let key = keys()
            .find(|key| key.path == format!("limits.{name}"))
            .unwrap();
        assert_eq!(units::duration(key.default), Ok(duration), "{name}");
    };
    check("header_timeout", limits.header_timeout);
    check("body_idle_timeout", limits.body_idle_timeout);
    check("request_timeout", limits.request_timeout);
    check("connect_timeout", limits.connect_timeout);
    check("response_timeout", limits.response_timeout);
    check("idle_timeout", limits.idle_timeout);
    check("lease", limits.lease);
    check("lease_max", limits.lease_max);
    check("task_max_age", limits.task_max_age);
    let check = |name: &str, size| {
        let key = keys()
            .find(|key| key.path == format!("limits.{name}"))
            .unwrap();
        assert_eq!(units::size(key.default), Ok(size), "{name}");
    };
    check("header_bytes", limits.header_bytes);
    check("uri_bytes", limits.uri_bytes);
    check("body_peek_bytes", limits.body_peek_bytes);
    check("header_count", limits.header_count as u64);
    check("connections", limits.connections as u64);
    check(
        "connections_per_source",
        limits.connections_per_source as u64,
    );
    check("bad_tokens_per_source", limits.bad_tokens_per_source as u64);
    check("usual_days", limits.usual_days as u64);
    check("usual_new_per_day", limits.usual_new_per_day as u64);
    check("usual_frozen_at", limits.usual_frozen_at as u64);
    check(
        "streams_per_connection",
        limits.streams_per_connection as u64,
    );
}

#[test]
fn the_reference_lists_every_key() {
    let reference = reference();
    assert_eq!(reference.lines().count(), 2 + keys().count());
    assert!(
        reference.contains("| `limits.task_max_age` | `8h` | How long a task lives at most. |")
    );
}

/// The keys that the reader knows in a table, from what it says to an unknown one.
fn read_in(table: &str) -> HashSet<String> {
    let text = format!("{table}\nzzzzzzzzzzzzzzzzzzzzzzzz = 1\n");
    let problems = Settings::parse("p.toml", &text, Path::new("/"), []).unwrap_err();
    let hint = problems
        .iter()
        .find_map(|one| one.hint()?.strip_prefix("the keys here are: "));
    hint.unwrap().split(", ").map(str::to_owned).collect()
}

#[test]
fn the_table_lists_what_is_read() {
    for (table, path) in [
        ("", ""),
        ("[gateway]", "gateway."),
        ("[[gateway.listen]]", "gateway.listen[]."),
        (
            "[[gateway.listen]]\n[gateway.listen.tls]",
            "gateway.listen[].tls.",
        ),
        ("[control]", "control."),
        ("[control.tls]", "control.tls."),
        ("[admin]", "admin."),
        ("[admin.tls]", "admin.tls."),
        ("[policies]", "policies."),
        ("[store]", "store."),
        ("[audit]", "audit."),
        ("[tokens]", "tokens."),
        ("[credentials]", "credentials."),
        ("[[trusted_issuer]]", "trusted_issuer[]."),
        ("[limits]", "limits."),
    ] {
        let listed: HashSet<String> = keys()
            .filter_map(|key| key.path.strip_prefix(path))
            .filter_map(|rest| rest.split(['.', '[']).next())
            .map(str::to_owned)
            .collect();
        assert_eq!(read_in(table), listed, "{table}");
    }
}
