//! The decision point: Cedar rules compiled, indexed by scope, and asked.
//!
//! [`Policies::compile`] turns the texts of all `*.cedar` files and the nouns that they speak of
//! ([`Catalogue`]) into one immutable value, or into every [`Problem`] of every file at once.
//! [`Policies::decide`] answers one question. It reads only the rules whose scope can apply, so an
//! answer costs the same among ten rules and among ten thousand, and of the facts it hands to Cedar
//! only those that these rules read.
//!
//! Two things are code, not rules: a call of an operation that is not `baseline` is refused without
//! a grant that covers it, whatever the rules say; and an error in the evaluation of any rule is a
//! refusal, because Cedar itself skips a rule that fails, and a skipped `forbid` would be a hole.
//!
//! Invariant: no I/O, no clock, nothing awaits: the same question gets the same answer. Nothing
//! outside this room can make a [`Permit`], and no other room knows Cedar.

mod bounds;
mod catalogue;
mod check;
mod clauses;
mod compile;
mod context;
mod decide;
mod decision;
mod doubts;
mod fact;
mod history;
mod index;
mod limit;
mod lint;
mod memory;
mod needs;
mod policies;
mod prepared;
mod problem;
mod program;
mod reads;
mod rule;
mod scan;
mod schema;
mod seen;
mod until;

#[cfg(test)]
mod testing;

pub use catalogue::Catalogue;
pub use compile::{Refused, Source};
pub use decision::{Decision, Denial, Depends, Pace, Permit, Watched};
pub use memory::Memory;
pub use policies::Policies;
pub use prepared::Kept;
pub use problem::{Problem, Severity};
pub use rule::{Effect, OnChange, Requirement, Rule, TurnedRule};
pub use seen::Seen;
pub use until::{Turned, Until};
