//! What the pools of all workers share.

use std::sync::Arc;

use super::checks::Board;
use super::resolve::Resolver;
use crate::telemetry::Metrics;

/// What the pools of all workers share: where they count, how they look up names, and what health
/// checks have found.
#[derive(Debug)]
pub struct Common {
    pub(super) metrics: Arc<Metrics>,
    pub(super) resolver: Resolver,
    pub(super) board: Board,
}

impl Common {
    /// Pools that count into `metrics` and look up names as the system does.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            metrics,
            resolver: Resolver::default(),
            board: Board::default(),
        }
    }
}
