//! What is left to say when a task or grant has ended and every stream under it is cut.

use std::time::Duration;

use super::GrantId;

/// The account of an end: one line for each grant that it closed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// The closed grants.
    pub grants: Vec<ClosedGrant>,
}

/// What the end of one grant did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClosedGrant {
    /// The grant.
    pub id: GrantId,
    /// Exchanges that were cut.
    pub streams_cut: u64,
    /// Exchanges that had run to their own end before.
    pub calls_finished: u64,
    /// From the end in memory to the last exchange gone.
    pub took: Duration,
}
