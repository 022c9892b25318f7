//! The `portcullis` command: one file per command, each thin.
//!
//! The entry point is [`main`]. `command` names every command, `connection` holds the flags they
//! share, `control` makes the calls, as an agent (with a token fetched for each call) or as a person,
//! and `exit` turns what went wrong into words and an exit code.
//!
//! Invariant: commands hold no rules. What the gateway decides they only show, and what they show on
//! a terminal has nothing in it that the terminal would obey.

mod command;

mod agent;
mod audit;
mod check;
mod completions;
pub mod dev;
mod explain;
mod grants;
mod keys;
mod people;
mod policy;
mod replay;
mod request;
mod requests;
mod serve;
mod suggest;
mod task;
mod test;
mod token;

mod client;
mod connection;
mod control;
mod exit;
mod holder;
mod html;
mod identity;
mod listing;
mod output;
mod span;
mod spinner;
#[cfg(test)]
mod testing;

pub use agent::{Enrolment, enroll};
pub use command::main;
