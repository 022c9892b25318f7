//! What would be decided: decision tables, recorded decisions under other policies, and who may reach what.
//!
//! [`run_tables`] puts the cases of decision tables to a snapshot, [`Replay`] the records of an audit log,
//! [`compare`] two snapshots side by side; [`Usages`] tells what tasks really used. They suppose a world (a task, its grants, what it called before) and hand it to the enforcement
//! point's own steps.
//!
//! Invariant: there is no second way to decide. What is supposed here is seen by nobody else, and
//! nothing is granted, spent or recorded.

mod json;
mod matrix;
mod replay;
mod replayed;
mod tables;
mod usage;
mod world;

pub use matrix::{Differs, Reach, compare};
pub use replay::{Judgement, Replay};
pub use replayed::{Change, Replayed};
pub use tables::{Outcome, Report, run_tables};
pub use usage::{Usage, Usages};
