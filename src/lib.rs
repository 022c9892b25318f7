//! Portcullis, a just-in-time access gateway for AI agents: no standing privilege, and the gate falls
//! the moment the task ends.
//!
//! # The floors
//!
//! ```text
//! 8  cli                                        commands, one file each; dev, and its example service
//! 7  app                                        build, bind, drain: the only room where everything meets
//! 6  rehearsal                                  what would be decided: tables, recorded decisions
//! 5  pep · oauth · admin                        doors: the data plane, tokens, the API of agents and people
//! 4  access · notices                           what an agent stands on and may ask for; who is told
//! 3  authn · grants · config                    who; by what right; under which files
//! 2  tokens · pdp · store · audit · upstream · approvals · signals
//!                                               engines: each stands alone
//! 1  model · wire · telemetry · tls             nouns and pure rules; HTTP shapes; counters; identities
//! 0  base                                       clock, ids, secrets, digests, values swapped whole
//! ```
//!
//! A room imports from lower floors only: never upward, never a neighbour. Each `mod.rs` says what the
//! room is for and what is deliberately absent. A heavy dependency has one door: Cedar in `pdp`, rustls
//! in `tls`, jsonwebtoken in `tokens`, SQLite in `store`, axum in `oauth` and `admin` (and in `dev`'s example
//! service).
//!
//! # The life of a request
//!
//! A connection belongs to one worker: a thread with a runtime, a listening socket and a pool of upstream
//! connections of its own. `pep::pipeline` reads from top to bottom; each step's result is the next one's
//! ticket, so that none can be left out:
//!
//! 1. *canonical*: the request in its one reading, or 400. Over HTTP/1, `pep::strict` has framed it before.
//! 2. *authenticate*: a verified token whose bearer holds what it is bound to, the agent of the live
//!    configuration, the task.
//! 3. *route*: the operation that method and path name, or 404.
//! 4. *right*: live grants that cover it, or that it is a baseline operation. No rule is asked yet.
//! 5. *describe*: the inputs that the operation declares, typed, from a bounded part of the body.
//! 6. *enforce*: the rules permit, and a place in the grant's budget is taken. Nothing is awaited.
//!    *Secure* follows, which rarely waits: no crash can give back what was taken.
//! 7. *rewrite*, *forward*: a request built anew from what was judged, without the agent's token.
//! 8. *guard*: the answer's body, which ends with the grant and closes the record, whatever happens.
//!
//! One attempt sees one [`config::Snapshot`]. An end is a store into an atomic that all of this reads;
//! `grants` is the only room that writes it, and what is acknowledged is in the store.

pub mod access;
pub mod admin;
pub mod app;
pub mod approvals;
pub mod audit;
pub mod authn;
pub mod base;
pub mod cli;
pub mod config;
pub mod grants;
pub mod model;
pub mod notices;
pub mod oauth;
pub mod pdp;
pub mod pep;
pub mod rehearsal;
pub mod signals;
pub mod store;
pub mod telemetry;
pub mod tls;
pub mod tokens;
pub mod upstream;
pub mod wire;
