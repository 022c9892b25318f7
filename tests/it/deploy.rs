//! What `deploy/` promises about the program, where it can be told without an init system.

/// The system calls of the program that systemd's group `@resources` has, which the unit takes away.
const NEEDED: [&str; 1] = ["setpriority"];

#[test]
fn the_unit_allows_what_the_program_calls() {
    let unit = include_str!("../../deploy/portcullis.service");
    let filters: Vec<_> = unit
        .lines()
        .filter_map(|line| line.strip_prefix("SystemCallFilter="))
        .collect();
    // A later line counts (systemd.exec(5)).
    let taken = filters.iter().position(|filter| filter.starts_with('~'));
    let taken = taken.expect("the unit takes calls away");
    let given: Vec<_> = filters[taken + 1..]
        .iter()
        .filter(|filter| !filter.starts_with('~'))
        .flat_map(|filter| filter.split(' '))
        .collect();
    for call in NEEDED {
        assert!(given.contains(&call), "`{call}` would end the gateway");
    }
    assert!(
        !unit.contains("ProcSubset=pid"),
        "the start of the machine could not be told"
    );
}
