//! How many files the process may have open, and how many connections that is enough for.
//!
//! Where they run out nobody is served any more: no new client, no operator, no call to a service. So there are
//! fewer connections at once than the settings allow, where the system allows fewer files than those need, and
//! a single address does not get the share of all.

#[cfg(test)]
mod tests;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

use super::control::Bounds;
use crate::config::Limits;

/// For the store, the audit log, the listeners, the threads, and files that are read.
const OWN: usize = 160;

/// Connections of one address that are not what files run out by.
const FEW: usize = 4;

/// Lets the process open as many files as it may let itself, makes `limits` fit, and gives the bounds of the
/// control side that do.
pub(super) fn fit(limits: &mut Limits) -> Bounds {
    fit_to(raise(), limits)
}

fn fit_to(files: usize, limits: &mut Limits) -> Bounds {
    let mut bounds = Bounds::new(limits.header_timeout);
    let wanted = wanted(limits, &bounds);
    if files >= wanted {
        return bounds;
    }
    scale(limits, &mut bounds, (files, wanted));
    warn!(
        files,
        wanted,
        connections = limits.connections,
        connections_per_source = limits.connections_per_source,
        "the process may open too few files for `limits.connections`: there will be fewer connections at once. \
         Let it open more (`ulimit -n`, `LimitNOFILE` of systemd)"
    );
    bounds
}

/// How many files may be open, once that are as many as the process may let itself.
fn raise() -> usize {
    let now = getrlimit(Resource::Nofile);
    let most = Rlimit {
        current: now.maximum,
        ..now
    };
    // Where that is not allowed, it is as it was.
    let raised = now.current == now.maximum || setrlimit(Resource::Nofile, most).is_ok();
    let files = if raised { now.maximum } else { now.current };
    files.map_or(usize::MAX, |files| {
        usize::try_from(files).unwrap_or(usize::MAX)
    })
}

/// As many as all connections need. Each of a client's has one to a service behind it.
fn wanted(limits: &Limits, bounds: &Bounds) -> usize {
    let clients = limits.connections.saturating_mul(2);
    clients
        .saturating_add(bounds.connections)
        .saturating_add(OWN)
}

/// Gives each kind of connection the same part of what it would have, and each address as well: one that may have
/// only a few keeps them.
fn scale(limits: &mut Limits, bounds: &mut Bounds, (files, wanted): (usize, usize)) {
    let (files, wanted) = (files.saturating_sub(OWN), wanted.saturating_sub(OWN).max(1));
    let part = |count: usize| count.saturating_mul(files) / wanted;
    for count in [&mut limits.connections, &mut bounds.connections] {
        *count = part(*count).max(1);
    }
    for count in [&mut limits.connections_per_source, &mut bounds.per_source] {
        *count = part(*count).max(FEW.min(*count));
    }
}
