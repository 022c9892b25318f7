use clap::Parser;

use super::*;
use crate::cli::grants::GrantsCommand;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    grants: ListOr<GrantsCommand>,
}

#[test]
fn without_the_name_of_a_command_it_is_the_list() {
    for (line, state) in [
        (&["grants"][..], None),
        (&["grants", "list"], None),
        (&["grants", "--state", "active"], Some("active")),
        (&["grants", "list", "--state", "active"], Some("active")),
    ] {
        let line = Line::try_parse_from(line).unwrap();
        let command = line.grants.or_list(GrantsCommand::List);
        assert!(
            matches!(&command, GrantsCommand::List(filter) if filter.state.as_deref() == state),
            "{command:?}"
        );
    }
    let both = ["grants", "--state", "active", "list"];
    assert!(Line::try_parse_from(both).is_err(), "which of them counts?");
}
