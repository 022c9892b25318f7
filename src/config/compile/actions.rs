//! Operations, their groups and their services are all Cedar actions, beside those of the gateway
//! itself: a name that means two of them would let a rule say more than its author meant.

use std::collections::HashMap;

use crate::config::diagnostics::Diagnostics;
use crate::config::raw::Raw;
use crate::config::text::{At, Place};

/// Actions that every schema has.
const BUILT_IN: [&str; 3] = ["baseline", "call", "request"];
/// What the names of risk groups start with.
const RISK: &str = "risk:";

/// Complains about names that mean two actions.
pub(super) fn check(raw: &Raw, problems: &mut Diagnostics) {
    let mut first: HashMap<&str, (&str, &Place)> = HashMap::new();
    let services = raw.services.iter().map(|one| ("a service", &one.name));
    let operations = raw.operations.iter().map(|one| ("an operation", &one.id));
    let groups = raw
        .operations
        .iter()
        .flat_map(|one| &one.groups)
        .map(|group| ("a group", group));
    for (what, name) in services.chain(operations).chain(groups) {
        check_built_in(what, name, problems);
        let (other, place) = first.entry(&name.value).or_insert((what, &name.place));
        if *other != what {
            let message = format!("`{}` is {what} here and {other} elsewhere", name.value);
            problems.error(&name.place, message).hint(format!(
                "that is at {place}; conditions know both as Action::\"{}\"",
                name.value
            ));
        }
    }
}

/// Whether the gateway itself has an action of that name.
pub(super) fn is_built_in(name: &str) -> bool {
    BUILT_IN.contains(&name) || name.starts_with(RISK)
}

fn check_built_in(what: &str, name: &At<String>, problems: &mut Diagnostics) {
    if is_built_in(&name.value) {
        let message = format!("{what} can't be called `{}`", name.value);
        problems
            .error(&name.place, message)
            .hint("conditions know the gateway's own actions by that name");
    }
}
