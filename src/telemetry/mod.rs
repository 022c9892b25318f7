//! What operators watch: metric handles, and the set-up of the log.
//!
//! Invariant: nothing here decides anything, and no metric carries an agent's, task's or grant's id:
//! those belong to the audit record, and as labels they would grow without bound.

mod log;
mod metrics;

pub use log::{LogFormat, start_log};
pub use metrics::{Metrics, UpstreamMetrics};
pub use prometheus_client::metrics::counter::Counter;
