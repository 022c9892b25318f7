use std::time::Duration;

use super::*;

fn scaled(files: usize) -> [usize; 4] {
    let (mut limits, mut bounds) = (Limits::default(), Bounds::new(Duration::from_secs(10)));
    let wanted = wanted(&limits, &bounds);
    scale(&mut limits, &mut bounds, (files, wanted));
    [
        limits.connections,
        limits.connections_per_source,
        bounds.connections,
        bounds.per_source,
    ]
}

#[test]
fn what_the_files_are_enough_for_is_shared_out() {
    for files in [256, 1024, 4096, 20_000] {
        let [all, of_one, control, control_of_one] = scaled(files);
        assert!(
            2 * all + control + OWN <= files,
            "{all} and {control} of {files}"
        );
        assert!(5 * of_one < all && 2 * control_of_one < control);
    }
    assert_eq!(
        scaled(0),
        [1, FEW, 1, FEW],
        "somebody is served all the same"
    );
}

#[test]
fn an_address_keeps_the_few_that_it_may_have() {
    let mut limits = Limits {
        connections_per_source: 2,
        ..Limits::default()
    };
    let all = limits.connections;
    fit_to(1024, &mut limits);
    assert!(limits.connections < all);
    assert_eq!(limits.connections_per_source, 2);
}

#[test]
fn with_enough_files_nothing_changes() {
    let mut limits = Limits {
        connections: 5,
        ..Limits::default()
    };
    let bounds = fit_to(5_000, &mut limits);
    assert_eq!(limits.connections, 5);
    let usual = Bounds::new(limits.header_timeout);
    assert_eq!(bounds.connections, usual.connections);
}

#[test]
fn there_are_as_many_files_as_there_may_be() {
    let _most = raise();
    let files = getrlimit(Resource::Nofile);
    assert_eq!(files.current, files.maximum);
}
