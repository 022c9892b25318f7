//! The audit log: one line of JSON for everything that was decided, each holding on to the one
//! before it. [`open`] gives the way in and the writer; [`verify`] checks a log that nobody serves
//! from; [`Lines`] reads it.
//!
//! What the chain shows: a line that was changed, removed, moved or put between others is named by
//! segment and line. What it can't show: that lines at the *end* are gone, or that someone who can
//! write the files has hashed everything anew from some line on. Both show only against a copy of
//! the head ([`Summary::head`]) that was kept elsewhere.
//!
//! A record is durable within [`Options::sync_within`] and the time of one sync. A file that can't
//! be written is tried again until it can: nothing is lost or written twice, and meanwhile there
//! are no places to be had.
//!
//! Invariant: nothing is dropped silently. A place is taken before anything happens that is to be
//! recorded; where there is none, it must not happen. Ends alone have [places](Audit::reserve_for_end) that
//! nothing else gets, also while nothing can be written. Nothing here decides, and nothing written
//! here is ever changed: only a last line that a crash cut short is removed, and the next one says so.

mod asked;
mod backwards;
mod batch;
mod chain;
mod line;
mod open;
mod queue;
mod reader;

#[cfg(test)]
mod fixture;
mod record;
mod segments;
mod step;
mod tap;
mod verify;
mod writer;

pub use asked::{Asked, AskedGrant, AskedTask, Written};
pub use backwards::{Backwards, Mark, Older};
pub use chain::Fault;
pub use line::RecordError;
pub use open::{AuditError, Options, open};
pub use queue::{Audit, Place, Unavailable};
pub use reader::{Entry, Lines, ReadError};
pub use record::{Record, RecordKind, Verdict};
pub use step::{AskedAgreement, AskedCode, AskedExtent, AskedPart, AskedRenewal, AskedStep};
pub use tap::{Tap, Tapped, Valve};
pub use verify::{Summary, VerifyError, verify};
pub use writer::Writer;
